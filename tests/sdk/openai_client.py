"""The openai package against corelane: chat, streams, tools, images, models, errors; both providers behind one API."""

import asyncio
import json
from contextlib import contextmanager

import openai
from harness import (
    GATEWAY,
    HELLO,
    HELLO_TOKENS,
    PIXEL,
    PIXEL_URL,
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

GPT = "openai/gpt-4o-mini"
CLAUDE = "anthropic/claude-sonnet-4-20250514"
SETTINGS = {"api_key": "sk-the-callers-own", "max_retries": 0, "timeout": 30}

native = openai.OpenAI(base_url=f"{GATEWAY}/v1", **SETTINGS)
drop_in = openai.OpenAI(base_url=f"{GATEWAY}/openai/v1", **SETTINGS)

# (client, model as asked, model as the provider is asked for it)
WAYS = [
    (native, GPT, "gpt-4o-mini"),
    (native, "gpt-4o-mini", "gpt-4o-mini"),
    (native, CLAUDE, "claude-sonnet-4-20250514"),
    (drop_in, "gpt-4o-mini", "gpt-4o-mini"),
    (drop_in, CLAUDE, "claude-sonnet-4-20250514"),
]

TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "Tells it.", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "time", "parameters": TIME}},
]


@contextmanager
def each_way():
    """Says on which way an assertion failed."""
    where = {}
    try:
        yield lambda way: where.update(base_url=str(way[0].base_url), model=way[1])
    except AssertionError as error:
        raise AssertionError(f"{where}: {error}") from error


def user(text):
    return [{"role": "user", "content": text}]


def assembled(chunks):
    """A stream put together: text, tool calls as [id, name, arguments], finish reason, usage."""
    text, calls, finish, usage = "", {}, None, None
    for chunk in chunks:
        equal(chunk.object, "chat.completion.chunk")
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
            for part in choice.delta.tool_calls or []:
                call = calls.setdefault(part.index, ["", "", ""])
                call[0] += part.id or ""
                call[1] += part.function.name or ""
                call[2] += part.function.arguments or ""
    return text, [calls[index] for index in sorted(calls)], finish, usage


def check_usage(usage, prompt, completion):
    counts = (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
    equal(counts, (prompt, completion, prompt + completion), "tokens")


def test_chat_whole():
    with each_way() as on:
        for way in WAYS:
            on(way)
            client, model, wire_model = way
            answer = client.chat.completions.create(model=model, messages=user("one two three"))
            equal(answer.object, "chat.completion")
            equal(answer.choices[0].message.role, "assistant")
            equal(answer.choices[0].message.content, HELLO)
            equal(answer.choices[0].finish_reason, "stop")
            equal(answer.model, wire_model)
            check_usage(answer.usage, 3, HELLO_TOKENS)


def test_chat_streamed():
    with each_way() as on:
        for way in WAYS:
            on(way)
            client, model, _ = way
            messages = user("mock: chunks=40")
            whole = client.chat.completions.create(model=model, messages=messages)
            chunks = list(
                client.chat.completions.create(
                    model=model, messages=messages, stream=True, stream_options={"include_usage": True}
                )
            )
            assert len(chunks) > 40, len(chunks)
            text, _, finish, usage = assembled(chunks)
            equal(text, whole.choices[0].message.content)
            equal(finish, "stop")
            check_usage(usage, 2, 40)
            equal(usage.total_tokens, whole.usage.total_tokens)


def test_a_stream_says_its_usage_only_if_asked():
    with each_way() as on:
        for way in WAYS:
            on(way)
            client, model, _ = way
            chunks = list(client.chat.completions.create(model=model, messages=user("a"), stream=True))
            text, _, _, usage = assembled(chunks)
            equal((text, usage), (HELLO, None))


def test_the_stream_helper():
    with each_way() as on:
        for way in WAYS:
            on(way)
            client, model, _ = way
            with client.chat.completions.stream(model=model, messages=user("a"), tools=TOOLS) as stream:
                kinds = {event.type for event in stream}
                final = stream.get_final_completion()
            assert "tool_calls.function.arguments.done" in kinds, kinds
            calls = final.choices[0].message.tool_calls
            equal([call.function.name for call in calls], ["weather", "time"])


def test_system_messages_turns_and_stop():
    messages = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three four"},
    ]
    with each_way() as on:
        for way in WAYS:
            on(way)
            client, model, wire_model = way
            answer = client.chat.completions.create(
                model=model, messages=messages, stop=["END", "FIN"], max_tokens=77, temperature=0.5
            )
            check_usage(answer.usage, 6, HELLO_TOKENS)
            body, headers = last_seen()
            equal(body["model"], wire_model)
            equal((body["max_tokens"], body["temperature"]), (77, 0.5))
            assert "sk-the-callers-own" not in str(headers), headers
            if model == CLAUDE:
                equal(body["stop_sequences"], ["END", "FIN"])
                equal(headers["x-api-key"], "sk-ant-under-test")
                assert "be kind" in json.dumps(body["system"]), body
                equal([message["role"] for message in body["messages"]], ["user", "assistant", "user"])
            else:
                equal(body["stop"], ["END", "FIN"])
                equal(headers["authorization"], "Bearer sk-openai-under-test")
                equal(body["messages"], messages)


