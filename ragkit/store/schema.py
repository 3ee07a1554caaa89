"""The table's columns, and the header that says what they hold."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragkit.errors import StoreCorruptError, StoreError, StoreFormatError
from ragkit.store.columns import Column, read_columns
from ragkit.types import ModelCard

if TYPE_CHECKING:
    import pyarrow as pa

VECTOR = "vector"
#: Format 2 added the column "encoding"; tables of format 1 are read and written without it. Format 3 is a table made with
#: declared columns; one that was given them later keeps its number, for a header cannot be written anew.
FORMAT = 3
PLAIN_FORMAT = 2
_KEY = b"ragkit"
_CARD = b"ragkit.card"
# Lance reads the primary key from here at creation. With it, concurrent upserts of one new key conflict instead of
# both going in; set by a second call it would be missing for a moment, and for ever after a kill in that moment.
_PRIMARY_KEY = {"lance-schema:unenforced-primary-key": "true"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What must be known before rows can be read: written with the table, in one commit.

    ``analyzer`` and ``chunker`` are recipes (canonical JSON); ``chunker`` is the one the database was created with.
    ``vector`` is the column that holds the card's vectors: another one in a database that was moved to another model. ``columns``
    are the declared metadata columns, each written down with its field.
    """

    card: ModelCard
    analyzer: str
    chunker: str
    ragkit: str
    format: int = PLAIN_FORMAT
    vector: str = VECTOR
    columns: tuple[Column, ...] = ()

    def declaring(self, columns: tuple[Column, ...]) -> Header:
        """The header of a new table with these columns."""
        return replace(self, columns=columns, format=FORMAT) if columns else self


def make_schema(header: Header) -> pa.Schema:
    """The Arrow schema of the table ``chunks`` for a header."""
    import pyarrow as pa

    text = ["doc_id", "doc_digest", "recipe", "text", "context", "metadata", "facts", "lex", "embed_key"]
    if header.format > 1:
        text.append("encoding")
    whole = ("start", "end", "window_start", "window_end", "added_at")
    small = ("ordinal", "line_first", "line_last", "n_tokens")
    fields = [
        pa.field("id", pa.string(), nullable=False, metadata=_PRIMARY_KEY),
        *(pa.field(name, pa.string(), nullable=False) for name in text),
        *(pa.field(name, pa.int64(), nullable=False) for name in whole),
        *(pa.field(name, pa.int32(), nullable=False) for name in small),
        pa.field(header.vector, vector_type(header.card.dim), nullable=False),
        *(column.field() for column in header.columns),
    ]
    value = {
        "format": header.format,
        "card": header.card.to_dict(),
        "analyzer": header.analyzer,
        "chunker": header.chunker,
        "ragkit": header.ragkit,
    }
    # ASCII, so that whatever stands in a recipe is valid in the UTF-8 that LanceDB wants.
    return pa.schema(fields, metadata={_KEY: json.dumps(value, sort_keys=True)})


def vector_type(dim: int) -> pa.DataType:
    """The type of a column of vectors."""
    import pyarrow as pa

    return pa.list_(pa.field("item", pa.float32(), nullable=True), dim)


def vector_column(name: str, card: ModelCard) -> pa.Field:
    """An empty column for the vectors of another model; whatever it is called later, its card goes with it."""
    import pyarrow as pa

    return pa.field(name, vector_type(card.dim), metadata={_CARD: json.dumps(card.to_dict(), sort_keys=True)})


def column_card(schema: pa.Schema, name: str) -> ModelCard:
    """The card of the model whose vectors a column holds: its own, or that of the table's header for the first model's."""
    metadata = schema.field(name).metadata or {}
    return ModelCard.from_dict(json.loads(metadata[_CARD]) if _CARD in metadata else json.loads(schema.metadata[_KEY])["card"])


def is_vector(name: str) -> bool:
    """Whether a column of this name holds the vectors that searches compare; a table has one."""
    return name == VECTOR or name.startswith(f"{VECTOR}_")


def read_header(schema: Any, path: Path) -> Header:
    """The header in a table's schema.

    Raises StoreError when it is no table of ragkit, StoreFormatError for a newer format, StoreCorruptError when it
    cannot be read.
    """
    value = (schema.metadata or {}).get(_KEY)
    if value is None:
        raise StoreError(f"{path} holds a table 'chunks' that ragkit did not write. Choose another path for the index.")
    try:
        data = json.loads(value)
        if data["format"] > FORMAT:
            raise StoreFormatError(
                f"{path} is in format {data['format']}, written by ragkit {data.get('ragkit', '(unknown)')}; this version reads formats "
                f"up to {FORMAT}. Upgrade ragkit, or index into another path."
            )
        vector = next(name for name in schema.names if is_vector(name))
        return Header(
            card=column_card(schema, vector),
            vector=vector,
            analyzer=data["analyzer"],
            chunker=data["chunker"],
            ragkit=data["ragkit"],
            format=data["format"],
            columns=read_columns(schema),
        )
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise StoreCorruptError(
            f"The header of {path} cannot be read ({error}). Restore it from a backup or index again."
        ) from error
