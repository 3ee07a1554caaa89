"""What several openings share: the policy's learning, feedback, trust; other models, damage and full disks."""

from __future__ import annotations

import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ragkit import SemanticCache
from ragkit.cache import Certified, CertifiedSettings, Scope, Static, Trust, calibrate, shelf, vault
from ragkit.errors import EmbeddingError, InvalidInputError, StoreCorruptError, StoreError, StoreFullError, StoreMismatchError
from ragkit.testing.embedders import HashEmbedder

HERE = Scope("acme", "m")
PROMPT, NEAR = "How do I reset my password?", "How can I reset my password?"
FAST = CertifiedSettings(budget=0.3, alpha=0.2, edges=(0.8,), block=5, probation=5.0)


def teach(cache: SemanticCache, times: int, same: bool = True) -> None:
    cache.put(PROMPT, "a", scope=HERE)
    for _ in range(times):
        verdict = cache.lookup(NEAR, scope=HERE)
        if verdict.judge:
            cache.judged(verdict, same=same)


def test_learning_survives_and_is_shared(opened):
    first = opened(policy=Certified(FAST))
    watcher = opened(policy=Certified(FAST))
    teach(first, 120)
    first.flush()
    assert not first.policy.shadow
    watcher.lookup("What is something else entirely?", scope=HERE)
    assert watcher.policy._weights == pytest.approx(first.policy._weights)
    first.close()
    again = opened(policy=Certified(FAST))
    assert again.policy.requests == first.policy.requests
    assert again.policy.to_dict() == first.policy.to_dict()
    assert again.lookup(NEAR, scope=HERE).kind == "hit"
    # Another promise has other statistics.
    assert opened(policy=Certified(CertifiedSettings(budget=0.1))).policy.requests == 0


def test_snapshots_stand_for_what_they_replace(opened):
    cache = opened(policy=Certified(FAST))
    for _ in range(20):
        teach(cache, 10)
        cache.flush()
    cache.tend()
    rows = cache._vault.log._table.count_rows()
    teach(cache, 10)
    cache.flush()
    cache.tend()
    assert cache._vault.log._table.count_rows() < rows
    cache.close()
    again = opened(policy=Certified(FAST))
    assert again.policy.requests == cache.policy.requests
    assert again.policy._weights == pytest.approx(cache.policy._weights)


def test_a_judge_judges_behind_the_answer(opened):
    asked = []

    def judge(prompt: str, stored: str, fresh: str) -> bool:
        asked.append((stored, fresh))
        return stored == fresh

    cache = opened(policy=Certified(FAST), judge=judge)
    cache.put(PROMPT, "same", scope=HERE)
    verdict = cache.lookup(NEAR, scope=HERE)
    assert cache.get_or(NEAR, lambda: "same", scope=HERE) == "same"
    cache.flush()
    assert asked == [("same", "same")]
    assert cache.policy._weights[0] == 1
    near = cache.get(cache.lookup(NEAR, scope=HERE).entry)
    assert near.group == verdict.entry
    cache.put("How might I reset my password?", "other", scope=HERE, verdict=verdict)
    cache.flush()
    assert cache.get(verdict.entry).wrong == 1


def test_hits_are_audited_by_making_the_answer_again(opened):
    calls = []
    cache = opened(policy=Certified(FAST), judge=lambda _, stored, fresh: stored == fresh)
    teach(cache, 120)
    cache._desk._coin.random = lambda: 0.0
    assert cache.get_or(NEAR, lambda: calls.append(1) or "a", scope=HERE) == "a"
    cache.flush()
    assert calls == [1]
    assert cache.lookup(NEAR, scope=HERE).tier == "exact"


def test_feedback_evicts_everywhere_and_tightens(opened):
    cache, other = opened(policy=Certified(FAST)), opened(policy=Certified(FAST))
    teach(cache, 120)
    cache.flush()
    assert other.lookup(NEAR, scope=HERE).kind == "hit"
    known = other.policy.wrong_so_far
    served = other.lookup(NEAR, scope=HERE)
    other.feedback(served, wrong=True)
    assert other.policy.wrong_so_far > known
    assert other.lookup(NEAR, scope=HERE).kind == "miss"
    assert cache.lookup(PROMPT, scope=HERE).kind == "miss"
    with pytest.raises(InvalidInputError, match="no entry"):
        other.feedback(other.lookup(NEAR, scope=HERE), wrong=True)


