"""Train an encoder's own weights on labelled questions: the loop, what it compares, and what it will cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ragkit.embed.tuning import Method, Planned, Tunable
from ragkit.errors import InvalidInputError
from ragkit.train.corpus import Corpus, Questions, Rows
from ragkit.train.loss import contrast
from ragkit.vec import top_k

#: Hard negatives come from so many chunks nearest by meaning, and so many by words.
_NEAR = 10
_WARM = 0.1
_RATES: dict[Method, float] = {"lora": 5e-4, "full": 3e-5}


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneSettings:
    """How weights are trained.

    ``rank`` is that of "lora". ``epochs`` times each question is asked, ``batch`` at once, each against one chunk that answers it,
    ``negatives`` that do not although either arm ranks them high, and the chunks of the rest of the batch. ``rate`` None is
    5e-4 for "lora" and 3e-5 for "full"; it rises over the first tenth of the steps and then falls to 0.
    """

    method: Method = "lora"
    rank: int = 8
    epochs: int = 2
    batch: int = 16
    negatives: int = 2
    rate: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("rank", 1), ("epochs", 1), ("batch", 2), ("negatives", 0)):
            if getattr(self, name) < least:
                raise InvalidInputError(f"{name} is {getattr(self, name)!r}; it must be at least {least}.")
        if self.rate is not None and not 0 < self.rate < 1:
            raise InvalidInputError(f"rate is {self.rate!r}; it must be above 0 and below 1, or None for the method's own.")

    def steps(self, questions: int) -> int:
        """How many steps so many questions take."""
        return self.epochs * -(-questions // self.batch)


def hard_negatives(corpus: Corpus, questions: Questions, *, docs: Rows, rows: Rows) -> dict[int, Rows]:
    """For each question of ``rows`` the chunks of ``docs`` that the frozen model or BM25 ranks high and that do not answer it."""
    inside = np.isin(corpus.doc, docs)
    words = np.zeros(len(corpus.doc))
    found: dict[int, Rows] = {}
    for row in rows.tolist():
        scope = questions.scope[row]
        pool = np.flatnonzero(inside if scope < 0 else inside & (corpus.doc == scope))
        matching = questions.words[row]
        words[matching.rows] = matching.scores
        near = pool[top_k(corpus.read[pool, 0] @ questions.vectors[row], _NEAR)]
        alike = pool[top_k(words[pool], _NEAR)]
        words[matching.rows] = 0.0
        found[row] = np.setdiff1d(np.union1d(near, alike), questions.gold[row])
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lesson:
    """What one training reads: planned chunks and questions of the corpus, and the rows it may learn from."""

    corpus: Corpus
    questions: Questions
    chunks: Planned
    asked: Planned
    docs: Rows
    rows: Rows
    negatives: dict[int, Rows]

    def draw(self, picked: Sequence[int], n: int, rng: np.random.Generator) -> tuple[Rows, np.ndarray, np.ndarray]:
        """Chunks for a step's questions; which answer each question, and which are outside its scope."""
        inside = np.isin(self.corpus.doc, self.docs)
        chosen: list[int] = []
        for row in picked:
            gold = self.questions.gold[row]
            chosen.append(int(rng.choice(gold[inside[gold]])))
            chosen += rng.permutation(self.negatives[row])[:n].tolist()
        places = np.unique(np.array(chosen, np.int64))
        right = np.stack([np.isin(places, self.questions.gold[row]) for row in picked])
        scope = self.questions.scope[list(picked)][:, None]
        return places, right, (scope >= 0) & (self.corpus.doc[places][None, :] != scope)


def tune(
    model: Tunable,
    lesson: Lesson,
    settings: TuneSettings,
    *,
    seed: int,
    steps: int | None = None,
    after: Callable[[], None] = lambda: None,
) -> int:
    """Train the weights of ``model`` on the lesson, and return the number of steps; ``steps`` ends it sooner.

    The loss is softmax cross entropy of the chunks that answer among all of the step (in-sequence negatives, as InSeNT, 2505.24782),
    each read as its encoding says: a chunk read both alone and in context learns from the sum, as SitEmb (2508.01959).
    """
    import torch

    rng = np.random.default_rng(seed)
    weights = model.weights()
    optimiser = torch.optim.AdamW(weights, lr=settings.rate or _RATES[settings.method], weight_decay=0.01)
    total = settings.steps(len(lesson.rows))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / max(1.0, _WARM * total), (total - step) / total)
    )
    waiting: list[int] = []
    for _ in range(min(total, steps or total)):
        if not waiting:
            waiting = rng.permutation(lesson.rows).tolist()
        picked, waiting = waiting[: settings.batch], waiting[settings.batch :]
        places, gold, barred = lesson.draw(picked, settings.negatives, rng)
        loss = contrast(model.encode(lesson.asked, picked), model.encode(lesson.chunks, places.tolist()), gold, barred)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        schedule.step()
        after()
    return total


def seconds_for(model: Tunable, lesson: Lesson, settings: TuneSettings, *, rounds: int) -> float:
    """What ``rounds`` trainings on all of the lesson's questions, each with a reading of all chunks, will take on this device.

    Two steps are made, on a model that is thrown away afterwards, and the second is timed.
    """
    tune(model, lesson, settings, seed=0, steps=1)
    begun = time.perf_counter()
    tune(model, lesson, settings, seed=0, steps=1)
    step = time.perf_counter() - begun
    # A step reads its chunks forwards and back, about three times the work of reading them.
    a_chunk = step / (3 * settings.batch * (1 + settings.negatives))
    return rounds * (settings.steps(len(lesson.rows)) * step + len(lesson.chunks) * a_chunk)
