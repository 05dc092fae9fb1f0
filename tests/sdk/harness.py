"""What the Python programs share: a runner that names what failed, a look at what the mock provider saw."""

import asyncio
import inspect
import json
import sys
import traceback
import urllib.request

GATEWAY, MOCK = sys.argv[1:3]
# The dialects that are served, where a program is told.
SPEAKS = sys.argv[3].split(",") if len(sys.argv) > 3 else []

GPT = "openai/gpt-4o-mini"
CLAUDE = "anthropic/claude-sonnet-4-20250514"
# Older models of Anthropic's follow no schema by themselves.
NEWER_CLAUDE = "anthropic/claude-sonnet-4-5"
GEMINI = "gemini/gemini-2.5-flash"
COMMAND = "cohere/command-a-03-2025"
ON_BEDROCK = "bedrock/anthropic.claude-sonnet-4-20250514-v1:0"

HELLO = "Hello from the mock provider."
# The mock counts words.
HELLO_TOKENS = 5

# A GIF of one pixel, as a data URL and as what stands in it.
PIXEL = "R0lGODlhAQABAAAAACw="
PIXEL_URL = f"data:image/gif;base64,{PIXEL}"

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}
WEATHER_ARGUMENTS = {"city": "mock", "days": 1}
TIME = {"type": "object", "properties": {"zone": {"type": "string"}}}
TIME_ARGUMENTS = {"zone": "mock"}


def equal(found, expected, what=""):
    assert found == expected, f"{what}: {found!r}, expected {expected!r}"


def last_seen():
    """The last request that the mock received: its JSON body and its headers, names in small letters."""
    with urllib.request.urlopen(f"{MOCK}/mock/requests", timeout=20) as answer:
        last = json.load(answer)["last"]
    headers = {name.lower(): value for name, value in last["headers"]}
    return json.loads(last["body"]), headers


def raised(kind, call):
    """The exception of exactly this class that the call raises."""
    try:
        call()
    except Exception as error:
        assert type(error) is kind, f"{type(error).__name__}, expected {kind.__name__}: {error}"
        return error
    raise AssertionError(f"nothing raised, expected {kind.__name__}")


async def raised_async(kind, awaitable):
    """The same for what is awaited."""
    try:
        await awaitable
    except Exception as error:
        assert type(error) is kind, f"{type(error).__name__}, expected {kind.__name__}: {error}"
        return error
    raise AssertionError(f"nothing raised, expected {kind.__name__}")


def run(scope):
    """Runs every `test_…` of the module, in its order; ends the process with the number of those that failed."""
    failed = []
    tests = [(name, test) for name, test in scope.items() if name.startswith("test_")]
    for name, test in tests:
        try:
            asyncio.run(test()) if inspect.iscoroutinefunction(test) else test()
        except Exception:
            failed.append(name)
            print(f"--- {name}\n{traceback.format_exc()}", file=sys.stderr)
    print(f"{len(tests) - len(failed)} of {len(tests)} passed; failed: {failed}", file=sys.stderr)
    sys.exit(1 if failed or not tests else 0)
