"""Studies of chunking: ranked as an index ranks, judged by spans, compared with care."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit import Document, Index
from ragkit.chunk import RecursiveChunker, Situate
from ragkit.embed import CachedEmbedder
from ragkit.errors import InvalidInputError
from ragkit.evaluate import CONTEXTS, Collection, Passage, Query, Recipe, Verdict, limited, plan_study, recipe_grid, study_chunks
from ragkit.evaluate.metrics import Returned, span_metrics
from ragkit.evaluate.study_compare import Resamples, differences, estimates, holm, two_sided
from ragkit.evaluate.study_shelf import fill
from ragkit.retrieve import Adaptive
from ragkit.testing.embedders import HashEmbedder

WORDS = [f"word{place}" for place in range(60)]


def _documents(number: int = 6, sentences: int = 30) -> list[Document]:
    random = np.random.default_rng(3)
    made = []
    for at in range(number):
        lines = [
            " ".join([*random.choice(WORDS, 7), f"fact{at}x{line}", *random.choice(WORDS, 4)]).capitalize() + "."
            for line in range(sentences)
        ]
        made.append(Document(" ".join(lines), id=f"doc{at}", metadata={"title": f"Title {at}"}))
    return made


@pytest.fixture(scope="module")
def collection() -> Collection:
    """One question for every fifth sentence: its rare word and two common ones; the sentence answers."""
    documents, queries, spans = _documents(), [], {}
    for document in documents:
        start = 0
        for line, sentence in enumerate(document.text.split(". ")):
            if line % 5 == 0:
                word = next(word for word in sentence.split() if word.lower().startswith("fact"))
                key = f"{document.id}-{line}"
                queries.append(Query(id=key, text=f"{word} {' '.join(sentence.split()[1:3])}"))
                spans[key] = ((document.id, start, start + len(sentence)),)
            start += len(sentence) + 2
    return Collection(name="made", documents=documents, queries=queries, spans=spans)


@pytest.mark.parametrize("step", [None, Situate(use="both")])
def test_ranks_as_an_index_ranks(collection: Collection, tmp_path: Path, step: Situate | None) -> None:
    chunker = RecursiveChunker(40) if step is None else RecursiveChunker(104) | step
    embedder, fusion = HashEmbedder(), Adaptive()  # which also looks at the score that BM25 cannot exceed
    study = plan_study(collection, recipes=[Recipe(name="one", chunker=chunker)], embedder=embedder, budgets=[300], fusion=fusion)
    words = [study.settings.analyzer.query_tokens(query.text) for query in study.gold.queries]
    shelf = fill(study.recipes[0].chunker, collection.documents, embedder, set().union(*words), study.settings)
    texts = [query.text for query in study.gold.queries]
    found = shelf.search(study.gold.queries, embedder.embed_queries(texts), words, study.settings)
    owners = shelf.places.owners
    with Index(tmp_path / "db", chunker=chunker, embedder=embedder, fusion=fusion) as index:
        index.add(collection.documents)
        for mode, some in found.items():
            for hits, (rows, scores) in zip(index.search_many(texts, k=20, mode=mode), some, strict=True):
                ours = [(shelf.places.documents[owners[row]], int(shelf.places.start[row])) for row in rows[:20]]
                assert ours == [(hit.chunk.doc_id, hit.chunk.start) for hit in hits]
                assert scores[:20] == pytest.approx([hit.score for hit in hits])


def test_landmarks_return_the_runs_of_an_index(collection: Collection, tmp_path: Path) -> None:
    few = replace(collection, queries=collection.queries[::6])
    embedder, budget = HashEmbedder(), 90
    study = plan_study(few, chunkers=["landmarks"], sizes=[60], embedder=embedder, budgets=[budget])
    (outcome,) = study.run()
    scope: dict[str, Any] = {}
    exec(f"from ragkit.chunk import *\nmade = {outcome.code}", scope)
    with Index(tmp_path / "db", chunker=scope["made"], embedder=embedder) as index:
        index.add(collection.documents)
        for mode, values in outcome.values.items():
            for query, value in zip(few.queries, values[f"recall@{budget}"], strict=True):
                hits = index.search_runs(query.text, k=20, max_tokens=60, mode=mode)  # type: ignore[arg-type]
                pieces = [Returned(hit.chunk.doc_id, hit.chunk.start, hit.chunk.end, hit.chunk.n_tokens) for hit in hits]
                assert span_metrics(pieces, few.spans[query.id], budget=budget)["recall"] == pytest.approx(value, abs=1e-5)
    assert outcome.values["bm25"]["nDCG@10"] == [1.0] * 6, "each question has a word that only its sentence has"


def test_a_recipe_against_itself_is_no_winner_and_a_worse_one_loses(collection: Collection) -> None:
    same = [Recipe(name=name, chunker=RecursiveChunker(40), size=40, baseline="one") for name in ("two", "three")]
    blind = Recipe(name="blind", chunker=RecursiveChunker(500), size=500, baseline="one")
    report = study_chunks(
        collection,
        recipes=[Recipe(name="one", chunker=RecursiveChunker(40)), *same, blind],
        embedder=HashEmbedder(),
        budgets=[30, 60],
    )
    for name in ("two", "three"):
        one = report.difference(name, "one")
        assert one is not None
        assert (one.mean, one.low, one.high, one.p, one.verdict) == (0, 0, 0, 1, "no winner")
    lost = report.difference("blind", "one")
    assert lost is not None
    assert lost.verdict == "worse"
    assert lost.p <= lost.p_holm < 0.05
    assert set(report.verdict.tied) == {"two", "three"}
    assert report.verdict.winner is None
    assert report.verdict.sentences[0].startswith("No winner")


def test_a_context_that_is_not_shown_to_pay_is_not_advised(collection: Collection) -> None:
    study = plan_study(
        collection, sizes=[24], contexts=["plain", "title"], embedder=HashEmbedder(), modes=["dense"], budgets=[60]
    )
    plain, title = study.run()
    values = plain.values["dense"]["recall@60"]

    def verdict(gains: int) -> Verdict:
        better = [min(1.0, value + 0.5 * (at < gains)) for at, value in enumerate(values)]
        return study.report([plain, replace(title, values={"dense": plain.values["dense"] | {"recall@60": better}})]).verdict

    some, all_of_them = verdict(3), verdict(len(values))
    assert (some.best, some.winner, some.recommended) == ("recursive 24 title", None, "recursive 24")
    assert (all_of_them.winner, all_of_them.recommended) == ("recursive 24 title", "recursive 24 title")
    assert all_of_them.code == "RecursiveChunker(88) | Situate(before=0, blend=1.0)"


def test_equal_tokens_are_judged_exactly(collection: Collection) -> None:
    """With the whole corpus as budget every recipe finds everything; with one token next to nothing."""
    tokens = sum(len(document.text.split()) for document in collection.documents) * 3
    report = study_chunks(
        collection, chunkers=["recursive", "fixed"], sizes=[20, 64], embedder=HashEmbedder(), budgets=[1, tokens]
    )
    for one in report.outcomes:
        assert all(value == pytest.approx(1) for value in one.values["hybrid"][f"recall@{tokens}"]), one.name
        assert max(one.values["hybrid"]["recall@1"]) < 0.5
    small, large = report.outcome("recursive 20"), report.outcome("recursive 64")
    assert small.chunks > 2 * large.chunks
    assert small.vector_bytes == small.chunks * 32 * 4
    assert small.text_bytes == sum(len(document.text.encode()) for document in collection.documents)


def test_a_cache_changes_nothing_and_resumes(collection: Collection, tmp_path: Path) -> None:
    plan = {"sizes": [30, 60], "contexts": ["plain", "blend"], "budgets": [100]}
    free = study_chunks(collection, embedder=HashEmbedder(), **plan)
    first = HashEmbedder()
    study = plan_study(collection, embedder=first, cache=tmp_path, **plan)
    running = study.run()
    done = [next(running), next(running)]
    running.close()
    second = HashEmbedder()
    rest = list(plan_study(collection, embedder=second, cache=tmp_path, **plan).run())
    assert [one.values for one in rest[:2]] == [one.values for one in done]
    assert [one.values for one in rest] == [one.values for one in free.outcomes]
    third = HashEmbedder()
    again = study_chunks(collection, embedder=third, cache=tmp_path, **plan)
    assert third.calls == 4  # the two recipes with context are tried on one chunk, which is read in two ways
    assert again.verdict == free.verdict
    other = replace(collection, queries=collection.queries[:20])
    assert (
        len(next(iter(plan_study(other, embedder=HashEmbedder(), cache=tmp_path, **plan).run())).values["dense"]["nDCG@10"]) == 20
    )
    file = next((tmp_path / "recipes").glob("*.json"))
    file.write_text("{")
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert study_chunks(collection, embedder=HashEmbedder(), cache=tmp_path, **plan).verdict == free.verdict


def test_times_are_never_those_of_a_cache(collection: Collection, tmp_path: Path) -> None:
    cached = CachedEmbedder(HashEmbedder(), path=tmp_path / "vectors.db")
    plan = {"sizes": [30], "contexts": ["plain"], "budgets": [100]}
    assert study_chunks(collection, embedder=cached, **plan).outcomes[0].timing == "measured"
    again = study_chunks(collection, embedder=cached, **plan).outcomes[0]
    assert again.timing == "sample"
    assert again.embed_seconds > 0


def test_same_spans_with_every_context_unless_the_window_is_short(collection: Collection) -> None:
    embedder = HashEmbedder()
    names = list(CONTEXTS)
    spans = {}
    for recipe in recipe_grid(sizes=[40], contexts=names, window=512):
        chunker = recipe.chunker.bind(embedder.tokenizer, window=512)
        spans[recipe.context] = [(chunk.start, chunk.end) for one in collection.documents for chunk in chunker(one)]
        scope: dict[str, object] = {}
        exec(f"from ragkit.chunk import *\nmade = {recipe.code}", scope)
        assert scope["made"].recipe == recipe.chunker.recipe  # type: ignore[attr-defined]
    assert all(some == spans["plain"] for some in spans.values())
    tight = plan_study(collection, sizes=[40], contexts=["plain", "title"], embedder=HashEmbedder(window=80), budgets=[100])
    assert any("recursive 40 title" in note for note in tight.notes)


def test_sizes_of_no_choice_are_those_the_model_reads(collection: Collection) -> None:
    study = plan_study(collection, embedder=HashEmbedder(window=200))
    assert [one.size for one in study.recipes] == [64, 128]
    assert study.notes == ("Sizes of 256, 512 tokens are left out: the model reads at most 200.",)
    assert not plan_study(collection, embedder=HashEmbedder(window=512)).notes


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sizes": [64, 900]}, "The size 900 is beyond the model's window of 512"),
        ({"sizes": [0]}, "at least 1"),
        ({"chunkers": ["clever"]}, "known are recursive"),
        ({"contexts": ["magic"]}, "known are plain"),
        ({"budgets": []}, "budget"),
        ({"modes": ["sparse"]}, "dense, bm25, hybrid"),
        ({"recipes": []}, "at least one"),
        ({"recipes": [Recipe(name="a", chunker=RecursiveChunker(9))] * 2}, "no name twice"),
    ],
)
def test_bad_plans_are_refused_before_any_work(collection: Collection, change: dict[str, object], says: str) -> None:
    embedder = HashEmbedder()
    with pytest.raises(InvalidInputError, match=says):
        plan_study(collection, embedder=embedder, **change)  # type: ignore[arg-type]
    assert embedder.calls == 0


def test_nothing_to_study_is_an_error(collection: Collection) -> None:
    with pytest.raises(InvalidInputError, match="no question"):
        plan_study(replace(collection, spans={}), embedder=HashEmbedder())
    with pytest.raises(InvalidInputError, match="no document with text"):
        plan_study(replace(collection, documents=[Document(" \n", id="a")]), embedder=HashEmbedder())


def test_passages_and_documents_as_gold() -> None:
    documents = _documents(3)
    halves = [
        Passage(id=f"{one.id}-{part}", doc_id=one.id, start=part * len(one.text) // 2, end=(part + 1) * len(one.text) // 2)
        for one in documents
        for part in (0, 1)
    ]
    queries = [Query(id=f"q{at}", text=f"fact{at}x2", doc_id=f"doc{at}" if at else None) for at in range(3)]
    passages = Collection(
        name="p",
        documents=documents,
        queries=queries,
        passages=halves,
        passage_qrels={f"q{at}": {f"doc{at}-0": 1} for at in range(3)},
    )
    report = study_chunks(passages, sizes=[30], embedder=HashEmbedder(), modes=["bm25"], budgets=[20])
    assert report.judged == "passages"
    assert report.estimate("recursive 30", "bm25", "nDCG@10").mean == 1
    assert any("questions are few" in note for note in report.notes)
    whole = Collection(name="d", documents=documents, queries=queries, qrels={f"q{at}": {f"doc{at}": 1} for at in range(3)})
    report = study_chunks(whole, sizes=[30], embedder=HashEmbedder(), modes=["bm25"], budgets=[20])
    assert (report.judged, report.headline[1]) == ("documents", "nDCG@10")
    assert report.estimate("recursive 30", "bm25", "recall@20").mean == 1


def test_a_report_is_json_and_its_figures_agree(collection: Collection) -> None:
    report = study_chunks(collection, sizes=[20, 60], contexts=["plain", "title"], embedder=HashEmbedder(), budgets=[50, 100])
    data = json.loads(json.dumps(report.to_dict()))
    assert [one["name"] for one in data["recipes"]] == [
        "recursive 20",
        "recursive 60",
        "recursive 20 title",
        "recursive 60 title",
    ]
    for score in data["scores"]:
        recipe = next(one for one in data["recipes"] if one["name"] == score["name"])
        values = recipe["values"][score["mode"]][score["metric"]]
        assert len(values) == len(data["questions"])
        assert score["mean"] == pytest.approx(np.mean(values))
        assert score["low"] <= score["mean"] + 1e-9
        assert score["mean"] <= score["high"] + 1e-9
    header, rows = report.table()
    assert len(header) == len(rows[0])
    assert len(rows) == 4
    with pytest.raises(KeyError, match="studied are recursive 20"):
        report.outcome("gone")


def test_limits_keep_what_answers(collection: Collection) -> None:
    small = limited(collection, documents=2, questions=5, seed=1)
    assert (len(small.documents), len(small.queries)) == (2, 5)
    kept = {one.id for one in small.documents}
    assert all(doc in kept for found in small.spans.values() for doc, _, _ in found)
    assert small == limited(collection, documents=2, questions=5, seed=1)
    assert limited(collection).queries == tuple(collection.queries)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_lowers_and_keeps_the_order(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(raw <= one <= 1 for raw, one in zip(p, adjusted, strict=True))
    assert adjusted[int(np.argmin(p))] == min(1.0, len(p) * min(p))
    assert all(b <= d for (a, b) in zip(p, adjusted, strict=True) for (c, d) in zip(p, adjusted, strict=True) if a < c)


def test_the_bootstrap_holds_its_level_and_has_power() -> None:
    """Among 400 studies without a difference about 5 % are called one; a shift of half a deviation is seen in most."""
    random = np.random.default_rng(5)
    resampled = Resamples(60, seed=1, resamples=1000)
    null, shifted = random.standard_normal((60, 400)), random.standard_normal((60, 100)) + 0.5
    assert 0.02 < np.mean(np.array(two_sided(resampled.means(null))) < 0.05) < 0.09
    assert np.mean(np.array(two_sided(resampled.means(shifted))) < 0.05) > 0.9
    covered = [one.low <= 0 <= one.high for one in estimates(null, resampled.means(null))]
    assert 0.9 < np.mean(covered) < 0.98


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(0, 5))
def test_differences_are_antisymmetric(n: int, seed: int) -> None:
    values = np.random.default_rng(seed).random((n, 2))
    sampled = Resamples(n, seed=seed, resamples=200).means(values)
    how = {"against": "baseline", "mode": "dense", "metric": "m"}
    one, other = differences(values, sampled, ["a", "b"], [("a", "b"), ("b", "a")], **how)  # type: ignore[arg-type]
    assert one.mean == pytest.approx(-other.mean)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert one.p == pytest.approx(other.p)
