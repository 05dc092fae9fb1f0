"""The anthropic package against corelane: messages, streams, tools, images, models, errors in Anthropic's shape."""

import asyncio

import anthropic
from harness import (
    GATEWAY,
    HELLO,
    HELLO_TOKENS,
    PIXEL,
    TIME,
    TIME_ARGUMENTS,
    WEATHER,
    WEATHER_ARGUMENTS,
    equal,
    last_seen,
    raised,
    raised_async,
    run,
)

MODELS = ["claude-sonnet-4-20250514", "anthropic/claude-3-5-haiku-20241022"]
SETTINGS = {
    "base_url": f"{GATEWAY}/anthropic",
    "api_key": "sk-ant-the-callers-own",
    "max_retries": 0,
    "timeout": 30,
}
TOOLS = [
    {"name": "weather", "description": "Tells it.", "input_schema": WEATHER},
    {"name": "time", "input_schema": TIME},
]

client = anthropic.Anthropic(**SETTINGS)


def asked(text, **more):
    """Arguments of one request."""
    return {"model": MODELS[0], "max_tokens": 99, "messages": [{"role": "user", "content": text}]} | more


def check_usage(usage, prompt, completion):
    equal((usage.input_tokens, usage.output_tokens), (prompt, completion), "tokens")


def test_whole():
    for model in MODELS:
        answer = client.messages.create(**asked("one two three", model=model, system="be kind"))
        equal((answer.type, answer.role, answer.stop_reason), ("message", "assistant", "end_turn"))
        equal([(block.type, block.text) for block in answer.content], [("text", HELLO)])
        equal(answer.model, model.removeprefix("anthropic/"))
        check_usage(answer.usage, 5, HELLO_TOKENS)
        equal(answer._request_id, "req_mock")
        body, headers = last_seen()
        equal((body["model"], body["system"]), (model.removeprefix("anthropic/"), "be kind"))
        equal(headers["x-api-key"], "sk-ant-under-test")
        assert "the-callers-own" not in str(headers), headers


def test_what_is_anthropics_own_passes():
    cached = [{"type": "text", "text": "be kind", "cache_control": {"type": "ephemeral"}}]
    thinking = {"type": "enabled", "budget_tokens": 1024}
    client.messages.create(
        **asked("a", system=cached, max_tokens=2048, thinking=thinking, metadata={"user_id": "u"}),
        extra_body={"top_k": 5},
        extra_headers={"anthropic-beta": "a-beta", "anthropic-version": "2023-06-01"},
    )
    body, headers = last_seen()
    equal((body["system"], body["thinking"], body["top_k"]), (cached, thinking, 5))
    equal((headers["anthropic-beta"], headers["anthropic-version"]), ("a-beta", "2023-06-01"))


def test_the_stream_helper():
    text = "mock: chunks=40"
    whole = client.messages.create(**asked(text))
    with client.messages.stream(**asked(text)) as stream:
        parts = list(stream.text_stream)
        final = stream.get_final_message()
    assert len(parts) == 40, len(parts)
    equal("".join(parts), whole.content[0].text)
    equal(final.content[0].text, whole.content[0].text)
    equal(final.stop_reason, "end_turn")
    check_usage(final.usage, 2, 40)


def test_raw_events():
    kinds = [event.type for event in client.messages.create(**asked("a"), stream=True)]
    equal(kinds[:2], ["message_start", "content_block_start"])
    equal(kinds[-3:], ["content_block_stop", "message_delta", "message_stop"])
    equal(kinds.count("content_block_delta"), 3)


def test_tools_and_the_way_back():
    request = asked("weather and time", tools=TOOLS)
    answer = client.messages.create(**request)
    equal(answer.stop_reason, "tool_use")
    check_calls(answer.content)
    request["messages"].append({"role": "assistant", "content": answer.content})
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": text}
        for block, text in zip(answer.content, ["sunny", "late"])
    ]
    request["messages"].append({"role": "user", "content": results})
    equal(client.messages.create(**request).content[0].text, "The tools said: sunny | late")
    equal(last_seen()[0]["messages"][2]["content"], results)


def check_calls(blocks):
    equal([(block.type, block.name) for block in blocks], [("tool_use", "weather"), ("tool_use", "time")])
    equal([block.input for block in blocks], [WEATHER_ARGUMENTS, TIME_ARGUMENTS])


def test_tools_streamed():
    with client.messages.stream(**asked("a b", tools=TOOLS)) as stream:
        final = stream.get_final_message()
    equal(final.stop_reason, "tool_use")
    check_calls(final.content)
    check_usage(final.usage, 2, 2)


