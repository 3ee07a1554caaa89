"""tiktoken encodings, read from tiktoken's own cache."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError, ModelNotFoundError
from ragkit.seams import Offsets
from ragkit.text.threads import map_texts
from ragkit.text.unicode import encodable

if TYPE_CHECKING:
    from tiktoken import Encoding

_LOADING = Lock()
#: Encodings whose patterns were read: a newline ends a token there, and a blank belongs to the word after it.
_NEWLINE_ENDS_TOKEN = frozenset({"cl100k_base", "o200k_base"})
_SPACE_STARTS_TOKEN = _NEWLINE_ENDS_TOKEN | {"gpt2", "r50k_base", "p50k_base", "p50k_edit"}


class TiktokenTokenizer:
    """A ``tiktoken.Encoding`` as a ragkit Tokenizer; special-token strings in a text are text.

    Long texts are encoded by so many ``threads`` (None: one per core, at most four); the tokens are the same.
    """

    __slots__ = ("_newline", "_sizes", "_space", "_threads", "encoding", "n_special", "name")

    def __init__(self, encoding: Encoding, *, threads: int | None = None) -> None:
        if threads is not None and (not isinstance(threads, int) or threads < 1):
            raise InvalidInputError(f"threads is {threads!r}; it must be a whole number, at least 1, or None for one per core.")
        self.encoding = encoding
        self._threads = threads
        self._sizes: NDArray[np.int64] | None = None
        self.name = f"tiktoken:{encoding.name}"
        self.n_special = 0
        self._newline = encoding.name in _NEWLINE_ENDS_TOKEN
        self._space = encoding.name in _SPACE_STARTS_TOKEN

    def __reduce__(self) -> tuple[Any, ...]:
        # An encoding travels by its name, and other processes' cores are busy already.
        return _restored, (self.encoding,)

    def count_batch(self, texts: Sequence[str], /) -> list[int]:
        """Exact token counts."""
        return [len(ids) for ids in self._encode([encodable(text) for text in texts])]

    def starts_batch(self, texts: Sequence[str], /) -> list[Offsets]:
        """Character offsets of the tokens' first characters; a token that starts inside a character counts there."""
        if self._sizes is None:
            self._sizes = _byte_lengths(self.encoding)
        clean = [encodable(text) for text in texts]
        ids = self._encode(clean)
        found: list[Offsets] = []
        for text, own in zip(clean, ids, strict=True):
            lengths = self._sizes[own]
            first_bytes = np.cumsum(lengths)
            first_bytes -= lengths
            found.append(first_bytes if text.isascii() else _characters(text, first_bytes))
        return found

    def _encode(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        return map_texts(self._ids, texts, self._threads)

    def _ids(self, text: str) -> NDArray[np.uint32]:
        # The array spares a Python object for every token.
        return self.encoding.encode_to_numpy(text, disallowed_special=())

    def additive_at(self, text: str, position: int, /) -> bool:
        """True before the blank of a word, between a word and any white space, and after the last of a run of line ends."""
        if not self._space:
            return False
        if position <= 0 or position >= len(text):
            return True
        before, after = text[position - 1], text[position]
        if after == " " and not before.isspace():
            return True
        # Later letters may be newer than the vocabulary's tables.
        if before < "\u0300" and before.isalnum() and after.isspace():
            return True
        return self._newline and before == "\n" and _begins_line(text, position)


def _restored(encoding: Encoding) -> TiktokenTokenizer:
    return TiktokenTokenizer(encoding, threads=1)


def _characters(text: str, places: Offsets) -> Offsets:
    """Offsets of bytes of ``text`` in UTF-8 as offsets of characters."""
    data = np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
    inside = np.flatnonzero((data & 0xC0) == 0x80)
    # A place inside a character counts as the character's.
    starts: Offsets = places - np.searchsorted(inside, places, side="right")
    return starts


def _begins_line(text: str, position: int) -> bool:
    """Whether only blanks, and no further line end, part ``position`` from a visible character."""
    at = position
    while at < len(text) and text[at] in " \t":
        at += 1
    # o200k lets "/" follow the newlines of a punctuation token.
    return at < len(text) and not text[at].isspace() and not (at == position and text[at] == "/")


@lru_cache(maxsize=8)
def _lengths_by_name(name: str) -> NDArray[np.int64]:
    import tiktoken

    return _measure(tiktoken.get_encoding(name))


def _measure(encoding: Encoding) -> NDArray[np.int64]:
    sizes = np.zeros(encoding.max_token_value + 1, dtype=np.int64)
    for token in range(encoding.max_token_value + 1):
        try:
            sizes[token] = len(encoding.decode_single_token_bytes(token))
        except KeyError:
            continue
    return sizes


def _byte_lengths(encoding: Encoding) -> NDArray[np.int64]:
    return _lengths_by_name(encoding.name) if encoding.name in _SPACE_STARTS_TOKEN else _measure(encoding)


def cached_encoding(name: str) -> Encoding:
    """The encoding ``name`` from tiktoken's cache folder; raises ModelNotFoundError where tiktoken would download.

    tiktoken has no offline switch, so its one download function is barred while the encoding loads.
    """
    import tiktoken
    from tiktoken import load

    def refuse(path: str) -> NoReturn:
        raise ModelNotFoundError(
            f"The tiktoken encoding {name!r} is not in tiktoken's cache (TIKTOKEN_CACHE_DIR), and ragkit downloads nothing "
            f"unasked. Fill the cache, or allow the download by passing the encoding: tokenizer=tiktoken.get_encoding({name!r})."
        )

    with _LOADING:
        download = load.read_file
        load.read_file = refuse  # type: ignore[assignment]
        try:
            return tiktoken.get_encoding(name)
        finally:
            load.read_file = download
