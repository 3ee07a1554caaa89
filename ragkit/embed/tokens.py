"""From readings to token ids, with the tokens to pool; nothing is cut."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ragkit.embed.inputs import Passes, Reading
from ragkit.embed.passes import LONG_TEXT, Own, own_tokens, read_long
from ragkit.embed.spec import ModelSpec
from ragkit.errors import EmbeddingError, InvalidInputError, MissingDependencyError, ModelNotFoundError, TextTooLongError
from ragkit.text import HuggingFaceTokenizer, encodable
from ragkit.types import Span, canonical_json, digest

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

Ids = NDArray[np.int32]
#: What transformers can make a fast tokenizer of. Without any of them it makes one with an empty vocabulary, and no error.
_OLD_VOCABULARIES = (
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "sentencepiece.model",
)
#: Encodings hold far more than ids; only this many live at once.
_SLAB = 512


@dataclass(frozen=True, slots=True)
class Job:
    """One text to encode once: its token ids, and for each output row the token numbers to pool (None: all).

    ``own`` are the tokens whose states are handed out: those of each row's own text, where they were asked for.
    """

    ids: Ids
    pools: list[tuple[int, NDArray[np.int64] | None]]
    own: list[Own] = field(default_factory=list)


def load_tokenizer(spec: ModelSpec, *, name: str, prompt: str) -> HuggingFaceTokenizer:
    """The model's tokenizer; its ``n_special`` counts special tokens and the document prompt."""
    from tokenizers import Tokenizer as Backend

    path = spec.folder / "tokenizer.json"
    try:
        backend = Backend.from_file(str(path)) if path.is_file() else _converted(spec.folder)
    except MissingDependencyError:
        raise
    except Exception as error:
        if path.is_file():
            raise EmbeddingError(
                f"{str(path)!r} is damaged or of another kind: {error}. Copy or download the model again."
            ) from error
        raise ModelNotFoundError(
            f"{str(spec.folder)!r} has no tokenizer.json, and transformers makes no fast tokenizer of its other files: {error}"
        ) from error
    if spec.lowercase:
        _lower(backend)
    source = path.read_text(encoding="utf-8") if path.is_file() and not spec.lowercase else None
    tokenizer = HuggingFaceTokenizer(backend, name=name, source=source)
    tokenizer.n_special += len(tokenizer.backend.encode(encodable(prompt), add_special_tokens=False))
    return tokenizer


def tokenizer_digest(spec: ModelSpec, tokenizer: HuggingFaceTokenizer) -> str:
    """16 hex digits of what decides the token ids; truncation and padding settings left out, for they are never used."""
    path = spec.folder / "tokenizer.json"
    settings = json.loads(path.read_text(encoding="utf-8") if path.is_file() else tokenizer.backend.to_str())
    kept = {key: value for key, value in settings.items() if key not in ("truncation", "padding")}
    return digest(canonical_json(kept), str(spec.lowercase))[:16]


def _converted(folder: Path) -> Any:
    if not any((folder / name).is_file() for name in _OLD_VOCABULARIES):
        raise FileNotFoundError(f"there is none of {', '.join(_OLD_VOCABULARIES)}")
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise MissingDependencyError(
            f"{str(folder)!r} has no tokenizer.json; reading its older files needs transformers. Install ragkit-middleware[local]."
        ) from error
    return AutoTokenizer.from_pretrained(str(folder), local_files_only=True, use_fast=True).backend_tokenizer


def _lower(backend: Backend) -> None:
    from tokenizers.normalizers import Lowercase, Sequence

    own = backend.normalizer
    backend.normalizer = Sequence([Lowercase()] if own is None else [Lowercase(), own])


