"""Writers that come second wait and try again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from ragkit.errors import StoreError
from ragkit.store.failures import is_conflict

_PATIENCE = 60.0


def keep_trying(act: Callable[[], object], *, refresh: Callable[[], object]) -> None:
    """Run ``act``; while other writers come first, ``refresh`` and run it again, with growing pauses, for a minute."""
    pause, until = 0.01, time.monotonic() + _PATIENCE
    while True:
        try:
            act()
            return
        except StoreError as error:
            if not is_conflict(error) or time.monotonic() > until:
                raise
        time.sleep(pause * (0.5 + random.random()))
        pause = min(pause * 2, 2.0)
        refresh()
