"""The goldens under tests/dialect: which of them are outputs, of which dialect and kind, and what of them is known to stand
beyond the vendors' types. For the programs beside that hold them against those types; it judges nothing itself."""

import json
import pathlib
import re

# What a golden may hold beyond a vendor's types, and why. `place` is a pattern of `dialect kind member`, with the event's own
# type before an event's member and # for any item. `python` is the fault that the Python package finds there. `npm` is what
# stands there that the npm package refuses: `missing`, `null`, `text` or `unknown` (a member that it does not have); before
# the document is judged it is replaced by `instead`, or taken out without that. `beside`: the members that must stand next to it.
BEYOND = json.loads((pathlib.Path(__file__).parent / "beyond_types.json").read_text())


def outputs(folder):
    """Every document of every golden: its path in there, dialect, kind and the document. Few would mean that they are not found."""
    found = []
    for path in sorted(pathlib.Path(folder).rglob("*")):
        if path.suffix in (".json", ".sse", ".expected", ".frames"):
            found += [(path.relative_to(folder).as_posix(), *one) for one in documents(path)]
    assert len(found) > 500, f"{len(found)} documents in {folder}"
    return found


def documents(path):
    """The JSON documents of a golden, each with its dialect and kind; texts that say a refusal have none."""
    text = path.read_text()
    outcome = output(path)
    if outcome is None:
        return
    dialect, kind = outcome
    if path.suffix == ".expected" and kind == "request":
        heads = {"OpenAI": "openai", "one": "openai", "Anthropic": "anthropic", "Gemini": "gemini", "Responses": "responses"}
        heads |= {"Cohere": "cohere", "Bedrock": "bedrock"}
        for head, body in re.findall(r"^# (\w+).*\n(\{.*)$", text, re.MULTILINE):
            yield heads[head], kind, json.loads(body)
    elif path.suffix == ".frames":
        for name, data in re.findall(r"^(\w+) (\{.*)$", text, re.MULTILINE):
            yield dialect, kind, {name: json.loads(data)}
    elif path.suffix == ".sse" or (path.suffix == ".expected" and kind == "event"):
        for data in re.findall(r"^data: (\{.*)$", text, re.MULTILINE):
            yield shape(json.loads(data), dialect), "event", json.loads(data)
    elif text.startswith("{"):
        document, _ = json.JSONDecoder().raw_decode(text)
        yield shape(document, dialect), kind, document


def shape(document, dialect):
    """Goldens by behaviour do not name their dialect; the document does."""
    if dialect:
        return dialect
    if "choices" in document:
        return "openai"
    if "candidates" in document or "usageMetadata" in document or "promptFeedback" in document:
        return "gemini"
    if document.get("object") == "response" or str(document.get("type")).startswith("response."):
        return "responses"
    return "anthropic"


def output(path):
    """Dialect and kind of what a golden is the output of; `None`: it is an input."""
    folder = path.parent.as_posix().split("tests/dialect/")[-1]
    words = path.name.split(".")[1:-1]
    last = words[-1] if words else None
    is_event = path.suffix in (".sse", ".frames")
    kind = "request" if folder.endswith(("requests", "asked")) else "event" if is_event else "answer"
    if folder.startswith("bedrock/"):
        return ("bedrock", kind)
    if folder.startswith("behaviour/"):
        kind = {"requests": "request", "responses": "answer", "streams": "event"}[folder.split("/")[1]]
        return (None, kind) if path.suffix == ".expected" else None
    if folder.startswith("cohere/rerankings"):
        return (last, f"rerank {kind}") if last == "cohere" else None
    if folder == "gemini/embeddings/requests":
        other = {"gemini": "openai", "openai": "gemini"}[last]
        return (other, "embedding request") if path.suffix == ".expected" else None
    if folder.startswith("gemini/embeddings"):
        return (last, f"embedding {kind}") if len(words) == 2 else None
    for name, kinds in (("cohere/embeddings/", "embedding "), ("cohere/", "")):
        if folder.startswith(name):
            return (last, kinds + kind)
    if folder == "gemini/told":
        return (last, kind) if len(words) == 2 else None
    if folder.startswith("responses/"):
        return (last.removeprefix("to_"), kind) if last.startswith("to_") else None
    outputs = {
        "requests": ["anthropic"],
        "responses": ["openai"],
        "streams": ["openai"],
        "messages/requests": ["openai"],
        "messages/responses": ["anthropic"],
        "messages/streams": ["anthropic"],
        "gemini/requests": ["gemini"],
        "gemini/asked": ["openai", "anthropic"],
        "gemini/responses": ["openai", "anthropic"],
        "gemini/streams": ["openai", "anthropic"],
    }
    return (last, kind) if last in outputs.get(folder, []) else None
