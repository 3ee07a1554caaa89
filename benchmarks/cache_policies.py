"""The semantic cache's policies on streams of real prompts: hits and wrong answers over time, in many runs.

    python benchmarks/cache_policies.py --clinc QUERIES --pairs PAIRS [--runs 200] [--requests 6000] [--vectors FOLDER] [--json FILE]

QUERIES holds prompts with an intent each (same intent = the same answer would do; `oos` is out of scope, an answer of its
own), PAIRS labelled pairs of questions (questions joined by positive pairs share an answer); both are gzipped JSON lines. A
stream is a random order of the prompts, each at most once, so nothing here is an exact repetition: intents are drawn by a
Zipf law of exponent 0.5, questions with a duplicate four times as often as those without one. Judgements are the labels.

A run exceeds its budget when, after any request t >= 1, the wrong answers served so far are more than budget * t. `saved` are
calls of the model avoided: hits less audited hits. `ratio` is to the per-entry policy (vCache's rule, derived again).
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragkit.cache.candidate import Candidate, score
from ragkit.cache.policies import Certified, CertifiedSettings, Policy, Static
from ragkit.cache.policies.per_entry import MIN_OBSERVATIONS, fit_curves, serve_chance
from ragkit.evaluate.report import markdown

SCALE = 32767


class World(NamedTuple):
    """Prompts that can be asked: vectors, the answer each needs, how often it is asked, and the answer it needs after a change."""

    vectors: NDArray[np.float32]
    answers: NDArray[np.int64]
    weights: Callable[[np.random.Generator], NDArray[np.float64]]
    changed: NDArray[np.int64]


class Outcome(NamedTuple):
    """``(runs, requests)`` each: served, served wrong, served and audited."""

    hits: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    audited: NDArray[np.bool_]


def lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def embed(texts: list[str], folder: Path | None, name: str) -> NDArray[np.float32]:
    kept = folder / f"{name}.npy" if folder else None
    if kept and kept.exists():
        return np.load(kept)
    from ragkit.embed import TransformerEmbedder

    vectors = TransformerEmbedder("all-MiniLM-L6-v2").embed_texts(texts)
    if kept:
        np.save(kept, vectors)
    return vectors


def intents(path: Path, folder: Path | None) -> World:
    rows = lines(path)
    names, numbers = np.unique([row["intent"] for row in rows], return_inverse=True)
    outside = numbers == int(np.flatnonzero(names == "oos")[0])
    answers = np.where(outside, len(names) + np.arange(len(rows)), numbers)

    def weights(random: np.random.Generator) -> NDArray[np.float64]:
        drawn = (random.permutation(len(names))[numbers] + 1.0) ** -0.5
        drawn[outside] = drawn[~outside].mean()
        return drawn

    changed = np.where(answers % 5 == 0, answers + 10 * len(rows), answers)
    return World(embed([row["text"] for row in rows], folder, "clinc"), answers, weights, changed)


def pairs(path: Path, folder: Path | None) -> World:
    rows = lines(path)
    texts = sorted({row[side] for row in rows for side in ("text_a", "text_b")})
    place = {text: number for number, text in enumerate(texts)}
    parent = list(range(len(texts)))

    def find(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    for row in rows:
        if row["label"]:
            parent[find(place[row["text_a"]])] = find(place[row["text_b"]])
    answers = np.array([find(one) for one in range(len(texts))])
    _, inverse, counts = np.unique(answers, return_inverse=True, return_counts=True)
    drawn = np.where(counts[inverse] > 1, 1.0, 0.25)
    changed = np.where(answers % 5 == 0, answers + 10 * len(texts), answers)
    return World(embed(texts, folder, "qqp"), answers, lambda random: drawn, changed)


def similarities(vectors: NDArray[np.float32]) -> NDArray[np.int16]:
    """All cosines in steps of 1 / 32767, so that a corpus of 24,000 fits."""
    found = np.empty((len(vectors), len(vectors)), dtype=np.int16)
    for start in range(0, len(vectors), 2000):
        found[start : start + 2000] = np.clip(vectors[start : start + 2000] @ vectors.T * SCALE, -SCALE, SCALE)
    return found


def streams(world: World, runs: int, requests: int) -> NDArray[np.int64]:
    orders = []
    for run in range(runs):
        random = np.random.default_rng(10_000 + run)
        drawn = world.weights(random)
        orders.append(np.argsort(random.exponential(size=len(drawn)) / drawn)[:requests])
    return np.stack(orders)


def pooled(make: Callable[[], Policy], table: NDArray[np.int16], asked: NDArray[np.int64], right: NDArray[np.int64]) -> Outcome:
    """Runs of a ragkit policy; ``right`` ``(runs, requests)`` is the answer each request needs."""
    out = Outcome(*(np.zeros(asked.shape, dtype=bool) for _ in range(3)))
    for run, order in enumerate(asked):
        policy = make()
        coins = np.random.default_rng(run).random(len(order))
        entries, answer = np.empty(len(order), dtype=np.int64), np.empty(len(order), dtype=np.int64)
        group, record = [""] * len(order), [0] * len(order)
        size = 0

        def candidate(place: int, near: int, group: list[str] = group, record: list[int] = record) -> Candidate:
            return Candidate(
                entry=str(place), prompt="", answer="", similarity=near / SCALE, group=group[place], wrong=record[place]
            )

        for at, prompt in enumerate(order):
            served, best, wrong, value = False, -1, True, None
            if size:
                near = table[prompt].take(entries[:size])
                best = int(near.argmax())
                first = candidate(best, int(near[best]))
                near[best] = -SCALE
                second = int(near.argmax())
                value = score(first, [candidate(second, int(near[second]))] if size > 1 else ())
                wrong = bool(answer[best] != right[run, at])
                decision = policy.decide(value, coins[at])
                served = decision.serve
                out.hits[run, at], out.wrong[run, at] = served, served and wrong
                out.audited[run, at] = served and decision.judge
            policy.record(value, served=served)
            if value is not None and decision.judge:
                policy.learn(value, wrong=wrong, weight=decision.weight, served=served)
                record[best] += wrong
            if not served:
                entries[size], answer[size] = prompt, right[run, at]
                group[size] = str(size) if wrong else group[best]
                size += 1
    return out


def per_entry(budget: float, table: NDArray[np.int16], asked: NDArray[np.int64], right: NDArray[np.int64]) -> Outcome:
    """All runs of the per-entry policy side by side: one fit per request for all of them."""
    runs, requests = asked.shape
    out = Outcome(*(np.zeros(asked.shape, dtype=bool) for _ in range(3)))
    coins = np.random.default_rng(0).random(asked.shape)
    entries, answer = np.zeros((2, runs, requests), dtype=np.int64)
    size = np.zeros(runs, dtype=np.int64)
    seen: list[list[tuple[list[float], list[float]]]] = [[] for _ in range(runs)]
    fitted, counted = np.zeros((runs, requests, 3)), np.zeros((runs, requests), dtype=np.int64)
    every = np.arange(runs)

    def add(run: int, at: int) -> None:
        entries[run, size[run]], answer[run, size[run]] = asked[run, at], right[run, at]
        seen[run].append(([0.0, 1.0], [0.0, 1.0]))
        counted[run, size[run]] = 2
        size[run] += 1

    for run in range(runs):
        add(run, 0)
    for at in range(1, requests):
        best, near = np.empty(runs, dtype=np.int64), np.empty(runs)
        for run in range(runs):
            row = table[asked[run, at]].take(entries[run, : size[run]])
            best[run] = row.argmax()
            near[run] = max(0.0, round(row[best[run]] / SCALE, 3))
        good = answer[every, best] == right[:, at]
        able = counted[every, best] >= MIN_OBSERVATIONS
        served = np.zeros(runs, dtype=bool)
        if able.any():
            fits = fitted[every, best][able]
            served[able] = coins[able, at] < serve_chance(near[able], *fits.T, budget=budget)
        out.hits[:, at], out.wrong[:, at] = served, served & ~good
        refit = []
        for run in np.flatnonzero(~served):
            past = seen[run][best[run]]
            past[0].append(near[run])
            past[1].append(float(good[run]))
            counted[run, best[run]] += 1
            if counted[run, best[run]] >= MIN_OBSERVATIONS:
                refit.append(run)
            if not good[run]:
                add(run, at)
        if refit:
            pasts = [seen[run][best[run]] for run in refit]
            x, y, mask = np.zeros((3, len(refit), max(len(past[0]) for past in pasts)))
            for place, past in enumerate(pasts):
                many = len(past[0])
                x[place, :many], y[place, :many], mask[place, :many] = past[0], past[1], 1
            fitted[refit, best[refit]] = np.stack(fit_curves(x, y, mask), 1)
    return out


def summary(out: Outcome, budget: float) -> dict[str, float]:
    requests = out.hits.shape[1]
    steps = np.arange(1, requests + 1)
    hits, wrong = out.hits.cumsum(1), out.wrong.cumsum(1)
    saved = hits - out.audited.cumsum(1)
    facts: dict[str, float] = {
        "exceeded at any time": float((wrong > budget * steps).any(1).mean()),
        "exceeded at the end": float((wrong[:, -1] > budget * requests).mean()),
    }
    for mark in sorted({min(2000, requests), requests}):
        facts[f"hits@{mark}"] = float(hits[:, mark - 1].mean() / mark)
        facts[f"saved@{mark}"] = float(saved[:, mark - 1].mean() / mark)
        facts[f"wrong per 100@{mark}"] = float(100 * wrong[:, mark - 1].mean() / mark)
    return facts


def decision_time() -> dict[str, float]:
    """Microseconds of one decision and one record, median of five rounds of 20,000."""
    policy = Certified()
    for _ in range(3000):
        policy.record(0.95, served=False)
        policy.learn(0.95, wrong=False)
    taken: dict[str, list[float]] = {"decide": [], "record": []}
    for _ in range(5):
        begun = time.process_time()
        for _ in range(20_000):
            policy.decide(0.95, 0.5)
        middle = time.process_time()
        for _ in range(20_000):
            policy.record(0.95, served=False)
        taken["decide"].append((middle - begun) * 50)
        taken["record"].append((time.process_time() - middle) * 50)
    return {name: float(np.median(values)) for name, values in taken.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clinc", type=Path, help="prompts with intents, .jsonl.gz")
    parser.add_argument("--pairs", type=Path, help="labelled pairs of questions, .jsonl.gz")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--requests", type=int, default=6000)
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.01, 0.02, 0.05])
    parser.add_argument("--vectors", type=Path, help="folder that keeps the vectors between calls")
    parser.add_argument("--drift", action="store_true", help="half-way, every fifth answer changes and stored ones are stale")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if not (given.clinc or given.pairs):
        parser.error("give --clinc, --pairs or both")
    found: dict[str, Any] = {
        "runs": given.runs,
        "requests": given.requests,
        "drift": given.drift,
        "us": decision_time(),
        "streams": {},
    }
    for name, path, load in (("clinc150", given.clinc, intents), ("cache_pairs", given.pairs, pairs)):
        if not path:
            continue
        world = load(path, given.vectors)
        table, asked = similarities(world.vectors), streams(world, given.runs, given.requests)
        right = world.answers[asked]
        if given.drift:
            half = given.requests // 2
            right[:, half:] = world.changed[asked[:, half:]]
        rows = []
        for budget in given.budgets:
            made: dict[str, Outcome] = {
                "per entry": per_entry(budget, table, asked, right),
                "certified": pooled(partial(Certified, CertifiedSettings(budget=budget)), table, asked, right),
            }
            facts = {policy: summary(out, budget) for policy, out in made.items()}
            for policy, fact in facts.items():
                for key in [key for key in fact if key.startswith(("hits", "saved"))]:
                    base = facts["per entry"][key]
                    fact[key.replace("@", " ratio@")] = fact[key] / base if base else float("inf")
                rows.append([f"{100 * budget:g}", policy, *(f"{value:.3f}" for value in fact.values())])
            found["streams"].setdefault(name, {})[str(budget)] = facts
            print(f"{name} {budget} done", file=sys.stderr)
        for typed in (0.9, 0.95):
            # A typed threshold has no budget; five runs say enough.
            fact = summary(pooled(partial(Static, typed), table, asked[:5], right[:5]), given.budgets[0])
            found["streams"][name][f"static {typed}"] = fact
        print(markdown([name, "policy", *facts["certified"]], rows), "\n", flush=True)
    print(f"certified: decide {found['us']['decide']:.2f} us, record {found['us']['record']:.1f} us on average")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
