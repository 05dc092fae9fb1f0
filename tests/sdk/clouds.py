"""Azure and Vertex: the table through AzureOpenAI and google-genai in Vertex mode, of every provider, and of both clouds through
the vendors' own packages; then what Azure has beside conversations. `clouds.py GATEWAY MOCK SPEAKS`."""

import io
import json

import adapters as of
import anthropic
import cases
import openai
from google import genai
from google.oauth2.credentials import Credentials
from harness import CLAUDE, COMMAND, GATEWAY, GEMINI, GPT, HELLO, ON_BEDROCK, equal, last_seen, raised, run

AZURE = "azure/gpt-4o-mini"
CLAUDE_ON_AZURE = "azure/claude-sonnet-4-5"
VERTEX = "vertex/gemini-2.5-flash"
CLAUDE_ON_VERTEX = "vertex/claude-sonnet-4-5"
CLOUDS = [AZURE, CLAUDE_ON_AZURE, VERTEX, CLAUDE_ON_VERTEX]
OTHERS = [GPT, CLAUDE, GEMINI, COMMAND, ON_BEDROCK]
HI = [{"role": "user", "content": "one two"}]


def azure_client(version="2024-10-21", **more):
    return openai.AzureOpenAI(
        azure_endpoint=GATEWAY, api_key=of.KEY, api_version=version, max_retries=0, timeout=of.PATIENCE_S, **more
    )


class AzureChat(of.OpenAiChat):
    """openai's AzureOpenAI, whose paths name a deployment."""

    def __init__(self):
        super().__init__("/openai")
        self.name = "AzureOpenAI"
        self.client = azure_client()


class AzureResponses(of.Responses):
    """The same, whose responses name it in the body."""

    def __init__(self):
        super().__init__("/openai")
        self.name = "AzureOpenAI responses"
        self.chat = AzureChat()


class VertexGenai(of.Genai):
    """google-genai in Vertex mode, in a project or by a key alone."""

    def __init__(self, in_project):
        super().__init__()
        self.name = f"google-genai of Vertex, {'in a project' if in_project else 'by a key'}"
        options = {"base_url": f"{GATEWAY}/genai", "timeout": of.PATIENCE_S * 1000}
        if in_project:
            own = {"project": "the-callers-own", "location": "us-central1", "credentials": Credentials("a-token")}
        else:
            own = {"api_key": of.KEY}
        self.client = genai.Client(vertexai=True, http_options=options, **own)

    def ask(self, model, ask):
        # Its own words for a name with a slash are a publisher's.
        return super().ask(f"publishers/google/models/{model}", ask)


def test_the_clouds_packages_of_every_provider():
    found = [AzureChat(), AzureResponses(), VertexGenai(True), VertexGenai(False)]
    assert not cases.run(found, OTHERS + CLOUDS)


def test_the_vendors_packages_of_both_clouds():
    assert not cases.run([of.OpenAiChat("/v1"), of.Responses("/v1"), of.Anthropic(), of.Genai()], CLOUDS)


def test_a_bare_name_is_the_deployments():
    for client in (azure_client(), azure_client(azure_deployment="gpt-4o-mini"), azure_client("preview")):
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=HI)
        equal(answer.choices[0].message.content, HELLO)
        body, headers = last_seen()
        equal((body["model"], headers["api-key"]), ("my-gpt", "azure-key"))
        assert "authorization" not in headers, headers
        answer = client.responses.create(model="gpt-4o-mini", input="one two")
        equal(answer.output_text, HELLO)
        equal(last_seen()[0]["model"], "my-gpt")
    legacy = azure_client().completions.create(model="gpt-4o-mini", prompt="one")
    equal(legacy.choices[0].text, "one and so on")


def test_the_filters_chunk_reaches_its_own_callers():
    chunks = list(azure_client().chat.completions.create(model="gpt-4o-mini", messages=HI, stream=True))
    equal(chunks[0].choices, [])
    assert chunks[0].prompt_filter_results, chunks[0]
    equal("".join(chunk.choices[0].delta.content or "" for chunk in chunks[1:] if chunk.choices), HELLO)