def test_unknown_fields_pass():
    native.chat.completions.create(model=GPT, messages=user("a"), extra_body={"a_new_field": {"x": [1.50]}})
    equal(last_seen()[0]["a_new_field"], {"x": [1.5]})


def test_cut_by_the_limit():
    with each_way() as on:
        for way in WAYS:
            on(way)
            client, model, _ = way
            create = client.chat.completions.create
            answer = create(model=model, messages=user("mock: finish=length"))
            equal(answer.choices[0].finish_reason, "length")
            chunks = create(model=model, messages=user("mock: finish=length"), stream=True)
            equal(assembled(chunks)[2], "length")


def test_images_by_data_url():
    content = [
        {"type": "text", "text": "what is this"},
        {"type": "image_url", "image_url": {"url": PIXEL_URL}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]
    with each_way() as on:
        for way in WAYS:
            on(way)
            client, model, _ = way
            answer = client.chat.completions.create(model=model, messages=user(content))
            equal(answer.choices[0].message.content, HELLO)
            seen = last_seen()[0]["messages"][0]["content"]
            if model == CLAUDE:
                by_data = {"type": "base64", "media_type": "image/gif", "data": PIXEL}
                equal(seen[1], {"type": "image", "source": by_data})
                equal(seen[2], {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}})
            else:
                equal(seen, content)


def test_what_is_large():
    """Bodies that are decoded off the core, answers that are no longer held whole. The mock keeps 1 MiB of a body."""
    data = PIXEL * 40_000
    image = [{"type": "image_url", "image_url": {"url": f"data:image/gif;base64,{data}"}}]
    text = "mock: echo" + " bytes=1" * 200_000
    with each_way() as on:
        for way in WAYS:
            on(way)
            client, model, _ = way
            client.chat.completions.create(model=model, messages=user(image))
            seen = last_seen()[0]["messages"][0]["content"][0]
            sent = seen["source"]["data"] if model == CLAUDE else seen["image_url"]["url"]
            assert sent.endswith(data), "the image arrives as it was sent"
            answer = client.chat.completions.create(model=model, messages=user(text))
            assert answer.choices[0].message.content == text, "the text comes back as it was sent"
            check_usage(answer.usage, 200_002, 200_002)


