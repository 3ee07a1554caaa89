from __future__ import annotations

import io
import sys

import pytest

from ragkit import Document, Index
from ragkit.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_is_drawn_where_nobody_watches(capfd: pytest.CaptureFixture[str], index: Index) -> None:
    index.add([Document("x", id="a")], progress=True)
    assert capfd.readouterr() == ("", "")


def test_a_terminal_sees_counts_on_stderr_and_the_cursor_comes_back(monkeypatch: pytest.MonkeyPatch, index: Index) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    index.add([Document(f"x {n}", id=f"d{n}") for n in range(7)], progress=True)
    drawn = screen.getvalue()
    assert "Indexing" in drawn
    assert "7/7" in drawn
    assert "7 chunks" in drawn

    def fails() -> None:
        with progress("Failing", total=3) as bar:
            bar.advance(2, note="[not markup]")
            raise ValueError

    with pytest.raises(ValueError):
        fails()
    assert "[not markup]" in screen.getvalue()
    assert screen.getvalue().count("\x1b[?25h") == screen.getvalue().count("\x1b[?25l") > 0


def test_not_asked_for(monkeypatch: pytest.MonkeyPatch, index: Index) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    index.add([Document("x", id="a")])
    assert screen.getvalue() == ""
