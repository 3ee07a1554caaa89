"""Fit a token compressor's parameters: both projections, salience and gates, by comparing questions with passages of one step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ragkit.errors import MissingDependencyError
from ragkit.rerank.parameters import Parameters
from ragkit.train.rerank_lessons import Lesson

if TYPE_CHECKING:
    from torch import Tensor

_RATE = 1e-3
_CLIP = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """How to train: ``runs`` times ``steps`` steps; every third step also follows the teacher with weight ``teach``.

    A step compares ``questions`` questions with ``groups`` x ``per_group`` passages, neighbours of one document each.
    """

    steps: int = 300
    runs: int = 3
    questions: int = 96
    groups: int = 4
    per_group: int = 32
    vectors: int = 64
    rate: float = _RATE
    teach: float = 0.5
    seed: int = 0
    every: int = 150


class Student:
    """The parameters as torch sees them, and the scores of a step."""

    def __init__(self, start: Parameters, settings: FitSettings) -> None:
        import torch

        self._torch = torch
        self.start, self.settings = start, settings
        self.documents = torch.from_numpy(start.documents.copy()).requires_grad_()
        self.queries = torch.from_numpy(start.queries.copy()).requires_grad_()
        self.salience = torch.from_numpy(start.salience.copy()).requires_grad_()
        self.gate = torch.from_numpy(start.gate.copy()).requires_grad_()
        self.rarity = torch.tensor([1.0, 0.0]).requires_grad_()
        # The inverse temperature, and what the arms' scores add in every other step.
        self.mixing = torch.tensor([np.log(40.0), 8.0, 0.15], dtype=torch.float32).requires_grad_()

    def weights(self) -> list[Tensor]:
        """All that is trained."""
        return [self.documents, self.queries, self.salience, self.gate, self.rarity, self.mixing]

    def tokens(self, x: Tensor) -> Tensor:
        """Every token of the passages, rows of length one."""
        rows: Tensor = self._torch.nn.functional.normalize((x @ self.documents.to(x.dtype)).float(), dim=1)
        return rows

    def vectors(self, x: Tensor, cluster: Tensor, n: int) -> Tensor:
        """Means of tokens by cluster, not yet signs: ``(n x vectors, bits)``; clusters nobody is in are 0."""
        torch = self._torch
        tokens = self.tokens(x)
        salience = torch.nn.functional.softplus((x @ self.salience.to(x.dtype)).float() + 1.0)
        sums: Tensor = torch.zeros(n * self.settings.vectors, tokens.shape[1]).index_add(0, cluster, tokens * salience[:, None])
        return sums

    def asked(self, x: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Query rows, not yet of length one, and gates."""
        torch = self._torch
        gates = torch.nn.functional.softplus((x @ self.gate.to(x.dtype)).float() + self.rarity[0] * logits + self.rarity[1])
        return (x @ self.queries.to(x.dtype)).float(), gates

    def scores(self, rows: Tensor, gates: Tensor, owner: Tensor, means: Tensor, empty: Tensor, *, bits: int, kept: int) -> Tensor:
        """Gated MaxSim ``(questions, passages)`` with the first ``bits`` of the first ``kept`` vectors, straight through the signs."""
        torch = self._torch
        k = self.settings.vectors
        soft = torch.nn.functional.normalize(means[:, :bits], dim=1)
        hard = soft + (torch.sign(soft) / bits**0.5 - soft).detach()
        hard = hard.view(-1, k, bits)[:, :kept].reshape(-1, bits)
        barred = empty.view(-1, k)[:, :kept].reshape(-1)
        query = torch.nn.functional.normalize(rows[:, :bits], dim=1)
        best = (query.bfloat16() @ hard.bfloat16().T).float().masked_fill(barred, -1.0).view(len(query), -1, kept).amax(2)
        total = torch.zeros(int(owner[-1]) + 1, best.shape[1]).index_add(0, owner, best * gates[:, None])
        weight = torch.zeros(int(owner[-1]) + 1).index_add(0, owner, gates)
        mean: Tensor = total / weight[:, None]
        return mean

    def parameters(self, **about: Any) -> Parameters:
        """What was learned, as it will be stored."""
        scale, shift = self.rarity.detach().tolist()
        return replace(
            self.start,
            documents=self.documents.detach().numpy().copy(),
            queries=self.queries.detach().numpy().copy(),
            salience=self.salience.detach().numpy().copy(),
            gate=self.gate.detach().numpy().copy(),
            logits=(scale * self.start.logits + shift).astype(np.float32),
            **about,
        )


