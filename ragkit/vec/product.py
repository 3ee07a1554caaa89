"""Matrix products on the thread that asks for them."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

#: Multiplications of one product: few enough that BLAS keeps to one thread. Waking others for matrices of a few hundred rows costs
#: more than it saves, and tens of milliseconds instead of one where the machine is busy.
PRODUCT = 1 << 18
#: Columns of a block, a multiple of what BLAS' kernels take at a time.
_COLUMNS = 32
_Real = TypeVar("_Real", np.float32, np.float64)


def product(left: NDArray[_Real], right: NDArray[_Real]) -> NDArray[_Real]:
    """``left @ right`` of ``(n, d)`` and ``(d, m)``, both of one kind, in blocks of at most ``PRODUCT`` multiplications.

    A block has a row at least, so with more than 8,192 columns of ``left`` it is larger.
    """
    (n, d), m = left.shape, right.shape[1]
    found = np.empty((n, m), left.dtype)
    step = max(1, PRODUCT // max(d * _COLUMNS, 1))
    for row in range(0, n, step):
        for column in range(0, m, _COLUMNS):
            block = np.s_[row : row + step, column : column + _COLUMNS]
            np.matmul(left[block[0]], right[:, block[1]], out=found[block])
    return found
