"""Every output golden under tests/dialect against the types that the vendors' npm packages are generated with, by the TypeScript
compiler: each document is a literal that has to satisfy its type, with no member that the type does not have.
`typed_goldens.py FOLDER INSTALLATION`.

Gemini's are left to the Python models. The types of @google/genai are not of what is on the wire: words are enums, which no
literal satisfies, an answer is a class with accessors, a request is what its own method takes; and it would bring forty packages
and want a later Node than the others. Cohere's are left to its Python package's models, which the same generator made."""

import copy
import json
import pathlib
import re
import subprocess
import sys
import tempfile

from goldens import BEYOND, outputs

CHAT, RESPONSES = "OpenAI.Chat.Completions.ChatCompletion", "OpenAI.Responses.Response"

# The type of each kind of document, and where in its first golden a word stands that is one of few.
TYPES = {
    ("openai", "request"): (f"{CHAT}CreateParamsNonStreaming", "messages 0 role"),
    ("openai", "streamed request"): (f"{CHAT}CreateParamsStreaming", "messages 0 role"),
    ("openai", "answer"): (CHAT, "choices 0 finish_reason"),
    ("openai", "event"): (f"{CHAT}Chunk", "choices 0 finish_reason"),
    ("openai", "embedding request"): ("OpenAI.EmbeddingCreateParams", "dimensions"),
    ("openai", "embedding answer"): ("OpenAI.CreateEmbeddingResponse", "data 0 object"),
    ("responses", "request"): (f"{RESPONSES}CreateParamsNonStreaming", "input 0 role"),
    ("responses", "streamed request"): (f"{RESPONSES}CreateParamsStreaming", "input 0 role"),
    ("responses", "answer"): (RESPONSES, "output 0 status"),
    ("responses", "event"): (f"{RESPONSES}StreamEvent", "response status"),
    ("anthropic", "request"): ("Anthropic.MessageCreateParamsNonStreaming", "messages 0 role"),
    ("anthropic", "streamed request"): ("Anthropic.MessageCreateParamsStreaming", "messages 0 role"),
    ("anthropic", "answer"): ("Anthropic.Message", "stop_reason"),
    ("anthropic", "event"): ("Anthropic.RawMessageStreamEvent", "message role"),
}
IMPORTS = 'import type OpenAI from "openai";\nimport type Anthropic from "@anthropic-ai/sdk";\n'
COMPILER = "node_modules/typescript/lib/tsc.js"
OPTIONS = "--noEmit --strict --skipLibCheck --target es2022 --module nodenext --pretty false".split()
# A word and a member that nobody has.
STRANGE = "strange"


def objects(value, place=()):
    """Each object in there, with the steps to it."""
    if isinstance(value, dict):
        yield place, value
    for step, item in steps(value):
        yield from objects(item, (*place, step))


def steps(value):
    """What stands directly in there, by its member or number."""
    return value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()


def excuses(dialect, kind, document):
    """What in there is known to be beyond the types: the place, the object and its member, and what is put there instead."""
    before = f"{dialect} {kind} " + (f"{document['type']}: " if kind == "event" and "type" in document else "")
    for place, owner in objects(document):
        start = before + "".join("#." if isinstance(step, int) else f"{step}." for step in place)
        for beyond in BEYOND:
            for member in members(beyond, owner):
                if re.fullmatch(beyond["place"], start + member):
                    yield start + member, place, member, beyond


def members(beyond, owner):
    """The members of an object that an excuse may be about; those that are missing are named by the end of its place."""
    if "npm" not in beyond or not beyond.get("beside", {}).items() <= owner.items():
        return []
    if beyond["npm"] == "missing":
        names = re.split(r"\\.| ", beyond["place"])[-1].strip("()")
        return [name for name in names.split("|") if name not in owner]
    fits = {"unknown": lambda _: True, "null": lambda value: value is None, "text": lambda value: isinstance(value, str)}
    return [member for member, value in owner.items() if fits[beyond["npm"]](value)]


def excused(document, found):
    """The document as its type would have it."""
    document = copy.deepcopy(document)
    for _, place, member, beyond in found:
        owner = at(document, place)
        if "instead" in beyond:
            owner[member] = beyond["instead"]
        else:
            del owner[member]
    return document


def at(document, place):
    """What stands there; nothing where the place leads nowhere."""
    for step in place:
        document = dict(steps(document)).get(step, {})
    return document