def fit(
    start: Parameters,
    lessons: Sequence[Lesson],
    settings: FitSettings,
    *,
    judge: Callable[[Parameters], float] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[Parameters, int]:
    """The best parameters that ``judge`` met on the way, and after how many steps; without a judge, the last.

    Each step draws one lesson by its weight, documents of it, passages of those, and questions about them. The loss is cross
    entropy over the passages of the step, alone in odd steps, with the arms' scores added in even ones, and every third
    step Kullback and Leibler's divergence from MaxSim over all tokens with BM25. The nested sizes take turns.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError("Training needs torch: install the extra 'local'.") from error
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    student = Student(start, settings)
    # What only mixes sources while training needs larger steps than what is kept.
    groups = [{"params": student.weights()[:5], "times": 1.0}, {"params": student.weights()[5:], "times": 10.0}]
    optimiser = torch.optim.Adam(groups, lr=settings.rate, betas=(0.9, 0.98))
    shares = np.array([lesson.weight for lesson in lessons]) / sum(lesson.weight for lesson in lessons)
    best, kept, at = -np.inf, start, 0
    for step in range(settings.steps + 1):
        if judge is not None and (step % settings.every == 0 or step == settings.steps):
            found = judge(student.parameters())
            say(f"step {step}: {found:.4f}")
            if found > best:
                best, kept, at = found, student.parameters(), step
        if step == settings.steps:
            break
        for group in optimiser.param_groups:
            group["lr"] = (
                group["times"]
                * settings.rate
                * min((step + 1) / 30, 0.02 + 0.98 * (0.5 + 0.5 * np.cos(np.pi * step / settings.steps)))
            )
        lesson = lessons[int(rng.choice(len(lessons), p=shares))]
        loss = _loss(student, lesson.draw(rng, settings), step)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(student.weights(), _CLIP)
        optimiser.step()
        if step % 50 == 0:
            say(
                f"  {step} {lesson.name} loss {loss.item():.3f} mix {[round(v, 2) for v in student.mixing.tolist()]} rarity {student.rarity.tolist()}"
            )
    return (kept, at) if judge is not None else (student.parameters(), settings.steps)


def average(found: Sequence[Parameters]) -> Parameters:
    """The mean of parameters that were trained from one start, which serves other texts better than each of them (2203.05482)."""
    names = ("documents", "queries", "salience", "gate", "logits")
    means = {name: np.mean([getattr(one, name) for one in found], axis=0) for name in names}
    return replace(found[0], **means)


def _loss(student: Student, batch: Any, step: int) -> Tensor:
    import torch

    settings = student.settings
    x, q = torch.from_numpy(batch.tokens).bfloat16(), torch.from_numpy(batch.query_tokens).bfloat16()
    cluster = torch.from_numpy(batch.cluster)
    n = batch.passages
    means = student.vectors(x, cluster, n)
    empty = torch.ones(n * settings.vectors, dtype=torch.bool)
    empty[cluster] = False
    logits = torch.from_numpy(student.start.logits[batch.query_ids])
    rows, gates = student.asked(q, logits)
    owner = torch.from_numpy(batch.query_owner)
    bits = student.documents.shape[1]
    gold = torch.from_numpy(batch.gold)
    arms = torch.from_numpy(batch.dense), torch.from_numpy(batch.bm25)
    loss = torch.zeros(())
    small = student.start.nested[0] if student.start.nested else bits
    sizes = [
        (bits, settings.vectors, 1.0),
        (small, settings.vectors, 0.3) if step % 4 < 3 else (bits, settings.vectors // 2, 0.3),
    ]
    scale = student.mixing[0].exp()
    for width, kept, share in sizes:
        scores = scale * student.scores(rows, gates, owner, means, empty, bits=width, kept=kept)
        if step % 2 == 0:
            scores = scores + student.mixing[1] * arms[0] + student.mixing[2] * arms[1]
        if batch.target is not None:
            target = torch.from_numpy(batch.target)
            loss = loss - share * (target * torch.log_softmax(scores.masked_fill(target == 0, -1e4), dim=1)).sum(1).mean()
            continue
        loss = loss + share * torch.nn.functional.cross_entropy(scores, gold)
        if settings.teach and step % 3 == 0:
            own = scale.detach() * _uncompressed(rows.detach(), student.tokens(x).detach(), gates.detach(), owner, batch)
            target = torch.log_softmax(_teacher(x, q, logits, owner, own, batch), dim=1)
            found = torch.log_softmax(scores if step % 2 == 0 else scores + student.mixing[2] * arms[1], dim=1)
            loss = loss + share * settings.teach * torch.nn.functional.kl_div(
                found, target, log_target=True, reduction="batchmean"
            )
    return loss


def _teacher(x: Tensor, q: Tensor, logits: Tensor, owner: Tensor, own: Tensor, batch: Any) -> Tensor:
    """What no merging and no signs would say, with BM25: half the last layer with gates by rarity, half the parameters so far."""
    import torch

    half = x.shape[1] // batch.layers
    with torch.no_grad():
        doc = torch.nn.functional.normalize(x[:, :half], dim=1)
        plain = _uncompressed(q[:, :half], doc, torch.nn.functional.softplus(logits), owner, batch)
        return 0.5 * (40.0 * plain + own) + 0.2 * torch.from_numpy(batch.bm25)


def _uncompressed(rows: Tensor, tokens: Tensor, gates: Tensor, owner: Tensor, batch: Any) -> Tensor:
    """Gated MaxSim over all tokens, ``(questions, passages)``."""
    import torch

    with torch.no_grad():
        dots = torch.nn.functional.normalize(rows, dim=1).bfloat16() @ tokens.bfloat16().T
        best = torch.stack([dots[:, a:b].amax(1) for a, b in pairwise(batch.bounds.tolist())], dim=1).float()
        total = torch.zeros(int(owner[-1]) + 1, best.shape[1]).index_add(0, owner, best * gates[:, None])
        weight = torch.zeros(int(owner[-1]) + 1).index_add(0, owner, gates)
        mean: Tensor = total / weight[:, None]
        return mean
