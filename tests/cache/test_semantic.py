"""The cache as people hold it: tiers, reasons, what is never stored, how long entries live."""

from __future__ import annotations

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit import SemanticCache
from ragkit.cache import Limits, Outcome, Scope, Static
from ragkit.errors import InvalidInputError, StoreError
from ragkit.testing.embedders import HashEmbedder

HERE = Scope("acme", "m")
PROMPT, NEAR = "How do I reset my password?", "How can I reset my password?"


def test_tiers_and_their_reasons(opened):
    cache = opened(policy=Static(0.8))
    assert cache.lookup(PROMPT, scope=HERE).kind == "miss"
    stored = cache.put(PROMPT, "Click on forgot.", scope=HERE)
    exact = cache.lookup("  How do I  reset my password", scope=HERE)
    assert (exact.kind, exact.tier, exact.answer, exact.entry) == ("hit", "exact", "Click on forgot.", stored.entry)
    near = cache.lookup(NEAR, scope=HERE)
    assert (near.kind, near.tier, near.entry) == ("hit", "semantic", stored.entry)
    other = cache.lookup("How do I reset my router 5500 password?", scope=HERE)
    assert (other.kind, other.answer) == ("near", None)
    assert other.refusals[0].tier == "guard"
    assert "5500" in other.refusals[0].reason
    assert cache.lookup("yes", scope=HERE).kind == "bypass"
    assert cache.stats().verdicts == {"hit": 2, "near": 1, "miss": 1, "bypass": 1}


def test_by_default_nothing_is_served_by_meaning_until_it_is_certified(opened):
    cache = opened()
    cache.put(PROMPT, "a", scope=HERE)
    verdict = cache.lookup(NEAR, scope=HERE)
    assert (verdict.kind, verdict.judge) == ("near", True)
    assert "shadow" in verdict.reason
    assert cache.lookup(PROMPT, scope=HERE).kind == "hit"


def test_a_scope_is_required_unless_said_otherwise(opened):
    cache = opened()
    for call in (lambda: cache.lookup(PROMPT), lambda: cache.put(PROMPT, "a"), lambda: cache.get_or(PROMPT, lambda: "a")):
        with pytest.raises(InvalidInputError, match="scope"):
            call()
    free = opened("free.lance", require_scope=False)
    assert free.put(PROMPT, "a")
    assert free.lookup(PROMPT).answer == "a"
    assert free.lookup(PROMPT, scope=HERE).kind != "hit"


def test_ten_thousand_requests_that_differ_in_one_field_never_cross(opened):
    """Everything near is served here, so that nothing but the scope keeps answers apart."""
    cache = opened(policy=Static(-1.0), floor=-1.0, guards=())
    source = random.Random(3)
    fields = ["tenant", "model", "system", "history", "tools", "response_format", "sampling", "access", "documents", "extra"]
    scopes, crossed, asked = {}, 0, 0
    base = {"tenant": "t", "model": "m"}
    values = ["", "a", "a ", "null", "1", 'x", "y', "[]", "é", "e\u0301"]
    for number in range(250):
        name = fields[number % len(fields)]
        value: object = source.choice(values) + str(number)
        scope = Scope(**(base | {name: [value] if name == "history" else value}))
        scopes[scope] = str(number)
    for scope, number in scopes.items():
        cache.put(PROMPT, number, scope=scope, wait=False)
    cache.flush()
    for _ in range(42):
        for scope, number in scopes.items():
            verdict = cache.lookup(PROMPT if source.random() < 0.5 else NEAR, scope=scope)
            asked += 1
            crossed += verdict.answer != number
    assert asked >= 10_000
    assert crossed == 0
    changed = [Scope("t", "m", system=f"never {number}") for number in range(200)]
    assert all(cache.lookup(prompt, scope=scope).kind == "miss" for scope in changed for prompt in (PROMPT, NEAR))


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Outcome(text="a", error="boom"), "error"),
        (Outcome(text="a", status=500), "500"),
        (Outcome(text="a", finish="length"), "length"),
        (Outcome(text="a", finish="content_filter"), "content_filter"),
        (Outcome(text="a", complete=False), "broke off"),
        (Outcome(text="a", tool_calls=1), "tool calls"),
        (Outcome(text="a", temperature=1.5), "temperature"),
        (Outcome(text="a", no_store=True), "no-store"),
        (Outcome(text="a", refusal=True), "refused"),
        (Outcome(text=" "), "empty"),
    ],
)
def test_what_is_never_stored_says_why(opened, outcome: Outcome, reason: str):
    cache = opened()
    stored = cache.put(PROMPT, outcome, scope=HERE)
    assert not stored
    assert reason in stored.reason
    assert len(cache) == 0
    assert sum(cache.stats().refused.values()) == 1


