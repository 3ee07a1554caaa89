"""Train a scorer that reads questions and codes together; kept only if documents held out gain over MaxSim."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError
from ragkit.rerank.attentive import TransformerScorer, Weights
from ragkit.rerank.compressor import TokenCompressor
from ragkit.rerank.passages import require
from ragkit.rerank.reranker import bit_max_sim
from ragkit.seams import TokenReader
from ragkit.train.judge import by_documents, surely
from ragkit.train.rerank_exam import Exam, Outcome, held_out, make_exam
from ragkit.train.rerank_rules import Material
from ragkit.train.rerank_states import read_material
from ragkit.train.scorer_course import Course, make_course
from ragkit.train.scorer_fit import ScorerSettings, fit_scorer

_WATCHED, _JUDGED = 150, 400


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScorerReport(Outcome):
    """What training found. ``gains`` holds for each material the difference in nDCG@10 of the scorer and MaxSim on test documents, both
    blended with the arms; ``over_arms`` that of the better one and the arms alone. ``seconds`` is the processor's time.
    """

    weights: Weights

    def to_dict(self) -> dict[str, Any]:
        """The report as a JSON-ready dict."""
        return self.told(self.weights.digest, self.weights.about)


def train_scorer(
    materials: Sequence[tuple[Material, float]],
    *,
    reader: TokenReader,
    compressor: TokenCompressor,
    folder: Path,
    settings: ScorerSettings | None = None,
    about: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> ScorerReport:
    """Train on ``materials``, each with how often it is drawn, over the codes that ``compressor`` makes of their passages.

    A tenth of each material's documents says when to stop, another tenth judges, the rest is learned from. It begins as
    MaxSim. Token states are kept in ``folder``. Everything random comes from ``settings.seed``. Raises CapabilityError for
    a reader of another model, InvalidInputError where a material has fewer than three documents, or no question within one window.
    """
    require(compressor, reader)
    chosen, begun = settings or ScorerSettings(), time.process_time()
    parameters, card = compressor.parameters, compressor.card
    if card.bits != parameters.bits:
        raise InvalidInputError(f"The compressor keeps {card.bits} of {parameters.bits} bits; train with all of them.")
    courses: list[Course] = []
    watched: list[Exam] = []
    judged: list[Exam] = []
    for number, (material, weight) in enumerate(materials):
        passages, questions = read_material(reader, material, layers=card.layers, folder=folder, say=say)
        held = held_out(material, chosen.seed + number)
        for documents, exams, most in zip(held, (watched, judged), (_WATCHED, _JUDGED), strict=True):
            exams.append(
                make_exam(
                    material, passages, questions, documents,
                    logits=parameters.logits, layers=len(card.layers), most=most, seed=chosen.seed,
                )
            )  # fmt: skip
        say(f"Compressing {material.name}")
        courses.append(make_course(material, weight, passages, questions, np.concatenate(held), compressor))

    def gains(exams: Sequence[Exam], weights: Weights | None) -> list[NDArray[np.float64]]:
        scorer = bit_max_sim if weights is None else TransformerScorer(weights)
        return [exam.gains(parameters, vectors=card.vectors, scorer=scorer) for exam in exams]

    def judge(weights: Weights | None) -> float:
        return float(np.mean([found.mean() for found in gains(watched, weights)]))

    told = dict(about or {}) | {"seed": chosen.seed, "materials": {m.name: len(m.questions) for m, _ in materials}}
    weights, steps = fit_scorer(courses, compressor, chosen, told, judge=judge, say=say)
    before, after = gains(judged, None), gains(judged, weights)
    won = steps > 0 and bool(surely(np.concatenate(after), np.concatenate(before)))
    best = after if won else before
    return ScorerReport(
        weights=weights,
        steps=steps,
        won=won,
        gains={exam.name: by_documents(x - y, exam.home) for exam, x, y in zip(judged, after, before, strict=True)},
        over_arms={exam.name: by_documents(x - exam.gains(None), exam.home) for exam, x in zip(judged, best, strict=True)},
        seconds=time.process_time() - begun,
    )
