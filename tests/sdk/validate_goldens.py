"""Every output golden under tests/dialect against its vendor's own typed models: requests by the parameters' types, answers
and events by the models, strictly (no wrong type, nothing missing, nothing that the vendor does not have).
`validate_goldens.py FOLDER`."""

import inspect
import json
import re
import sys
import typing

import bedrock_shapes
import pydantic
import pydantic_core
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from cohere import EmbedByTypeResponse
from cohere.v2 import client as cohere
from cohere.v2.types import V2ChatResponse, V2ChatStreamResponse, V2RerankResponse
from google.genai import types as genai
from goldens import BEYOND, outputs
from openai.types import CreateEmbeddingResponse
from openai.types import embedding_create_params as embedding
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat import completion_create_params as chat
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses import response_create_params as responses


def parameters(method, **more):
    """cohere types the parameters of its methods, not a request."""
    hints = typing.get_type_hints(method, include_extras=True)
    known = inspect.signature(method).parameters.items()
    taken = [(name, one.default is one.empty) for name, one in known if name not in ("self", "request_options")]
    fields = {name: (hints[name], ... if is_required else None) for name, is_required in taken}
    return pydantic.create_model(method.__name__, **fields, **more)


TYPES = {
    ("openai", "request"): chat.CompletionCreateParamsNonStreaming,
    ("openai", "streamed request"): chat.CompletionCreateParamsStreaming,
    ("openai", "answer"): ChatCompletion,
    ("openai", "event"): ChatCompletionChunk,
    ("openai", "embedding request"): embedding.EmbeddingCreateParams,
    ("openai", "embedding answer"): CreateEmbeddingResponse,
    ("anthropic", "request"): MessageCreateParamsNonStreaming,
    ("anthropic", "streamed request"): MessageCreateParamsStreaming,
    ("anthropic", "answer"): Message,
    ("gemini", "answer"): genai.GenerateContentResponse,
    ("gemini", "event"): genai.GenerateContentResponse,
    ("responses", "request"): responses.ResponseCreateParamsNonStreaming,
    ("responses", "streamed request"): responses.ResponseCreateParamsStreaming,
    ("responses", "answer"): Response,
    ("cohere", "request"): parameters(cohere.V2Client.chat),
    ("cohere", "streamed request"): parameters(cohere.V2Client.chat_stream, stream=(bool, ...)),
    ("cohere", "answer"): V2ChatResponse,
    ("cohere", "embedding request"): parameters(cohere.V2Client.embed),
    ("cohere", "embedding answer"): EmbedByTypeResponse,
    ("cohere", "rerank request"): parameters(cohere.V2Client.rerank),
    ("cohere", "rerank answer"): V2RerankResponse,
}


