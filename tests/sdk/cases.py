"""The table: each case here, asked through each SDK (`adapters.py`) of each provider. A case knows no SDK: it says what is
asked in neutral words, and what the answer must say, which is the same wherever it comes from."""

import json
import sys
import traceback
from dataclasses import dataclass, field

from harness import CLAUDE, HELLO, HELLO_TOKENS, NEWER_CLAUDE, PIXEL, TIME, TIME_ARGUMENTS, WEATHER, WEATHER_ARGUMENTS, equal, last_seen

TOOLS = [("weather", "Tells it.", WEATHER), ("time", "Tells that.", TIME)]
CITY = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "people": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}}},
    "required": ["name", "people", "tags"],
    "additionalProperties": False,
}


@dataclass
class Said:
    """An answer: its text, its calls as (id, name, arguments), why it ended, tokens in and out, parts of the stream."""

    text: str = ""
    calls: list = field(default_factory=list)
    finish: str = ""
    tokens: tuple = (0, 0)
    parts: int = 0
    raw: object = None


@dataclass
class Ask:
    """A request. `turns` are ("user", text or parts), ("assistant", Said), ("results", [(call, text)])."""

    turns: list
    system: str = ""
    tools: list = field(default_factory=list)
    choice: str = "auto"  # or "none", "any", or a tool's name
    schema: dict = None
    settings: dict = field(default_factory=dict)  # temperature, max_tokens, stop
    stream: bool = False


def user(text, **more):
    return Ask([("user", text)], **more)


def both(adapter, model, ask):
    """The answer, whole and streamed."""
    for stream in (False, True):
        ask.stream = stream
        said = adapter.ask(model, ask)
        yield said
        # Some SDKs hold an answer that follows a schema until it is whole.
        if stream and not ask.tools and not ask.schema:
            assert said.parts > 1, f"one part: {said}"


def case_a_text(adapter, model):
    for said in both(adapter, model, user("one two three")):
        equal((said.text, said.calls, said.finish, said.tokens), (HELLO, [], "stop", (3, HELLO_TOKENS)))


def case_a_long_stream(adapter, model):
    whole, streamed = both(adapter, model, user("mock: chunks=40"))
    equal(streamed.text, whole.text)
    equal((whole.tokens, streamed.tokens), ((2, 40), (2, 40)))


def case_line_breaks_and_tabs(adapter, model):
    text = "mock: echo\nbytes=1\tchunks=7 bytes=2"
    for said in both(adapter, model, user(text)):
        equal(said.text, text)


def case_turns_and_system(adapter, model):
    turns = [("user", "one"), ("assistant", Said(text="two")), ("user", "three four")]
    for said in both(adapter, model, Ask(turns, system="be kind")):
        equal((said.text, said.tokens), (HELLO, (6, HELLO_TOKENS)))


def case_settings(adapter, model):
    settings = {"temperature": 0.7, "max_tokens": 77, "stop": ["END", "FIN"]}
    for said in both(adapter, model, user("a", settings=settings)):
        equal(said.text, HELLO)


def case_cut_by_the_limit(adapter, model):
    for said in both(adapter, model, user("mock: finish=length")):
        equal(said.finish, "length")


def case_an_image(adapter, model):
    parts = [("text", "what is this"), ("image", "image/gif", PIXEL)]
    for said in both(adapter, model, user(parts)):
        equal(said.text, HELLO)


def check_calls(said):
    equal([name for _, name, _ in said.calls], ["weather", "time"])
    equal([arguments for _, _, arguments in said.calls], [WEATHER_ARGUMENTS, TIME_ARGUMENTS])
    equal((said.text, said.finish), ("", "tool_calls"))


def case_tools_in_parallel_and_the_way_back(adapter, model):
    for said in both(adapter, model, user("weather and time", tools=TOOLS)):
        check_calls(said)
        results = list(zip(said.calls, ["sunny", "late"]))
        turns = [("user", "weather and time"), ("assistant", said), ("results", results)]
        for answer in both(adapter, model, Ask(turns, tools=TOOLS)):
            equal((answer.text, answer.finish), ("The tools said: sunny | late", "stop"))


def case_the_choice_of_a_tool(adapter, model):
    for choice, names in (("time", ["time"]), ("any", ["weather", "time"]), ("none", [])):
        for said in both(adapter, model, user("a", tools=TOOLS, choice=choice)):
            equal([name for _, name, _ in said.calls], names, choice)


def case_structured_output(adapter, model):
    # What passes through to a model is asked in the caller's own words, which an older one may not know.
    passes = model == CLAUDE and getattr(adapter, "speaks_anthropic", False)
    older = [] if passes else [model]
    for model in older + ([NEWER_CLAUDE] if model == CLAUDE else []):
        for said in both(adapter, model, user("a city", schema=CITY)):
            equal(json.loads(said.text), {"name": "mock", "people": 1, "tags": ["mock"]})
            equal((said.calls, said.finish), ([], "stop"))
            if model in (CLAUDE, NEWER_CLAUDE):
                body, _ = last_seen()
                equal("tool_choice" in body, model == CLAUDE, "by a tool")
                # The second is its name from the beta, which litellm says.
                is_native = "format" in body.get("output_config", {}) or "output_format" in body
                equal(is_native, model == NEWER_CLAUDE, "by itself")


def case_errors_by_class(adapter, model):
    for status, kind in adapter.errors.items():
        for stream in (False, True):
            expect(adapter, model, user(f"mock: status={status}", stream=stream), kind, f"told to answer {status}")


def case_a_refused_key_is_not_the_callers(adapter, model):
    kind = getattr(adapter, "bad_gateway", adapter.errors[500])
    expect(adapter, model, user("mock: status=401"), kind, "told to answer 401")


def expect(adapter, model, ask, kind, words):
    try:
        adapter.ask(model, ask)
    except Exception as error:
        assert type(error) is kind, f"{type(error)}, expected {kind}: {error}"
        assert words in str(error), f"{words!r} is not in {error}"
        return
    raise AssertionError(f"nothing raised, expected {kind}")


def case_a_model_that_nobody_has(adapter, model):
    name = model.split("/")[0] + "/no-such-model"
    expect(adapter, name, user("a"), adapter.errors[400], "no-such-model")


CASES = {name: case for name, case in globals().items() if name.startswith("case_")}


def run(adapters, models):
    """Every case by every adapter of every model; ends the process, with the cells that failed by name."""
    failed, count = [], 0
    for adapter in adapters:
        for model in models:
            for name, case in CASES.items():
                if name in getattr(adapter, "skips", ()):
                    continue
                count += 1
                try:
                    case(adapter, model)
                except Exception:
                    cell = f"{adapter.name}, {model}, {name.removeprefix('case_')}"
                    failed.append(cell)
                    print(f"--- {cell}\n{traceback.format_exc()}", file=sys.stderr)
    print(f"{count - len(failed)} of {count} passed; failed: {failed}", file=sys.stderr)
    return failed or not count
