"""Two models, one database: a pair is checked before it asks, and a bridge carries questions and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragkit import Document, Index
from ragkit.embed import AsymmetricEmbedder, BridgedEmbedder, TransformerEmbedder, load_embedder
from ragkit.errors import CapabilityError, InvalidInputError, StoreMismatchError
from ragkit.index import move
from ragkit.seams import Vectors
from ragkit.testing.embedders import HashEmbedder
from ragkit.vec.bridge import fit_bridge

DOCUMENTS = HashEmbedder(dim=16, name="documents")
TEXTS = [f"The {n}th text of word{n} and word{n + 1}, with word{n % 7} as well." for n in range(120)]


class Student(HashEmbedder):
    """Near the documents' model, as a model trained to meet it: the same vectors with some noise."""

    def __init__(self, *, noise: float = 0.3) -> None:
        super().__init__(dim=16, name="student")
        self.noise = noise

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        found = DOCUMENTS.embed_texts(texts) + self.noise * np.stack(
            [HashEmbedder(dim=16).embed_query(f"noise {len(t)} {t[:3]}") for t in texts]
        )
        unit: Vectors = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
        return unit


def test_a_pair_asks_the_documents_models_database(tmp_path: Path) -> None:
    with Index(tmp_path / "kb", embedder=DOCUMENTS) as index:
        index.add([Document(text, id=str(n)) for n, text in enumerate(TEXTS)])
    pair = AsymmetricEmbedder(documents=DOCUMENTS, queries=Student())
    with Index(tmp_path / "kb", embedder=pair) as index:
        assert index.card == DOCUMENTS.card
        (hit,) = index.search("word5 and word6", k=1, mode="dense")
        assert hit.chunk.doc_id == "5"
        assert hit.score == pytest.approx(
            float(Student().embed_queries(["word5 and word6"])[0] @ DOCUMENTS.embed_query(TEXTS[5])), abs=1e-4
        )
        index.add([Document("A text of the pair.", id="pair")])
    with Index(tmp_path / "kb", embedder=DOCUMENTS) as index:
        assert np.allclose(index.vectors([index.chunks_of("pair")[0].id])[0], DOCUMENTS.embed_query("A text of the pair."))


def test_a_database_made_with_a_pair_wants_that_pair(tmp_path: Path) -> None:
    pair = AsymmetricEmbedder(documents=DOCUMENTS, queries=Student())
    Index(tmp_path / "kb", embedder=pair).close()
    Index(tmp_path / "kb", embedder=AsymmetricEmbedder(documents=DOCUMENTS, queries=Student())).close()
    for other in (DOCUMENTS, AsymmetricEmbedder(documents=DOCUMENTS, queries=HashEmbedder(dim=16, name="other"))):
        with pytest.raises(StoreMismatchError, match="queries"):
            Index(tmp_path / "kb", embedder=other)


def test_models_that_do_not_meet_are_refused_before_the_first_question() -> None:
    class Stranger(HashEmbedder):
        def embed_texts(self, texts: Sequence[str], /) -> Vectors:
            return super().embed_texts([text[::-1] for text in texts])

    pair = AsymmetricEmbedder(documents=DOCUMENTS, queries=Stranger(dim=16, name="stranger"))
    with pytest.raises(
        InvalidInputError, match=r"'stranger' do not meet documents by 'documents'.*mean cosine is -?0\.\d\d \(at least 0\.60"
    ):
        pair.embed_query("a question")
    with pytest.raises(InvalidInputError, match="16 dimensions and questions by 'long' 32"):
        assert AsymmetricEmbedder(documents=DOCUMENTS, queries=HashEmbedder(dim=32, name="long")).card
    with pytest.raises(InvalidInputError, match="least is 2"):
        AsymmetricEmbedder(documents=DOCUMENTS, queries=Student(), least=2)
    with pytest.raises(InvalidInputError, match="at least two"):
        AsymmetricEmbedder(documents=DOCUMENTS, queries=Student(), probes=["one"])
    report = AsymmetricEmbedder(documents=DOCUMENTS, queries=Student()).check()
    assert report.cosine > 0.9
    assert report.found == 1.0
    assert report.others < 0.6


def test_a_space_in_which_everything_is_alike_does_not_pass_for_understanding() -> None:
    class Blurred(HashEmbedder):
        def embed_texts(self, texts: Sequence[str], /) -> Vectors:
            return DOCUMENTS.embed_texts(["one text"]).repeat(len(texts), axis=0)

    with pytest.raises(InvalidInputError, match="of the texts find themselves"):
        AsymmetricEmbedder(documents=DOCUMENTS, queries=Blurred(dim=16), least=0.0).embed_query("a question")


def test_a_bridge_asks_the_old_database_and_stores_nothing(tmp_path: Path) -> None:
    new = replace_name(HashEmbedder(dim=24), "new")
    texts = [f"word{a} word{b}" for a in range(20) for b in range(20)]
    bridge = fit_bridge(DOCUMENTS, new, texts, force=True)
    bridged = BridgedEmbedder(new, bridge)
    with Index(tmp_path / "kb", embedder=DOCUMENTS) as index:
        index.add([Document(text, id=text) for text in texts])
    with Index(tmp_path / "kb", embedder=bridged) as index:
        assert index.search("word3 word4", k=2, mode="dense")[0].chunk.doc_id in ("word3 word4", "word4 word3")
        with pytest.raises(CapabilityError, match="carries questions only"):
            index.add([Document("A new text.")])
        assert index.stats().documents == len(texts)
    assert bridge.fingerprint in bridged.card.settings["bridge"]
    with pytest.raises(StoreMismatchError, match="fitted for questions of 'new'"):
        assert BridgedEmbedder(HashEmbedder(dim=24, name="other"), bridge).card
    pair = AsymmetricEmbedder(documents=DOCUMENTS, queries=bridged, probes=texts[:8])
    with Index(tmp_path / "kb", embedder=pair) as index:
        index.add([Document("word3 word4 again")])
        assert index.search("word3 word4", k=1)
    move(tmp_path / "kb", new)
    with pytest.raises(StoreMismatchError):
        Index(tmp_path / "kb", embedder=bridged)


def replace_name(embedder: HashEmbedder, name: str) -> HashEmbedder:
    embedder.card = replace(embedder.card, name=name)
    return embedder


def test_fewer_layers_of_a_real_model_are_refused_without_a_bridge(minilm: TransformerEmbedder) -> None:
    """Vectors of the third layer were not trained to meet those of the sixth."""
    early = TransformerEmbedder("all-MiniLM-L6-v2", layers=3)
    pair = AsymmetricEmbedder(documents=minilm, queries=early)
    with pytest.raises(InvalidInputError, match="do not meet"):
        pair.embed_query("When does a request give up?")
    near = AsymmetricEmbedder(documents=minilm, queries=TransformerEmbedder("all-MiniLM-L6-v2", temperature=0.9))
    assert near.check().cosine > 0.95
    again = load_embedder(near.card)
    assert isinstance(again, AsymmetricEmbedder)
    assert again.card == near.card
    with pytest.raises(CapabilityError, match="bridge"):
        load_embedder(replace(minilm.card, settings={**minilm.card.settings, "bridge": "00"}))
