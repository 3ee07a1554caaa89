"""Fit a scorer by comparing each question's answer with passages like it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ragkit.errors import InvalidInputError, MissingDependencyError
from ragkit.rerank.attentive import Shape, Weights, interaction, joint_scores
from ragkit.rerank.compressor import TokenCompressor
from ragkit.train.scorer_course import Course, Draw

if TYPE_CHECKING:
    from torch import Tensor, nn

_DECAY = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerSettings:
    """How to train: each of ``steps`` steps compares ``questions`` questions with ``candidates`` passages each, and every ``every`` steps
    the scorer is judged. Raises InvalidInputError for numbers that nothing can be learned with."""

    steps: int = 400
    questions: int = 16
    candidates: int = 16
    width: int = 64
    layers: int = 2
    rate: float = 1e-3
    seed: int = 0
    every: int = 100

    def __post_init__(self) -> None:
        if self.steps < 0 or self.candidates < 2 or min(self.questions, self.every) < 1:
            raise InvalidInputError(
                f"steps={self.steps}, questions={self.questions}, candidates={self.candidates}, every={self.every}; steps are 0 or more, "
                "candidates at least 2, the others at least 1."
            )


def fit_scorer(
    courses: Sequence[Course],
    compressor: TokenCompressor,
    settings: ScorerSettings,
    about: Mapping[str, Any],
    *,
    judge: Callable[[Weights | None], float],
    say: Callable[[str], None],
) -> tuple[Weights, int]:
    """The best weights that ``judge`` met on the way, and after how many steps; 0: none was better than MaxSim.

    The loss is cross entropy over each question's list, of the scorer alone in odd steps, with the arms' scores added in even ones.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError("Training needs torch: install the extra 'local'.") from error
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    shape = Shape(bits=compressor.card.bits, width=settings.width, layers=settings.layers)
    nets = interaction(shape)
    # The inverse temperature, and what the arms' scores add.
    mixing = torch.tensor([np.log(40.0), 8.0, 0.15], dtype=torch.float32).requires_grad_()
    optimiser = torch.optim.AdamW(
        [{"params": list(nets.parameters()), "times": 1.0}, {"params": [mixing], "times": 10.0, "weight_decay": 0.0}],
        lr=settings.rate,
        weight_decay=_DECAY,
    )
    shares = np.array([course.weight for course in courses]) / sum(course.weight for course in courses)

    def weights(steps: int) -> Weights:
        held = {name: values.detach().numpy().copy() for name, values in nets.state_dict().items()}
        return Weights(shape=shape, compressor=compressor.card.weights, tensors=held, about=dict(about) | {"steps": steps})

    best, kept, at = judge(None), weights(0), 0
    say(f"MaxSim: {best:.4f}")
    for step in range(1, settings.steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = (
                group["times"] * settings.rate * min(step / 30, 0.02 + 0.98 * (0.5 + 0.5 * np.cos(np.pi * step / settings.steps)))
            )
        course = courses[int(rng.choice(len(courses), p=shares))]
        loss = _loss(nets, mixing, course.draw(rng, settings), arms=step % 2 == 0)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(list(nets.parameters()), 1.0)
        optimiser.step()
        if step % settings.every == 0 or step == settings.steps:
            now = weights(step)
            found = judge(now)
            say(f"step {step}: {found:.4f}, loss {loss.item():.3f}")
            if found > best:
                best, kept, at = found, now, step
    return kept, at


def _loss(nets: nn.ModuleDict, mixing: Tensor, drawn: Draw, *, arms: bool) -> Tensor:
    import torch

    n, most = drawn.target.shape
    scores = mixing[0].exp() * joint_scores(nets, drawn.query, drawn.gates, drawn.vectors, drawn.absent, drawn.missing).view(
        n, most
    )
    if arms:
        scores = scores + mixing[1] * torch.from_numpy(drawn.dense) + mixing[2] * torch.from_numpy(drawn.bm25)
    found = torch.log_softmax(scores.masked_fill(torch.from_numpy(~drawn.there), -1e4), dim=1)
    loss: Tensor = -(torch.from_numpy(drawn.target) * found).sum(1).mean()
    return loss
