"""Embedding models behind an HTTP endpoint that speaks OpenAI's protocol."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from ragkit.embed.inputs import Reading, batch_readings, text_readings
from ragkit.errors import CapabilityError, EmbeddingError, InvalidInputError, MissingDependencyError, TextTooLongError
from ragkit.seams import Offsets, Tokenizer, Vectors
from ragkit.text import encodable, resolve_tokenizer
from ragkit.types import Chunk, Document, ModelCard
from ragkit.vec.mixing import embed_mixed

if TYPE_CHECKING:
    from openai import OpenAI

_DEFAULT_URL = "https://api.openai.com/v1"
#: OpenAI takes 300,000 tokens in one request; the rest is room for servers that count a little differently.
_REQUEST_TOKENS = 250_000


class OpenAIEmbedder:
    """A model behind ``POST {base_url}/embeddings`` (OpenAI, vLLM, Ollama, text-embeddings-inference ...).

    ``dim`` is the length of its vectors and is checked on every answer. ``base_url`` defaults to OPENAI_BASE_URL, then
    to OpenAI's; it enters the card, since equal names mean different models on different servers. ``api_key``
    defaults to OPENAI_API_KEY and is never stored; a server that asks for none still needs some word, such as "none".
    ``window`` is the longest text in tokens, prompt included. With ``tokenizer`` (anything ``resolve_tokenizer``
    takes) longer texts raise TextTooLongError here; without, the server judges, and some servers cut in silence.

    Texts go out in order, in requests of at most ``batch_size`` texts and 250,000 tokens (bytes where there is no
    tokenizer). A request waits ``timeout`` seconds; timeouts, refused connections, 408, 409, 429 and 5xx are tried
    ``max_retries`` times again, by the openai package and with its back-off. What still fails raises
    EmbeddingError naming the texts of that request.

    A chunk's context is put before its text. Token vectors do not travel, so a chunk whose window is larger than its span
    raises CapabilityError. Rows are unit length. Calls are safe from several threads. Needs the extra ``openai``.
    """

    def __init__(
        self,
        model: str,
        *,
        dim: int,
        base_url: str | None = None,
        api_key: str | None = None,
        tokenizer: Any = None,
        window: int = 8191,
        query_prompt: str = "",
        document_prompt: str = "",
        batch_size: int = 256,
        timeout: float = 60.0,
        max_retries: int = 2,
    ) -> None:
        for name, value, least in (
            ("dim", dim, 1),
            ("window", window, 1),
            ("batch_size", batch_size, 1),
            ("max_retries", max_retries, 0),
        ):
            if value < least:
                raise InvalidInputError(f"{name}={value}; it must be at least {least}.")
        self._url = (base_url or os.environ.get("OPENAI_BASE_URL") or _DEFAULT_URL).rstrip("/")
        parts = urlsplit(self._url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInputError(
                f"base_url={self._url!r}; give the address that ends before /embeddings, such as {_DEFAULT_URL!r}."
            )
        if "@" in parts.netloc:
            raise InvalidInputError(
                "base_url holds a user or password, which would be stored with the vectors. Pass api_key= instead."
            )
        self._api_key = api_key
        self._tokenizer_source = tokenizer
        self._batch_size = batch_size
        self._timeout = timeout
        self._max_retries = max_retries
        self._lock = Lock()
        self._known_client: OpenAI | None = None
        self._known_tokenizer: Tokenizer | None = None
        self.card = ModelCard(
            name=model,
            dim=dim,
            pooling="remote",
            window=window,
            query_prompt=query_prompt,
            document_prompt=document_prompt,
            settings={"engine": "openai", "base_url": self._url},
        )

    def __repr__(self) -> str:
        return f"OpenAIEmbedder({self.card.name!r}, dim={self.card.dim}, base_url={self._url!r})"

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer that was given, its ``n_special`` counting the document prompt; None without one."""
        if self._tokenizer_source is None:
            return None
        with self._lock:
            if self._known_tokenizer is None:
                self._known_tokenizer = _Prompted(resolve_tokenizer(self._tokenizer_source), self.card.document_prompt)
            return self._known_tokenizer

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        """``(n, dim)`` float32 unit rows on the document side; raises TextTooLongError, EmbeddingError, InvalidInputError."""
        return self._embed(*text_readings(texts), prompt=self.card.document_prompt)

    def embed_queries(self, texts: Sequence[str], /) -> Vectors:
        """``(n, dim)`` float32 unit rows of queries; errors as in ``embed_texts``."""
        return self._embed(*text_readings(texts, kind="query"), prompt=self.card.query_prompt)

    def embed_query(self, text: str, /) -> Vectors:
        """``(dim,)`` float32 unit vector of one query; errors as in ``embed_texts``."""
        vector: Vectors = self.embed_queries([text])[0]
        return vector

    def embed_chunks(self, document: Document, chunks: Sequence[Chunk], /) -> Vectors:
        """``(n, dim)`` float32 unit rows, context before text; CapabilityError for a window larger than its span."""
        return self.embed_batch([(document, chunks)])

    def embed_batch(self, items: Sequence[tuple[Document, Sequence[Chunk]]], /) -> Vectors:
        """``embed_chunks`` over many documents at once, rows in order; requests cross documents."""
        return embed_mixed(items, self._embed_read)

    def _embed_read(self, items: Sequence[tuple[Document, Sequence[Chunk]]]) -> Vectors:
        readings, name = batch_readings(items)
        chunks = [chunk for _, members in items for chunk in members]
        for row, chunk in enumerate(chunks):
            if chunk.window != chunk.span:
                raise CapabilityError(
                    f"{name(row)} has a window larger than its span, so its own tokens must be pooled; {self.card.name!r} at {self._url} "
                    "returns one vector per text. Use chunks whose window is their span, or a local model with mean pooling."
                )
        return self._embed(readings, name, prompt=self.card.document_prompt)

    def _embed(self, readings: Sequence[Reading], name: Callable[[int], str], *, prompt: str) -> Vectors:
        vectors = np.empty((len(readings), self.card.dim), dtype=np.float32)
        texts = [encodable(prompt + reading.text) for reading in readings]
        for rows in self._requests(texts, name):
            vectors[rows] = self._ask([texts[row] for row in rows], _shifted(name, rows.start))
        return vectors

    def _requests(self, texts: Sequence[str], name: Callable[[int], str]) -> Iterator[range]:
        sizes = self._sizes(texts, name)
        first, total = 0, 0
        for row, size in enumerate(sizes):
            if row > first and (row - first == self._batch_size or total + size > _REQUEST_TOKENS):
                yield range(first, row)
                first, total = row, 0
            total += size
        if texts:
            yield range(first, len(texts))

    def _sizes(self, texts: Sequence[str], name: Callable[[int], str]) -> list[int]:
        if self.tokenizer is None:
            # No byte-level vocabulary makes more tokens than bytes.
            return [len(text.encode()) for text in texts]
        sizes = self.tokenizer.count_batch(texts)
        for row, size in enumerate(sizes):
            if size > self.card.window:
                raise TextTooLongError(
                    f"{name(row)} has {size} tokens (prompt and context included); the model's window is {self.card.window}. "
                    "Nothing is cut in silence: chunk the text first."
                )
        return sizes

    def _ask(self, texts: list[str], name: Callable[[int], str]) -> Vectors:
        client = self._client()
        import openai

        where = f"{len(texts)} texts, from {name(0)}" + (f" to {name(len(texts) - 1)}" if len(texts) > 1 else "")
        try:
            answer = client.embeddings.create(model=self.card.name, input=texts, encoding_format="float")
            rows = sorted((int(item.index), item.embedding) for item in answer.data)
            found = [np.asarray(vector, dtype=np.float64) for _, vector in rows]
        except openai.APIStatusError as error:
            raise EmbeddingError(
                f"{self._url} answered {error.status_code} for {where}, after {self._max_retries} retries where they can help: {error.message}"
            ) from error
        except openai.OpenAIError as error:
            raise EmbeddingError(
                f"{self._url} gave no answer for {where} in {self._max_retries + 1} tries of {self._timeout:g} s: {error}. "
                "Is the address right and the server up?"
            ) from error
        except (ValueError, TypeError, AttributeError) as error:
            raise EmbeddingError(f"{self._url} answered {where} with something that is no list of embeddings: {error}") from error
        if [index for index, _ in rows] != list(range(len(texts))):
            raise EmbeddingError(
                f"{self._url} answered {where} with {len(rows)} vectors, whose indices must be 0 to {len(texts) - 1}."
            )
        for place, vector in enumerate(found):
            if vector.shape != (self.card.dim,):
                raise EmbeddingError(
                    f"{self._url} gave {name(place)} a vector of shape {vector.shape}; dim={self.card.dim} was promised. Pass the model's own dim."
                )
            if not np.isfinite(vector).all() or not vector.any():
                raise EmbeddingError(f"{self._url} gave {name(place)} a vector that is zero or not finite.")
        matrix = np.stack(found)
        unit: Vectors = (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)
        return unit

    def _client(self) -> OpenAI:
        with self._lock:
            if self._known_client is None:
                try:
                    from openai import OpenAI
                except ImportError as error:
                    raise MissingDependencyError(
                        "OpenAIEmbedder needs the openai package. Install the extra: ragkit-middleware[openai]."
                    ) from error
                key = self._api_key or os.environ.get("OPENAI_API_KEY")
                if not key:
                    raise InvalidInputError(
                        f"No API key for {self._url}: pass api_key= or set OPENAI_API_KEY. A server that asks for none takes any word, such as 'none'."
                    )
                self._known_client = OpenAI(api_key=key, base_url=self._url, timeout=self._timeout, max_retries=self._max_retries)
            return self._known_client


def _shifted(name: Callable[[int], str], first: int) -> Callable[[int], str]:
    return lambda row: name(first + row)


class _Prompted:
    """A tokenizer whose ``n_special`` also counts a prompt."""

    def __init__(self, tokenizer: Tokenizer, prompt: str) -> None:
        self._tokenizer = tokenizer
        self.name = tokenizer.name
        self.n_special = tokenizer.n_special + (tokenizer.count_batch([prompt])[0] if prompt else 0)

    def count_batch(self, texts: Sequence[str], /) -> list[int]:
        return self._tokenizer.count_batch(texts)

    def starts_batch(self, texts: Sequence[str], /) -> list[Offsets]:
        return self._tokenizer.starts_batch(texts)

    def additive_at(self, text: str, position: int, /) -> bool:
        return self._tokenizer.additive_at(text, position)
