"""Train a context adapter, and let documents it has not seen decide whether it is worth having."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from ragkit.chunk import RecursiveChunker, Situate
from ragkit.embed.adapted import mix, unit
from ragkit.embed.adapter import Adapter
from ragkit.errors import InvalidInputError
from ragkit.lexical import Analyzer
from ragkit.progress import progress as progress_bar
from ragkit.seams import Chunker, Embedder
from ragkit.train.corpus import Corpus, Questions, Rows, read_corpus, read_questions
from ragkit.train.fit import STEPS, Fitted, choose_start, fit
from ragkit.train.judge import JudgeMode, by_documents, ndcg
from ragkit.train.labels import Label, labels_by_rule
from ragkit.train.report import ContextReport, Difference
from ragkit.types import Document

#: Title, headings and the previous sentence are read along, and the document's mean may have a share.
DEFAULT_CHUNKER = RecursiveChunker(256) | Situate(title=True, before=1, max_tokens=64, document=0.1)
_LEAST = 30
_WATCHED = 0.25

Values = NDArray[np.float64]


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
    of its own documents. Held-out questions are asked over all chunks. The adapter returned is made like that from all
    documents. Same seed, machine and thread count: same adapter.

    Raises InvalidInputError for fewer than 30 labels, fewer answering documents than folds, or settings out of range.
    """
    begun = time.perf_counter()
    if mode not in get_args(JudgeMode):
        raise InvalidInputError(f"mode is {mode!r}; allowed are {', '.join(get_args(JudgeMode))}.")
    if folds < 2:
        raise InvalidInputError(f"folds is {folds}; at least 2 are needed to ask documents that training did not see.")
    kind = "spans" if labels is not None else "by rule"
    if labels is None:
        documents, labels = labels_by_rule(documents, seed=seed)
    if len(labels) < _LEAST:
        raise InvalidInputError(f"{len(labels)} labels are too few to train on and to judge by; give at least {_LEAST}.")
    if embedder.tokenizer is not None:
        chunker = chunker.bind(embedder.tokenizer, window=embedder.card.window)
    corpus = read_corpus(documents, chunker, embedder, progress=progress)
    questions = read_questions(corpus, labels, embedder, Analyzer())
    parts = _parts(questions, folds)
    everything = np.arange(len(corpus.documents))
    asked = np.arange(len(questions))
    gains: dict[tuple[str, JudgeMode], Values] = {}
    plain = {
        one: ndcg(corpus, questions, corpus.read[:, 0], questions.vectors, rows=asked, mode=one) for one in get_args(JudgeMode)
    }
    for arm, one in product(("mixed", "trained"), get_args(JudgeMode)):
        gains[arm, one] = np.zeros(len(questions))
    with progress_bar("Training", total=(folds + 1) * STEPS, enabled=progress) as watch:
        for number, held in enumerate(parts):
            watch.advance(0, note=f"round {number + 1} of {folds}, {len(held)} documents held out")
            rest = np.setdiff1d(everything, held)
            rows = asked[[not np.isin(homes, held).any() for homes in questions.homes]]
            made = _train(corpus, questions, docs=rest, rows=rows, mode=mode, seed=seed, after=watch.advance)
            test = asked[np.isin(questions.home, held)]
            for arm, fitted in (("mixed", _untrained(made)), ("trained", made)):
                vectors, turned = _apply(corpus, questions, fitted)
                for one in get_args(JudgeMode):
                    found = ndcg(corpus, questions, vectors, turned, rows=test, mode=one)
                    gains[arm, one][test] = found - plain[one][test]
        watch.advance(0, note="all documents")
        final = _train(corpus, questions, docs=everything, rows=asked, mode=mode, seed=seed, after=watch.advance)
    shares = final.start.shares
    report = ContextReport(
        model=embedder.card.name,
        chunker=chunker.recipe,
        mode=mode,
        documents=len(corpus.documents),
        chunks=len(corpus.chunks),
        questions=len(questions),
        labels=kind,
        folds=folds,
        seed=seed,
        min_gain=min_gain,
        shares={"alone": shares.alone, "situated": shares.situated, "document": shares.document},
        whitening=final.start.whitening,
        steps=final.steps,
        seconds=0.0,
        differences=tuple(_differences(gains, plain, questions)),
        adapter=Adapter(
            shares=shares, documents=final.documents, queries=final.queries, base=embedder.card, chunker=chunker.recipe
        ),
    )
    about = {name: value for name, value in report.to_dict().items() if name not in ("adapter", "chunker", "shares", "seconds")}
    return replace(report, adapter=replace(report.adapter, about=about), seconds=time.perf_counter() - begun)


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


def _train(
    corpus: Corpus, questions: Questions, *, docs: Rows, rows: Rows, mode: JudgeMode, seed: int, after: Callable[[], None]
) -> Fitted:
    """Start and training on ``docs``, of whose answering documents a quarter only says when to stop."""
    start = choose_start(corpus, questions, docs=docs, rows=rows, mode=mode, seed=seed)
    homes = np.random.default_rng(seed).permutation(np.unique(questions.home[rows]))
    watched_docs = homes[: max(1, round(_WATCHED * len(homes)))]
    watched = rows[[bool(np.isin(questions.homes[row], watched_docs).any()) for row in rows]]
    learned = np.setdiff1d(rows, watched)
    if not len(learned):
        return Fitted(start=start, documents=start.matrix, queries=start.matrix, steps=0)
    return fit(
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


def _untrained(made: Fitted) -> Fitted:
    return Fitted(start=made.start, documents=made.start.matrix, queries=made.start.matrix, steps=0)


def _apply(corpus: Corpus, questions: Questions, fitted: Fitted) -> tuple[np.ndarray, np.ndarray]:
    return unit(mix(corpus.read, fitted.start.shares) @ fitted.documents), unit(questions.vectors @ fitted.queries)


def _differences(
    gains: dict[tuple[str, JudgeMode], Values], plain: dict[JudgeMode, Values], questions: Questions
) -> Iterator[Difference]:
    everything = np.ones(len(questions), np.bool_)
    for mode in get_args(JudgeMode):
        for subset, chosen in (("all", everything), ("needs context", questions.needy)):
            if chosen.any():
                for arm in ("mixed", "trained"):
                    yield Difference(
                        arm=arm,
                        mode=mode,
                        subset=subset,
                        plain=float(plain[mode][chosen].mean()),
                        gain=by_documents(gains[arm, mode][chosen], questions.home[chosen]),
                    )
