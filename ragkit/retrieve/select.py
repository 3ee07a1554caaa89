"""Fewer, different hits: diversity by vectors, a share per document, near copies folded. Each fits ``rerank=``'s shape."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from ragkit.errors import InvalidInputError
from ragkit.seams import Vectors
from ragkit.types import Hit

_WORD = re.compile(r"\w+")
_SHINGLE = 3


def mmr(hits: Sequence[Hit], vectors: Vectors, *, k: int, balance: float = 0.7) -> list[Hit]:
    """``k`` hits, each the best of what is left by relevance less likeness to those taken (maximal marginal relevance).

    ``vectors``, float32 ``(len(hits), dim)``, are the hits' unit rows, as ``Index.vectors`` gives them. Relevance is the
    hit's score, its range over these hits brought to [0, 1]; likeness the largest cosine to a hit already taken.
    ``balance`` in [0, 1] weighs relevance against difference: 1 keeps the order. Carbonell and Goldstein (SIGIR 1998).

    Raises InvalidInputError for values out of range or vectors of another length.
    """
    _whole("k", k)
    if not 0.0 <= balance <= 1.0:
        raise InvalidInputError(f"balance is {balance!r}; it must lie between 0 (difference only) and 1 (relevance only).")
    if len(vectors) != len(hits):
        raise InvalidInputError(f"{len(vectors)} vectors for {len(hits)} hits; give one row per hit, in the same order.")
    if not len(hits):
        return []
    scores = np.array([hit.score for hit in hits], np.float64)
    width = float(np.ptp(scores))
    relevance = (scores - scores.min()) / width if width > 0 else np.ones(len(hits))
    nearest = np.full(len(hits), -np.inf)
    left = np.ones(len(hits), bool)
    taken: list[int] = []
    for _ in range(min(k, len(hits))):
        penalty = np.zeros(len(hits)) if not taken else nearest
        gain = np.where(left, balance * relevance - (1 - balance) * penalty, -np.inf)
        at = int(gain.argmax())
        taken.append(at)
        left[at] = False
        nearest = np.maximum(nearest, vectors @ vectors[at])
    return [hits[at] for at in taken]


def cap_documents(hits: Sequence[Hit], *, per_document: int) -> list[Hit]:
    """The hits in their order, at most ``per_document`` of each document."""
    _whole("per_document", per_document)
    seen: Counter[str] = Counter()
    kept: list[Hit] = []
    for hit in hits:
        seen[hit.chunk.doc_id] += 1
        if seen[hit.chunk.doc_id] <= per_document:
            kept.append(hit)
    return kept


def fold_copies(hits: Sequence[Hit], *, likeness: float = 0.8) -> list[tuple[Hit, list[Hit]]]:
    """Each hit that is no near copy of a better one, with its near copies, in order; nothing is lost.

    Two texts are near copies when the Jaccard index of their three-word shingles is at least ``likeness`` in (0, 1]
    (Broder, "On the resemblance and containment of documents", 1997). Case and punctuation do not count.
    """
    if not 0.0 < likeness <= 1.0:
        raise InvalidInputError(f"likeness is {likeness!r}; it must be above 0 and at most 1 (equal words).")
    kept: list[tuple[Hit, list[Hit]]] = []
    shingles: list[set[tuple[str, ...]]] = []
    for hit in hits:
        own = _shingles(hit.chunk.text)
        for (_, copies), other in zip(kept, shingles, strict=True):
            both = len(own & other)
            if both and both >= likeness * (len(own) + len(other) - both):
                copies.append(hit)
                break
        else:
            kept.append((hit, []))
            shingles.append(own)
    return kept


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    return {tuple(words[at : at + _SHINGLE]) for at in range(max(1, len(words) - _SHINGLE + 1))}


def _whole(name: str, value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidInputError(f"{name} is {value!r}; it must be a whole number, at least 1.")
