"""The loss that trained vectors share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

TEMPERATURE = 0.05


def contrast(asked: Tensor, chunks: Tensor, gold: NDArray[np.bool_], barred: NDArray[np.bool_]) -> Tensor:
    """Mean over questions of softmax cross entropy: the chunks that answer (any of them) against all that are not ``barred``.

    ``asked`` ``(m, dim)`` and ``chunks`` ``(n, dim)`` are unit rows; ``gold`` and ``barred`` are ``(m, n)``.
    """
    import torch

    logits = (asked @ chunks.T / TEMPERATURE).masked_fill(torch.from_numpy(barred).to(asked.device), -1e4)
    right = logits.masked_fill(~torch.from_numpy(gold).to(asked.device), -1e4)
    return (torch.logsumexp(logits, dim=1) - torch.logsumexp(right, dim=1)).mean()