def test_tools_and_the_way_back():
    with each_way() as on:
        for way in WAYS:
            on(way)
            client, model, _ = way
            messages = user("weather and time")
            answer = client.chat.completions.create(model=model, messages=messages, tools=TOOLS)
            equal(answer.choices[0].finish_reason, "tool_calls")
            message = answer.choices[0].message
            check_calls([[call.id, call.function.name, call.function.arguments] for call in message.tool_calls])
            messages.append(message.model_dump(exclude_none=True))
            for call, result in zip(message.tool_calls, ["sunny", "late"]):
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
            answer = client.chat.completions.create(model=model, messages=messages, tools=TOOLS)
            equal(answer.choices[0].message.content, "The tools said: sunny | late")
            equal(answer.choices[0].finish_reason, "stop")
            if model == CLAUDE:
                check_anthropic_turns(last_seen()[0], message.tool_calls)


def check_calls(calls):
    equal([name for _, name, _ in calls], ["weather", "time"])
    equal([json.loads(text) for _, _, text in calls], [WEATHER_ARGUMENTS, TIME_ARGUMENTS])
    equal(len({identifier for identifier, _, _ in calls if identifier}), 2, "ids")


def check_anthropic_turns(body, calls):
    """Tool calls and their results as Anthropic wants them: the results of one turn in one message."""
    equal([message["role"] for message in body["messages"]], ["user", "assistant", "user"])
    uses, results = body["messages"][1]["content"], body["messages"][2]["content"]
    equal([(use["type"], use["id"]) for use in uses], [("tool_use", call.id) for call in calls])
    equal([use["input"] for use in uses], [WEATHER_ARGUMENTS, TIME_ARGUMENTS])
    equal([result["tool_use_id"] for result in results], [call.id for call in calls])
    equal(body["tools"][0]["input_schema"], WEATHER)


def test_tools_streamed():
    with each_way() as on:
        for way in WAYS:
            on(way)
            client, model, _ = way
            options = {"include_usage": True}
            chunks = client.chat.completions.create(
                model=model, messages=user("a b"), tools=TOOLS, stream=True, stream_options=options
            )
            text, calls, finish, usage = assembled(chunks)
            equal((text, finish), ("", "tool_calls"))
            check_calls(calls)
            check_usage(usage, 2, 2)


def test_tool_choice():
    chosen = {"type": "function", "function": {"name": "time"}}
    with each_way() as on:
        for way in WAYS:
            on(way)
            client, model, _ = way

            def called(**choice):
                answer = client.chat.completions.create(model=model, messages=user("a"), tools=TOOLS, **choice)
                return [call.function.name for call in answer.choices[0].message.tool_calls or []]

            equal(called(tool_choice=chosen), ["time"])
            equal(called(tool_choice="required"), ["weather", "time"])
            equal(called(tool_choice="none"), [])
            equal(called(parallel_tool_calls=False), ["weather"])


def test_models():
    expected = [
        "anthropic/claude-3-5-haiku-20241022",
        "anthropic/claude-sonnet-4-20250514",
        "openai/gpt-4o",
        "openai/gpt-4o-mini",
    ]
    for client in (native, drop_in):
        models = list(client.models.list())
        equal(sorted(model.id for model in models), expected)
        equal({model.object for model in models}, {"model"})
        equal({model.owned_by for model in models}, {"openai", "anthropic"})


def test_our_own_errors():
    create = native.chat.completions.create
    unknown = raised(openai.BadRequestError, lambda: create(model="no-such-model", messages=user("a")))
    equal((unknown.code, unknown.param), ("model_not_found", "model"))
    assert "no-such-model" in unknown.message, unknown.message
    error = raised(openai.BadRequestError, lambda: create(model="openai/gpt-3", messages=user("a")))
    equal(error.code, "no_key_for_model")
    assert "gpt-3" in error.message and "openai" in error.message, error.message
    error = raised(openai.BadRequestError, lambda: create(model="mistral/x", messages=user("a")))
    equal(error.code, "provider_not_configured")
    for client in (native, drop_in):
        error = raised(openai.NotFoundError, lambda: client.fine_tuning.jobs.list())
        equal(error.code, "not_found")
    own = drop_in.chat.completions.create
    error = raised(openai.BadRequestError, lambda: own(model="gpt-3", messages=user("a"), stream=True))
    equal(error.code, "no_key_for_model")


