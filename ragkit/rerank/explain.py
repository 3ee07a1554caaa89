"""Why a passage scored: which question token met which vector, and where in the text that vector's tokens lie."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from ragkit.rerank.passages import compress_parts
from ragkit.rerank.reranker import CompressedReranker
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
        heat = np.zeros(len(self.text))
        notes: list[list[str]] = [[] for _ in self.text]
        for match in self.matches:
            for span in match.spans:
                heat[span.start : span.end] += match.weight * max(match.likeness, 0.0)
                for at in range(span.start, span.end):
                    notes[at].append(match.token)
        top = float(heat.max(initial=0.0)) or 1.0
        body, at = [], 0
        while at < len(self.text):
            end = at + 1
            while end < len(self.text) and heat[end] == heat[at] and notes[end] == notes[at]:
                end += 1
            part = escape(self.text[at:end])
            if notes[at]:
                tip = escape(", ".join(dict.fromkeys(notes[at])), quote=True)
                part = f'<mark style="--heat:{heat[at] / top:.2f}" title="{tip}">{part}</mark>'
            body.append(part)
            at = end
        asked = "".join(
            f"<tr><td>{escape(match.token)}</td><td>{match.weight:.3f}</td><td>{match.likeness:+.3f}</td>"
            f"<td>{escape(' … '.join(self.text[span.start : span.end] for span in match.spans))}</td></tr>"
            for match in self.matches
        )
        return _PAGE.format(question=escape(self.question), score=f"{self.score:.4f}", text="".join(body), rows=asked)


def explain(reranker: CompressedReranker, query: str, passage: str | Hit) -> Explanation:
    """What the reranker's score of a passage is made of. Reads the text, compresses it anew, and needs no index.

    A chunk that was indexed with context or in a larger window was read with more than its text, so its stored code may differ.
    """
    text = passage.chunk.text if isinstance(passage, Hit) else passage
    asked, compressor = reranker.question(query), reranker.compressor
    (read,) = reranker.reader.read_texts([text], layers=compressor.layers)
    parts = compress_parts(compressor, read)
    total = float(asked.gates.sum()) or 1.0
    likeness = np.full(len(asked.ids), -1.0, np.float32)
    met = [(0, 0)] * len(asked.ids)
    for window, (_, code) in enumerate(parts):
        for vector in range(len(code)):
            one = token_maxima(asked.vectors, code.vectors[None, vector : vector + 1], np.ones(1, np.int64))[0]
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


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Why this passage</title><style>
:root {{ color-scheme: light dark; font-family: system-ui, sans-serif; line-height: 1.6 }}
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
mark {{ background: color-mix(in srgb, #e8a200 calc(var(--heat) * 90% + 8%), transparent); color: inherit; border-radius: .2em }}
.text {{ white-space: pre-wrap }}
table {{ border-collapse: collapse; margin-top: 2rem; font-size: .9rem }} td, th {{ padding: .2rem .8rem .2rem 0; text-align: left }}
</style></head><body><h1>{question}</h1><p>Score {score}</p><p class="text">{text}</p>
<table><tr><th>Token</th><th>Weight</th><th>Likeness</th><th>Met</th></tr>{rows}</table></body></html>
"""