def test_the_temperature_of_the_scope_counts(opened):
    cache = opened(max_temperature=0.5)
    assert not cache.put(PROMPT, "a", scope=Scope("t", "m", sampling={"temperature": 0.7}))
    assert cache.put(PROMPT, "a", scope=Scope("t", "m", sampling={"temperature": 0.2}))


def test_a_hit_never_renews_a_life_and_jitter_only_shortens_it(opened, clock):
    cache = opened(policy=Static(0.8), ttl=100.0, jitter=0.3, clock=clock)
    for number in range(20):
        cache.put(f"How do I reset password {number}?", "a", scope=HERE)
    lives = [entry.expires - entry.created for entry in cache.entries()]
    assert all(70 <= life <= 100 for life in lives)
    assert len(set(lives)) > 10
    for _ in range(10):
        clock.now += 10
        cache.lookup("How do I reset password 3?", scope=HERE)
    clock.now += 0.1
    assert cache.lookup("How do I reset password 3?", scope=HERE).kind != "hit"
    assert list(cache.entries()) == []


def test_age_at_reading_and_short_lives(opened, clock):
    cache = opened(policy=Static(0.8), clock=clock, jitter=0.0, fresh_ttl=60.0)
    cache.put(PROMPT, "a", scope=HERE)
    cache.put("What is the weather in Rome today?", "sunny", scope=HERE)
    clock.now += 50
    for prompt in (PROMPT, NEAR):
        assert cache.lookup(prompt, scope=HERE, max_age=60).kind == "hit"
        assert cache.lookup(prompt, scope=HERE, max_age=40).kind != "hit"
    verdict = cache.lookup("What is the weather in Rome today?", scope=HERE)
    assert (verdict.age, verdict.ttl) == (pytest.approx(50), pytest.approx(10))
    clock.now += 11
    assert cache.lookup("What is the weather in Rome today?", scope=HERE).kind != "hit"
    assert cache.lookup(PROMPT, scope=HERE).kind == "hit"


def test_invalidate_by_whatever_an_entry_is_known_by(opened, clock):
    cache = opened(clock=clock)

    def fill() -> dict[str, str | None]:
        names = {
            "tag": cache.put("What is one apple?", "1", scope=HERE, tags=["x", "y"]).entry,
            "document": cache.put("What is two apples?", "2", scope=HERE, sources=["d1"]).entry,
            "scope": cache.put("What is three apples?", "3", scope=Scope("acme", "other")).entry,
            "tenant": cache.put("What is four apples?", "4", scope=Scope("umbrella", "m")).entry,
        }
        clock.now += 100
        return names | {"entry": cache.put("What is five apples?", "5", scope=HERE).entry}

    ways = {
        "tag": "y",
        "document": "d1",
        "scope": Scope("acme", "other"),
        "tenant": "umbrella",
        "older_than": 50.0,
        "everything": True,
    }
    for way, value in ways.items():
        names = fill()
        gone = {"older_than": {"tag", "document", "scope", "tenant"}, "everything": set(names)}.get(way, {way})
        assert cache.invalidate(**{way: value}) == len(gone)
        assert {entry.id for entry in cache.entries()} == {names[name] for name in set(names) - gone}
        cache.invalidate(everything=True)
    names = fill()
    assert cache.invalidate(entry=names["entry"]) == 1
    with pytest.raises(InvalidInputError, match="nothing"):
        cache.invalidate()


def test_an_answer_begun_before_an_invalidation_is_not_served(opened):
    cache = opened()

    def make() -> str:
        cache.invalidate(tag="prices")
        return "the old price"

    assert cache.get_or("What does the plan cost?", make, scope=HERE, tags=["prices"]) == "the old price"
    assert cache.lookup("What does the plan cost?", scope=HERE).kind != "hit"


@settings(max_examples=25)
@given(prompt=st.text(max_size=60), other=st.text(max_size=60), answer=st.text(min_size=1, max_size=60).filter(str.strip))
def test_any_text_comes_back_as_it_was(tmp_path_factory, prompt: str, other: str, answer: str):
    from ragkit import SemanticCache

    path = tmp_path_factory.mktemp("any") / "c.lance"
    with SemanticCache(path, policy="exact") as cache:
        assert cache.put(prompt, answer, scope=HERE)
    with SemanticCache(path, policy="exact") as again:
        assert again.lookup(prompt, scope=HERE).answer == answer
        if other.strip().rstrip(".!?") != prompt.strip().rstrip(".!?"):
            assert again.lookup(other, scope=Scope("acme", "n")).kind != "hit"


