"""A fusion fitted to an index and labelled questions about its documents."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np

from ragkit.errors import InvalidInputError
from ragkit.index import Index
from ragkit.retrieve import DEFAULT_FETCH_K, FusionReport, Judged, fit_fusion, fusion_from_json
from ragkit.retrieve.fit import GRID, Fittable
from ragkit.train.labels import Label
from ragkit.types import Chunk, digest


def train_fusion(
    index: Index,
    labels: Sequence[Label],
    *,
    choices: Sequence[Fittable] = GRID,
    fetch_k: int = DEFAULT_FETCH_K,
    k: int = 10,
    held_out: float = 0.5,
    seed: int = 0,
) -> FusionReport:
    """Search the index once for every label, and fit a fusion to what both arms say of the candidates.

    A chunk answers when it shares at least half of a span, or half of itself, with it. Questions about one document are held
    out together. Raises InvalidInputError for a label whose document the index does not hold or no chunk answers, and what
    ``fit_fusion`` raises.
    """
    if any(label.scope is not None for label in labels):
        raise InvalidInputError("A label has a scope; the fusion of an index is fitted to questions asked of the whole of it.")
    found = index.candidates([label.question for label in labels], fetch_k=fetch_k)
    chunks = {doc_id: index.chunks_of(doc_id) for doc_id in {span[0] for label in labels for span in label.spans}}
    judged = []
    for label, one in zip(labels, found, strict=True):
        gold = {chunk.id for span in label.spans for chunk in chunks[span[0]] if _answers(chunk, span)}
        if not gold:
            raise InvalidInputError(
                f"No chunk of {index.path} answers {label.question[:60]!r} in {label.spans[:3]}. Index its documents, or leave it out."
            )
        gains = np.array([float(row.chunk.id in gold) for row in one.rows], np.float64)
        judged.append(Judged(scored=one.scored, gains=gains, ideal=(1.0,) * len(gold), group=label.spans[0][0]))
    return fit_fusion(judged, choices=choices, k=k, held_out=held_out, seed=seed, made_for=scores_of(index))


def scores_of(index: Index) -> str:
    """Names the model and the analyzer whose scores an index fuses."""
    return f"{index.card.name} {digest(index.card.fingerprint, index.analyzer.recipe)}"


def save_fusion(report: FusionReport, path: str | Path) -> None:
    """Write the report as JSON, whole or not at all."""
    target = Path(path)
    with NamedTemporaryFile("w", dir=target.parent, prefix=target.name, delete=False, encoding="utf-8") as file:
        file.write(report.to_json())
    os.replace(file.name, target)


def load_fusion(path: str | Path, *, index: Index | None = None) -> Fittable:
    """The fusion that ``save_fusion`` wrote, for ``Index(..., fusion=...)``; with ``index`` only if it was fitted to its scores.

    Raises InvalidInputError for a file that cannot be read, is damaged, or was fitted to another model or analyzer.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} cannot be read: {error}. Give the file that `ragkit train fusion` wrote.") from error
    return fusion_from_json(text, made_for="" if index is None else scores_of(index))


def _answers(chunk: Chunk, span: tuple[str, int, int]) -> bool:
    shared = min(chunk.end, span[2]) - max(chunk.start, span[1])
    return shared > 0 and 2 * shared >= min(span[2] - span[1], chunk.end - chunk.start)
