"""What is trained on some documents is asked about the others: rounds of held-out documents, the same for every method."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from ragkit.errors import InvalidInputError
from ragkit.lexical import Analyzer
from ragkit.seams import Chunker, Embedder
from ragkit.train.corpus import Corpus, Floats, Questions, Rows, read_corpus, read_questions
from ragkit.train.judge import Arm, JudgeMode, by_documents, ndcg, plain_arm
from ragkit.train.labels import Label, labels_by_rule
from ragkit.train.report import ArmName, ContextReport, Difference, Part
from ragkit.types import Document

_LEAST = 30

#: Trains on documents and the rows of questions that they alone answer, and gives what is to be judged.
Learn = Callable[[Rows, Rows], Mapping[ArmName, Arm]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exam:
    """A corpus with its questions, and the documents held out in each round, ``parts``."""

    corpus: Corpus
    questions: Questions
    labels: Sequence[Label]
    by_rule: bool
    chunker: Chunker
    parts: Sequence[Rows]

    @property
    def everything(self) -> tuple[Rows, Rows]:
        """All documents and all questions."""
        return np.arange(len(self.corpus.documents)), np.arange(len(self.questions))

    def rounds(self) -> Iterator[tuple[Rows, Rows, Rows]]:
        """For each round the documents and questions to learn from, and the questions that judge."""
        documents, rows = self.everything
        for held in self.parts:
            learned = rows[[not np.isin(homes, held).any() for homes in self.questions.homes]]
            yield np.setdiff1d(documents, held), learned, rows[np.isin(self.questions.home, held)]


def prepare(
    documents: Sequence[Document],
    labels: Sequence[Label] | None,
    *,
    embedder: Embedder,
    chunker: Chunker,
    mode: JudgeMode,
    folds: int,
    seed: int,
    progress: bool,
) -> Exam:
    """Read documents and labels (made by rule where None), and deal the documents into ``folds`` parts.

    Raises InvalidInputError for fewer than 30 labels, fewer answering documents than folds, or settings out of range.
    """
    if mode not in get_args(JudgeMode):
        raise InvalidInputError(f"mode is {mode!r}; allowed are {', '.join(get_args(JudgeMode))}.")
    if folds < 2:
        raise InvalidInputError(f"folds is {folds}; at least 2 are needed to ask documents that training did not see.")
    by_rule = labels is None
    if labels is None:
        documents, labels = labels_by_rule(documents, seed=seed)
    if len(labels) < _LEAST:
        raise InvalidInputError(f"{len(labels)} labels are too few to train on and to judge by; give at least {_LEAST}.")
    if embedder.tokenizer is not None:
        chunker = chunker.bind(embedder.tokenizer, window=embedder.card.window)
    corpus = read_corpus(documents, chunker, embedder, progress=progress)
    questions = read_questions(corpus, labels, embedder, Analyzer())
    return Exam(
        corpus=corpus, questions=questions, labels=labels, by_rule=by_rule, chunker=chunker, parts=_parts(questions, folds)
    )


def examine(exam: Exam, learn: Learn) -> tuple[Difference, ...]:
    """Let ``learn`` train without each part in turn, and compare what it gives with plain vectors on that part's questions."""
    corpus, questions = exam.corpus, exam.questions
    modes: tuple[JudgeMode, ...] = get_args(JudgeMode)
    _, asked = exam.everything
    plain = {mode: ndcg(corpus, questions, plain_arm(corpus, questions), rows=asked, mode=mode) for mode in modes}
    gains: dict[tuple[ArmName, JudgeMode], Floats] = {}
    for documents, learned, test in exam.rounds():
        for name, arm in learn(documents, learned).items():
            for mode in modes:
                found = ndcg(corpus, questions, arm, rows=test, mode=mode)
                gains.setdefault((name, mode), np.zeros(len(questions)))[test] = found - plain[mode][test]
    return tuple(
        Difference(
            arm=name,
            mode=mode,
            subset=subset,
            plain=float(plain[mode][chosen].mean()),
            gain=by_documents(values[chosen], questions.home[chosen]),
        )
        for subset, chosen in (("all", np.ones(len(questions), np.bool_)), ("needs context", questions.needy))
        if chosen.any()
        for (name, mode), values in gains.items()
    )


def report_of(
    exam: Exam,
    differences: tuple[Difference, ...],
    *,
    model: str,
    mode: JudgeMode,
    seed: int,
    min_gain: float,
    training: Mapping[str, Any],
    made: Part,
) -> ContextReport:
    """The report on what was made; its seconds are still to be told."""
    return ContextReport(
        model=model,
        chunker=exam.chunker.recipe,
        mode=mode,
        documents=len(exam.corpus.documents),
        chunks=len(exam.corpus.chunks),
        questions=len(exam.questions),
        labels="by rule" if exam.by_rule else "spans",
        folds=len(exam.parts),
        seed=seed,
        min_gain=min_gain,
        training=training,
        seconds=0.0,
        differences=differences,
        made=made,
    )


def _parts(questions: Questions, folds: int) -> list[Rows]:
    """The answering documents in ``folds`` parts of nearly as many questions each."""
    homes, counts = np.unique(questions.home, return_counts=True)
    if len(homes) < folds + 1:
        raise InvalidInputError(
            f"The labels' answers lie in {len(homes)} documents; {folds} rounds of held-out documents, with some left to stop by, "
            f"need {folds + 1}. Label more documents, or lower the number of folds to {max(2, len(homes) - 1)} if that is less."
        )
    parts: list[list[int]] = [[] for _ in range(folds)]
    sizes = [0] * folds
    for place in np.argsort(-counts, kind="stable"):
        least = sizes.index(min(sizes))
        parts[least].append(int(homes[place]))
        sizes[least] += int(counts[place])
    return [np.array(sorted(part), np.int64) for part in parts]