@pytest.mark.parametrize("prompt", ["", "?", "yes", "w" * 100_000, "word number 7 " * 8_000, "\ud800 lone", "日本"])
def test_odd_prompts_are_matched_exactly(opened, prompt: str):
    cache = opened(policy=Static(-1.0), guards=())
    cache.put("What is an ordinary prompt?", "ordinary", scope=HERE)
    assert cache.put(prompt, "odd", scope=HERE)
    assert cache.lookup(prompt, scope=HERE).answer == "odd"
    assert cache.lookup("!" if prompt == "?" else "?", scope=HERE).kind == "bypass"


def test_prompts_that_are_no_text(opened):
    cache = opened(policy=Static(-1.0))
    blocks = [{"type": "image", "url": "x"}, {"type": "text", "text": "What is this?"}]
    assert cache.put(blocks, "a cat", scope=HERE)
    assert cache.lookup(blocks, scope=HERE).answer == "a cat"
    assert cache.lookup([{**blocks[0], "url": "y"}, blocks[1]], scope=HERE).kind == "bypass"
    with pytest.raises(InvalidInputError, match="JSON"):
        cache.lookup(object(), scope=HERE)


def test_the_least_worth_goes_first(opened, clock):
    cache = opened(limits=Limits(entries=20), clock=clock, ttl=None)
    cheap = [cache.put(f"What is cheap thing {number}?", "a", scope=HERE, cost=1.0).entry for number in range(10)]
    dear = [cache.put(f"What is dear thing {number}?", "a", scope=HERE, cost=50.0).entry for number in range(10)]
    cache.lookup("What is cheap thing 0?", scope=HERE)
    huge = cache.put("What is the huge thing?", "a" * 200_000, scope=HERE, cost=2.0).entry
    cache.tend()
    kept = {entry.id for entry in cache.entries()}
    assert len(kept) <= 20
    assert huge not in kept
    assert set(dear) <= kept
    assert cheap[0] in kept
    assert cache.stats().evicted >= 1


def test_verifiers_fail_closed_and_in_time(opened):
    import threading

    never = threading.Event()
    for verifier, allowed in (
        (lambda *_: True, True),
        (lambda *_: False, False),
        (lambda *_: "yes", False),
        (lambda *_: 1 / 0, False),
        (lambda *_: never.wait(), False),
    ):
        cache = opened(f"{allowed}{id(verifier)}.lance", policy=Static(0.8), verifier=verifier, verifier_timeout=0.2)
        cache.put(PROMPT, "a", scope=HERE)
        verdict = cache.lookup(NEAR, scope=HERE)
        assert (verdict.kind == "hit") == allowed
        assert allowed or verdict.refusals[0].tier == "verifier"
    never.set()


def test_a_verifier_behind_the_answer_makes_it_a_repetition(opened, clock):
    asked = []

    def verifier(prompt, candidate) -> bool:
        asked.append(prompt)
        return True

    cache = opened(policy=Static(0.99), verifier=verifier, verify="after", clock=clock, jitter=0.0, ttl=100.0)
    cache.put(PROMPT, "a", scope=HERE, tags=["t"])
    clock.now += 40
    assert cache.lookup(NEAR, scope=HERE).kind == "near"
    cache.flush()
    verdict = cache.lookup(NEAR, scope=HERE)
    assert (verdict.tier, verdict.answer, verdict.ttl, asked) == ("exact", "a", pytest.approx(60), [NEAR])
    assert cache.invalidate(tag="t") == 2


def test_a_recorder_stores_at_the_end_and_not_before(opened):
    cache = opened()
    with cache.recording(PROMPT, scope=HERE) as recorder:
        recorder.add("Click ")
        recorder.add("on forgot.")
        assert cache.lookup(PROMPT, scope=HERE).kind == "miss"
        assert recorder.finish()
    assert cache.lookup(PROMPT, scope=HERE).answer == "Click on forgot."
    with cache.recording("What is half an answer?", scope=HERE) as broken:
        broken.add("It is")
    assert "broke off" in broken.stored.reason

    def interrupted() -> None:
        with cache.recording("What is half an answer?", scope=HERE) as broken:
            broken.add("It is")
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        interrupted()
    with cache.recording("What is half an answer?", scope=HERE) as cut:
        cut.add("It is")
        assert not cut.finish(finish="length")
    assert len(cache) == 1


def test_explaining_counts_nothing(opened):
    cache = opened()
    cache.put(PROMPT, "a", scope=HERE)
    before = cache.policy.to_dict()
    assert cache.explain(NEAR, scope=HERE).kind == "near"
    assert cache.policy.to_dict() == before
    assert sum(cache.stats().verdicts.values()) == 0


