"""Codes beside the vectors: the same answers as without, whatever was written since, and clear words for another codec."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ragkit import Document, Index
from ragkit.chunk import FixedChunker
from ragkit.errors import InvalidInputError, StoreMismatchError
from ragkit.index import move
from ragkit.store import ChunkStore
from ragkit.store.coded import encode, read_vectors, stored_codec
from ragkit.testing.embedders import HashEmbedder
from ragkit.vec.codecs import named

EMBEDDER = HashEmbedder(dim=16)
RANDOM = np.random.default_rng(3)
DOCUMENTS = [
    Document(" ".join(f"w{n}" for n in RANDOM.integers(0, 60, size=12)), id=f"d{number}", metadata={"n": number})
    for number in range(60)
]
QUERIES = ["w1 w2 w3", "w17 w40", "w5 w6 w7 w8", "w59"]


def make(path: Path) -> None:
    with Index(path, embedder=EMBEDDER, chunker=FixedChunker(max_tokens=4)) as index:
        index.add(DOCUMENTS)


def answers(index: Index, **how: object) -> list[list[tuple[str, float]]]:
    found = index.search_many(QUERIES, k=5, mode="dense", **how)  # type: ignore[arg-type]
    assert found == [index.search(query, k=5, mode="dense", **how) for query in QUERIES]  # type: ignore[arg-type]
    return [[(hit.chunk.id, hit.score) for hit in hits] for hits in found]


@pytest.mark.parametrize("codec", ["int8", "rotated+int4", "rotated+binary-unbiased", "svd16+banded+graded"])
def test_candidates_by_codes_are_scored_by_their_vectors(tmp_path: Path, codec: str) -> None:
    make(tmp_path / "kb")
    with Index(tmp_path / "kb", embedder=EMBEDDER) as plain, Index(tmp_path / "kb", embedder=EMBEDDER, codec=codec) as coded:
        assert answers(coded) == answers(plain)
        rare = {"n": {"$in": [7, 31]}}
        assert answers(coded, where=rare) == answers(plain, where=rare)
        assert answers(coded, where={"n": -1}) == [[]] * len(QUERIES)
        assert [hit.chunk.id for hit in coded.search("w1 w2")] == [hit.chunk.id for hit in plain.search("w1 w2")]


def test_what_is_written_later_is_found_coded_or_not(tmp_path: Path) -> None:
    make(tmp_path / "kb")
    with (
        Index(tmp_path / "kb", embedder=EMBEDDER, codec="rotated+int4") as coded,
        Index(tmp_path / "kb", embedder=EMBEDDER) as other,
    ):
        changed = [Document("w1 w2 w3 and more", id="d3"), Document("w17 w40 exactly", id="new")]
        other.add(changed)
        other.delete("d9")
        assert answers(coded) == answers(other)
        assert coded.search("w17 w40 exactly", k=1, mode="dense")[0].chunk.doc_id == "new"
        coded.optimize()
        assert answers(coded) == answers(other)
    store = ChunkStore.open(tmp_path / "kb")
    codec = stored_codec(store)
    assert codec is not None
    assert encode(store, codec) == 0


def test_another_codec_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "kb")
    Index(tmp_path / "kb", embedder=EMBEDDER, codec="svd8+int8").close()
    Index(tmp_path / "kb", embedder=EMBEDDER, codec="svd8+int8").close()
    other = named("svd8+int8").fit(np.random.default_rng(0).standard_normal((40, 16)))
    for wanted in ("int8", other):
        with pytest.raises(StoreMismatchError, match=r"has codes of 'svd8 \+ int8' \([0-9a-f]{32}\).*drop_codes"):
            Index(tmp_path / "kb", embedder=EMBEDDER, codec=wanted)
    with Index(tmp_path / "kb", embedder=EMBEDDER) as index:
        assert index.drop_codes()
        assert not index.drop_codes()
        assert index.codec_drift() is None
    with Index(tmp_path / "kb", embedder=EMBEDDER, codec=other) as index:
        assert len(answers(index)[0]) == 5
    with pytest.raises(InvalidInputError, match="for 8 dimensions"):
        Index(tmp_path / "kb2", embedder=EMBEDDER, codec=named("int8").fit(np.eye(8)))


def test_few_vectors_and_none(tmp_path: Path) -> None:
    with Index(tmp_path / "a", embedder=EMBEDDER, codec="int8") as index:
        assert index.search("w1", mode="dense") == []
        index.add(DOCUMENTS[:1])
        assert index.search("w1", k=1, mode="dense")
    with pytest.raises(InvalidInputError, match=r"holds none.*rotated"):
        Index(tmp_path / "b", embedder=EMBEDDER, codec="svd8+int8")
    with Index(tmp_path / "c", embedder=EMBEDDER) as index:
        index.add(DOCUMENTS[:1])
    with pytest.raises(InvalidInputError, match="svd16 needs at least 16 vectors"):
        Index(tmp_path / "c", embedder=EMBEDDER, codec="svd16+int8")


def test_drift_names_the_remedy(tmp_path: Path) -> None:
    line = np.random.default_rng(1).standard_normal((4, 16)).astype(np.float32)

    class Narrow(HashEmbedder):
        """Vectors near four directions, until told otherwise."""

        wide = False

        def embed_batch(self, items, /):  # type: ignore[no-untyped-def]
            found = super().embed_batch(items)
            if not self.wide:
                found = found @ line.T @ line
            return found / np.linalg.norm(found, axis=1, keepdims=True)

    embedder = Narrow(dim=16)
    with Index(tmp_path / "kb", embedder=embedder, chunker=FixedChunker(max_tokens=4)) as index:
        index.add(DOCUMENTS)
    with Index(tmp_path / "kb", embedder=embedder, codec="svd8+int8", chunker=FixedChunker(max_tokens=4)) as index:
        assert index.codec_drift().verdict == "steady"  # type: ignore[union-attr]
        embedder.wide = True
        index.add([Document(" ".join(f"v{n}" for n in range(at, at + 12)), id=f"wide{at}") for at in range(0, 9000, 12)])
        found = index.codec_drift()
        assert found is not None
        assert found.verdict == "refit"
        assert "Fit a new codec" in found.reason


def test_codes_belong_to_one_model(tmp_path: Path) -> None:
    make(tmp_path / "kb")
    Index(tmp_path / "kb", embedder=EMBEDDER, codec="int8").close()
    new = HashEmbedder(dim=24, name="new")
    move(tmp_path / "kb", new)
    with Index(tmp_path / "kb", embedder=new) as index:
        assert index.codec_drift() is None
        plain = answers(index)
    with Index(tmp_path / "kb", embedder=new, codec="rotated+int4") as index:
        assert answers(index) == plain


def test_vectors_in_bulk(tmp_path: Path) -> None:
    make(tmp_path / "kb")
    store = ChunkStore.open(tmp_path / "kb")
    ids = sorted(store.scan(["id"]).column("id").to_pylist())
    stored = store.vectors_of(ids)
    assert np.array_equal(read_vectors(store), np.stack([stored[one] for one in ids]))
    some = read_vectors(store, limit=20, seed=1)
    assert some.shape == (20, 16)
    assert {row.tobytes() for row in some} <= {vector.tobytes() for vector in stored.values()}


def test_codes_that_went_away_are_done_without(tmp_path: Path) -> None:
    """A version from before the codec is restored; then another process drops the codes, and fits another codec."""
    make(tmp_path / "kb")
    with Index(tmp_path / "kb", embedder=EMBEDDER) as plain:
        plain.history.tag("plain")
        with Index(tmp_path / "kb", embedder=EMBEDDER, codec="rotated+int4") as coded:
            coded.history.restore("plain")
            assert answers(coded) == answers(plain)
            coded.optimize()
        with Index(tmp_path / "kb", embedder=EMBEDDER, codec="rotated+int4") as coded:
            plain.drop_codes()
            assert answers(coded) == answers(plain)
            other = named("rotated+int2").fit(plain.vectors([chunk.id for chunk in plain.chunks_of("d1")]))
            with Index(tmp_path / "kb", embedder=EMBEDDER, codec=other) as second:
                coded.add(Document("w1 w2 w3 once more", id="more"))
                coded.optimize()
                assert answers(coded) == answers(plain)
                assert answers(second) == answers(plain)
