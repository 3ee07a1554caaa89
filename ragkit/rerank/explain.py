"""Why a passage scored: which question token met which vector, and where in the text that vector's tokens lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ragkit.errors import CapabilityError
from ragkit.rerank.passages import compress_parts
from ragkit.rerank.reranker import CompressedReranker, bit_max_sim
from ragkit.types import Hit, Span
from ragkit.vec.maxsim import token_maxima


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A token of the question and the vector it met.

    ``asked`` is where the token stands in the question; ``weight`` its share of all the weight, ``likeness`` the match in [-1, 1]; the sum of
    weight times likeness over all matches is the score. ``window`` and ``vector`` number the vector, ``spans`` are the characters of
    the text that it was made of, neighbours joined.
    """

    token: str
    asked: Span
    weight: float
    likeness: float
    window: int
    vector: int
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A question, a text, the score, and the matches it is made of, heaviest first."""

    question: str
    text: str
    score: float
    matches: tuple[Match, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "question": self.question,
            "score": self.score,
            "matches": [
                {
                    "token": match.token,
                    "asked": list(match.asked),
                    "weight": match.weight,
                    "likeness": match.likeness,
                    "window": match.window,
                    "vector": match.vector,
                    "spans": [list(span) for span in match.spans],
                    "met": [self.text[span.start : span.end] for span in match.spans],
                }
                for match in self.matches
            ],
        }

    def to_html(self) -> str:
        """A page that stands alone: the question, and the text with what it met, the darker the more it added to the score."""
        from ragkit.rerank.explain_page import explain_page

        return explain_page(self)


def explain(reranker: CompressedReranker, query: str, passage: str | Hit) -> Explanation:
    """What the reranker's score of a passage is made of. Reads the text, compresses it anew, and needs no index.

    A chunk that was indexed with context or in a larger window was read with more than its text, so its stored code may differ.
    Raises CapabilityError for a reranker with a scorer of its own, whose scores are no sums over tokens.
    """
    if reranker.scorer is not bit_max_sim:
        raise CapabilityError(
            f"The reranker scores by {type(reranker.scorer).__name__}, and only MaxSim's scores are sums over the question's tokens. "
            "Explain with a CompressedReranker without scorer=, which shows what met what in the same codes."
        )
    text = passage.chunk.text if isinstance(passage, Hit) else passage
    asked, compressor = reranker.question(query), reranker.compressor
    (read,) = reranker.reader.read_texts([text], layers=compressor.layers)
    parts = compress_parts(compressor, read)
    vectors, bits = reranker.sizes
    total = float(asked.gates.sum()) or 1.0
    likeness = np.full(len(asked.ids), -1.0, np.float32)
    met = [(0, 0)] * len(asked.ids)
    for window, (_, code) in enumerate(parts):
        for vector, row in enumerate(code.vectors[:vectors, : bits // 8]):
            one = token_maxima(asked.vectors, row[None, None], np.ones(1, np.int64))[0]
            for token in np.flatnonzero(one > likeness).tolist():
                likeness[token], met[token] = one[token], (window, vector)
    matches = [
        Match(
            token=query[start:end],
            asked=Span(int(start), int(end)),
            weight=float(gate) / total,
            likeness=float(found),
            window=window,
            vector=vector,
            spans=_spans(parts[window][0].starts, parts[window][0].ends, parts[window][1].members == vector) if parts else (),
        )
        for start, end, gate, found, (window, vector) in zip(asked.starts, asked.ends, asked.gates, likeness, met, strict=True)
    ]
    score = sum(match.weight * match.likeness for match in matches)
    return Explanation(
        question=query,
        text=text,
        score=score,
        matches=tuple(sorted(matches, key=lambda match: (-match.weight * match.likeness, match.asked))),
    )


def _spans(starts: Any, ends: Any, members: Any) -> tuple[Span, ...]:
    spans: list[Span] = []
    for start, end in zip(starts[members].tolist(), ends[members].tolist(), strict=True):
        if spans and start <= spans[-1].end:
            spans[-1] = Span(spans[-1].start, max(end, spans[-1].end))
        else:
            spans.append(Span(start, end))
    return tuple(spans)