def test_explaining_in_the_scope_of_an_entry_needs_no_secret(opened):
    cache = opened(policy=Static(0.8), secret=b"of the server")
    entry = cache.put(PROMPT, "a", scope=Scope("acme", "m", tools=["t"])).entry
    cache.close()
    reader = opened(policy=Static(0.8))
    assert reader.explain(PROMPT, scope=Scope("acme", "m", tools=["t"])).kind == "miss"
    assert reader.explain(PROMPT, like=entry).tier == "exact"
    assert reader.explain(NEAR, like=entry).entry == entry
    with pytest.raises(InvalidInputError, match="nobody"):
        reader.explain(NEAR, like="nobody")


def test_after_closing_everything_is_an_error(opened):
    cache = opened()
    cache.put(PROMPT, "a", scope=HERE)
    cache.close()
    with pytest.raises(StoreError, match="closed"):
        cache.put(PROMPT, "b", scope=HERE)
    with pytest.raises(StoreError, match="closed"):
        cache.lookup(PROMPT, scope=HERE)
    assert cache.get_or("What else is there?", lambda: "made", scope=HERE) == "made"


@pytest.mark.parametrize(
    "options",
    [{"ttl": 0}, {"jitter": 1.0}, {"k": 0}, {"floor": 2.0}, {"verify": "never"}, {"policy": "clever"}, {"limits": Limits}],
)
def test_settings_out_of_range(opened, options):
    if options.get("limits"):
        with pytest.raises(InvalidInputError, match="limit"):
            Limits(entries=0)
        return
    with pytest.raises(InvalidInputError, match=next(iter(options))):
        opened(**options)


def test_repetitions_need_no_model(tmp_path):
    unknown = HashEmbedder(name="not/on this machine")
    with SemanticCache(tmp_path / "c", embedder=unknown, policy=Static(0.9)) as cache:
        cache.put("How do I pay?", "By card.", scope=HERE)
    with SemanticCache(tmp_path / "c", policy="exact") as cache:
        assert cache.lookup("How do I pay", scope=HERE).answer == "By card."
        assert cache.put("How do I leave?", "By the door.", scope=HERE)
    with SemanticCache(tmp_path / "c", embedder=unknown, policy=Static(0.9)) as cache:
        assert cache.lookup("How do I leave?", scope=HERE).kind == "hit"
        assert cache.reembed() == 1


class Documents:
    """One document, of which a new version may come at any moment."""

    def __init__(self) -> None:
        self.version = 1

    def digests(self, ids):
        return {"doc": f"v{self.version}"} if "doc" in ids else {}


@pytest.mark.parametrize("how", ["get_or", "aget_or", "recording"])
def test_a_document_that_changes_while_the_answer_is_made_makes_it_stale(opened, how: str):
    index = Documents()
    cache = opened(index=index)

    def make() -> str:
        index.version += 1
        return "from the old version"

    if how == "recording":
        with cache.recording(PROMPT, scope=HERE, sources=["doc"]) as recorder:
            recorder.add(make())
            recorder.finish()
    elif how == "get_or":
        cache.get_or(PROMPT, make, scope=HERE, sources=["doc"])
    else:
        asyncio.run(cache.aget_or(PROMPT, make, scope=HERE, sources=["doc"]))
    assert cache.lookup(PROMPT, scope=HERE).answer is None
    assert cache.get_or(PROMPT, lambda: "from the new one", scope=HERE, sources=["doc"]) == "from the new one"
    assert cache.lookup(PROMPT, scope=HERE).answer == "from the new one"


def test_who_came_after_an_invalidation_gets_no_answer_begun_before(opened):
    cache, begun, go = opened(), Event(), Event()

    def slow() -> str:
        begun.set()
        go.wait(10)
        return "old"

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get_or, PROMPT, slow, scope=HERE)
        begun.wait(10)
        cache.invalidate(everything=True)
        second = pool.submit(cache.get_or, PROMPT, lambda: "new", scope=HERE)
        time.sleep(0.1)
        go.set()
        assert (first.result(10), second.result(10)) == ("old", "new")


def test_what_has_expired_leaves_memory_though_nobody_asks(opened, clock):
    cache = opened(clock=clock, ttl=100.0)
    for number in range(10):
        cache.put(f"What is number {number}?", "a", scope=HERE)
    clock.now += 101
    assert len(cache._vault.hot) == 10
    cache.lookup("What is something else?", scope=HERE)
    cache._vault._tending.result(30)
    assert len(cache._vault.hot) == 0
    assert cache.put("What is number 3?", "b", scope=HERE)
    assert cache.lookup("What is number 3?", scope=HERE).answer == "b"
