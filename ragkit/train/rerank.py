"""Train a token compressor: labelled questions, questions by rule, or a teacher's scores; kept only if documents held out gain."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.rerank.compressor import TokenCompressor
from ragkit.rerank.parameters import Parameters
from ragkit.rerank.states import normalise_layers
from ragkit.rerank.untrained import assemble, gate_logits, principal_axes
from ragkit.seams import TokenReader
from ragkit.train.judge import by_documents, surely
from ragkit.train.rerank_exam import Exam, Outcome, held_out, make_exam
from ragkit.train.rerank_fit import FitSettings, average, fit
from ragkit.train.rerank_lessons import Lesson, Rows, States
from ragkit.train.rerank_rules import Material
from ragkit.train.rerank_states import read_material

#: Passages whose second moments give the principal axes.
_SAMPLE = 2000
#: Questions of each material that training is steered by, and that it is judged by at the end.
_WATCHED = 400
_JUDGED = 400


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RerankReport(Outcome):
    """What training found. ``parameters`` are the trained ones where ``won``, else the untrained ones; ``steps`` are those of all runs.

    ``gains`` holds for each material the difference in nDCG@10 of trained and untrained parameters on test documents, both
    together with the arms; ``over_arms`` that of the parameters and the arms alone. ``seconds`` is the processor's time.
    """

    parameters: Parameters
    untrained: Parameters

    def to_dict(self) -> dict[str, Any]:
        """The report as a JSON-ready dict."""
        return {"name": self.parameters.name} | self.told(self.parameters.digest, self.parameters.about)

    def save(self, path: str | Path) -> None:
        """Write the parameters, and beside them a card for people: ``<name>.md``."""
        self.parameters.save(path)
        Path(path).with_suffix(".md").write_text(_card(self), encoding="utf-8")


def train_reranker(
    materials: Sequence[tuple[Material, float]],
    *,
    reader: TokenReader,
    folder: Path,
    layers: tuple[int, ...],
    bits: int = 128,
    settings: FitSettings | None = None,
    name: str = "trained",
    about: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> RerankReport:
    """Train on ``materials``, each with how often it is drawn; token states are read once and kept in ``folder``.

    A tenth of each material's documents steers the training, another tenth judges it, the rest is learned from. The start is
    untrained: principal axes and token frequencies of the materials, from which ``settings.runs`` runs set out that differ in what they
    draw; the result is their mean. Everything random comes from ``settings.seed``. Raises
    InvalidInputError where a material has fewer than three documents, or no question within one window.
    """
    chosen = settings or FitSettings()
    begun = time.process_time()
    read: list[tuple[Material, float, States, States]] = []
    for material, weight in materials:
        read.append((material, weight, *read_material(reader, material, layers=layers, folder=folder, say=say)))
    start = _start([passages for _, _, passages, _ in read], reader.card.weights, layers, bits)
    lessons: list[Lesson] = []
    watched: list[Exam] = []
    judged: list[Exam] = []
    for number, (material, weight, passages, questions) in enumerate(read):
        held = held_out(material, chosen.seed + number)
        for documents, exams, most in zip(held, (watched, judged), (_WATCHED, _JUDGED), strict=True):
            exams.append(
                make_exam(
                    material, passages, questions, documents,
                    logits=start.logits, layers=len(layers), most=most, seed=chosen.seed,
                )
            )  # fmt: skip
        say(f"Merging the tokens of {material.name}")
        lessons.append(_lesson(material, weight, passages, questions, np.concatenate(held), start, chosen))

    def judge(parameters: Parameters) -> float:
        return float(np.mean([exam.gains(parameters, vectors=chosen.vectors).mean() for exam in watched]))

    fitted = [
        fit(start, lessons, replace(chosen, seed=chosen.seed + 1000 * run), judge=judge, say=say) for run in range(chosen.runs)
    ]
    trained, steps = average([parameters for parameters, _ in fitted]), sum(at for _, at in fitted)
    before = [exam.gains(start, vectors=chosen.vectors) for exam in judged]
    after = [exam.gains(trained, vectors=chosen.vectors) for exam in judged]
    won = steps > 0 and bool(surely(np.concatenate(after), np.concatenate(before)))
    kept, best = (trained, after) if won else (start, before)
    gains = {exam.name: by_documents(x - y, exam.home) for exam, x, y in zip(judged, after, before, strict=True)}
    arms = {exam.name: by_documents(x - exam.gains(None), exam.home) for exam, x in zip(judged, best, strict=True)}
    told = dict(about or {}) | {
        "seed": chosen.seed,
        "steps": steps,
        "materials": {m.name: len(m.questions) for m, _ in materials},
    }
    return RerankReport(
        parameters=replace(kept, name=name if won else "untrained", about=told),
        untrained=start,
        steps=steps,
        won=won,
        gains=gains,
        over_arms=arms,
        seconds=time.process_time() - begun,
    )


def _start(read: Sequence[States], model: str, layers: tuple[int, ...], bits: int) -> Parameters:
    """Untrained parameters from states that are read already."""
    moments: NDArray[np.float64] | None = None
    counts = np.zeros(1 + max(int(states.ids.max()) for states in read), np.int64)
    texts = 0
    for states in read:
        full = np.flatnonzero(np.diff(states.bounds))
        texts += len(full)
        for row in full.tolist():
            np.add.at(counts, np.unique(states.ids[states.bounds[row] : states.bounds[row + 1]]), 1)
        for row in np.sort(np.random.default_rng(0).permutation(full)[: _SAMPLE // len(read)]).tolist():
            part = states.states[states.bounds[row] : states.bounds[row + 1]].astype(np.float32)
            x = normalise_layers(part, len(layers)).astype(np.float64)
            moments = x.T @ x if moments is None else moments + x.T @ x
    assert moments is not None
    return assemble(
        principal_axes(moments, len(layers), bits), gate_logits(counts, texts), name="untrained", model=model, layers=layers
    )


def _lesson(
    material: Material, weight: float, passages: States, questions: States, held: Rows, start: Parameters, settings: FitSettings
) -> Lesson:
    """What may be learned from: neither passages nor questions of documents held out."""
    free = ~np.isin(material.doc, held) & (np.diff(passages.bounds) > 0)
    compressor = TokenCompressor(start, vectors=settings.vectors)
    cluster = np.zeros(len(passages.ids), np.int16)
    for row in np.flatnonzero(free).tolist():
        cluster[passages.bounds[row] : passages.bounds[row + 1]] = compressor.compress(passages.of(row)).members
    asked = free[material.gold] & (np.diff(questions.bounds) > 0)
    return Lesson(
        name=material.name,
        weight=weight,
        passages=passages,
        cluster=cluster,
        doc=np.where(free, material.doc, -1),
        questions=questions,
        gold=np.where(asked, material.gold, -1),
        logits=start.logits,
        layers=len(start.layers),
        lists=material.lists,
    )


def _card(report: RerankReport) -> str:
    """What someone should know before using the parameters, as Markdown."""
    about = report.parameters.about
    lines = [
        f"# {report.parameters.name}",
        "",
        (
            f"Parameters of a token compressor: layers {list(report.parameters.layers)} of the model whose weights have the digest "
            f"`{report.parameters.model}`; {report.parameters.bits} bits a vector. Digest `{report.parameters.digest}`."
        ),
        "",
        (
            f"Learned from: {', '.join(f'{name} ({n} questions)' for name, n in about['materials'].items())}. Seed {about['seed']}, "
            f"{report.steps} steps{'' if report.won else ' (untrained: training did not win)'}."
        ),
        f"Licences of what it learned from: {about.get('licence') or 'not told'}.",
        "",
        "nDCG@10 on documents held out, in points; both columns together with the first stage:",
        "",
        "| kind | questions | trained less untrained (95 %) | with less without reranking (95 %) |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, gain in report.gains.items():
        cells = [
            f"{100 * one.mean:+.1f} ({100 * one.low:+.1f} to {100 * one.high:+.1f})" for one in (gain, report.over_arms[name])
        ]
        lines.append(f"| {name} | {gain.n} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"
