"""Fit one matrix to labelled pairs of vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import MissingDependencyError
from ragkit.seams import Vectors

STEPS = 300
_RATE = 3e-4
_DECAY = 0.1
_DROP = 0.4
_BATCH = 256
_SHARPNESS = 10.0


def fit_pairs(left: Vectors, right: Vectors, same: NDArray[np.bool_], *, seed: int = 0, steps: int = STEPS) -> Vectors:
    """``(dim, dim)``: ``unit(v @ matrix)`` brings pairs ``(n, dim)`` with ``same`` nearer to each other than the others.

    Logistic regression on the cosine of the turned vectors, its slope and offset learned with it. The matrix starts as the identity
    and decays towards it; coordinates are left out at random, in both vectors of a pair alike, so that no few of them decide.
    Raises MissingDependencyError without torch.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError("Training needs torch: install the extra 'local'.") from error
    rng, dim = np.random.default_rng(seed), left.shape[1]
    coins = torch.Generator().manual_seed(seed)
    turn = torch.zeros(dim, dim, requires_grad=True)
    slope = torch.tensor(float(np.log(_SHARPNESS)), requires_grad=True)
    offset = torch.tensor(float(np.median(np.einsum("nd,nd->n", left, right))), requires_grad=True)
    optimiser = torch.optim.AdamW(
        [{"params": [turn], "weight_decay": _DECAY}, {"params": [slope, offset], "weight_decay": 0.0, "lr": 1e-2}], lr=_RATE
    )
    a, b, wanted = torch.from_numpy(left), torch.from_numpy(right), torch.from_numpy(same.astype(np.float32))
    normalise = torch.nn.functional.normalize
    for _ in range(steps):
        picked = torch.from_numpy(rng.integers(0, len(same), _BATCH))
        kept = (torch.rand(dim, generator=coins) >= _DROP).float() / (1 - _DROP)
        x, y = a[picked] * kept, b[picked] * kept
        cosines = (normalise(x + x @ turn, dim=1) * normalise(y + y @ turn, dim=1)).sum(dim=1)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(slope.exp() * (cosines - offset), wanted[picked])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    matrix: Vectors = np.eye(dim, dtype=np.float32) + turn.detach().numpy()
    return matrix
