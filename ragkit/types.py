"""The values that flow through ragkit: plain, frozen, hashable where their parts are.

Text flows one way: Document -> Chunk -> vector -> store -> Hit. Offsets are Python string indices into
``Document.text``, spans are half open ``[start, end)``, sizes are tokens.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

from ragkit.errors import InvalidInputError

Metadata = Mapping[str, Any]


class Span(NamedTuple):
    """A half-open range of characters ``[start, end)`` of a document's text."""

    start: int
    end: int


def digest(*parts: str) -> str:
    """A 128-bit BLAKE2b digest (RFC 7693) of the parts, as 32 hex digits.

    Parts are length-prefixed, so ``("ab", "c")`` and ``("a", "bc")`` differ. Lone surrogates are allowed.
    """
    state = blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no blanks: equal values give equal text on every machine."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _check_json(value: Any, path: str) -> None:
    """Raise InvalidInputError unless ``value`` survives a trip through JSON unchanged."""
    if value is None or isinstance(value, (str, bool, int)):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInputError(f"{path} is {value}; metadata numbers must be finite. Leave the key out, or use None.")
        return
    if isinstance(value, (list, tuple)):
        for place, item in enumerate(value):
            _check_json(item, f"{path}[{place}]")
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidInputError(f"{path} has the key {key!r}; metadata keys must be str.")
            _check_json(item, f"{path}[{key!r}]")
        return
    raise InvalidInputError(
        f"{path} is a {type(value).__name__}; metadata holds str, int, float, bool, None, lists and dicts. "
        "Convert it first, for example a date with .isoformat()."
    )


@dataclass(frozen=True, slots=True)
class Document:
    """A text with an id and metadata.

    ``id`` defaults to a digest of the text, so equal texts are one document; give ids to keep equal texts
    apart. ``metadata`` is copied and must be JSON-like; ``source`` (a path or address) and ``title`` are the
    keys that ragkit itself reads.

    Raises InvalidInputError for a text that is not ``str``, an empty id, or metadata that JSON cannot hold.
    """

    text: str
    id: str = field(default="", kw_only=True)
    metadata: Metadata = field(default_factory=dict, kw_only=True, hash=False)

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise InvalidInputError(
                f"Document text is {type(self.text).__name__}, not str. Decode bytes first, for example data.decode('utf-8')."
            )
        if self.id is None or self.id == "":
            object.__setattr__(self, "id", digest(self.text))
        elif not isinstance(self.id, str):
            raise InvalidInputError(f"Document id is {self.id!r} ({type(self.id).__name__}); ids are str. Use str(id).")
        if not isinstance(self.metadata, Mapping):
            raise InvalidInputError(
                f"Document metadata is {type(self.metadata).__name__}; it must be a mapping of str to JSON values."
            )
        _check_json(self.metadata, "metadata")
        object.__setattr__(self, "metadata", dict(self.metadata))

    @property
    def digest(self) -> str:
        """A digest of text and metadata: equal digests mean nothing to do when indexing again."""
        return digest(self.text, canonical_json(self.metadata))


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How a chunk becomes a vector and words, where that is more than "encode the window, pool the span".

    ``plain`` in [0, 1] is the share of the vector its text has when read alone, the rest being read with context
    and window: ``v = unit(plain * alone + (1 - plain) * situated)``. ``document``, at least 0, adds that much of
    the mean of all its document's chunk vectors: ``unit(v + document * mean)``. A window longer than the model's is
    read in passes of ``window`` tokens (0: as many as the model takes; special tokens, prompt and context included),
    neighbours sharing ``overlap`` tokens of text. ``lexical`` says whether BM25 reads the context too.

    Raises InvalidInputError for values out of range.
    """

    plain: float = 0.0
    document: float = 0.0
    window: int = 0
    overlap: int = 0
    lexical: bool = True

    def __post_init__(self) -> None:
        if not 0.0 <= self.plain <= 1.0:
            raise InvalidInputError(f"plain is {self.plain!r}; it is a share between 0 (context only) and 1 (text alone).")
        if not 0.0 <= self.document < math.inf:
            raise InvalidInputError(f"document is {self.document!r}; it is the weight of the document's mean vector, at least 0.")
        for name, value in (("window", self.window), ("overlap", self.overlap)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise InvalidInputError(f"{name} is {value!r}; it is a whole number of tokens, at least 0.")
        if self.window and self.overlap >= self.window:
            raise InvalidInputError(f"overlap is {self.overlap} and window {self.window}; windows must advance. Lower overlap.")


#: Encode the window with its context, pool the span.
AS_IT_STANDS = Encoding()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Four facts about a document: a span, the window a model may read, its context, and its place.

    ``text`` is ``document.text[start:end]``, always. ``window`` holds the characters a model sees while it
    encodes the span; ``context`` situates the chunk and is never part of its text; ``encoding`` says what share
    they have in the vector. ``n_tokens`` counts
    ``text`` with the chunker's tokenizer, without special tokens. ``id`` depends only on document id, recipe,
    span and text.
    """

    id: str
    doc_id: str
    start: int
    end: int
    text: str
    window: Span
    index: int
    n_tokens: int
    context: str = ""
    encoding: Encoding = AS_IT_STANDS
    metadata: Metadata = field(default_factory=dict, hash=False)

    @property
    def span(self) -> Span:
        """The characters of the document this chunk covers."""
        return Span(self.start, self.end)


