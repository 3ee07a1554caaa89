"""RagkitSemanticCache: LangChain's standard suites, what is compared and what is not, and the real client over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.caches import BaseCache
from langchain_core.globals import set_llm_cache
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, Generation
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import AsyncCacheTestSuite, SyncCacheTestSuite
from pydantic import BaseModel

from ragkit import SemanticCache
from ragkit.cache import Static
from ragkit.embed import TransformerEmbedder
from ragkit.errors import InvalidInputError
from ragkit.langchain import RagkitSemanticCache
from ragkit.langchain.answers import packed, unpacked
from ragkit.langchain.asked import asked
from ragkit.testing.chat_server import Answer, ChatServer, chat_server, text_of
from ragkit.testing.embedders import HashEmbedder

MODEL = '{"name": "ChatOpenAI"}---[(\'stop\', None)]'
SYSTEM = "You are the helpful assistant of a bank; answer in one short and polite sentence."
QUESTION = "How do I close my old savings account?"
REWORDED = "How do I close my old savings account please?"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., SemanticCache]]:
    caches: list[SemanticCache] = []

    def open_(**options: Any) -> SemanticCache:
        options = {"embedder": HashEmbedder(), "policy": Static(0.8)} | options
        caches.append(SemanticCache(tmp_path / f"cache{len(caches)}.lance", **options))
        return caches[-1]

    yield open_
    for cache in caches:
        cache.close()


class TestSync(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self, opened: Callable[..., SemanticCache]) -> BaseCache:
        return RagkitSemanticCache(opened(), tenant="t")


class TestAsync(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self, opened: Callable[..., SemanticCache]) -> BaseCache:
        return RagkitSemanticCache(opened(), tenant="t")


def chat(*messages: BaseMessage) -> str:
    return dumps(list(messages))


def said(text: str = "Call us.", **more: Any) -> ChatGeneration:
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    message = AIMessage(text, id="run-1", usage_metadata=usage, response_metadata={"finish_reason": "stop"}, **more)
    return ChatGeneration(message=message, generation_info={"finish_reason": "stop", "logprobs": None})


def test_only_the_last_human_text_is_compared(opened: Callable[..., SemanticCache]) -> None:
    cache = RagkitSemanticCache(opened(), tenant="t")
    system, earlier = SystemMessage(SYSTEM), AIMessage("Good morning.")
    cache.update(chat(system, earlier, HumanMessage(QUESTION)), MODEL, [said()])
    assert cache.lookup(chat(system, earlier, HumanMessage(QUESTION)), MODEL) == [said()]
    assert cache.lookup(chat(system, earlier, HumanMessage(REWORDED)), MODEL) == [said()]
    others = [
        chat(SystemMessage(SYSTEM + " "), earlier, HumanMessage(REWORDED)),
        chat(system, AIMessage("Good evening."), HumanMessage(REWORDED)),
        chat(system, earlier, HumanMessage(REWORDED, name="ann")),
        chat(system, HumanMessage(REWORDED)),
        chat(system, earlier, AIMessage(REWORDED)),
        chat(system, earlier, ToolMessage(REWORDED, tool_call_id="1")),
        chat(system, earlier, HumanMessage(REWORDED), AIMessage("")),
        chat(system, earlier, HumanMessage([{"type": "text", "text": REWORDED}, {"type": "image_url", "image_url": "u"}])),
        REWORDED,
        json.dumps([REWORDED]),
    ]
    assert [cache.lookup(other, MODEL) for other in others] == [None] * len(others)
    assert cache.lookup(chat(system, earlier, HumanMessage(REWORDED)), MODEL + " ") is None


def test_tenants_and_access_never_cross(opened: Callable[..., SemanticCache]) -> None:
    store, prompt = opened(), chat(HumanMessage(QUESTION))
    doors = [
        RagkitSemanticCache(store, **given)
        for given in ({"tenant": "a"}, {"tenant": "b"}, {"tenant": "a", "access": ["staff"]}, {"tenant": "a", "extra": 2})
    ]
    for number, door in enumerate(doors):
        door.update(prompt, MODEL, [said(str(number))])
    assert [door.lookup(prompt, MODEL) for door in doors] == [[said(str(number))] for number in range(4)]
    doors[0].clear()
    assert [door.lookup(prompt, MODEL) is None for door in doors] == [True, False, True, True]
    with pytest.raises(InvalidInputError, match="tenant is empty"):
        RagkitSemanticCache(store, tenant="")


class Parsed(BaseModel):
    """What a structured output leaves in a message."""

    name: str


CALL = {"name": "look", "args": {}, "id": "1"}
UNWHOLE = {
    "tools": [said(tool_calls=[CALL])],
    "broken tools": [said(invalid_tool_calls=[CALL | {"args": "{", "error": None}])],
    "refusal": [said(additional_kwargs={"refusal": "no"})],
    "empty": [said("  ")],
    "nothing": [],
    "one of two": [said(), said("")],
    "cut": [Generation(text="Call", generation_info={"finish_reason": "length"})],
    "cut, second": [
        Generation(text="Call", generation_info={"finish_reason": "stop"}),
        Generation(text="x", generation_info={"finish_reason": "length"}),
    ],
    "filtered": [ChatGeneration(message=AIMessage("Call", response_metadata={"stop_reason": "content_filter"}))],
    "an object": [said(additional_kwargs={"parsed": Parsed(name="x")})],
}


@pytest.mark.parametrize("answer", UNWHOLE.values(), ids=UNWHOLE)
def test_what_is_not_whole_is_not_stored(opened: Callable[..., SemanticCache], answer: Sequence[Generation]) -> None:
    cache = RagkitSemanticCache(opened(), tenant="t")
    cache.update(chat(HumanMessage(QUESTION)), MODEL, answer)
    assert cache.lookup(chat(HumanMessage(QUESTION)), MODEL) is None
    assert sum(cache.cache.stats().refused.values()) == 1


def test_hot_models_are_not_stored(opened: Callable[..., SemanticCache]) -> None:
    cache = RagkitSemanticCache(opened(), tenant="t")
    for told, stored in (('{"temperature": 1.2}', False), ("[('temperature', 1.5)]", False), ('{"temperature": 0.3}', True)):
        cache.update(chat(HumanMessage(QUESTION)), told, [said()])
        assert (cache.lookup(chat(HumanMessage(QUESTION)), told) is not None) == stored


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.text(), st.dictionaries(st.text(), PLAIN), st.text())
def test_generations_come_back_as_they_went_or_not_at_all(text: str, info: dict[str, Any], name: str) -> None:
    given_ = [
        ChatGeneration(message=AIMessage(text, name=name, additional_kwargs=info), generation_info=info),
        Generation(text=text),
    ]
    kept = packed(given_)
    assert kept is None or unpacked(kept) == given_
    if "lc" not in json.dumps(info):
        assert kept is not None


@given(st.text() | PLAIN.map(json.dumps))
def test_any_prompt_and_any_stored_text_is_survived(text: str) -> None:
    assert asked(text, "").text == [text]
    assert unpacked(text) is None


def test_a_foreign_object_is_not_made() -> None:
    evil = {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", "chat_models", "openai", "ChatOpenAI"],
        "kwargs": {"base_url": "x"},
    }
    assert unpacked(json.dumps([evil])) is None


def test_a_question_inside_a_template(opened: Callable[..., SemanticCache]) -> None:
    def parts(text: str) -> tuple[str, str]:
        passages, _, question = text.partition("Question: ")
        return question, passages

    cache = RagkitSemanticCache(opened(), tenant="t", question_in=parts)
    cache.update(chat(HumanMessage(f"Passage one. Question: {QUESTION}")), MODEL, [said()])
    assert cache.lookup(chat(HumanMessage(f"Passage one. Question: {REWORDED}")), MODEL)
    assert cache.lookup(chat(HumanMessage(f"Passage two. Question: {REWORDED}")), MODEL) is None
    with pytest.raises(InvalidInputError, match="question_in returned"):
        RagkitSemanticCache(cache.cache, tenant="t", question_in=str.split).lookup(chat(HumanMessage("a b c")), MODEL)  # type: ignore[arg-type]


def test_a_judge_teaches_the_policy(opened: Callable[..., SemanticCache]) -> None:
    heard: list[tuple[str, str, str]] = []

    def judge(question: str, stored: str, fresh: str) -> bool:
        heard.append((question, stored, fresh))
        return stored == fresh

    cache = RagkitSemanticCache(opened(policy="certified"), tenant="t", judge=judge)
    cache.update(chat(HumanMessage(QUESTION)), MODEL, [said()])
    assert cache.lookup(chat(HumanMessage(REWORDED)), MODEL) is None
    cache.update(chat(HumanMessage(REWORDED)), MODEL, [said("Write to us.")])
    assert heard == [(REWORDED, "Call us.", "Write to us.")]


STORED = """How do I close my old savings account?|Which vaccine do I need before going to Kenya?|Who painted the ceiling of the Sistine Chapel?
How long should sourdough rise overnight?|What is the fastest way to learn chess openings?|Can penguins survive in a warm climate?
Why does my printer only print blank pages?|When is the best season to plant an olive tree?|How are submarines able to stay under water?
What should I wear to a summer wedding?|Is it legal to record a phone call in Canada?|How much sugar is in a glass of orange juice?
Where can I repair an old violin?|What causes an earthquake in the middle of a plate?|How do I sort a list of tuples in Python?
Which telescope is good for a beginner?|Why do cats purr when they are asleep?|How many people live on the island of Malta?
What does a notary do when a house is sold?|Should I take magnesium for sore muscles?""".replace("\n", "|").split("|")
ASKED = """What is the weather like in Lisbon in March?|How do I change the oil of a motorbike?|Who invented the first sewing machine?
Can I freeze cooked rice for a month?|Which river flows through Budapest?|Why is the sky red at sunset?
How do I ask for a raise after one year?|What is the difference between a crocodile and an alligator?|How do noise cancelling headphones work?
Is green tea healthier than coffee?|Where was the first Olympic marathon run?|How do I remove candle wax from a carpet?
What happens to my visa if I lose my job?|How often should I water a cactus?|Which language is spoken in Greenland?
How do I merge two branches in git?|What is a fair price for a used bicycle?|Why do volcanoes erupt without a warning?
How do I teach a child to swim?|When was the printing press brought to England?|Do electric cars lose range in winter?
How can I stop my dog from barking at night?""".replace("\n", "|").split("|")


def test_unrelated_questions_do_not_hit(opened: Callable[..., SemanticCache]) -> None:
    """440 pairs under one system prompt: with the whole JSON embedded, two thirds of such pairs hit at a cosine of 0.8."""
    embedder, system = TransformerEmbedder(), SystemMessage(SYSTEM)
    assert len(STORED) * len(ASKED) >= 400
    for policy in ("certified", Static(0.8)):
        cache = RagkitSemanticCache(opened(embedder=embedder, policy=policy), tenant="t")
        for question in STORED:
            cache.update(chat(system, HumanMessage(question)), MODEL, [said()])
        assert [question for question in ASKED if cache.lookup(chat(system, HumanMessage(question)), MODEL)] == []
        assert cache.cache.stats().verdicts["bypass"] == 0


# The real client, over HTTP

Messages = Sequence[Mapping[str, Any]]


def streamed(text: str, finish: str = "stop") -> bytes:
    parts = [*({"delta": {"content": word + " "}} for word in text.split()), {"delta": {}, "finish_reason": finish}]
    rows = [
        {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [{"index": 0, **part}]}
        for part in parts
    ]
    return "".join(f"data: {json.dumps(row)}\n\n" for row in rows).encode() + b"data: [DONE]\n\n"


@pytest.fixture
def server() -> Iterator[ChatServer]:
    def behave(messages: Messages) -> Answer:
        text = text_of(messages)
        if "flow" in text:
            return Answer(body=streamed("It flows on.", "length" if "cut" in text else "stop"))
        return Answer(text=f"You asked: {text}", finish_reason="length" if "cut" in text else "stop")

    with chat_server(behave) as running:
        yield running


def model(server: ChatServer, **more: Any) -> ChatOpenAI:
    return ChatOpenAI(**{"model": "m", "api_key": "none", "base_url": server.url, "max_retries": 0, "temperature": 0} | more)


async def test_the_real_client(server: ChatServer, opened: Callable[..., SemanticCache]) -> None:
    set_llm_cache(RagkitSemanticCache(opened(), tenant="t"))
    try:
        first = model(server).invoke([("system", SYSTEM), ("human", QUESTION)])
        again = model(server).invoke([("system", SYSTEM), ("human", REWORDED)])
        awaited = await model(server).ainvoke([("system", SYSTEM), ("human", REWORDED)])
        assert first.content == again.content == awaited.content
        assert again.response_metadata == first.response_metadata
        assert len(server.requests) == 1
        model(server).invoke([("system", "Be rude."), ("human", QUESTION)])
        model(server, model="n").invoke([("system", SYSTEM), ("human", QUESTION)])
        model(server, seed=1).invoke([("system", SYSTEM), ("human", QUESTION)])
        assert len(server.requests) == 4
        for _ in range(2):
            model(server).invoke("What is a cut answer worth?")
        assert len(server.requests) == 6
    finally:
        set_llm_cache(None)


async def test_streaming(server: ChatServer, opened: Callable[..., SemanticCache]) -> None:
    """A streamed answer is stored when it was whole, and given again as one; ``stream`` itself never asks a cache."""
    asking = model(server, streaming=True, cache=RagkitSemanticCache(opened(), tenant="t"))
    first = asking.invoke("How does a river flow in winter?")
    assert first.content == "It flows on. "
    assert asking.invoke("How does a river flow in winter please?").content == "It flows on. "
    assert (await asking.ainvoke("How does a river flow in winter?")).content == "It flows on. "
    assert len(server.requests) == 1
    for _ in range(2):
        asking.invoke("How does a cut river flow in summer?")
    assert len(server.requests) == 3
    assert "".join(str(part.content) for part in asking.stream("How does a river flow in winter?")) == "It flows on. "
    assert len(server.requests) == 4


def test_a_closed_store_is_passed_by(
    server: ChatServer, opened: Callable[..., SemanticCache], caplog: pytest.LogCaptureFixture
) -> None:
    store = opened()
    asking = model(server, cache=RagkitSemanticCache(store, tenant="t"))
    store.close()
    assert asking.invoke(QUESTION).content == f"You asked: {QUESTION}"
    assert "the model answers" in caplog.text
