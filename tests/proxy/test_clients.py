"""The clients that people use, unchanged, against a real server and a real upstream."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx2
import openai
import pytest
from langchain_openai import ChatOpenAI, OpenAIEmbeddings


@pytest.fixture
def client(server: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.v1, api_key="sk-one", max_retries=0)


def ask(client: openai.OpenAI, text: str, **options: Any) -> Any:
    return client.chat.completions.create(model="m", messages=[{"role": "user", "content": text}], **options)


def status(raw: Any) -> str:
    return str(raw.headers["x-ragkit-cache"]).split(";")[0]


def kept(client: openai.OpenAI, text: str) -> str:
    """The answer once it is served from the cache: it is stored just after the first one has been sent."""
    first = ask(client, text).choices[0].message.content
    for _ in range(100):
        raw = client.chat.completions.with_raw_response.create(model="m", messages=[{"role": "user", "content": text}])
        if status(raw) == "HIT":
            assert raw.parse().choices[0].message.content == first
            return str(first)
        first = raw.parse().choices[0].message.content
        time.sleep(0.05)
    raise AssertionError("never served")


def test_an_answer_is_served_again_and_says_so(client: openai.OpenAI, upstream: Any) -> None:
    text = "How do I rotate the signing key of the billing service?"
    kept(client, text)
    asked = upstream.asked(text)
    raw = client.chat.completions.with_raw_response.create(model="m", messages=[{"role": "user", "content": f"  {text} "}])
    assert upstream.asked(text) == asked
    assert raw.headers["cache-status"].startswith("ragkit; hit; ttl=")
    assert int(raw.headers["age"]) < 60
    found = raw.parse()
    assert found.usage is not None
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (0, 0)
    assert found.choices[0].finish_reason == "stop"


def test_another_wording_is_served_by_meaning(client: openai.OpenAI) -> None:
    answer = kept(client, "How do I reset the router to its factory settings?")
    raw = client.chat.completions.with_raw_response.create(
        model="m", messages=[{"role": "user", "content": "how can I reset my router to factory settings"}]
    )
    assert status(raw) == "HIT"
    assert "tier=semantic" in raw.headers["x-ragkit-cache"]
    assert raw.parse().choices[0].message.content == answer
    raw = client.chat.completions.with_raw_response.create(
        model="m", messages=[{"role": "user", "content": "How do I not reset the router to its factory settings?"}]
    )
    assert status(raw) in ("NEAR", "MISS")


def test_streamed_and_plain_requests_share_an_entry(client: openai.OpenAI, upstream: Any) -> None:
    text = "Explain the difference between a window and a span."
    answer = kept(client, text)
    pieces = list(ask(client, text, stream=True, stream_options={"include_usage": True}))
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices) == answer
    assert pieces[-1].usage is not None
    assert pieces[-1].usage.total_tokens == 0
    assert [piece.choices[0].finish_reason for piece in pieces if piece.choices][-1] == "stop"

    text = "Explain the difference between a chunk and a passage."
    first = "".join(piece.choices[0].delta.content or "" for piece in ask(client, text, stream=True) if piece.choices)
    assert kept(client, text) == first
    assert upstream.asked(text) == 1


def test_the_async_client_and_many_at_once(server: Any, upstream: Any) -> None:
    text = "How many requests does it take for one answer? [delay 0.3]"

    async def all_at_once() -> list[str]:
        async with openai.AsyncOpenAI(base_url=server.v1, api_key="sk-one", max_retries=0) as client:

            async def one(stream: bool) -> str:
                messages: Any = [{"role": "user", "content": text}]
                if not stream:
                    found = await client.chat.completions.create(model="m", messages=messages)
                    return str(found.choices[0].message.content)
                pieces = await client.chat.completions.create(model="m", messages=messages, stream=True)
                return "".join([piece.choices[0].delta.content or "" async for piece in pieces if piece.choices])

            return await asyncio.gather(*(one(number % 2 == 0) for number in range(100)))

    assert len(set(asyncio.run(all_at_once()))) == 1
    assert upstream.asked(text) == 1


def test_responses_both_ways(client: openai.OpenAI, upstream: Any) -> None:
    text = "Name the three oldest bridges of the city."
    first = client.responses.create(model="m", input=text, instructions="Be brief.").output_text
    for _ in range(100):
        raw = client.responses.with_raw_response.create(model="m", input=text, instructions="Be brief.")
        if status(raw) == "HIT":
            break
        first = raw.parse().output_text
        time.sleep(0.05)
    assert raw.parse().output_text == first
    asked = upstream.asked(text)
    events = list(client.responses.create(model="m", input=text, instructions="Be brief.", stream=True))
    assert upstream.asked(text) == asked
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == first
    with client.responses.stream(model="m", input=text, instructions="Be brief.") as stream:
        assert stream.get_final_response().output_text == first

    text = "Name the three youngest bridges of the city."
    with client.responses.stream(model="m", input=text) as stream:
        streamed = stream.get_final_response().output_text
    for _ in range(100):
        raw = client.responses.with_raw_response.create(model="m", input=text)
        if status(raw) == "HIT":
            break
        time.sleep(0.05)
    assert raw.parse().output_text == streamed


def test_langchain_works_unchanged(server: Any, upstream: Any) -> None:
    model = ChatOpenAI(model="m", base_url=server.v1, api_key="sk-one", max_retries=0)  # type: ignore[arg-type]
    text = "Which harbour did the ship leave from in spring?"
    first = model.invoke(text).text
    for _ in range(100):
        if "".join(str(piece.text) for piece in model.stream(text)) == model.invoke(text).text and upstream.asked(text) < 10:
            break
        time.sleep(0.05)
    asked = upstream.asked(text)
    assert asyncio.run(model.ainvoke(text)).text == model.invoke(text).text
    assert upstream.asked(text) == asked
    assert "Which harbour" in str(first)


def test_embeddings_are_sent_once(server: Any, upstream: Any) -> None:
    client = openai.OpenAI(base_url=server.v1, api_key="sk-one", max_retries=0)
    first = client.embeddings.create(model="e", input=["one", "three"], encoding_format="float")
    again = client.embeddings.with_raw_response.create(model="e", input=["three", "two", "one"], encoding_format="float")
    assert again.headers["x-ragkit-cache"] == "MISS; stored=2; asked=1"
    vectors = [item.embedding[0] for item in again.parse().data]
    assert vectors == [first.data[1].embedding[0], 3.0, first.data[0].embedding[0]]
    assert upstream.log()[-1]["body"]["input"] == ["two"]
    other = openai.OpenAI(base_url=server.v1, api_key="sk-two", max_retries=0)
    assert (
        other.embeddings.with_raw_response.create(model="e", input="one", encoding_format="float")
        .headers["x-ragkit-cache"]
        .startswith("MISS")
    )
    embedder = OpenAIEmbeddings(
        model="e",
        base_url=server.v1,
        api_key="sk-one",
        check_embedding_ctx_length=False,
        model_kwargs={"encoding_format": "float"},
    )  # type: ignore[call-arg,arg-type]
    assert [vector[0] for vector in embedder.embed_documents(["one", "two"])] == [3.0, 3.0]


def test_everything_else_passes_through(server: Any, upstream: Any) -> None:
    client = openai.OpenAI(base_url=server.v1, api_key="sk-one", max_retries=0)
    assert [model.id for model in client.models.list()] == ["m"]
    data = bytes(range(256)) * 40_000

    def parts() -> Any:
        for at in range(0, len(data), 65_536):
            yield data[at : at + 65_536]

    response = httpx2.post(f"{server.v1}/files?purpose=test", content=parts(), trust_env=False)
    assert response.content == data
    assert httpx2.get(f"{server.v1}/nowhere", trust_env=False).status_code == 404
    assert httpx2.get(f"{server.url}/elsewhere", trust_env=False).json()["error"]["message"].startswith("There is nothing")
    sent = upstream.log()[-1]["headers"]
    assert "x-ragkit-cache" not in sent