def test_entries_of_untrusted_writers_serve_only_their_writer_until_confirmed(opened):
    cache = opened(policy=Static(0.8), trust=Trust(confirmations=2))
    cache.put(PROMPT, "poison", scope=HERE, principal="eve")
    for prompt in (PROMPT, NEAR):
        assert cache.lookup(prompt, scope=HERE, principal="eve").answer == "poison"
        assert cache.lookup(prompt, scope=HERE, principal="bob").answer is None
        assert cache.lookup(prompt, scope=HERE).answer is None
    for writer in ("ann", "bob"):
        cache.put(PROMPT, "Click on forgot.", scope=HERE, principal=writer)
    assert cache.lookup(PROMPT, scope=HERE, principal="zoe").answer is None
    cache.put(PROMPT, "Click on forgot", scope=HERE, principal="joe")
    assert cache.lookup(PROMPT, scope=HERE, principal="zoe").answer == "Click on forgot"
    assert cache.lookup(PROMPT, scope=HERE, principal="eve").answer == "Click on forgot"
    mine = cache.put("What is the office's address?", "Main street", scope=HERE, principal="ann").entry
    cache.feedback(mine, wrong=False)
    again = opened(policy=Static(0.8))
    assert again.lookup("What is the office's address?", scope=HERE).answer == "Main street"


def test_quotas_and_crowds(opened):
    cache = opened(trust=Trust(quota=3, crowd=4, within=0.9))
    said = [cache.put(f"What is thing {number} made of?", "x", scope=HERE, principal="eve") for number in range(4)]
    assert [bool(one) for one in said] == [True, True, True, False]
    assert said[3].reason.startswith("quota")
    crowd = [
        cache.put("Where is the headquarters of the firm" + " ?" * number, "x", scope=Scope("t", "m"), principal=f"w{number}")
        for number in range(6)
    ]
    assert [bool(one) for one in crowd] == [True] * 4 + [False] * 2
    assert crowd[4].reason.startswith("density")
    assert cache.stats().refused == {"quota": 1, "density": 2}


def test_an_adopted_policy_is_found_by_its_name(opened):
    pytest.importorskip("scipy")
    cache = opened()
    found = calibrate(np.linspace(0.5, 1, 400), [True] * 400, budget=0.05)
    cache.adopt(found)
    assert opened(policy="calibrated").policy == found
    assert opened("other.lance", policy="calibrated").policy.certified is None


def test_vectors_of_another_model_are_never_compared(opened):
    cache = opened(policy=Static(0.8))
    cache.put(PROMPT, "a", scope=HERE)
    cache.close()
    other = HashEmbedder(dim=16, name="other")
    with pytest.raises(StoreMismatchError, match="other_model"):
        opened(embedder=other)
    both = opened(embedder=other, policy=Static(-1.0), other_model="exact")
    assert both.lookup(PROMPT, scope=HERE).answer == "a"
    assert both.lookup(NEAR, scope=HERE).kind == "miss"
    assert both.reembed() == 1
    assert both.lookup(NEAR, scope=HERE).kind == "hit"
    assert opened(embedder=other, policy=Static(-1.0)).lookup(NEAR, scope=HERE).kind == "hit"
    with pytest.raises(StoreMismatchError):
        opened()
    assert opened(embedder=None, policy="exact").lookup(PROMPT, scope=HERE).answer == "a"


def test_a_cache_begun_without_a_model_takes_one_later(opened):
    plain = opened(embedder=None, policy="exact")
    plain.put(PROMPT, "a", scope=HERE)
    later = opened(policy=Static(0.8))
    assert later.lookup(NEAR, scope=HERE).kind == "miss"
    assert later.reembed() == 1
    assert later.lookup(NEAR, scope=HERE).kind == "hit"


@pytest.mark.parametrize("vector", [np.full(32, np.nan), np.zeros(32), np.ones(3)])
def test_unusable_vectors_are_an_error_and_get_or_still_answers(opened, vector):
    embedder = HashEmbedder()
    cache = opened(embedder=embedder)
    embedder.embed_query = lambda text: vector.astype(np.float32)
    with pytest.raises(EmbeddingError):
        cache.put(PROMPT, "a", scope=HERE)
    assert cache.get_or(PROMPT, lambda: "made", scope=HERE) == "made"
    assert "EmbeddingError" in cache.stats().trouble


def test_damage_is_told_with_what_to_do(opened, tmp_path: Path):
    cache = opened()
    cache.put(PROMPT, "a", scope=HERE)
    cache.tend()
    cache.close()
    table = tmp_path / "cache.lance" / "entries.lance"
    for file in (table / "data").iterdir():
        file.write_bytes(b"no")
    with pytest.raises(StoreCorruptError, match="remove it: a cache fills again"):
        opened()
    shutil.rmtree(table / "_versions")
    with pytest.raises(StoreError):
        opened()
    (tmp_path / "a file").write_text("x")
    with pytest.raises(StoreError, match="a file"):
        opened("a file")


