"""Train a context adapter, and let documents it has not seen decide whether it is worth having."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import numpy as np

from ragkit.chunk import RecursiveChunker, Situate
from ragkit.embed.adapted import mix, unit
from ragkit.embed.adapter import Adapter
from ragkit.progress import progress as progress_bar
from ragkit.retrieve import DEFAULT_FUSION
from ragkit.retrieve.fit import as_dict
from ragkit.seams import Chunker, Embedder
from ragkit.train.corpus import Corpus, Questions, Rows
from ragkit.train.exam import examine, prepare, report_of
from ragkit.train.fit import STEPS, Fitted, choose_start, fit
from ragkit.train.judge import Arm, JudgeMode, choose_fusion
from ragkit.train.labels import Label
from ragkit.train.report import ArmName, ContextReport
from ragkit.types import Document

#: Title, headings and the previous sentence are read along, and the document's mean may have a share.
DEFAULT_CHUNKER = RecursiveChunker(256) | Situate(title=True, before=1, max_tokens=64, document=0.1)
_WATCHED = 0.25


def train_context(
    documents: Sequence[Document],
    labels: Sequence[Label] | None,
    *,
    embedder: Embedder,
    chunker: Chunker = DEFAULT_CHUNKER,
    mode: JudgeMode = "hybrid",
    folds: int = 4,
    seed: int = 0,
    min_gain: float = 0.0,
    progress: bool = False,
) -> ContextReport:
    """Fit an adapter over the frozen ``embedder``, judge it on held-out documents, and return both.

    ``labels`` are questions with their answers' spans; None makes them by rule (``labels_by_rule``). ``chunker`` is bound to
    the embedder; its contexts are what "situated" reads, and ``Situate(document=...)`` of any weight lets the document's mean
    have a share. Wrap the embedder in a CachedEmbedder to read the chunks once.

    In each of ``folds`` rounds a part of the documents is set aside with its questions; the rest chooses an untrained start
    (shares of the readings, soft whitening), then trains one matrix for chunks and one for questions, stopped by a quarter
    of its own documents, which also choose the dense arm's share of the vote, unless the labels are made by rule. Held-out
    questions are asked over all chunks. The adapter returned is made like that from all documents. Same seed, machine and
    thread count: same adapter.

    Raises InvalidInputError for fewer than 30 labels, fewer answering documents than folds, or settings out of range.
    """
    begun = time.perf_counter()
    exam = prepare(documents, labels, embedder=embedder, chunker=chunker, mode=mode, folds=folds, seed=seed, progress=progress)
    corpus, questions = exam.corpus, exam.questions
    with progress_bar("Training", total=(folds + 1) * STEPS, enabled=progress) as watch:

        def train(docs: Rows, rows: Rows) -> Fitted:
            made = _train(corpus, questions, docs=docs, rows=rows, mode=mode, seed=seed, after=watch.advance)
            # A sentence taken out shares fewer words with its place than people's questions with their answers: it would
            # speak against BM25.
            return replace(made, fusion=DEFAULT_FUSION) if exam.by_rule else made

        def learn(docs: Rows, rows: Rows) -> dict[ArmName, Arm]:
            made = train(docs, rows)
            return {"mixed": _arm(corpus, questions, _untrained(made)), "trained": _arm(corpus, questions, made)}

        differences = examine(exam, learn)
        final = train(*exam.everything)
    adapter = Adapter(
        shares=final.start.shares,
        documents=final.documents,
        queries=final.queries,
        base=embedder.card,
        chunker=exam.chunker.recipe,
    )
    report = report_of(
        exam,
        differences,
        model=embedder.card.name,
        mode=mode,
        seed=seed,
        min_gain=min_gain,
        training={
            "method": "adapter",
            "shares": asdict(final.start.shares),
            "whitening": final.start.whitening,
            "steps": final.steps,
            "fusion": as_dict(final.fusion),
        },
        made=adapter,
    )
    about = {name: value for name, value in report.to_dict().items() if name not in ("adapter", "chunker", "shares", "seconds")}
    return replace(report, made=replace(adapter, about=about), seconds=time.perf_counter() - begun)


def _train(
    corpus: Corpus, questions: Questions, *, docs: Rows, rows: Rows, mode: JudgeMode, seed: int, after: Callable[[], None]
) -> Fitted:
    """Start and training on ``docs``, of whose answering documents a quarter only says when to stop and how to fuse."""
    start = choose_start(corpus, questions, docs=docs, rows=rows, mode=mode, seed=seed)
    homes = np.random.default_rng(seed).permutation(np.unique(questions.home[rows]))
    watched_docs = homes[: max(1, round(_WATCHED * len(homes)))]
    watched = rows[[bool(np.isin(questions.homes[row], watched_docs).any()) for row in rows]]
    learned = np.setdiff1d(rows, watched)
    if not len(learned):
        return Fitted(start=start, documents=start.matrix, queries=start.matrix, steps=0)
    fitted = fit(
        corpus,
        questions,
        start,
        docs=np.setdiff1d(docs, watched_docs),
        rows=learned,
        watched=watched,
        mode=mode,
        seed=seed,
        after=after,
    )
    if mode == "dense":
        return fitted
    return replace(fitted, fusion=choose_fusion(corpus, questions, _arm(corpus, questions, fitted), rows=watched))


def _untrained(made: Fitted) -> Fitted:
    return Fitted(start=made.start, documents=made.start.matrix, queries=made.start.matrix, steps=0)


def _arm(corpus: Corpus, questions: Questions, fitted: Fitted) -> Arm:
    return Arm(
        unit(mix(corpus.read, fitted.start.shares) @ fitted.documents),
        unit(questions.vectors @ fitted.queries),
        questions.words_in_context,
        fitted.fusion,
    )
