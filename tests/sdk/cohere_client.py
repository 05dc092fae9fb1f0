"""The cohere package beside the table's conversations: embeddings, rerankings, counts, models, errors by class, a stream that
breaks; of Cohere as it stands, and across: its SDK of OpenAI and Gemini, OpenAI's SDK of Cohere."""

import base64
import json
import struct
import urllib.request

import cohere
import openai
from adapters import KEY, PATIENCE_S, Cohere
from cohere.core.api_error import ApiError
from harness import COMMAND, GATEWAY, GPT, HELLO, equal, last_seen, raised, run

co = Cohere().client
native = openai.OpenAI(base_url=f"{GATEWAY}/v1", api_key=KEY, max_retries=0, timeout=PATIENCE_S)
EMBED = "cohere/embed-v4.0"
RERANK = "cohere/rerank-v3.5"
DOCUMENTS = ["nothing here", "a sky of blue", "the blue sky is blue"]


def vector(text, count=4):
    """What the mock makes of a text."""
    return [(len(text) - place) / 8 for place in range(count)]


def post(path, body):
    headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
    request = urllib.request.Request(f"{GATEWAY}{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return json.load(answer)


def test_a_bare_name_is_coheres_and_the_body_passes_as_it_stands():
    documents = [{"id": "d", "data": {"title": "t", "snippet": "penguins are tall"}}]
    answer = co.chat(
        model="command-a-03-2025",
        messages=[{"role": "user", "content": "who is tall"}],
        documents=documents,
        citation_options={"mode": "FAST"},
        safety_mode="CONTEXTUAL",
        k=3,
        seed=7,
    )
    equal((answer.message.content[0].text, answer.finish_reason), (HELLO, "COMPLETE"))
    body, headers = last_seen()
    equal((body["documents"], body["citation_options"], body["k"]), (documents, {"mode": "FAST"}, 3))
    equal(headers["authorization"], "Bearer co-key")
    equal(answer.usage.cached_tokens, 0)


def test_documents_reach_another_provider():
    co.chat(model=GPT, messages=[{"role": "user", "content": "who"}], documents=["penguins"], citation_options={"mode": "OFF"})
    body, _ = last_seen()
    equal(body["messages"][-1]["content"], [{"type": "text", "text": "who"}, {"type": "text", "text": "penguins"}])


def test_embeddings_of_every_type():
    types = ["float", "int8", "uint8", "binary", "ubinary", "base64"]
    answer = co.embed(model=EMBED, input_type="search_query", texts=["ab c", "d"], embedding_types=types)
    equal(answer.embeddings.float_, [vector("ab c"), vector("d")])
    equal(answer.embeddings.int8, [[4, 3, 2, 1], [1, 0, -1, -2]])
    equal(answer.embeddings.uint8[1], [1, 0, 0, 0])
    equal([list(struct.unpack("<4f", base64.b64decode(one))) for one in answer.embeddings.base64], answer.embeddings.float_)
    assert answer.embeddings.binary and answer.embeddings.ubinary
    equal(answer.meta.billed_units.input_tokens, 3)
    inputs = [{"content": [{"type": "text", "text": "ab"}]}]
    answer = co.embed(model=EMBED, input_type="classification", inputs=inputs, output_dimension=2)
    equal(answer.embeddings.float_, [vector("ab", 2)])
    image = "data:image/gif;base64,R0lGODlhAQABAAAAACw="
    answer = co.embed(model=EMBED, input_type="image", images=[image])
    equal(len(answer.embeddings.float_), 1)


def test_embeddings_across():
    for types in (["float"], ["base64"], ["float", "base64"]):
        answer = co.embed(
            model="openai/text-embedding-3-small", input_type="search_query", texts=["ab c", "d"], embedding_types=types
        )
        found = answer.embeddings
        if "float" in types:
            equal(found.float_, [vector("ab c"), vector("d")])
        if "base64" in types:
            equal([list(struct.unpack("<4f", base64.b64decode(one))) for one in found.base64], [vector("ab c"), vector("d")])
        equal(answer.meta.billed_units.input_tokens, 3)
    answer = co.embed(model="gemini/gemini-embedding-001", input_type="search_document", texts=["a", "b"])
    equal(len(answer.embeddings.float_), 2)
    for more in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):
        answer = native.embeddings.create(model=EMBED, input=["ab c", "d"], **more)
        found = [item.embedding for item in answer.data]
        if more.get("encoding_format") == "base64":
            found = [list(struct.unpack("<4f", base64.b64decode(text))) for text in found]
        equal(found, [vector("ab c"), vector("d")])
        equal(answer.usage.prompt_tokens, 3)
    native.embeddings.create(model=EMBED, input="a", dimensions=2, extra_body={"input_type": "search_query"})
    equal((last_seen()[0]["input_type"], last_seen()[0]["output_dimension"]), ("search_query", 2))
    images = {"input_type": "image", "images": ["data:image/gif;base64,R0lGODlhAQABAAAAACw="]}
    error = raised(cohere.BadRequestError, lambda: co.embed(model="openai/text-embedding-3-small", **images))
    assert "images" in error.body["message"], error


