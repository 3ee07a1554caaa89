"""Passkeys and needles by rule: the same everywhere, exactly as long as asked, found where a model can read them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ragkit.embed import TransformerEmbedder
from ragkit.errors import InvalidInputError, TextTooLongError
from ragkit.evaluate import Collection, first_hits, first_hits_by_parts, needles, passkeys
from ragkit.text import CharacterTokenizer, WordTokenizer
from ragkit.types import digest

Make = Callable[..., Path]
MAKERS = [passkeys, needles]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("tokens", [40, 256, 2048])
def test_texts_are_as_long_as_asked_and_hold_their_fact_once(make: Callable[..., Collection], tokens: int) -> None:
    tokenizer = WordTokenizer()
    made = make(tokens=tokens, tokenizer=tokenizer, queries=5, documents=9)
    counts = tokenizer.count_batch([document.text for document in made.documents])
    assert max(counts) <= tokens
    assert min(counts) > tokens - 20
    assert [query.id for query in made.queries] == list(made.qrels) == list(made.spans)
    for query in made.queries:
        [(doc_id, start, end)] = made.spans[query.id]
        assert made.qrels[query.id] == {doc_id: 1}
        fact = next(document.text for document in made.documents if document.id == doc_id)[start:end]
        assert fact.endswith(".")
        assert sum(document.text.count(fact) for document in made.documents) == 1
        said = set(query.text.rstrip("?").replace("'s", "").split())
        assert len(said & set(fact.rstrip(".").replace("'s", "").split())) >= 2


@pytest.mark.parametrize("make", MAKERS)
def test_the_seed_decides_and_nothing_else(make: Callable[..., Collection]) -> None:
    def print_of(seed: int) -> str:
        made = make(tokens=300, tokenizer=CharacterTokenizer(), queries=4, documents=4, seed=seed)
        return digest(*(document.text for document in made.documents), *(query.text for query in made.queries))

    assert print_of(3) == print_of(3) != print_of(4)


def test_the_same_on_every_machine() -> None:
    made = passkeys(tokens=30, tokenizer=WordTokenizer(), queries=1, documents=1)
    assert made.queries[0].text == "What is Quentin Keller's passkey?"
    before = "The grass is green. The sky is blue. The sun is yellow."
    assert made.documents[0].text == f"{before} Quentin Keller's passkey is 73517. Here we go."


def test_facts_stand_everywhere() -> None:
    places = [document.metadata["place"] for document in needles(tokens=400, tokenizer=WordTokenizer()).documents]
    counts, _ = np.histogram(places, bins=4, range=(0, 1))
    assert len(places) == 100
    assert counts.min() >= 12


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"tokens": 4}, "Raise tokens"),
        ({"queries": 0}, "queries=0"),
        ({"queries": 8, "documents": 7}, "there are 7 documents"),
        ({"documents": 0}, "documents=0"),
        ({"documents": 10_000}, "10000"),
    ],
)
@pytest.mark.parametrize("make", MAKERS)
def test_what_cannot_be_made_is_refused(make: Callable[..., Collection], settings: dict[str, int], found: str) -> None:
    with pytest.raises(InvalidInputError, match=found):
        make(**{"tokens": 100, "queries": 1, "documents": 2} | settings, tokenizer=WordTokenizer())


def test_minilm_finds_passkeys(minilm: TransformerEmbedder) -> None:
    """Within its window; beyond it in windows that are averaged, and by the best part."""
    short = passkeys(tokens=64, tokenizer=minilm.tokenizer, queries=12, documents=12)
    assert np.mean(list(first_hits(minilm, short).values())) >= 0.8
    long = passkeys(tokens=300, tokenizer=minilm.tokenizer, queries=6, documents=6)
    with pytest.raises(TextTooLongError):
        first_hits(minilm, long)
    parallel = TransformerEmbedder(window=300, extend="parallel")
    assert np.mean(list(first_hits(parallel, long).values())) >= 0.5
    parts = first_hits_by_parts(minilm, long, parts=lambda document: [document.text[at : at + 400] for at in range(0, 2000, 300)])
    assert np.mean(list(parts.values())) >= 0.8


@pytest.mark.parametrize("tokens", [256, 1024, 8192])
def test_every_length_runs_on_a_tiny_model(make_model: Make, tokens: int) -> None:
    embedder = TransformerEmbedder(str(make_model(window=64)), window=tokens, extend="interpolated", layers=1)
    made = needles(tokens=tokens, tokenizer=embedder.tokenizer, queries=2, documents=2)
    assert set(first_hits(embedder, made).values()) <= {0.0, 1.0}
