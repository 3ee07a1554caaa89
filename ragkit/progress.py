"""Progress for people who watch: on stderr, and only where that is a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class Progress(Protocol):
    """What a running task may say about itself."""

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        """``steps`` more are done; ``note`` replaces the text at the end of the line."""
        ...


class _Silent:
    def advance(self, steps: int = 1, *, note: str = "") -> None:
        return None


class _Bar:
    def __init__(self, bar: Any, task: Any) -> None:
        self._bar, self._task = bar, task

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        self._bar.update(self._task, advance=steps, **({"note": note} if note else {}))


@contextmanager
def progress(description: str, *, total: int | None = None, enabled: bool = True) -> Iterator[Progress]:
    """A progress bar with counts, elapsed time and an estimate of the time left (seconds) when ``total`` is known.

    Does nothing when not ``enabled`` or when stderr is no terminal. The bar stays on screen when the block ends, and
    the cursor comes back after any exception.
    """
    if not enabled:
        yield _Silent()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Silent()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Bars(*columns, console=console) as bars:
        yield _Bar(bars, bars.add_task(description, total=total, note=""))