def test_rerankings():
    answer = co.rerank(model=RERANK, query="blue sky", documents=DOCUMENTS, top_n=2)
    equal([result.index for result in answer.results], [2, 1])
    equal(answer.meta.billed_units.search_units, 1)
    asked = {"model": RERANK, "query": "blue sky", "documents": [{"text": text, "id": "i"} for text in DOCUMENTS]}
    for path in ("/v1/rerank", "/openai/v1/rerank", "/litellm/rerank"):
        answer = post(path, asked | {"return_documents": True, "top_n": 1})
        equal(answer["model"], "rerank-v3.5")
        [result] = answer["results"]
        equal((result["index"], result["document"]), (2, {"text": DOCUMENTS[2], "id": "i"}))
    equal(last_seen()[0]["documents"], DOCUMENTS)
    error = raised(cohere.BadRequestError, lambda: co.rerank(model=GPT, query="a", documents=["a"]))
    assert "rerank" in error.body["message"], error


def test_counts_and_models():
    equal(co.tokenize(text="one three", model="command-a-03-2025", offline=False).token_strings, ["one", "three"])
    names = [model.name for model in co.models.list().models]
    assert {COMMAND, GPT, EMBED} <= set(names), names
    equal(co.models.get(COMMAND).name, COMMAND)
    raised(cohere.NotFoundError, lambda: co.models.get("no-such-model"))


def test_errors_by_class():
    for status, kind in (
        (400, cohere.BadRequestError),
        (403, ApiError),
        (404, cohere.NotFoundError),
        (422, cohere.UnprocessableEntityError),
        (429, cohere.TooManyRequestsError),
        (500, cohere.InternalServerError),
        (503, cohere.ServiceUnavailableError),
    ):
        for model in (COMMAND, GPT):
            messages = [{"role": "user", "content": f"mock: status={status}"}]
            error = raised(kind, lambda: co.chat(model=model, messages=messages))
            assert f"told to answer {status}" in error.body["message"] and error.body["id"], error
    error = raised(cohere.BadRequestError, lambda: co.chat(model="cohere/none", messages=[]))
    assert "none" in error.body["message"], error
    error = raised(cohere.UnprocessableEntityError, lambda: co.chat(**unknown_key()))
    assert "made_up" in error.body["message"], error


def unknown_key():
    messages = [{"role": "user", "content": "a"}]
    return {"model": COMMAND, "messages": messages, "request_options": {"additional_body_parameters": {"made_up": 1}}}


def test_a_stream_that_breaks_ends_with_an_error():
    for model in (COMMAND, GPT):
        messages = [{"role": "user", "content": "mock: chunks=4 error_after=2"}]
        events = list(co.chat_stream(model=model, messages=messages))
        equal(sum(event.type == "content-delta" for event in events), 2)
        equal((events[-1].type, events[-1].delta.finish_reason), ("message-end", "ERROR"))
        assert events[-1].delta.error, events[-1]
    messages = [{"role": "user", "content": "mock: chunks=4 cut_after=2"}]
    events = list(co.chat_stream(model=COMMAND, messages=messages))
    equal(events[-1].delta.finish_reason, "ERROR")


def test_openais_package_of_cohere():
    raised(openai.RateLimitError, lambda: say("mock: status=429"))
    raised(openai.InternalServerError, lambda: say("mock: status=500"))
    answer = say("a", reasoning_effort="high", user="u", top_p=1, n=1, extra_body={"safety_mode": "STRICT"})
    equal(answer.choices[0].message.content, HELLO)
    body, _ = last_seen()
    equal((body["p"], body["safety_mode"], "thinking" in body), (0.99, "STRICT", False))
    raised(openai.BadRequestError, lambda: say("a", n=2))


def say(text, **more):
    return native.chat.completions.create(model=COMMAND, messages=[{"role": "user", "content": text}], **more)


run(globals())
