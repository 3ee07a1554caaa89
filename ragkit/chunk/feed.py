"""Text that is there, or that arrives piece by piece: what a chunker still needs of it, and no more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Self

from ragkit.errors import InvalidInputError


class Feed:
    """A text from which chunks are taken at the front; ``base`` is the offset of the first character still held.

    Raises InvalidInputError for a piece that is no str. What the pieces' own iterator raises goes through, with a note on
    how far the text had come.
    """

    def __init__(self, pieces: Iterable[str]) -> None:
        self.base = 0
        self._pieces: Iterator[str] | None = iter(pieces)
        self._text, self._at, self._read = "", 0, 0

    @classmethod
    def of(cls, text: str) -> Self:
        """A text that is there."""
        feed = cls(())
        feed._text, feed._pieces = text, None
        return feed

    def window(self, size: int) -> tuple[str, bool]:
        """The next ``size`` characters, and whether the text ends with them."""
        self._fill(size + 1)
        return self._text[self._at : self._at + size], len(self._text) - self._at <= size

    def drop(self, count: int) -> None:
        """Let go of the first ``count`` characters."""
        self.base += count
        self._at += count
        # Half of what is held is copied when half of it is done with: linear, however small the steps.
        if self._pieces is not None and 2 * self._at > len(self._text):
            self._text, self._at = self._text[self._at :], 0

    def blank(self) -> bool:
        """Whether the whole text is empty or white space; reads on until something else comes."""
        size = 1_000
        while True:
            window, ended = self.window(size)
            if window and not window.isspace():
                return False
            if ended:
                return True
            size *= 2

    def _fill(self, size: int) -> None:
        if self._pieces is None or len(self._text) - self._at >= size:
            return
        found, length = [self._text[self._at :]], len(self._text) - self._at
        self._at = 0
        try:
            while length < size:
                piece = next(self._pieces)
                if not isinstance(piece, str):
                    raise InvalidInputError(
                        f"Piece {self._read} of the text is {type(piece).__name__}, not str. Decode bytes first, for example with "
                        "codecs.iterdecode(pieces, 'utf-8')."
                    )
                self._read += 1
                found.append(piece)
                length += len(piece)
        except StopIteration:
            self._pieces = None
        except Exception as error:
            error.add_note(
                f"The text broke off after {self._read} pieces, {self.base + length} characters. Chunks given before this stand, "
                f"up to about character {self.base}; nothing after them was cut."
            )
            raise
        finally:
            self._text = "".join(found)
