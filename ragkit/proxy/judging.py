"""Whether a fresh answer says what a stored one says: the judge from which a certified policy learns."""

from __future__ import annotations

import json

import numpy as np

from ragkit.cache import Judge, check, normalised
from ragkit.errors import RagkitError
from ragkit.proxy.answers import text_of
from ragkit.seams import Embedder

#: Cosine from which two answers count as saying the same, if no guard objects.
_SAME = 0.9


def same_text(_: str, stored: str, fresh: str) -> bool:
    """The same words: right for models that always answer alike, and otherwise never satisfied."""
    return normalised(text_of(json.loads(stored))) == normalised(text_of(json.loads(fresh)))


def similar(embedder: Embedder) -> Judge:
    """The same words, or answers with a cosine of at least 0.9 that differ in no number, name, unit or negation.

    Answers beyond the embedder's window are compared by their words.
    """

    def judge(prompt: str, stored: str, fresh: str) -> bool:
        if same_text(prompt, stored, fresh):
            return True
        one, other = text_of(json.loads(stored)), text_of(json.loads(fresh))
        if check(one, other, first=True):
            return False
        try:
            vectors = embedder.embed_texts([one, other])
        except RagkitError:
            return False
        return float(np.dot(vectors[0], vectors[1])) >= _SAME

    return judge