def test_embeddings():
    for count, asked in ((1, "a"), (2, ["a", "b"])):
        answer = azure_client().embeddings.create(model="text-embedding-3-small", input=asked)
        equal(len(answer.data), count)
    error = raised(openai.BadRequestError, lambda: azure_client().embeddings.create(model="vertex/gemini-2.5-flash", input="a"))
    equal(error.code, "provider_not_supported")


def test_sound_and_images():
    client = azure_client()
    for count in (10, 1_500_000):
        heard = client.audio.transcriptions.create(model="whisper", file=("a.wav", io.BytesIO(b"x" * count)))
        equal(heard.text, f"heard {count} bytes")
    heard = client.audio.translations.create(model="whisper", file=("a.wav", io.BytesIO(b"x")))
    equal(heard.text, "heard 1 bytes")
    equal(client.audio.speech.create(model="tts", voice="alloy", input="hi").content[:3], b"ID3")
    assert client.images.generate(model="gpt-image-1", prompt="a").data[0].b64_json
    image = ("a.png", io.BytesIO(b"png" * 9))
    assert client.images.edit(model="gpt-image-1", image=image, prompt="b").data[0].b64_json


def test_stored_responses():
    client = azure_client("preview")
    made = client.responses.create(model="gpt-4o-mini", input="one")
    assert "~" in made.id, made.id
    equal(client.responses.retrieve(made.id).output_text, HELLO)
    further = client.responses.create(model="gpt-4o-mini", input="two", previous_response_id=made.id)
    equal(further.previous_response_id, made.id)
    client.responses.delete(made.id)
    raised(openai.NotFoundError, lambda: client.responses.retrieve(made.id))


def test_files_and_batches():
    client = azure_client()
    line = json.dumps({"custom_id": "a", "method": "POST", "url": "/chat/completions", "body": {}})
    left = (line + "\n").encode() * 9_000
    made = client.files.create(file=("in.jsonl", left), purpose="batch")
    equal(client.files.retrieve(made.id).id, made.id)
    equal(client.files.content(made.id).content, left)
    batch = client.batches.create(input_file_id=made.id, endpoint="/v1/chat/completions", completion_window="24h")
    equal(client.batches.retrieve(batch.id).input_file_id, made.id)
    assert batch.id in [item.id for item in client.batches.list()]
    equal(client.batches.cancel(batch.id).status, "cancelling")
    equal(client.files.delete(made.id).deleted, True)
    raised(openai.NotFoundError, lambda: client.files.retrieve(made.id))


def test_counts():
    google = VertexGenai(True)
    counted = google.client.models.count_tokens(model="gemini-2.5-flash", contents="one two three")
    equal(counted.total_tokens, 3)
    claude = anthropic.Anthropic(base_url=f"{GATEWAY}/anthropic", api_key=of.KEY, max_retries=0)
    for model in (CLAUDE_ON_VERTEX, CLAUDE_ON_AZURE):
        equal(claude.messages.count_tokens(model=model, messages=HI).input_tokens, 2)


def test_what_is_not_served_is_said():
    google = VertexGenai(True)
    client = google.client
    for model in ("vertex/meta/llama-4", "vertex/4711"):
        name = f"publishers/google/models/{model}"
        error = raised(genai.errors.ClientError, lambda: client.models.generate_content(model=name, contents="a"))
        equal(error.code, 400)
    error = raised(genai.errors.ClientError, lambda: client.models.embed_content(model="text-embedding-005", contents="a"))
    equal(error.code, 404)


def test_errors_of_google_for_anthropics_callers():
    claude = anthropic.Anthropic(base_url=f"{GATEWAY}/anthropic", api_key=of.KEY, max_retries=0)
    for status, kind, word in (
        (404, anthropic.NotFoundError, "not_found_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (503, anthropic.ServiceUnavailableError, "overloaded_error"),
    ):
        messages = [{"role": "user", "content": f"mock: status={status}"}]
        ask = lambda: claude.messages.create(model=CLAUDE_ON_VERTEX, max_tokens=9, messages=messages)
        error = raised(kind, ask)
        equal(error.body["error"]["type"], word)
        assert f"told to answer {status}" in str(error), error


run(globals())
