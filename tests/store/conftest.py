"""Stores to test on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragkit.store import ChunkStore, DocumentRows, Header
from ragkit.types import Chunk, ModelCard, Span, digest

DIM = 8
MakeRows = Callable[..., DocumentRows]


@pytest.fixture(scope="session")
def header() -> Header:
    return Header(card=ModelCard(name="fake", dim=DIM, pooling="sum", window=99), analyzer="{}", chunker="first", ragkit="0")


@pytest.fixture
def store(tmp_path: Path, header: Header) -> Iterator[ChunkStore]:
    with_store = ChunkStore.open(tmp_path / "kb", create=header)
    yield with_store
    with_store.close()


@pytest.fixture(scope="session")
def make_rows() -> MakeRows:
    def make(
        doc_id: str,
        texts: Sequence[str],
        *,
        metadata: Mapping[str, Any] | None = None,
        recipe: str = "r",
        lex: Sequence[Sequence[str]] | None = None,
        vectors: Any = None,
        context: str = "",
    ) -> DocumentRows:
        chunks, at = [], 0
        for index, text in enumerate(texts):
            chunks.append(
                Chunk(
                    id=digest(doc_id, recipe, str(at), text),
                    doc_id=doc_id,
                    start=at,
                    end=at + len(text),
                    text=text,
                    window=Span(0, at + len(text) + 1),
                    index=index,
                    n_tokens=len(text.split()),
                    context=context,
                    metadata=dict(metadata or {}),
                )
            )
            at += len(text)
        rng = np.random.default_rng(len("".join(texts)))
        return DocumentRows(
            doc_id=doc_id,
            digest=digest(*texts, repr(metadata)),
            recipe=recipe,
            chunks=chunks,
            lines=[(index + 1, index + 2) for index in range(len(chunks))],
            lex=lex if lex is not None else [text.lower().split() for text in texts],
            keys=[digest("key", chunk.text) for chunk in chunks],
            vectors=np.asarray(vectors, np.float32)
            if vectors is not None
            else rng.normal(size=(len(chunks), DIM)).astype(np.float32),
        )

    return make
