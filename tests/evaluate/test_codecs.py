"""The study of codecs: known figures, the Pareto set, pictures, and the command on a real database."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ragkit import Document, Index
from ragkit.cli.app import app
from ragkit.errors import InvalidInputError
from ragkit.evaluate.codecs import codec_report, parse_codec
from ragkit.testing.embedders import HashEmbedder
from ragkit.vec.codecs import named

SOME = ["float16", "int8", "rotated+int4", "rotated+int2", "binary", "binary -> int8 @ 10"]


def unit(n: int, dim: int = 64, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, dim)) * np.linspace(2, 0.2, dim)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_figures_are_those_counted_by_hand():
    vectors, queries = unit(300), unit(25, seed=1)
    judgements = [{f"u{int(np.argmax(query @ vectors.T))}": 1} for query in queries]
    units = [f"u{row}" for row in range(300)]
    report = codec_report(vectors, queries, codecs=["rotated+int2"], judgements=judgements, units=units, k=5)
    exact, codec = report.outcomes
    assert (exact.name, exact.hot, exact.times, exact.ndcg) == ("float32", 256, 1.0, 1.0)
    fitted = named("rotated+int2").fit(vectors)
    scores = queries.astype(np.float64) @ fitted.decode(fitted.encode(vectors)).T
    found, wanted = np.argsort(-scores, axis=1)[:, :5], np.argsort(-(queries @ vectors.T), axis=1)[:, :5]
    shared = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(found.tolist(), wanted.tolist(), strict=True)])
    places = [one.tolist().index(best[0]) if best[0] in one else None for one, best in zip(found, wanted, strict=True)]
    ndcg = np.mean([0 if place is None else 1 / np.log2(place + 2) for place in places])
    assert codec.overlap.mean == pytest.approx(shared)
    assert codec.ndcg == pytest.approx(ndcg)
    assert codec.difference.mean == pytest.approx(ndcg - 1)
    assert codec.hot == 20


def test_the_pareto_set_has_no_codec_that_another_beats():
    report = codec_report(unit(400), codecs=SOME)
    figures = {one.name: (one.hot, one.hot + one.cold, -one.overlap.mean) for one in report.outcomes}
    for one in report.outcomes:
        beaten = [
            name
            for name, other in figures.items()
            if other != figures[one.name] and all(map(float.__le__, *([float(x) for x in f] for f in (other, figures[one.name]))))
        ]
        assert one.pareto == (not beaten), (one.name, beaten)
    assert [one.hot for one in report.pareto] == sorted(one.hot for one in report.pareto)
    assert len(report.sentences()) == len(report.pareto)
    assert report.made_queries


def test_a_vector_is_not_its_own_neighbour():
    vectors = np.repeat(unit(30), 2, axis=0)  # every vector has one twin
    report = codec_report(vectors, codecs=["float16", "binary -> int8 @ 3"], k=1)
    assert [one.overlap.mean for one in report.outcomes] == [1.0, 1.0, 1.0]


def test_a_codec_that_does_not_suit_is_told_and_left_out():
    vectors = unit(40)
    report = codec_report(vectors, codecs=["svd50+int8", "int8"], k=3)
    assert "svd50 needs at least 50 vectors" in report.outcomes[1].left_out
    assert not report.outcomes[2].left_out
    assert len(report.table()[1]) == 2
    assert json.loads(json.dumps(report.to_dict()))["outcomes"][1]["left_out"]


def test_shares_of_the_dimensions():
    assert parse_codec("svdhalf+int8", 384) == named("svd192+int8")
    assert parse_codec("pcaquarter+rotated+int4", 384) == named("pca96+rotated+int4")
    assert parse_codec("binary -> int8 @ 4", 8).oversample == 4
    for wrong in ("binary -> int8 @ four", "binary -> ", "binary -> int8 @ 0.1", "int5"):
        with pytest.raises(InvalidInputError):
            parse_codec(wrong, 8)
    with pytest.raises(InvalidInputError, match="more vectors than k"):
        codec_report(unit(10), k=10)
    with pytest.raises(InvalidInputError, match="belong together"):
        codec_report(unit(40), unit(2), judgements=[{}, {}])


WORDS = [f"word{place}" for place in range(80)]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("codecs") / "kb.lance"
    random = np.random.default_rng(3)
    documents = [Document(" ".join(random.choice(WORDS, 20)), id=str(place)) for place in range(120)]
    with Index(path, embedder=HashEmbedder(dim=48)) as index:
        index.add(documents)
    return path


def call(*arguments: object):
    return CliRunner().invoke(app, ["study", "codecs", *map(str, arguments)])


def test_json_page_and_picture(database, tmp_path):
    pytest.importorskip("matplotlib")
    page, picture = tmp_path / "a.html", tmp_path / "a.png"
    done = call(
        database, "--codecs", "int8,rotated+int4,binary -> int8 @ 10,svd130+int8", "--json", "--html", page, "--png", picture
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [one["name"] for one in found["outcomes"]] == [
        "float32",
        "int8",
        "rotated+int4",
        "binary -> int8 @ 10",
        "svd130+int8",
    ]
    assert found["rows"] == 120
    assert found["outcomes"][1]["overlap"][0] > 0.97
    assert "has 48" in found["outcomes"][4]["left_out"] or "have 48" in found["outcomes"][4]["left_out"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    text = page.read_text(encoding="utf-8")
    assert "<svg" in text
    assert "int8: 52 bytes a vector" in text
    assert not set(re.findall(r"(?:src|href)=.(?!#)[^ >]*", text))  # nothing is loaded from elsewhere


def test_wrong_use(database, tmp_path):
    assert call(database, "--png", tmp_path / "a.jpg").exit_code == 2
    unknown = call(database, "--codecs", "int5")
    assert unknown.exit_code == 1
    assert "'int5'" in unknown.output
    assert call(tmp_path / "nothing").exit_code == 1
    blank = tmp_path / "q.txt"
    blank.write_text("\n")
    assert "no line with text" in call(database, "--questions", blank).output


def test_a_labelled_collection_has_ndcg(tmp_path):
    topics = ["cats", "ships", "bread", "rain", "chess", "roses", "trains", "bees", "salt", "glass", "wolves", "maps"]
    corpus = [{"_id": topic, "text": f"A short text that tells all about {topic}."} for topic in topics]
    queries = [{"_id": f"q-{topic}", "text": f"What is said about {topic}?"} for topic in topics[:6]]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)))
    (tmp_path / "queries.jsonl").write_text("\n".join(map(json.dumps, [*queries, {"_id": "stray", "text": "?"}])))
    (tmp_path / "qrels.tsv").write_text("q\td\tr\n" + "".join(f"q-{topic}\t{topic}\t1\n" for topic in topics[:6]))
    done = call(tmp_path, "--codecs", "int8", "--k", "3", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    exact, codec = found["outcomes"]
    assert exact["ndcg"] == codec["ndcg"] == 1.0
    assert codec["difference"][:3] == [0, 0, 0]
    assert found["queries"] == 6
    assert "1 questions without judgements" in found["notes"][0]
