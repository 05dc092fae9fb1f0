"""Sound, images, files and batches by the vendors' packages: what goes up arrives, what comes down is what was left there, and
ids lead back."""

import io
import json

import anthropic
import openai
from adapters import KEY, PATIENCE_S
from harness import GATEWAY, equal, raised, run

SETTINGS = {"api_key": KEY, "max_retries": 0, "timeout": PATIENCE_S}
native = openai.OpenAI(base_url=f"{GATEWAY}/v1", **SETTINGS)
drop_in = openai.OpenAI(base_url=f"{GATEWAY}/openai/v1", **SETTINGS)
claude = anthropic.Anthropic(base_url=f"{GATEWAY}/anthropic", **SETTINGS)
OPENAI = {"x-model-provider": "openai"}
SOUND = b"ID3\x04\0\0\0mock sound\xff\xfb\x90\0"
PIXEL = "R0lGODlhAQABAAAAACw="


def file(count, name="a.wav"):
    return name, io.BytesIO(bytes(place * 7 % 251 for place in range(count)))


def test_speech():
    for client in (native, drop_in):
        answer = client.audio.speech.create(model="openai/tts-1", voice="alloy", input="hi")
        equal(answer.content, SOUND)
        with client.audio.speech.with_streaming_response.create(
            model="openai/tts-1", voice="alloy", input="hi"
        ) as answer:
            equal(answer.headers["content-type"], "audio/mpeg")
            equal(b"".join(answer.iter_bytes()), SOUND)
    raised(
        openai.BadRequestError,
        lambda: claude_speech(native),
    )


def claude_speech(client):
    return client.audio.speech.create(model="anthropic/claude-sonnet-4-5", voice="alloy", input="hi")


def test_transcriptions():
    for client in (native, drop_in):
        for count in (10, 100_000, 1_500_000):
            create = client.audio.transcriptions.create
            answer = create(model="openai/whisper-1", file=file(count), language="en")
            equal(answer.text, f"heard {count} bytes")
            text = create(model="openai/whisper-1", file=file(count), response_format="text")
            equal(text.strip(), f"heard {count} bytes")
            events = list(create(model="openai/whisper-1", file=file(count), stream=True))
            equal([event.type for event in events], ["transcript.text.delta", "transcript.text.done"])
        answer = client.audio.translations.create(model="openai/whisper-1", file=file(10))
        equal(answer.text, "heard 10 bytes")


def test_images():
    for client in (native, drop_in):
        images = client.images
        for answer in (
            images.generate(model="openai/gpt-image-1", prompt="a"),
            images.edit(model="openai/gpt-image-1", image=file(400_000, "a.png"), prompt="b"),
            images.create_variation(model="openai/dall-e-2", image=file(9, "a.png")),
        ):
            equal(answer.data[0].b64_json, PIXEL)


def test_files_and_batches():
    for client, headers in ((native, OPENAI), (drop_in, {})):
        line = json.dumps({"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}})
        left = (line + "\n").encode() * 20_000
        made = client.files.create(file=("in.jsonl", left), purpose="batch", extra_headers=headers)
        equal((made.purpose, made.bytes), ("batch", len(left)))
        equal(client.files.retrieve(made.id).id, made.id)
        equal(client.files.content(made.id).content, left)
        assert made.id in [item.id for item in client.files.list(extra_headers=headers)]
        batch = client.batches.create(
            input_file_id=made.id, endpoint="/v1/chat/completions", completion_window="24h", extra_headers=headers
        )
        equal(batch.input_file_id, made.id)
        equal(client.batches.retrieve(batch.id).status, "completed")
        equal(client.files.content(batch.output_file_id).content, left)
        assert batch.id in [item.id for item in client.batches.list(extra_headers=headers)]
        equal(client.batches.cancel(batch.id).status, "cancelling")
        equal(client.files.delete(made.id).deleted, True)
        raised(openai.NotFoundError, lambda: client.files.retrieve(made.id))


def test_batches_of_anthropic():
    batches = claude.messages.batches
    params = {"model": "claude-sonnet-4-5", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    made = batches.create(requests=[{"custom_id": "one", "params": params}])
    equal(batches.retrieve(made.id).processing_status, "ended")
    equal([result.custom_id for result in batches.results(made.id)], ["one"])
    assert made.id in [batch.id for batch in batches.list()]
    equal(batches.cancel(made.id).id, made.id)
    equal(batches.delete(made.id).type, "message_batch_deleted")
    raised(anthropic.NotFoundError, lambda: batches.retrieve(made.id))


def test_files_of_anthropic():
    files = claude.beta.files
    left = bytes(range(256)) * 2_000
    made = files.upload(file=("a.bin", left))
    equal(made.size_bytes, len(left))
    equal(files.retrieve_metadata(made.id).id, made.id)
    equal(files.download(made.id).read(), left)
    assert made.id in [item.id for item in files.list()]
    equal(files.delete(made.id).type, "file_deleted")


run(globals())
