"""``train_cache``: wins where there is something to learn, keeps plain where there is not, and never mixes vectors."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from ragkit import SemanticCache
from ragkit.cache import Scope, Static
from ragkit.cache.pairs import LabelledPair, pair_vectors
from ragkit.cli.app import app
from ragkit.embed import AdaptedEmbedder, load_adapter
from ragkit.errors import InvalidInputError, StoreMismatchError
from ragkit.testing.embedders import HashEmbedder
from ragkit.train import pairs_by_model, pairs_by_rule, train_cache
from ragkit.train.cache import AREA, AVERAGE_PRECISION, IN_A_CACHE
from ragkit.train.cache_judge import Scored, area, average_precision, compare

EMBEDDER = HashEmbedder(dim=48)


def secret(many: int = 400, *, seed: int = 0, informed: bool = True) -> list[LabelledPair]:
    """Sixteen words carry the meaning and forty are noise: the cosine weighs all alike. Not ``informed``: labels by chance."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(many):
        noise = [" ".join(f"noise{word}" for word in rng.integers(40, size=4)) for _ in range(2)]
        left, right = (f"m{rng.integers(16)} m{rng.integers(16)}" for _ in range(2))
        same = bool(rng.random() < 0.5)
        stamp = [f"n{rng.integers(10**9)}" for _ in range(2)]
        a, b = f"{left} {noise[0]} {stamp[0]}", f"{left if same else right} {noise[1]} {stamp[1]}"
        pairs.append(LabelledPair(a, b, same if informed else bool(rng.random() < 0.5)))
    return pairs


def test_wins_where_there_is_something_to_learn(tmp_path: Path) -> None:
    report = train_cache(secret(), embedder=EMBEDDER, seed=1)
    assert report.won, report.verdict
    assert report.figures[AVERAGE_PRECISION].gain.low > 0 < report.figures[AREA].gain.low
    json.dumps(report.to_dict())
    report.save(tmp_path / "a.safetensors")
    adapter = load_adapter(tmp_path / "a.safetensors")
    assert adapter.digest == report.adapter.digest
    fresh = secret(300, seed=9)
    same = np.array([pair.same for pair in fresh])

    def gap(embedder: HashEmbedder | AdaptedEmbedder) -> float:
        left, right = pair_vectors(fresh, embedder)
        cosines = (left * right).sum(axis=1)
        return float((cosines[same].mean() - cosines[~same].mean()) / cosines.std())

    assert gap(AdaptedEmbedder(EMBEDDER, path=adapter)) > 1.1 * gap(EMBEDDER)


@pytest.mark.parametrize("seed", range(3))
def test_keeps_plain_where_labels_say_nothing(seed: int, tmp_path: Path) -> None:
    report = train_cache(secret(200, seed=seed, informed=False), embedder=EMBEDDER, steps=60)
    assert not report.won
    assert report.verdict.startswith("Keep the plain model")
    with pytest.raises(InvalidInputError, match="Nothing was written"):
        report.save(tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_gain_that_was_asked_for(tmp_path: Path) -> None:
    assert not train_cache(secret(200), embedder=EMBEDDER, steps=60, min_gain=0.9).won


def test_the_same_seed_gives_the_same_adapter() -> None:
    found = [
        train_cache(secret(120), embedder=EMBEDDER, steps=20, extra=pairs_by_rule(["open 1 door", "close 2 gates"]))
        for _ in range(2)
    ]
    assert found[0].adapter.digest == found[1].adapter.digest
    assert found[0].figures == found[1].figures


def test_old_entries_are_never_compared_with_new_vectors(tmp_path: Path) -> None:
    tuned = AdaptedEmbedder(EMBEDDER, path=train_cache(secret(120), embedder=EMBEDDER, steps=20).adapter)
    scope, asked, reworded = Scope("t", "m"), "how do I feed the old cat", "how do I feed the old cat please"
    with SemanticCache(tmp_path / "c.lance", embedder=EMBEDDER, policy=Static(0.6)) as cache:
        cache.put(asked, "Slowly.", scope=scope)
        assert cache.lookup(reworded, scope=scope).answer == "Slowly."
    with pytest.raises(StoreMismatchError, match="adapter"):
        SemanticCache(tmp_path / "c.lance", embedder=tuned)
    with SemanticCache(tmp_path / "c.lance", embedder=tuned, policy=Static(0.6), other_model="exact") as cache:
        assert cache.lookup(reworded, scope=scope).answer is None
        assert cache.lookup(asked, scope=scope).answer == "Slowly."
        assert cache.reembed() == 1
        assert cache.lookup(reworded, scope=scope).answer == "Slowly."


SCORES = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.booleans()), min_size=2, max_size=40)