@dataclass(frozen=True, slots=True)
class TokenPlanner:
    """Turns readings of one side (query or document) into jobs.

    ``pool_spans`` is False for models that pool one special token: they pool all they read, context included.
    """

    tokenizer: HuggingFaceTokenizer
    prompt: str
    window: int
    vocab: int
    pool_prompt: bool
    pool_spans: bool = True

    def jobs(self, readings: Sequence[Reading], name: Callable[[int], str], *, own: bool = False) -> list[Job]:
        """One job per different text that fits into a window, several for a longer one that may be read in passes.

        With ``own`` the jobs also tell which tokens are each row's own. Raises TextTooLongError beyond the window, EmbeddingError for ids the model does not have or no tokens at all.
        """
        rows: dict[tuple[str, Passes | None], list[int]] = {}
        for row, reading in enumerate(readings):
            rows.setdefault((reading.text, reading.passes), []).append(row)
        keys = list(rows)
        skipped = 0 if self.pool_prompt or not self.prompt else self._prompt_length()
        jobs: list[Job] = []
        for at in range(0, len(keys), _SLAB):
            slab = [key for key in keys[at : at + _SLAB] if key[1] is None or len(key[0]) <= LONG_TEXT]
            spanned = [any(readings[row].span is not None for row in rows[key]) for key in slab]
            encodings = self._encode([text for text, _ in slab], offsets=own or any(spanned))
            for (text, passes), has_span, encoding in zip(slab, spanned, encodings, strict=True):
                wanted, first = rows[text, passes], rows[text, passes][0]
                if passes is not None and len(encoding.ids) > (passes.window or self.window):
                    jobs += self._in_passes(
                        text, passes, [(row, readings[row].span) for row in wanted], partial(name, first), own
                    )
                    continue
                ids = np.array(encoding.ids, dtype=np.int32)
                self._check(ids, partial(name, first))
                everything = np.arange(skipped, len(ids)) if 0 < skipped < len(ids) else None
                places = _Places(encoding, len(self.prompt)) if own or has_span else None
                job = Job(ids, [])
                for row in wanted:
                    span = readings[row].span
                    found = places.of(span) if self.pool_spans and span is not None and places is not None else everything
                    job.pools.append((row, everything if found is not None and not len(found) else found))
                    if own and places is not None:
                        job.own.append(places.own(row, Span(0, len(text)) if span is None else span))
                jobs.append(job)
            for text, passes in keys[at : at + _SLAB]:
                if passes is not None and len(text) > LONG_TEXT:
                    wanted = rows[text, passes]
                    spans = [(row, readings[row].span) for row in wanted]
                    jobs += self._in_passes(text, passes, spans, partial(name, wanted[0]), own)
        return jobs

    def _in_passes(
        self, text: str, passes: Passes, wanted: Sequence[tuple[int, Span | None]], name: Callable[[], str], own: bool
    ) -> list[Job]:
        limit = passes.window or self.window
        if limit > self.window:
            raise InvalidInputError(
                f"{name()} asks for passes of {limit} tokens, and the model's window is {self.window}. Use window <= {self.window}, "
                "or an embedder with a larger window= where the model's position table allows it."
            )
        long = read_long(self.tokenizer, self.prompt + text[: passes.head], text[passes.head :], limit, passes.overlap, name)
        for ids in long.ids:
            self._check(ids, name)
        spans = [Span(0, 0) if span is None else Span(span.start - passes.head, span.end - passes.head) for _, span in wanted]
        jobs: list[Job] = [Job(ids, []) for ids in long.ids]
        for (row, _), span in zip(wanted, spans, strict=True):
            for place, pool in long.tokens_of(span):
                jobs[place].pools.append((row, pool))
        for (row, whole), span in zip(wanted if own else (), spans, strict=False):
            for place, tokens in long.own(row, Span(0, len(text) - passes.head) if whole is None else span):
                jobs[place].own.append(tokens)
        return [job for job in jobs if job.pools or job.own]

    def _encode(self, texts: Sequence[str], *, offsets: bool) -> list[Any]:
        backend = self.tokenizer.backend
        encode = backend.encode_batch if offsets else backend.encode_batch_fast
        return list(encode([encodable(self.prompt + text) for text in texts]))

    def _prompt_length(self) -> int:
        encoding = self.tokenizer.backend.encode(encodable(self.prompt))
        return len(encoding.ids) - (1 if encoding.special_tokens_mask[-1] else 0)

    def _check(self, ids: Ids, name: Callable[[], str]) -> None:
        if len(ids) > self.window:
            prompt = ", prompt" if self.prompt else ""
            raise TextTooLongError(
                f"{name()} has {len(ids)} tokens (special tokens{prompt} and context included); the model's window is {self.window}. "
                "Nothing is cut in silence: chunk the text first, for example RecursiveChunker(max_tokens=...), or raise window= where "
                "the model's position table allows it."
            )
        if not len(ids):
            raise EmbeddingError(f"{name()} has no tokens at all for this model, so it has no vector. Leave empty texts out.")
        if int(ids.max()) >= self.vocab:
            raise EmbeddingError(
                f"{name()} has the token id {int(ids.max())}, but the model knows {self.vocab} tokens: tokenizer and weights are not "
                "of the same model. Copy or download the model again."
            )


class _Places:
    """Where the tokens of one encoding lie in the text."""

    def __init__(self, encoding: Any, shift: int) -> None:
        offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2) - shift
        self._starts, self._ends = offsets[:, 0], offsets[:, 1]
        self._real = np.array(encoding.special_tokens_mask) == 0

    def of(self, span: Span) -> NDArray[np.int64]:
        """Numbers of the tokens that share a character with the span, special tokens left out."""
        inside = (self._starts < span.end) & (self._ends > span.start) & (self._ends > self._starts) & self._real
        return np.flatnonzero(inside)

    def own(self, row: int, span: Span) -> Own:
        """The tokens of the span as a row's own."""
        tokens = self.of(span)
        return own_tokens(row, 0, tokens, self._starts[tokens], self._ends[tokens], span)