def test_tool_choice():
    def called(**choice):
        answer = client.messages.create(**asked("a", tools=TOOLS, tool_choice=choice))
        return [block.name for block in answer.content if block.type == "tool_use"]

    equal(called(type="tool", name="time"), ["time"])
    equal(called(type="any"), ["weather", "time"])
    equal(called(type="auto", disable_parallel_tool_use=True), ["weather"])
    equal(called(type="none"), [])


def test_images():
    source = {"type": "base64", "media_type": "image/gif", "data": PIXEL}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "what is this"}]
    check_usage(client.messages.create(**asked(content)).usage, 3, HELLO_TOKENS)
    equal(last_seen()[0]["messages"][0]["content"], content)


def test_models():
    models = list(client.models.list())
    expected = [
        "anthropic/claude-3-5-haiku-20241022",
        "anthropic/claude-sonnet-4-20250514",
        "openai/gpt-4o",
        "openai/gpt-4o-mini",
    ]
    equal(sorted(model.id for model in models), expected)
    equal({model.type for model in models}, {"model"})


def check_shape(error, word):
    """Anthropic's error body, as its SDK reads it."""
    equal((error.body["type"], error.body["error"]["type"]), ("error", word))


PROVIDER_ERRORS = {
    400: (anthropic.BadRequestError, "invalid_request_error"),
    404: (anthropic.NotFoundError, "not_found_error"),
    429: (anthropic.RateLimitError, "rate_limit_error"),
    500: (anthropic.InternalServerError, "api_error"),
    529: (anthropic.OverloadedError, "overloaded_error"),
}


def test_provider_errors():
    for status, (kind, word) in PROVIDER_ERRORS.items():
        for stream in (False, True):
            request = asked(f"mock: status={status} retry_after=7", stream=stream)
            error = raised(kind, lambda: client.messages.create(**request))
            check_shape(error, word)
            equal((error.status_code, error.request_id), (status, "req_mock"))
            equal(error.response.headers["retry-after"], "7")


def test_a_refused_key_is_not_the_callers():
    for status in (401, 402, 403):
        for stream in (False, True):
            request = asked(f"mock: status={status}", stream=stream)
            error = raised(anthropic.InternalServerError, lambda: client.messages.create(**request))
            check_shape(error, "api_error")
            equal(error.status_code, 502)
            assert f"told to answer {status}" in error.message, error.message


def test_our_own_errors():
    error = raised(anthropic.BadRequestError, lambda: client.messages.create(**asked("a", model="claude-2")))
    check_shape(error, "invalid_request_error")
    assert "claude-2" in error.message, error.message
    error = raised(anthropic.NotFoundError, lambda: client.get("/v1/skills", cast_to=object))
    check_shape(error, "not_found_error")


def test_an_error_in_the_middle_of_a_stream():
    texts = []

    def drain():
        for event in client.messages.create(**asked("mock: chunks=9 error_after=2 chunk_delay_ms=20"), stream=True):
            if event.type == "content_block_delta":
                texts.append(event.delta.text)

    error = None
    try:
        drain()
    except anthropic.APIStatusError as failure:
        error = failure
    assert error is not None, "nothing raised"
    check_shape(error, "overloaded_error")
    equal("".join(texts), "word word ")


async def test_async():
    async with anthropic.AsyncAnthropic(**SETTINGS) as client:
        equal((await client.messages.create(**asked("a"))).content[0].text, HELLO)
        async with client.messages.stream(**asked("mock: chunks=9", tools=[])) as stream:
            parts = [part async for part in stream.text_stream]
            final = await stream.get_final_message()
        equal("".join(parts), final.content[0].text)
        async with client.messages.stream(**asked("a", tools=TOOLS)) as stream:
            check_calls((await stream.get_final_message()).content)
        equal(len([model async for model in client.models.list()]), 4)
        await raised_async(anthropic.RateLimitError, client.messages.create(**asked("mock: status=429")))


async def test_many_at_once():
    async with anthropic.AsyncAnthropic(**SETTINGS) as client:

        async def one(number):
            request = asked(f"mock: echo delay_ms=20 chunks=7 bytes={number}")
            if number % 2:
                found = (await client.messages.create(**request)).content[0].text
            else:
                async with client.messages.stream(**request) as stream:
                    found = await stream.get_final_text()
            equal(found, request["messages"][0]["content"])

        await asyncio.gather(*(one(number) for number in range(30)))


run(globals())
