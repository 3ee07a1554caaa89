"""Single flight: one call for identical requests in threads and tasks, errors nobody else's, cancellation safe."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from ragkit.cache import Made, Outcome, Scope

HERE = Scope("acme", "m")
PROMPT = "What is the capital of Peru?"


def test_a_hundred_threads_make_one_call(opened):
    cache, calls, gate = opened(), [], Barrier(100)

    def make() -> str:
        calls.append(1)
        time.sleep(0.05)
        return "Lima"

    def ask(_: int) -> str:
        gate.wait()
        return cache.get_or(PROMPT, make, scope=HERE)

    with ThreadPoolExecutor(100) as pool:
        assert set(pool.map(ask, range(100))) == {"Lima"}
    assert len(calls) == 1
    assert len(cache._maker.flights) == 0


async def test_a_hundred_tasks_make_one_call(opened):
    cache, calls = opened(), []

    async def make() -> Made:
        calls.append(1)
        await asyncio.sleep(0.05)
        return Made("Lima", tags=("geo",))

    assert set(await asyncio.gather(*(cache.aget_or(PROMPT, make, scope=HERE) for _ in range(100)))) == {"Lima"}
    assert len(calls) == 1
    assert cache.invalidate(tag="geo") == 1


async def test_threads_and_tasks_share_a_flight(opened):
    cache, calls = opened(), []

    def make() -> str:
        calls.append(1)
        time.sleep(0.1)
        return "Lima"

    in_threads = [asyncio.to_thread(cache.get_or, PROMPT, make, scope=HERE) for _ in range(5)]
    assert set(await asyncio.gather(*in_threads, *(cache.aget_or(PROMPT, make, scope=HERE) for _ in range(5)))) == {"Lima"}
    assert len(calls) == 1


async def test_other_scopes_and_principals_fly_alone(opened):
    cache, calls = opened(), []

    async def make() -> str:
        calls.append(1)
        await asyncio.sleep(0.05)
        return str(len(calls))

    await asyncio.gather(
        cache.aget_or(PROMPT, make, scope=HERE),
        cache.aget_or(PROMPT, make, scope=Scope("acme", "m", system="x")),
        cache.aget_or(PROMPT, make, scope=HERE, principal="eve"),
    )
    assert len(calls) == 3


def test_errors_are_their_own_callers(opened):
    cache, gate, calls = opened(), Barrier(10), []

    def ask(number: int) -> str:
        def make() -> str:
            calls.append(number)
            time.sleep(0.05)
            raise OSError(f"upstream refused {number}")

        gate.wait()
        with pytest.raises(OSError, match=f"refused {number}$"):
            cache.get_or(PROMPT, make, scope=HERE)
        return "raised"

    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(ask, range(10))) == ["raised"] * 10
    assert sorted(calls) == list(range(10))
    assert len(cache) == 0
    assert cache.get_or(PROMPT, lambda: "Lima", scope=HERE) == "Lima"


async def test_what_must_not_be_stored_is_not_shared(opened):
    cache, calls = opened(), []

    async def make() -> Outcome:
        calls.append(1)
        await asyncio.sleep(0.02)
        return Outcome(text=f"half {len(calls)}", finish="length")

    answers = await asyncio.gather(*(cache.aget_or(PROMPT, make, scope=HERE) for _ in range(5)))
    assert len(calls) == 5
    assert len(set(answers)) >= 2
    assert len(cache) == 0


async def test_a_cancelled_leader_hands_over_and_a_cancelled_waiter_leaves(opened):
    cache, calls = opened(), []
    started = asyncio.Event()

    async def make() -> str:
        calls.append(1)
        started.set()
        await asyncio.sleep(0.1)
        return "Lima"

    leader = asyncio.create_task(cache.aget_or(PROMPT, make, scope=HERE))
    await started.wait()
    waiters = [asyncio.create_task(cache.aget_or(PROMPT, make, scope=HERE)) for _ in range(5)]
    await asyncio.sleep(0.03)
    waiters[0].cancel()
    leader.cancel()
    done = await asyncio.gather(leader, *waiters, return_exceptions=True)
    assert isinstance(done[0], asyncio.CancelledError)
    assert isinstance(done[1], asyncio.CancelledError)
    assert done[2:] == ["Lima"] * 4
    assert len(calls) == 2


def test_a_maker_that_asks_the_same_again_does_not_wait_for_itself(opened):
    cache = opened()
    answer = cache.get_or(PROMPT, lambda: cache.get_or(PROMPT, lambda: "Lima", scope=HERE), scope=HERE)
    assert answer == "Lima"


def test_makers_that_ask_for_each_other_never_hang(opened):
    cache, both = opened(), Barrier(2)
    prompts = ["What is the capital of Peru?", "What is the capital of Chile?"]

    def ask(first: int) -> str:
        def make() -> str:
            both.wait(10)
            return cache.get_or(prompts[1 - first], lambda: "inner", scope=HERE)

        return cache.get_or(prompts[first], make, scope=HERE)

    with ThreadPoolExecutor(2) as pool:
        answers = [one.result(30) for one in [pool.submit(ask, number) for number in (0, 1)]]
    assert set(answers) == {"inner"}
    assert len(cache._maker.flights) == 0


@pytest.mark.parametrize("plain", [True, False])
async def test_tasks_that_ask_for_each_other_never_hang(opened, plain: bool):
    """Also where a plain function makes the answer, in a thread."""
    cache, prompts = opened(), ["What is the capital of Peru?", "What is the capital of Chile?"]
    begun, threads = [asyncio.Event(), asyncio.Event()], Barrier(2)

    async def ask(first: int) -> str:
        async def make() -> str:
            begun[first].set()
            await begun[1 - first].wait()
            return await cache.aget_or(prompts[1 - first], lambda: "inner", scope=HERE)

        def make_plainly() -> str:
            threads.wait(10)
            return cache.get_or(prompts[1 - first], lambda: "inner", scope=HERE)

        return await cache.aget_or(prompts[first], make_plainly if plain else make, scope=HERE)

    assert set(await asyncio.wait_for(asyncio.gather(ask(0), ask(1)), 30)) == {"inner"}


def test_the_store_may_fail_and_the_answer_is_there(opened, monkeypatch):
    from ragkit.errors import StoreFullError

    cache = opened()

    def full(rows) -> None:
        raise StoreFullError("No space left.")

    monkeypatch.setattr(cache._vault.log, "append", full)
    assert cache.get_or(PROMPT, lambda: "Lima", scope=HERE) == "Lima"
    assert "No space left" in cache.stats().trouble
    with pytest.raises(StoreFullError):
        cache.put(PROMPT, "Lima", scope=HERE)
    monkeypatch.undo()
    assert cache.put(PROMPT, "Lima", scope=HERE)
