"""The position probe finds a known bias, and none where there is none."""

from __future__ import annotations

import pytest

from ragkit.embed import TransformerEmbedder
from ragkit.errors import InvalidInputError
from ragkit.evaluate import bias_probe, needles
from ragkit.testing.embedders import HashEmbedder


def test_bias_of_minilm_is_towards_the_beginning(minilm: TransformerEmbedder) -> None:
    texts = [document.text for document in needles(tokens=70, tokenizer=minilm.tokenizer, queries=1, documents=6).documents]
    report = bias_probe(minilm, [*texts, "Too short."], "The train to the airport leaves from platform nine.")
    assert (report.n, report.skipped) == (6, 1)
    assert report.inserted["start"].mean < report.inserted["end"].mean
    assert report.inserted_tilt[1] == "better"
    for value in (*report.inserted.values(), *report.removed.values()):
        assert value.low <= value.mean <= value.high <= 1.0 + 1e-6
    header, rows = report.table()
    assert len(header) == len(rows[0]) == 5


def test_bias_of_a_model_without_order_is_nil() -> None:
    """Bags of words: where a text is put changes nothing, so nobody wins."""
    texts = ["One cat sat here. Two dogs ran there. Three birds sang. Four fish swam."] * 3
    report = bias_probe(HashEmbedder(), texts, ["A cold wind.", "An old hat.", "A red door."])
    assert report.inserted_tilt[0].mean == pytest.approx(0, abs=1e-6)
    assert report.inserted_tilt[1] == "no winner"


@pytest.mark.parametrize(
    ("texts", "inserted", "found"),
    [
        ("One. Two. Three.", "x", "single str"),
        (["One. Two. Three."], ["a", "b"], "2 texts for 1"),
        (["One. Two. Three."], "  ", "empty"),
        (["One two three."], "x", "three sentences"),
    ],
)
def test_bias_needs_something_to_measure(texts: list[str], inserted: str, found: str, minilm: TransformerEmbedder) -> None:
    with pytest.raises(InvalidInputError, match=found):
        bias_probe(minilm, texts, inserted)
