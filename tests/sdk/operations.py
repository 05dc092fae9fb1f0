"""What is asked beside conversations, by the vendors' packages: embeddings, moderations, legacy completions, counts of
tokens, models; of the providers that have it, and refused by those that do not."""

import base64
import struct

import anthropic
import openai
from adapters import KEY, PATIENCE_S
from harness import CLAUDE, GATEWAY, GEMINI, GPT, SPEAKS, equal, last_seen, raised, run

SETTINGS = {"api_key": KEY, "max_retries": 0, "timeout": PATIENCE_S}
native = openai.OpenAI(base_url=f"{GATEWAY}/v1", **SETTINGS)
drop_in = openai.OpenAI(base_url=f"{GATEWAY}/openai/v1", **SETTINGS)
claude = anthropic.Anthropic(base_url=f"{GATEWAY}/anthropic", **SETTINGS)
EMBEDDING = "openai/text-embedding-3-small"


def vector(text, count=4):
    """What the mock makes of a text."""
    return [(len(text) - place) / 8 for place in range(count)]


def test_embeddings():
    for client in (native, drop_in):
        for more in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):
            answer = client.embeddings.create(model=EMBEDDING, input=["ab c", "d"], **more)
            found = [item.embedding for item in answer.data]
            if more == {"encoding_format": "base64"}:
                found = [list(struct.unpack("<4f", base64.b64decode(text))) for text in found]
            equal(found, [vector("ab c"), vector("d")])
            equal([item.index for item in answer.data], [0, 1])
            equal((answer.usage.prompt_tokens, answer.usage.total_tokens), (3, 3))
            equal(answer.model, "text-embedding-3-small")
        answer = client.embeddings.create(model=EMBEDDING, input="ab", dimensions=2, user="u")
        equal(answer.data[0].embedding, vector("ab", 2))
        equal((last_seen()[0]["dimensions"], last_seen()[0]["user"]), (2, "u"))


def test_embeddings_by_langchain_and_litellm():
    import langchain_openai
    from libraries import LiteLlm

    base = f"{GATEWAY}/langchain/v1"
    embedder = langchain_openai.OpenAIEmbeddings(
        model=EMBEDDING, base_url=base, api_key=KEY, max_retries=0, check_embedding_ctx_length=False
    )
    equal(embedder.embed_documents(["ab", "c"]), [vector("ab"), vector("c")])
    equal(embedder.embed_query("ab"), vector("ab"))
    litellm = LiteLlm("openai", "/litellm/v1").litellm
    answer = litellm.embedding(
        model=EMBEDDING, custom_llm_provider="openai", input=["ab"], api_base=f"{GATEWAY}/litellm/v1", api_key=KEY
    )
    equal(answer.data[0]["embedding"], vector("ab"))


def test_embeddings_and_counts_by_genai():
    if "gemini" not in SPEAKS:
        return
    from adapters import Genai

    client = Genai().client
    models = client.models
    for model in ("gemini/gemini-embedding-001", EMBEDDING):
        answer = models.embed_content(model=model, contents=["ab", "c"])
        equal([len(item.values) > 0 for item in answer.embeddings], [True, True], model)
    answer = native.embeddings.create(model="gemini/gemini-embedding-001", input=["ab", "c"])
    equal([item.index for item in answer.data], [0, 1])
    equal(models.count_tokens(model=GEMINI, contents="one two").total_tokens, 2)
    names = [model.name for model in models.list()]
    assert any(name.endswith(GPT) for name in names), names
    assert models.get(model=GEMINI).name.endswith("gemini-2.5-flash")


def test_embedding_errors_by_class():
    create = native.embeddings.create
    raised(openai.BadRequestError, lambda: create(model=EMBEDDING, input="a", dimensions=0))
    raised(openai.RateLimitError, lambda: create(model=EMBEDDING, input="mock: status=429"))
    raised(openai.InternalServerError, lambda: create(model=EMBEDDING, input="mock: status=500"))
    error = raised(openai.BadRequestError, lambda: create(model=CLAUDE, input="a"))
    assert "embedding" in error.message, error.message


def test_moderations():
    for client in (native, drop_in):
        answer = client.moderations.create(model="openai/omni-moderation-latest", input=["good", "bad"])
        equal([result.flagged for result in answer.results], [False, True])
        equal(answer.results[1].categories.hate, True)
        equal(answer.model, "omni-moderation-latest")
    raised(openai.BadRequestError, lambda: native.moderations.create(model=CLAUDE, input="a"))


def test_legacy_completions():
    for client in (native, drop_in):
        answer = client.completions.create(model="openai/gpt-3.5-turbo-instruct", prompt="one two")
        equal(answer.choices[0].text, "one two and so on")
        equal((answer.usage.prompt_tokens, answer.usage.completion_tokens), (2, 5))
        stream = client.completions.create(model="openai/gpt-3.5-turbo-instruct", prompt="one two", stream=True)
        equal("".join(choice.text for chunk in stream for choice in chunk.choices), "one two and so on")


def test_counts_of_tokens():
    messages = [{"role": "user", "content": "one two"}]
    count = claude.messages.count_tokens(model=CLAUDE, messages=messages, system="be kind")
    equal(count.input_tokens, 4)
    raised(anthropic.BadRequestError, lambda: claude.messages.count_tokens(model=GPT, messages=messages))


def test_models_and_one_of_them():
    names = sorted(model.id for model in native.models.list())
    assert {GPT, CLAUDE, EMBEDDING} <= set(names), names
    assert (GEMINI in names) == ("gemini" in SPEAKS), names
    equal(names, sorted(model.id for model in drop_in.models.list()))
    equal(names, sorted(model.id for model in claude.models.list()))
    for name in (GPT, CLAUDE):
        equal(native.models.retrieve(name).id, name)
        equal(claude.models.retrieve(name).id, name)
    raised(openai.NotFoundError, lambda: native.models.retrieve("openai/no-such-model"))
    raised(anthropic.NotFoundError, lambda: claude.models.retrieve("no-such-model"))


run(globals())
