"""Whether a fresh answer says what a stored one says: the judge from which a certified policy learns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ragkit.cache import check, normalised
from ragkit.errors import RagkitError
from ragkit.proxy.answers import text_of
from ragkit.seams import Embedder

#: Of a prompt, a stored body and a fresh one.
Judge = Callable[[str, Mapping[str, Any], Mapping[str, Any]], bool]
#: Cosine from which two answers count as saying the same, if no guard objects.
_SAME = 0.9


def same_text(_: str, stored: Mapping[str, Any], fresh: Mapping[str, Any]) -> bool:
    """The same words: right for models that always answer alike, and otherwise never satisfied."""
    return normalised(text_of(stored)) == normalised(text_of(fresh))


def similar(embedder: Embedder) -> Judge:
    """The same words, or answers with a cosine of at least 0.9 that differ in no number, name, unit or negation.

    Answers beyond the embedder's window are compared by their words.
    """

    def judge(prompt: str, stored: Mapping[str, Any], fresh: Mapping[str, Any]) -> bool:
        if same_text(prompt, stored, fresh):
            return True
        one, other = text_of(stored), text_of(fresh)
        if check(one, other, first=True):
            return False
        try:
            vectors = embedder.embed_texts([one, other])
        except RagkitError:
            return False
        return float(np.dot(vectors[0], vectors[1])) >= _SAME

    return judge
