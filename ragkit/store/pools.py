"""What the arms found for a question, as columns; the rows of many questions overlap, so they are read and taken apart once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ragkit.seams import Vectors
from ragkit.store.escape import escape, unescape
from ragkit.store.rows import vectors_from
from ragkit.store.terms import Addresses

if TYPE_CHECKING:
    import pyarrow as pa

Mask = NDArray[np.bool_]
Places = NDArray[np.int64]


class Columns:
    """The columns of rows that questions share; ``words`` are the tokens that any of them asks for."""

    def __init__(self, table: pa.Table, words: Iterable[str]) -> None:
        self.table = table
        self.words = {token: place for place, token in enumerate(dict.fromkeys(words))}

    @cached_property
    def vectors(self) -> Vectors:
        """float32 ``(n, dim)``."""
        return vectors_from(self.table)

    @cached_property
    def documents(self) -> Places:
        """Numbers of the rows' documents in the order of their ids, which escaping keeps."""
        return np.unique(self.table.column("doc_id").to_numpy(), return_inverse=True)[1]

    @cached_property
    def starts(self) -> Places:
        """Where the chunks start in their documents."""
        starts: Places = self.table.column("start").to_numpy()
        return starts

    @cached_property
    def occurrences(self) -> tuple[Places, Places, Places]:
        """Where ``words`` stand, a row and a word each time, and the number of tokens of every row."""
        import pyarrow as pa
        import pyarrow.compute as pc

        tokens = pc.split_pattern(self.table.column("lex").combine_chunks(), " ")
        lengths: Places = pc.list_value_length(tokens).to_numpy().astype(np.int64)
        found = pc.index_in(tokens.flatten(), value_set=pa.array(map(escape, self.words), pa.string()))
        here = found.is_valid().to_numpy(zero_copy_only=False)
        return np.repeat(np.arange(len(lengths)), lengths)[here], found.drop_null().to_numpy(), lengths


class Pool:
    """The rows found for one question, each once: ``keys`` are their addresses, ``places`` where they stand in ``columns``."""

    def __init__(self, keys: Addresses, places: Places, near: Mask, matched: Mask, columns: Columns) -> None:
        self.keys: list[int] = keys.tolist()
        self.near, self.matched = near, matched
        self._places, self._columns = places, columns

    @property
    def vectors(self) -> Vectors:
        """float32 ``(n, dim)``."""
        return self._columns.vectors[self._places]

    @property
    def documents(self) -> Places:
        """Numbers of the rows' documents in the order of their ids."""
        return self._columns.documents[self._places]

    @property
    def starts(self) -> Places:
        """Where the chunks start in their documents."""
        return self._columns.starts[self._places]

    def counts(self, tokens: Sequence[str], /) -> tuple[Places, Places]:
        """How often each row has each of ``tokens``, ``(n, len(tokens))``, and how many tokens it has, ``(n,)``."""
        rows, words, lengths = self._columns.occurrences
        own = np.full(len(lengths), -1)
        own[self._places] = np.arange(len(self._places))
        columns = np.array([self._columns.words[token] for token in tokens], np.int64)
        shape = len(self._places), len(self._columns.words)
        mine = own[rows] >= 0
        cells = own[rows[mine]] * shape[1] + words[mine]
        return np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape)[:, columns], lengths[self._places]

    def lex(self, place: int, /) -> list[str]:
        """The tokens of one row."""
        text = unescape(self._columns.table.column("lex")[int(self._places[place])].as_py())
        return text.split(" ") if text else []