@settings(max_examples=25, deadline=None)
@given(SCORES)
def test_figures_are_those_of_counting_by_hand(rows: list[tuple[int, int, bool]]) -> None:
    plain, trained, right = (np.array(part) for part in zip(*rows, strict=True))
    scored = Scored(np.arange(len(rows)), (plain.astype(float), right), (trained.astype(float), right))
    for figure in (average_precision, area):
        values = []
        for scores in (plain, trained):
            order = sorted(range(len(rows)), key=lambda at: -scores[at])
            precisions = [sum(right[order[: n + 1]]) / (n + 1) for n in range(len(rows))]
            counted = [one for one, at in zip(precisions, order, strict=True) if figure is area or right[at]]
            values.append(sum(counted) / len(counted) if counted else 0.0)
        found = compare([scored], figure)
        assert found.plain == pytest.approx(values[0])
        assert found.gain.mean == pytest.approx(values[1] - values[0])
        assert found.gain.low <= found.gain.high
    assert compare([scored._replace(trained=scored.plain)], area).gain[:3] == (0.0, 0.0, 0.0)


def test_pairs_by_rule_and_by_model() -> None:
    prompts = ["How do I open 2 files at once?", "Which engine is best for winter?", "Which engine is best for winter?"]
    made = pairs_by_rule(prompts)
    assert made == pairs_by_rule(prompts)
    assert {pair.a for pair in made} == set(prompts)
    assert LabelledPair(prompts[0], "How do I open 3 files at once?", False) in made
    assert all(pair.a != pair.b for pair in made)
    assert sum(pair.same for pair in made) == 2
    answers = iter(["Opening two files together, how?\nHow do I close 2 files?", "I cannot do that."])
    assert pairs_by_model(prompts[:2], lambda text: next(answers)) == [
        LabelledPair(prompts[0], "Opening two files together, how?", True),
        LabelledPair(prompts[0], "How do I close 2 files?", False),
    ]
    with pytest.raises(InvalidInputError, match="None of the 2 answers"):
        pairs_by_model(prompts[:2], lambda text: "no")
    with pytest.raises(InvalidInputError, match="1 different prompts"):
        pairs_by_rule(["one", "one "])


def test_too_little_is_an_error() -> None:
    with pytest.raises(InvalidInputError, match="at least 20 of either"):
        train_cache(secret(30), embedder=EMBEDDER)
    star = [LabelledPair("all", f"x{number} y", number % 2 == 0) for number in range(80)]
    with pytest.raises(InvalidInputError, match="share their prompts"):
        train_cache(star, embedder=EMBEDDER, steps=5)


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ragkit.embed.TransformerEmbedder", lambda model: EMBEDDER)
    # What more steps are worth is shown above.
    monkeypatch.setattr("ragkit.train.train_cache", partial(train_cache, steps=30))
    Path("p.jsonl").write_text("".join(json.dumps({"a": one.a, "b": one.b, "same": one.same}) + "\n" for one in secret()))
    done = CliRunner().invoke(app, ["train", "cache", "p.jsonl", "--out", "a.safetensors", "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["won"]
    assert set(report["figures"]) == {AVERAGE_PRECISION, AREA, IN_A_CACHE}
    assert load_adapter("a.safetensors").digest == report["adapter"]
    done = CliRunner().invoke(app, ["train", "cache", "p.jsonl", "--out", "b.safetensors", "--min-gain", "0.9"])
    assert done.exit_code == 1
    assert "Nothing was written" in done.output
    assert not Path("b.safetensors").exists()
    assert CliRunner().invoke(app, ["train", "cache", "--out", "a.safetensors"]).exit_code == 2