PROVIDER_ERRORS = {
    400: (openai.BadRequestError, "invalid_request_error"),
    404: (openai.NotFoundError, "not_found_error"),
    429: (openai.RateLimitError, "rate_limit_error"),
    500: (openai.InternalServerError, "api_error"),
    503: (openai.InternalServerError, "api_error"),
}


def test_provider_errors():
    with each_way() as on:
        for way in WAYS:
            on(way)
            client, model, _ = way
            for status, (kind, word) in PROVIDER_ERRORS.items():
                for stream in (False, True):
                    messages = user(f"mock: status={status} retry_after=7")
                    create = client.chat.completions.create
                    error = raised(kind, lambda: create(model=model, messages=messages, stream=stream))
                    equal((error.status_code, error.type), (status, word))
                    assert f"told to answer {status}" in error.message, error.message
                    equal(error.response.headers["retry-after"], "7")


def test_a_refused_key_is_not_the_callers():
    with each_way() as on:
        for way in WAYS:
            on(way)
            client, model, _ = way
            for status in (401, 402, 403):
                messages = user(f"mock: status={status}")
                create = client.chat.completions.create
                error = raised(openai.InternalServerError, lambda: create(model=model, messages=messages))
                equal((error.status_code, error.code), (502, "provider_credentials_exhausted"))
                assert f"told to answer {status}" in error.message, error.message


def test_an_error_in_the_middle_of_a_stream():
    with each_way() as on:
        for way in WAYS:
            on(way)
            client, model, _ = way
            chunks = []

            def drain():
                messages = user("mock: chunks=9 error_after=2 chunk_delay_ms=20")
                for chunk in client.chat.completions.create(model=model, messages=messages, stream=True):
                    chunks.append(chunk)

            error = raised(openai.APIError, drain)
            assert "told to fail" in error.message, error.message
            equal(assembled(chunks)[0], "word word ")


def test_raw_headers():
    with each_way() as on:
        for way in WAYS:
            on(way)
            client, model, _ = way
            raw = client.chat.completions.with_raw_response.create(model=model, messages=user("a"))
            name = "request-id" if model == CLAUDE else "x-request-id"
            equal(raw.headers[name], "req_mock")
            equal(len(raw.headers["x-corelane-request-id"]), 36)
            equal(raw.parse().choices[0].message.content, HELLO)


async def test_async():
    for base in ("v1", "openai/v1"):
        async with openai.AsyncOpenAI(base_url=f"{GATEWAY}/{base}", **SETTINGS) as client:
            create = client.chat.completions.create
            for model in (GPT, CLAUDE):
                answer = await create(model=model, messages=user("a"), tools=TOOLS)
                equal(len(answer.choices[0].message.tool_calls), 2)
                chunks = [chunk async for chunk in await create(model=model, messages=user("a"), stream=True)]
                equal(assembled(chunks)[0], HELLO)
                messages = user("mock: status=429")
                await raised_async(openai.RateLimitError, create(model=model, messages=messages))
            equal(len([model async for model in client.models.list()]), 4)
            error = await raised_async(openai.BadRequestError, create(model="nope", messages=user("a")))
            equal(error.status_code, 400)


async def test_fifty_at_once():
    """Whole and streamed, both providers, each answer with its own text."""
    async with openai.AsyncOpenAI(base_url=f"{GATEWAY}/v1", **SETTINGS) as client:

        async def one(number):
            text = f"mock: echo delay_ms=20 chunks=7 bytes={number}"
            model, stream = (GPT, CLAUDE)[number % 2], number % 4 < 2
            answer = await client.chat.completions.create(model=model, messages=user(text), stream=stream)
            if stream:
                found = assembled([chunk async for chunk in answer])[0]
            else:
                found = answer.choices[0].message.content
            equal(found, text)

        await asyncio.gather(*(one(number) for number in range(50)))


run(globals())