def test_a_store_that_is_removed_while_it_is_open_serves_nothing(opened, tmp_path: Path):
    cache = opened()
    cache.put(PROMPT, "a", scope=HERE)
    shutil.rmtree(tmp_path / "cache.lance")
    with pytest.raises(StoreError):
        cache.lookup(PROMPT, scope=HERE)
    assert cache.get_or(PROMPT, lambda: "made", scope=HERE) == "made"
    anew = opened()
    anew.put(NEAR, "b", scope=HERE)
    assert cache.lookup(PROMPT, scope=HERE).kind != "hit"


@pytest.fixture
def small_disk(tmp_path: Path):
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True)
    if made.returncode:
        pytest.skip("a file system of a given size cannot be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_keeps_what_was_stored(small_disk: Path):
    cache = SemanticCache(small_disk / "c.lance", embedder=HashEmbedder())
    stored = 0

    def fill() -> None:
        nonlocal stored
        for number in range(100):
            cache.put(f"What is number {number}?", np.random.default_rng(number).bytes(20_000).hex(), scope=HERE)
            stored += 1

    with pytest.raises(StoreFullError, match="space"):
        fill()
    assert stored > 5
    for reader in (cache, SemanticCache(small_disk / "c.lance", embedder=HashEmbedder())):
        assert len(reader) == stored
        assert reader.lookup("What is number 3?", scope=HERE).kind == "hit"
    assert cache.get_or("What fits no more?", lambda: "b" * 400_000, scope=HERE) == "b" * 400_000
    assert "No space" in cache.stats().trouble


def test_what_was_removed_while_nobody_looked_for_long_is_not_served(opened, clock, monkeypatch: pytest.MonkeyPatch):
    """Drops are deleted an hour later, when they have done their work; who slept until then has to read all anew."""
    monkeypatch.setattr(vault, "_DEAD", 0)
    watcher, other = (opened(policy=Certified(FAST), clock=clock) for _ in range(2))
    watcher.put(PROMPT, "a", scope=HERE)
    watcher.put("What stays?", "b", scope=HERE)
    watcher.lookup(NEAR, scope=HERE)
    watcher.flush()
    requests = watcher.policy.requests
    assert other.invalidate(entry=other.lookup(PROMPT, scope=HERE).entry) == 1
    other.flush()
    clock.now += 2 * shelf.LATE
    for _ in range(2):
        other.put("What is put in place of itself?", "c", scope=HERE)
    other.tend()
    assert "drop" not in other._vault.log._table.to_arrow().column("kind").to_pylist()
    assert watcher.lookup(PROMPT, scope=HERE).answer is None
    assert watcher.lookup("What stays?", scope=HERE).answer == "b"
    # One of these was no repetition; what was counted before does not count twice.
    assert watcher.policy.requests == requests + 1


def test_removed_entries_are_counted_while_others_store(opened, monkeypatch: pytest.MonkeyPatch):
    one, other = opened(policy="exact"), opened(policy="exact")
    one.put(PROMPT, "a", scope=HERE, tags=["t"])
    append = one._vault.log.append

    def late(rows) -> None:
        for number in range(3):
            other.put(f"What is {number}?", "b", scope=HERE)
        append(rows)

    monkeypatch.setattr(one._vault.log, "append", late)
    assert one.invalidate(tag="t") == 1


def test_an_interrupted_commit_leaves_nobody_waiting(opened, monkeypatch: pytest.MonkeyPatch):
    """Ctrl-C comes to the thread that commits for others, before or behind what it wrote."""
    cache = opened(policy="exact")
    append = cache._vault.log.append

    def interrupted(rows) -> None:
        append(rows)
        raise KeyboardInterrupt

    with ThreadPoolExecutor(1) as pool:
        with cache._vault._writing:
            stored = pool.submit(cache.put, PROMPT, "a", scope=HERE)
            while not cache._vault._pending:
                time.sleep(0.001)
            monkeypatch.setattr(cache._vault.log, "append", interrupted)
            with pytest.raises(KeyboardInterrupt):
                cache._vault._commit()
            monkeypatch.undo()
        with pytest.raises(StoreError, match="interrupted"):
            stored.result(timeout=60)
    assert cache.lookup(PROMPT, scope=HERE).answer == "a"
    assert cache.put("What comes next?", "b", scope=HERE)
