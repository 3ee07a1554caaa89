"""Weights that may change: read as the embedder reads, moved by gradients, saved as a folder the embedder loads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragkit.embed import TransformerEmbedder
from ragkit.embed.tuning import Tunable
from ragkit.errors import CapabilityError, InvalidInputError
from ragkit.types import Chunk, Document, Encoding

TEXT = "the old cat sat on a mat and saw her dog bark at night while rain"
DOCUMENT = Document(TEXT, id="d")
Make = Callable[..., Path]


def chunks_of(cut: Callable[..., Chunk]) -> list[Chunk]:
    return [
        cut(DOCUMENT, 0, 15),
        cut(DOCUMENT, 16, 40, context="old town", index=1),
        replace(cut(DOCUMENT, 41, len(TEXT), context="a dog", index=2), encoding=Encoding(plain=0.5)),
        cut(DOCUMENT, 16, 40, window=(0, len(TEXT)), index=3),
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"kind": "distilbert", "dense": 8},
        {"pooling": "max"},
        {"window": 12},
        {"prompts": {"query": "saw: ", "document": "a: "}},
    ],
    ids=["mean", "dense head", "max", "passes", "prompts"],
)
def test_it_reads_as_the_embedder_reads(make_model: Make, cut: Callable[..., Chunk], settings: dict):
    base = TransformerEmbedder(str(make_model(**settings)))
    tunable = Tunable(base, method="full")
    chunks, questions = chunks_of(cut), ["the dog", "rain at night"]
    planned = tunable.plan_chunks([(DOCUMENT, chunks)])
    asked = tunable.plan_queries(questions)
    # Half precision where the processor has it: directions agree, digits do not.
    np.testing.assert_allclose(tunable.vectors(planned), base.embed_chunks(DOCUMENT, chunks), atol=0.05)
    np.testing.assert_allclose(tunable.vectors(asked), base.embed_queries(questions), atol=0.05)
    some = tunable.encode(planned, [3, 1]).detach().numpy()
    np.testing.assert_allclose(some, tunable.vectors(planned)[[3, 1]], atol=0.05)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_what_was_trained_is_what_a_folder_gives(make_model: Make, cut: Callable[..., Chunk], tmp_path: Path, method: str):
    import torch

    if method == "lora":
        pytest.importorskip("peft")
    folder = make_model("bert", prompts={"query": "saw: "})
    base = TransformerEmbedder(str(folder))
    tunable = Tunable(base, method=method, rank=2)
    planned, asked = tunable.plan_chunks([(DOCUMENT, chunks_of(cut))]), tunable.plan_queries(["the dog"])
    before = float(tunable.encode(asked, [0]).detach() @ tunable.encode(planned, [1]).detach().T)
    optimiser = torch.optim.AdamW(tunable.weights(), lr=0.01)
    for _ in range(5):
        loss = -(tunable.encode(asked, [0]) * tunable.encode(planned, [1])).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    wanted, question = tunable.vectors(planned), tunable.vectors(asked)
    assert float(question[0] @ wanted[1]) > before
    tunable.save(tmp_path / "tuned", readme="# Tuned\n")
    loaded = TransformerEmbedder(str(tmp_path / "tuned"))
    np.testing.assert_allclose(loaded.embed_chunks(DOCUMENT, chunks_of(cut)), wanted, atol=0.05)
    np.testing.assert_allclose(loaded.embed_queries(["the dog"]), question, atol=0.05)
    assert loaded.card.fingerprint != base.card.fingerprint
    assert replace(loaded.card, name=base.card.name, weights=base.card.weights) == base.card
    assert (tmp_path / "tuned" / "README.md").read_text() == "# Tuned\n"
    assert [path.name for path in tmp_path.iterdir()] == ["tuned"]
    with pytest.raises(InvalidInputError, match="not an empty folder"):
        tunable.save(tmp_path / "tuned", readme="")


def test_refused(make_model: Make, cut: Callable[..., Chunk]):
    folder = str(make_model())
    with pytest.raises(CapabilityError, match="some of its layers"):
        Tunable(TransformerEmbedder(folder, layers=2), method="full")
    with pytest.raises(InvalidInputError, match="allowed are lora, full"):
        Tunable(TransformerEmbedder(folder), method="half")  # type: ignore[arg-type]
    mean = replace(cut(DOCUMENT, 0, 15), encoding=Encoding(document=0.1))
    with pytest.raises(InvalidInputError, match="document=0"):
        Tunable(TransformerEmbedder(folder), method="full").plan_chunks([(DOCUMENT, [mean])])
    first = Tunable(TransformerEmbedder(str(make_model(pooling="cls"))), method="full")
    first.plan_chunks([(DOCUMENT, [cut(DOCUMENT, 0, 15)])])
    with pytest.raises(CapabilityError, match="pools by 'cls'"):
        first.plan_chunks([(DOCUMENT, [cut(DOCUMENT, 0, 15, window=(0, 20))])])
