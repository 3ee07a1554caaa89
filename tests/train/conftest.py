"""A small corpus with a secret: questions use other words than documents, always the same ones."""

from __future__ import annotations

import numpy as np
import pytest

from ragkit.testing.embedders import HashEmbedder
from ragkit.train import Label
from ragkit.types import Document

TOPICS = 16


def secret_corpus(*, documents: int = 14, seed: int = 0) -> tuple[list[Document], list[Label]]:
    """Every sentence is about one topic, in topic words and noise; a question asks for it in words of its own.

    No word is shared between questions and documents, so neither plain vectors nor BM25 can tell; what a question word
    means is the same in every document, so unseen documents gain from what others taught.
    """
    rng = np.random.default_rng(seed)
    made, labels = [], []
    for number in range(documents):
        text = ""
        for topic in rng.permutation(TOPICS)[:8]:
            noise = " ".join(f"filler{rng.integers(400)}" for _ in range(4))
            start = len(text)
            text += f"Here topic{topic} and thing{topic} with {noise}. "
            labels.append(
                Label(question=f"asked{topic} wanted{topic}", spans=((f"d{number}", start, len(text) - 1),), scope=f"d{number}")
            )
        made.append(Document(text, id=f"d{number}", metadata={"title": f"Paper {number}"}))
    return made, labels


@pytest.fixture(scope="session")
def secret() -> tuple[list[Document], list[Label]]:
    return secret_corpus()


@pytest.fixture
def embedder() -> HashEmbedder:
    return HashEmbedder(dim=64)