class Sheet:
    """One file of the compiler's: statements, and which of its lines is which member of which document."""

    def __init__(self, kind):
        self.kind = kind
        self.lines = IMPORTS.splitlines()
        self.places = {}
        self.statements = []
        self.is_tried = False

    def add(self, document, title, is_wrong=False):
        """`is_wrong`: it has to be refused, or the types say nothing."""
        first = len(self.lines) + 1
        self.write(document, "(", f") satisfies {TYPES[self.kind][0]};", "")
        self.statements.append((range(first, len(self.lines) + 1), title, is_wrong))

    def add_wrong(self, document):
        """What the types must not let pass: a strange word, and a strange member beside it and at the top."""
        *place, member = (int(step) if step.isdigit() else step for step in TYPES[self.kind][1].split())
        if self.is_tried or member not in at(document, place):
            return
        self.is_tried = True
        for owner, name in ((place, member), (place, STRANGE), ([], STRANGE)):
            wrong = copy.deepcopy(document)
            at(wrong, owner)[name] = STRANGE
            self.add(wrong, f"{self.kind}: {STRANGE} as {name} in {owner}", is_wrong=True)

    def write(self, value, before, after, place):
        """Each member and item on a line of its own."""
        if not isinstance(value, (dict, list)):
            self.line(before + json.dumps(value) + after, place)
            return
        is_object = isinstance(value, dict)
        self.line(before + "[{"[is_object], place)
        for step, item in steps(value):
            self.write(item, f"{json.dumps(step)}: " if is_object else "", ",", f"{place}/{step}")
        self.line("]}"[is_object] + after, place)

    def line(self, text, place):
        self.lines.append(text)
        self.places[len(self.lines)] = place

    def judge(self, diagnostics):
        """What is to be said of it: refusals, by their document and member, and what was to be refused and was not."""
        found = []
        for lines, title, is_wrong in self.statements:
            said = [(line, text) for line, text in diagnostics if line in lines]
            if is_wrong and not said:
                found.append(f"{title}: not refused")
            if not is_wrong:
                found += [f"{title} {self.places[line] or '/'}: {text[:400]}" for line, text in said]
        known = {line for lines, _, _ in self.statements for line in lines}
        return found + [f"{self.kind}: {text}" for line, text in diagnostics if line not in known]


def sheets(folder):
    made, proven = {}, set()
    for path, dialect, kind, document in outputs(folder):
        key = (dialect, "streamed request" if kind == "request" and document.get("stream") else kind)
        if dialect in ("gemini", "cohere", "bedrock"):
            continue
        found = list(excuses(dialect, kind, document))
        if key not in made:
            made[key] = Sheet(key)
        made[key].add(excused(document, found), path)
        made[key].add_wrong(excused(document, found))
        for excuse in found:
            # Each excuse is to be needed: without it alone, the first document that has it is refused.
            if excuse[0] not in proven:
                proven.add(excuse[0])
                rest = [other for other in found if other is not excuse]
                made[key].add(excused(document, rest), f"no longer needed: {excuse[0]}", is_wrong=True)
    return made, proven


def compiled(made, installation):
    """The compiler's diagnostics: number of the file, line and text."""
    # Inside of the installation, so that the packages are found.
    with tempfile.TemporaryDirectory(prefix="typed-", dir=installation) as scratch:
        for number, sheet in enumerate(made):
            (pathlib.Path(scratch) / f"{number}.ts").write_text("\n".join(sheet.lines) + "\n")
        names = [f"{number}.ts" for number in range(len(made))]
        command = ["node", str(pathlib.Path(installation).resolve() / COMPILER), *OPTIONS, *names]
        output = subprocess.run(command, cwd=scratch, capture_output=True, text=True)
    # What it says further is indented. It is never silent: some are to be refused.
    found = re.findall(r"^(\d+)\.ts\((\d+),\d+\): error (.*(?:\n .*)*)", output.stdout, re.MULTILINE)
    strays = [line for line in output.stdout.splitlines() if not re.match(r"\d+\.ts\(| ", line)]
    if strays or not found:
        sys.exit(f"the compiler: {strays} {output.stderr}")
    return [(int(file), int(line), " ".join(text.split())) for file, line, text in found]


def main(folder, installation):
    made, proven = sheets(folder)
    files = list(made.values())
    found = []
    diagnostics = compiled(files, installation)
    for number, sheet in enumerate(files):
        found += sheet.judge([(line, text) for file, line, text in diagnostics if file == number])
    used = {beyond["place"] for beyond in BEYOND for place in proven if re.fullmatch(beyond["place"], place)}
    found += [f"excuses nothing: {one['place']}" for one in BEYOND if "npm" in one and one["place"] not in used]
    found += [f"{key}: no golden that could be spoiled" for key, sheet in made.items() if not sheet.is_tried]
    documents = sum(not is_wrong for sheet in files for _, _, is_wrong in sheet.statements)
    print("\n".join([*found, f"{documents} documents, {len(found)} faults"]), file=sys.stderr)
    sys.exit(1 if found or documents < 500 else 0)


main(*sys.argv[1:])