@dataclass(frozen=True, slots=True)
class Part:
    """What one arm of a search said about a hit.

    ``score`` is in the arm's own unit (cosine in [-1, 1] for "dense", BM25 for "bm25"), ``rank`` counts from 1
    and is None where the arm did not return the chunk among its candidates, ``share`` is what the arm added
    to the final score.
    """

    score: float
    rank: int | None
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A chunk that a search returned; a higher ``score`` is better, ``rank`` counts from 1, ``parts`` says why.

    ``lines`` are the first and last line of the chunk in its document, counted from 1. ``document`` is a digest of the
    document, and of how it was chunked, as stored when the chunk was found ("" where no store was asked): it tells versions apart.
    ``folded`` are hits that this one stands for: its near copies, and others in the passage it was expanded to.
    """

    chunk: Chunk
    score: float
    rank: int
    parts: Mapping[str, Part] = field(default_factory=dict, hash=False)
    lines: tuple[int, int] = (1, 1)
    document: str = ""
    folded: tuple[Hit, ...] = ()

    @property
    def source(self) -> str:
        """Where the document came from: its ``source`` metadata, else its id."""
        return str(self.chunk.metadata.get("source") or self.chunk.doc_id)

    @property
    def citation(self) -> str:
        """``source:first-last`` lines, the form editors open."""
        first, last = self.lines
        return f"{self.source}:{first}" if first == last else f"{self.source}:{first}-{last}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TermStats:
    """What BM25 needs to know about a corpus: chunks, their mean length in terms, and document frequencies."""

    n_docs: int
    mean_length: float
    df: Mapping[str, int] = field(hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What must agree before vectors may be compared; it is written into every store.

    ``window`` is the longest input in tokens, special tokens and prompt included; ``dim`` the length of a
    vector. ``weights`` is a digest of the model's files. ``settings`` holds everything else that changes a
    vector (layers, temperature, dtype, engine ...), as strings.
    """

    name: str
    dim: int
    pooling: str
    window: int
    normalize: bool = True
    query_prompt: str = ""
    document_prompt: str = ""
    weights: str = ""
    settings: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def fingerprint(self) -> str:
        """A digest of the whole card, 32 hex digits."""
        return _fingerprint(self)

    @property
    def pools_one_token(self) -> bool:
        """True where one special token's vector stands for the text ("cls", "lasttoken"): others are not trained to be averaged."""
        return self.pooling in ("cls", "lasttoken")

    def to_dict(self) -> dict[str, Any]:
        """The card as a JSON-ready dict."""
        return asdict(self) | {"settings": dict(self.settings)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelCard:
        """A card from ``to_dict``'s output."""
        return cls(**data)


@lru_cache(maxsize=64)
def _fingerprint(card: ModelCard) -> str:
    # Cached because every chunk's content address starts with it.
    return digest(canonical_json(card.to_dict()))