def eager(schema):
    """The types of parameters are lazy about lists (`Iterable`), and a lazy list takes anything: here they are lists."""
    if isinstance(schema, list):
        return [eager(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: eager(value) for key, value in schema.items()}
    return schema | {"type": "list"} if schema.get("type") == "generator" else schema


def validator(kind):
    adapter = pydantic.TypeAdapter(kind)
    adapter.rebuild(force=True)
    schema = adapter.core_schema
    if not isinstance(schema, dict):  # a model that builds itself when it is first asked for
        kind.model_rebuild(force=True)
        schema = kind.__pydantic_core_schema__
    return pydantic_core.SchemaValidator(eager(schema))


def members(union):
    """The models of a union of events, by their `type`."""
    found = {}
    for member in typing.get_args(union):
        if isinstance(member, type) and issubclass(member, pydantic.BaseModel):
            found |= {name: member for name in typing.get_args(member.model_fields["type"].annotation)}
        else:
            found |= members(member)
    return found


VALIDATORS = {key: validator(kind) for key, kind in TYPES.items()}
for dialect, union in (
    ("anthropic", RawMessageStreamEvent),
    ("responses", ResponseStreamEvent),
    ("cohere", V2ChatStreamResponse),
):
    for name, model in members(union).items():
        VALIDATORS[dialect, "event", name] = model

# Patterns of faults; each must still be needed.
KNOWN = {f"{beyond['place']}: {beyond['python']}" for beyond in BEYOND if "python" in beyond}


def faults(dialect, kind, document):
    """What the vendor's types say against it, as `place: reason`."""
    if dialect == "bedrock":
        return bedrock_shapes.faults(kind, document)
    if (dialect, kind) == ("gemini", "request"):
        return gemini_request_faults(document)
    key = (dialect, kind)
    if kind == "request" and document.get("stream"):
        key = (dialect, "streamed request")
    if kind == "event" and dialect in ("anthropic", "responses", "cohere"):
        key = (dialect, kind, document["type"])
    if key not in VALIDATORS:
        return [] if kind.startswith(("embedding", "rerank")) else [f"{key}: no such type"]
    known = VALIDATORS[key]
    if isinstance(known, type):
        known = VALIDATORS[key] = validator(known)
    if (dialect, kind) == ("responses", "request") and any(map(is_nameless_thought, document["input"])):
        named = [{"id": "rs_1"} | item if is_nameless_thought(item) else item for item in document["input"]]
        return ["input.#.id: missing", *faults(dialect, kind, document | {"input": named})]
    try:
        known.validate_json(json.dumps(document), strict=True, extra="forbid")
    except pydantic.ValidationError as error:
        found = [(place(fault["loc"]), fault["type"]) for fault in error.errors()]
        # An event's fault is that event's alone.
        of = f"{document['type']}: " if len(key) == 3 else ""
        return sorted({of + (at if at.endswith(")") else f"{at}: {kind}") for at, kind in found})
    return []


def is_nameless_thought(item):
    """The union of items would say that none fits, whatever else is wrong in there."""
    return isinstance(item, dict) and item.get("type") == "reasoning" and "id" not in item


def place(location):
    """Numbers are any item; what stands behind the choice of a union would be said once for each of its members."""
    parts = ["#" if isinstance(part, int) else str(part) for part in location]
    cut = next((at for at, part in enumerate(parts) if re.match(r"[A-Z]|(list|union|iterable|generator)\[", part)), len(parts))
    return ".".join(parts[:cut] + ["(no member fits)"] * (cut < len(parts)))


def gemini_request_faults(document):
    """google-genai types a request's parts, not the whole of it as the API takes it."""
    config = dict(document.get("generationConfig") or {})
    found = []
    parts = [
        (genai.GenerateContentConfig, config, "generationConfig"),
        (list[genai.Content], document.get("contents", []), "contents"),
    ]
    for name, kind in (
        ("systemInstruction", genai.Content),
        ("tools", list[genai.Tool]),
        ("toolConfig", genai.ToolConfig),
        ("safetySettings", list[genai.SafetySetting]),
    ):
        if name in document:
            parts.append((kind, document[name], name))
    for kind, value, name in parts:
        try:
            # Strictness would refuse the text of an enum's word and of base64.
            pydantic.TypeAdapter(kind).validate_json(json.dumps(value), extra="forbid")
        except pydantic.ValidationError as error:
            found += [f"{name}.{place(fault['loc'])}: {fault['type']}" for fault in error.errors()]
    known = {"contents", "generationConfig", "systemInstruction", "tools", "toolConfig", "safetySettings"}
    known |= {"cachedContent", "serviceTier", "labels", "model"}
    return found + [f"{name}: extra_forbidden" for name in document if name not in known]


def main(folder):
    seen, found, used = outputs(folder), {}, set()
    for path, dialect, kind, document in seen:
        for fault in faults(dialect, kind, document):
            fault = f"{dialect} {kind} {fault}"
            known = next((known for known in KNOWN if re.fullmatch(known, fault)), None)
            if known:
                used.add(known)
            else:
                found.setdefault(fault, set()).add(path)
    for fault, paths in sorted(found.items()):
        print(f"{fault}\n    {', '.join(sorted(paths)[:4])} ({len(paths)})", file=sys.stderr)
    for known in sorted(KNOWN - used):
        print(f"no longer needed: {known}", file=sys.stderr)
    print(f"{len(seen)} documents, {len(found)} faults", file=sys.stderr)
    sys.exit(1 if found or KNOWN - used else 0)


main(sys.argv[1])
