"""Train the model's own weights for a corpus, and let documents it has not seen decide whether they are worth having."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from ragkit.chunk import RecursiveChunker, Situate
from ragkit.embed import CachedEmbedder, TransformerEmbedder
from ragkit.embed.adapted import unit
from ragkit.embed.tuning import Planned, Tunable
from ragkit.errors import CapabilityError, InvalidInputError
from ragkit.progress import progress as progress_bar
from ragkit.seams import Chunker, Embedder, Vectors
from ragkit.train.corpus import Corpus, Rows
from ragkit.train.exam import Exam, examine, prepare, report_of
from ragkit.train.judge import Arm, JudgeMode
from ragkit.train.labels import Label
from ragkit.train.report import ArmName, ContextReport
from ragkit.train.tuning_fit import Lesson, TuneSettings, hard_negatives, seconds_for, tune
from ragkit.types import Chunk, Document

#: As for adapters, without the document's mean: half of a vector is read alone, half with title, headings and the sentence before.
TUNED_CHUNKER = RecursiveChunker(256) | Situate(title=True, before=1, max_tokens=64)
_HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TunedModel:
    """Weights that were trained, and what a reader should know of them."""

    model: Tunable
    readme: str = ""

    def save(self, path: str | Path) -> None:
        """Write the folder that TransformerEmbedder loads. Raises InvalidInputError where it cannot."""
        self.model.save(path, readme=self.readme)


def tune_context(
    documents: Sequence[Document],
    labels: Sequence[Label] | None,
    *,
    embedder: Embedder,
    chunker: Chunker = TUNED_CHUNKER,
    settings: TuneSettings | None = None,
    mode: JudgeMode = "hybrid",
    folds: int = 2,
    seed: int = 0,
    min_gain: float = 0.0,
    most_seconds: float | None = _HOUR,
    progress: bool = False,
) -> ContextReport:
    """Train the weights of ``embedder``, a TransformerEmbedder (in a CachedEmbedder or not), and judge them on held-out documents.

    Chunks are read as their encodings say. In each of ``folds`` rounds a fresh copy of the model is trained without some of
    the documents, all chunks are read by it, and the questions of those documents are asked, against the frozen model and
    plain chunks. What the report holds is trained on all documents, the same way. Same seed, machine and thread count: same
    weights.

    Two steps are timed first: InvalidInputError where all of it would take more than ``most_seconds`` (None: as long as it
    takes). Other errors as in ``train_context``; CapabilityError for another embedder; MissingDependencyError for "lora"
    without peft.
    """
    begun = time.perf_counter()
    how = settings or TuneSettings()
    base = embedder.embedder if isinstance(embedder, CachedEmbedder) else embedder
    if not isinstance(base, TransformerEmbedder):
        raise CapabilityError(
            f"Weights are trained on this machine, and {type(base).__name__} has none here. Use TransformerEmbedder, or an adapter."
        )
    exam = prepare(documents, labels, embedder=embedder, chunker=chunker, mode=mode, folds=folds, seed=seed, progress=progress)
    model = Tunable(base, method=how.method, rank=how.rank, seed=seed)
    chunks, asked = model.plan_chunks(_items(exam.corpus)), model.plan_queries([label.question for label in exam.labels])
    every, rows = exam.everything
    expected = seconds_for(model, _lesson(exam, chunks, asked, every, rows), how, rounds=folds + 1)
    if most_seconds is not None and expected > most_seconds:
        raise InvalidInputError(
            f"Training would take about {_spoken(expected)} on {model.device.type}, and {_spoken(most_seconds)} are allowed. Use a GPU, fewer "
            "labels or folds, an adapter (minutes on a CPU), or allow more: most_seconds=None, --yes on the command line."
        )
    untrained = Arm(_as_encoded(exam.corpus), exam.questions.vectors, exam.questions.words_in_context)
    steps = sum(how.steps(len(learned)) for _, learned, _ in exam.rounds()) + how.steps(len(rows))
    with progress_bar("Training", total=steps, enabled=progress) as watch:

        def trained(docs: Rows, learned: Rows) -> Tunable:
            made = Tunable(base, method=how.method, rank=how.rank, seed=seed)
            tune(made, _lesson(exam, chunks, asked, docs, learned), how, seed=seed, after=watch.advance)
            return made

        def learn(docs: Rows, learned: Rows) -> dict[ArmName, Arm]:
            made = trained(docs, learned)
            return {
                "mixed": untrained,
                "trained": Arm(made.vectors(chunks), made.vectors(asked), exam.questions.words_in_context),
            }

        differences = examine(exam, learn)
        final = trained(every, rows)
    report = report_of(
        exam,
        differences,
        model=base.card.name,
        mode=mode,
        seed=seed,
        min_gain=min_gain,
        training=asdict(how) | {"steps": how.steps(len(rows)), "device": final.device.type},
        made=TunedModel(model=final),
    )
    report = replace(report, seconds=time.perf_counter() - begun)
    return replace(report, made=TunedModel(model=final, readme=_readme(report, base)))


def _items(corpus: Corpus) -> list[tuple[Document, list[Chunk]]]:
    return [
        (corpus.documents[number], [corpus.chunks[row] for row in rows])
        for number, rows in groupby(range(len(corpus.chunks)), key=lambda row: int(corpus.doc[row]))
    ]


def _lesson(exam: Exam, chunks: Planned, asked: Planned, docs: Rows, rows: Rows) -> Lesson:
    return Lesson(
        corpus=exam.corpus,
        questions=exam.questions,
        chunks=chunks,
        asked=asked,
        docs=docs,
        rows=rows,
        negatives=hard_negatives(exam.corpus, exam.questions, docs=docs, rows=rows),
    )


def _as_encoded(corpus: Corpus) -> Vectors:
    """The frozen model's vectors as the chunks' encodings mix them."""
    plain = np.array([chunk.encoding.plain for chunk in corpus.chunks], np.float32)[:, None]
    return unit(plain * corpus.read[:, 0] + (1 - plain) * corpus.read[:, 1])


def _spoken(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= _HOUR else f"{max(1, round(seconds / 60))} minutes"


def _readme(report: ContextReport, base: TransformerEmbedder) -> str:
    """The model's card: what it was made from, how, what it is worth and how to use it."""
    header, rows = report.table()
    table = ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]
    settings = ", ".join(f"{name} {value}" for name, value in report.training.items())
    return "\n".join(
        [
            f"# {Path(report.model).name}, trained on a corpus of its own",
            "",
            f"Made by `ragkit train context` from {report.model} (weights {base.card.weights}): {settings}, seed {report.seed}.",
            f"{report.questions} labels ({report.labels}) on {report.documents} documents in {report.chunks} chunks.",
            "",
            f"{report.verdict} Held out in {report.folds} rounds; these weights were then trained on all documents.",
            "",
            *table,
            "",
            "Use it with the chunker it was trained with:",
            "",
            f"    Index(db, chunker=ragkit.chunk.from_recipe({report.chunker!r}),",
            "          embedder=TransformerEmbedder(FOLDER))",
            "",
            "The licence is that of the model above, and of what it was trained on.",
            "",
        ]
    )
