"""Any encoder of transformers, on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from threading import RLock

import numpy as np

from ragkit.embed.batching import plan_batches
from ragkit.embed.forward import Asked, Encoder, Pools, load_encoder
from ragkit.embed.inputs import Passes, Reading, batch_readings, refuse_windows, text_readings
from ragkit.embed.parallel import Parts, parallel_parts
from ragkit.embed.reach import Extend, Reach, check_temperature, plan_reach
from ragkit.embed.spec import ModelSpec, check_choices, files_digest, read_spec
from ragkit.embed.states import Gather, joined, own_rows
from ragkit.embed.tokens import TokenPlanner, load_tokenizer, tokenizer_digest
from ragkit.errors import EmbeddingError, InvalidInputError
from ragkit.seams import Receive, TokenStates, Vectors
from ragkit.text import HuggingFaceTokenizer
from ragkit.types import Chunk, Document, ModelCard
from ragkit.vec.mixing import embed_mixed
from ragkit.weights import DEFAULT_MODEL, find_model

DTYPES = ("float32", "bfloat16", "float16")


class TransformerEmbedder:
    """An encoder of the transformers library: float32 unit rows, equal to sentence-transformers' on the same model.

    Constructing reads nothing; ``card`` and ``tokenizer`` read the model's files, the first vector loads torch
    and the weights. ``name`` is a folder, a model inside an installed package, or one in the hub cache
    (``allow_download=True`` may fetch it). The model's own files say how to pool, which prompts to put before a
    query or a document, and the window; arguments override them:

    - ``pooling``: "mean", "cls", "lasttoken" or "max".
    - ``query_prompt``, ``document_prompt``: text before every query or document; "" for none.
    - ``dims``: keep the first ``dims`` dimensions and normalise again (Matryoshka representation, 2205.13147).
    - ``layers``: run only the first ``layers`` layers (early exit).
    - ``dtype``: "float32"; "bfloat16" on a GPU, or on a processor that multiplies it in hardware; "float16" on a GPU.
    - ``device``: a torch device; None takes cuda, then mps, then cpu.
    - ``window``: longest input in tokens, special tokens and prompt included. It may be raised up to the model's position
      table; the card records it.
    - ``extend``: how to read beyond what the model was made for, up to ``window`` tokens, without training: an ``Extend``, or its
      method "grouped", "recurrent", "interpolated", "parallel", "ntk" or "self-extend". Measure it on your texts before you use it.
    - ``temperature``: every attention's scores are divided by it (TempScale, 2410.24200; 0.5 to 0.8 against the likeness of
      long texts), for queries and documents alike.
    - ``batch_tokens``: padded tokens per forward pass. 1024 is best on processors, whose caches it fits; a GPU wants more.

    Rows are unit length even where the model has no Normalize module: ragkit's similarity is the cosine.
    Nothing is cut: a text beyond the window raises TextTooLongError. Calls are safe from several threads.
    """

    def __init__(
        self,
        name: str = DEFAULT_MODEL,
        *,
        pooling: str | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        dims: int | None = None,
        layers: int | None = None,
        dtype: str = "float32",
        device: str | None = None,
        window: int | None = None,
        extend: str | Extend | None = None,
        temperature: float | None = None,
        batch_tokens: int = 1024,
        allow_download: bool = False,
    ) -> None:
        if dtype not in DTYPES:
            raise InvalidInputError(f"dtype={dtype!r}; allowed: {', '.join(DTYPES)}.")
        if batch_tokens < 1:
            raise InvalidInputError(f"batch_tokens={batch_tokens}; it must be at least 1 (1024 is a good size on a CPU).")
        self.name = str(Path(name).expanduser().resolve()) if Path(name).expanduser().is_dir() else str(name)
        self._pooling = pooling
        self._query_prompt = query_prompt
        self._document_prompt = document_prompt
        self._dims = dims
        self._layers = layers
        self._dtype = dtype
        self._device = device
        self._window = window
        self._extend = Extend(extend) if isinstance(extend, str) else extend
        # A temperature of one is none: the vectors, and so the card, are the same.
        self._temperature = None if temperature == 1.0 else temperature
        self._batch_tokens = batch_tokens
        self._allow_download = allow_download
        self._lock = RLock()
        self._known_spec: ModelSpec | None = None
        self._known_card: ModelCard | None = None
        self._known_reach: Reach | None = None
        self._known_tokenizer: HuggingFaceTokenizer | None = None
        self._known_encoder: Encoder | None = None

    def __repr__(self) -> str:
        return f"TransformerEmbedder({self.name!r}, dtype={self._dtype!r})"

    @property
    def card(self) -> ModelCard:
        """What must agree before vectors may be compared; reads the files, never torch.

        Raises ModelNotFoundError, CapabilityError, InvalidInputError or EmbeddingError for a model or choices
        that cannot be used.
        """
        with self._lock:
            if self._known_card is None:
                spec, pooling, window = self._spec, self._pooling, self._window
                reach = None if self._extend is None else plan_reach(spec, self._extend, window)
                own = window if reach is None else reach.base
                check_choices(spec, pooling=pooling, dims=self._dims, layers=self._layers, window=own)
                longer: dict[str, str] = {} if reach is None else {"extend": reach.to_text()}
                if self._temperature is not None:
                    check_temperature(spec, self._temperature)
                    longer["temperature"] = str(self._temperature)
                self._known_reach = reach
                document_prompt = spec.document_prompt if self._document_prompt is None else self._document_prompt
                tokenizer = self._load_tokenizer(document_prompt)
                self._known_card = ModelCard(
                    name=self.name,
                    dim=self._dims or spec.dim,
                    pooling=pooling or spec.pooling or "",
                    window=window or spec.window or 0,
                    query_prompt=spec.query_prompt if self._query_prompt is None else self._query_prompt,
                    document_prompt=document_prompt,
                    weights=files_digest(spec.weights),
                    settings={
                        "engine": "transformers",
                        "dtype": self._dtype,
                        "dims": str(self._dims or "all"),
                        "layers": str(self._layers or "all"),
                        "tokenizer": tokenizer_digest(spec, tokenizer),
                        **longer,
                    },
                )
            return self._known_card

    @property
    def tokenizer(self) -> HuggingFaceTokenizer:
        """The model's tokenizer; ``n_special`` counts special tokens and the document prompt."""
        return self._load_tokenizer(self.card.document_prompt)

    @property
    def _spec(self) -> ModelSpec:
        if self._known_spec is None:
            self._known_spec = read_spec(find_model(self.name, allow_download=self._allow_download))
        return self._known_spec

    def _load_tokenizer(self, document_prompt: str) -> HuggingFaceTokenizer:
        with self._lock:
            if self._known_tokenizer is None:
                self._known_tokenizer = load_tokenizer(self._spec, name=Path(self.name).name, prompt=document_prompt)
            return self._known_tokenizer

    def _encoder(self) -> Encoder:
        card = self.card
        with self._lock:
            if self._known_encoder is None:
                self._known_encoder = load_encoder(
                    self._spec,
                    pooling=card.pooling,
                    dims=self._dims,
                    layers=self._layers,
                    dtype=self._dtype,
                    device=self._device,
                    reach=self._known_reach,
                    temperature=self._temperature,
                    frozen=True,
                )
            return self._known_encoder

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        """``(n, dim)`` float32 unit rows of plain texts on the document side, in order.

        Raises TextTooLongError beyond the window, InvalidInputError for what is not str, EmbeddingError for
        vectors that are not finite.
        """
        return self._embed(*text_readings(texts), prompt=self.card.document_prompt)

    def embed_queries(self, texts: Sequence[str], /) -> Vectors:
        """``(n, dim)`` float32 unit rows of queries, with the query prompt; errors as in ``embed_texts``."""
        return self._embed(*text_readings(texts, kind="query"), prompt=self.card.query_prompt)

    def embed_query(self, text: str, /) -> Vectors:
        """``(dim,)`` float32 unit vector of one query; errors as in ``embed_texts``."""
        vector: Vectors = self.embed_queries([text])[0]
        return vector

    def embed_chunks(self, document: Document, chunks: Sequence[Chunk], /) -> Vectors:
        """``(n, dim)``: encode each chunk's window with its context, pool its span.

        A chunk without context that is its whole window is embedded as a plain text. Otherwise the model reads
        prompt, context and window, and the vector is the mean (max) of the tokens that share a character with the
        span, special tokens left out; equal windows are encoded once. A span without tokens (white space) takes
        the mean (max) of what was read. A window longer than the model's is read in passes, each with special tokens,
        prompt and context, as the chunk's ``encoding`` says; every token's vector comes from the pass in which it stands
        farthest from where the window was cut. Memory is O(tokens) for ids and O(chunks x dim) for vectors. The encoding's
        shares then mix the text's own vector and the document's mean in; give all chunks of a document at once for that.

        A model that pools one special token ("cls", "lasttoken") reads a context before the text and pools as it was trained
        to, context included; a window larger than the span raises CapabilityError, for its token vectors are not trained
        to be averaged. Other errors as in ``embed_texts``, and InvalidInputError for a chunk that is not a slice of the document.
        """
        return self.embed_batch([(document, chunks)])

    def embed_batch(self, items: Sequence[tuple[Document, Sequence[Chunk]]], /) -> Vectors:
        """``embed_chunks`` over many documents at once, rows in order; batches cross documents."""
        return embed_mixed(items, lambda read: self._embed(*batch_readings(read), prompt=self.card.document_prompt))

    def embed_and_read(
        self, items: Sequence[tuple[Document, Sequence[Chunk]]], /, *, layers: Sequence[int], receive: Receive
    ) -> Vectors:
        """``embed_batch``, and out of the same passes the states of every chunk's own tokens.

        ``layers`` are numbered as transformers numbers hidden states: 0 is the input, i the output of layer i. ``receive``
        gets row, pass and states as each batch is done, in no promised order; a token that reaches over a chunk's edge is in
        both chunks, and a chunk without tokens gets a pass with none. A chunk whose vector mixes two readings gives the
        tokens of its text read alone. Memory holds one batch. Raises InvalidInputError for layers the model does not have.
        """
        asked = Asked(self._checked(layers), own_rows(items, receive))
        return embed_mixed(items, lambda read: self._embed(*batch_readings(read), prompt=self.card.document_prompt, asked=asked))

    def embed_and_read_queries(self, texts: Sequence[str], /, *, layers: Sequence[int]) -> tuple[Vectors, list[TokenStates]]:
        """``embed_queries``, and out of the same passes the states of each query's tokens; errors as in ``embed_queries``."""
        gather = Gather(len(texts))
        asked = Asked(self._checked(layers), gather)
        vectors = self._embed(*text_readings(texts, kind="query"), prompt=self.card.query_prompt, asked=asked)
        return vectors, [joined(passes) for passes in gather.rows()]

    def read_texts(self, texts: Sequence[str], /, *, layers: Sequence[int]) -> list[list[TokenStates]]:
        """For each text its passes, in order; a text beyond the window is read in several, sharing nothing but their text.

        Each has special tokens and the document prompt; the last is moved left until it is full, and every token comes from
        the pass in which it stands farthest from where the text was cut. An empty text is one pass without tokens.
        """
        return self._read_alone(*text_readings(texts), prompt=self.card.document_prompt, layers=layers)

    def read_queries(self, texts: Sequence[str], /, *, layers: Sequence[int]) -> list[TokenStates]:
        """For each query its tokens, with the query prompt; a query beyond the window is read in passes, put together."""
        readings, name = text_readings(texts, kind="query")
        return [joined(passes) for passes in self._read_alone(readings, name, prompt=self.card.query_prompt, layers=layers)]

    def _read_alone(
        self, readings: list[Reading], name: Callable[[int], str], *, prompt: str, layers: Sequence[int]
    ) -> list[list[TokenStates]]:
        gather = Gather(len(readings), width=len(self._checked(layers)) * self._spec.hidden)
        # Some models give an empty text no tokens at all, not even special ones.
        rows = [row for row, reading in enumerate(readings) if reading.text]
        asked = Asked(layers, lambda at, number, states: gather(rows[at], number, states))
        read = [replace(readings[row], passes=Passes()) for row in rows]
        self._run(read, lambda at: name(rows[at]), prompt=prompt, asked=asked)
        return gather.rows()

    def _checked(self, layers: Sequence[int]) -> Sequence[int]:
        most = self._layers or self._spec.n_layers
        if not layers or not all(isinstance(layer, int) and 0 <= layer <= most for layer in layers):
            raise InvalidInputError(
                f"layers={list(layers)!r}; {self.name!r} has the layers 0 (its input) to {most}. Name at least one."
            )
        return layers

    def _embed(self, readings: list[Reading], name: Callable[[int], str], *, prompt: str, asked: Asked | None = None) -> Vectors:
        card = self.card
        if not readings:
            return np.empty((0, card.dim), dtype=np.float32)
        refuse_windows(readings, name, card)
        encoder, pools, parts = self._run(readings, name, prompt=prompt, asked=asked)
        vectors = encoder.finish(pools) if parts is None else parts.mean(encoder.finish(pools))
        check_vectors(vectors, name)
        return vectors

    def _run(
        self, readings: list[Reading], name: Callable[[int], str], *, prompt: str, asked: Asked | None
    ) -> tuple[Encoder, Pools, Parts | None]:
        """Every reading through the model: what was pooled, before it becomes vectors."""
        card, reach = self.card, self._known_reach
        parallel = reach is not None and reach.method == "parallel"
        planner = TokenPlanner(
            tokenizer=self.tokenizer,
            prompt=prompt,
            window=reach.base if reach is not None and parallel else card.window,
            vocab=self._spec.vocab,
            pool_prompt=self._spec.pool_prompt,
            pool_spans=not card.pools_one_token,
        )
        own = asked is not None
        parts = parallel_parts(planner, readings, name, longest=card.window, own=own) if parallel else None
        jobs = planner.jobs(readings, name, own=own) if parts is None else parts.jobs
        encoder = self._encoder()
        pools = encoder.pools(len(readings) if parts is None else parts.n)
        for batch in plan_batches(np.array([len(job.ids) for job in jobs]), budget=self._batch_tokens):
            encoder.encode([jobs[place] for place in batch], pools, asked)
        return encoder, pools, parts


def check_vectors(vectors: Vectors, name: Callable[[int], str]) -> None:
    """Raise EmbeddingError unless every row is finite and of unit length."""
    bad = np.flatnonzero(~(np.abs(np.linalg.norm(vectors, axis=1) - 1.0) < 1e-3))
    if len(bad):
        raise EmbeddingError(
            f"The model gave {name(int(bad[0]))} a vector that is zero or not finite ({len(bad)} of {len(vectors)} rows). "
            "With dtype 'float16' numbers can overflow: use 'bfloat16' or 'float32'. Otherwise the weights are damaged."
        )
