"""Hugging Face ``tokenizer.json`` vocabularies, on a private copy that neither truncates nor pads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ragkit.errors import InvalidInputError, ModelNotFoundError
from ragkit.seams import Offsets
from ragkit.text.unicode import encodable
from ragkit.text.words import WordCounts
from ragkit.types import digest

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend


class HuggingFaceTokenizer:
    """A ``tokenizers.Tokenizer`` as a ragkit Tokenizer.

    ``backend`` is a private copy: its truncation and padding are cleared and strings such as ``[SEP]`` in a
    text are text. ``n_special`` defaults to the special tokens the model adds around one text. ``name`` ends in a digest
    of ``source``, the text of the tokenizer's file: what the tokenizers library itself writes may differ by its version.
    """

    __slots__ = ("_space_starts_token", "_words", "backend", "n_special", "name")

    def __init__(
        self, backend: Backend, *, name: str | None = None, n_special: int | None = None, source: str | None = None
    ) -> None:
        from tokenizers import Tokenizer as Backend

        copy = Backend.from_str(backend.to_str())
        copy.no_truncation()
        copy.no_padding()
        copy.encode_special_tokens = True
        self.backend: Backend = copy
        settings: dict[str, Any] = json.loads(source or backend.to_str())
        settings.pop("truncation", None)
        settings.pop("padding", None)
        self.name = f"{name or 'huggingface'}@{digest(json.dumps(settings, sort_keys=True))[:12]}"
        self.n_special = copy.num_special_tokens_to_add(False) if n_special is None else n_special
        self._words = WordCounts(self._encode) if _is_bert(settings) else None
        self._space_starts_token = _is_byte_level(settings)

    @classmethod
    def from_file(cls, path: str | Path, *, name: str | None = None, n_special: int | None = None) -> HuggingFaceTokenizer:
        """The tokenizer in a ``tokenizer.json`` file; raises ModelNotFoundError or InvalidInputError."""
        from tokenizers import Tokenizer as Backend

        if not Path(path).is_file():
            raise ModelNotFoundError(f"No tokenizer file {str(path)!r}. Give the path of a tokenizer.json.")
        try:
            source = Path(path).read_text(encoding="utf-8")
            backend = Backend.from_str(source)
        except Exception as error:
            raise InvalidInputError(
                f"{str(path)!r} is not a tokenizer.json that the tokenizers library reads: {error}"
            ) from error
        return cls(backend, name=name, n_special=n_special, source=source)

    def __reduce__(self) -> tuple[Any, ...]:
        # Without the memory of words, which may be large.
        return _restored, (self.backend.to_str(), self.name, self.n_special, self._words is not None, self._space_starts_token)

    def count_batch(self, texts: Sequence[str], /) -> list[int]:
        """Exact token counts, special tokens left out."""
        encodings = self.backend.encode_batch_fast([encodable(text) for text in texts], add_special_tokens=False)
        return [len(encoding) for encoding in encodings]

    def starts_batch(self, texts: Sequence[str], /) -> list[Offsets]:
        """Character offsets of the tokens' first characters; inside a word of a BERT-like model, evenly spread."""
        clean = [encodable(text) for text in texts]
        return self._encode(clean) if self._words is None else self._words.starts_batch(clean)

    def _encode(self, texts: Sequence[str]) -> list[Offsets]:
        encodings = self.backend.encode_batch(texts, add_special_tokens=False)
        return [np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)[:, 0] for encoding in encodings]

    def additive_at(self, text: str, position: int, /) -> bool:
        """True beside a blank for BERT-like models, before a word's blank for byte-level ones, else never."""
        if self._words is None and not self._space_starts_token:
            return False
        if position <= 0 or position >= len(text):
            return True
        before, after = text[position - 1], text[position]
        if self._words is not None:
            return before in " \n\t\r" or after in " \n\t\r"
        return after == " " and not before.isspace()


def _restored(settings: str, name: str, n_special: int, by_words: bool, space_starts_token: bool) -> HuggingFaceTokenizer:
    from tokenizers import Tokenizer as Backend

    self = HuggingFaceTokenizer.__new__(HuggingFaceTokenizer)
    self.backend = Backend.from_str(settings)
    self.backend.encode_special_tokens = True
    self.name, self.n_special = name, n_special
    self._words = WordCounts(self._encode) if by_words else None
    self._space_starts_token = space_starts_token
    return self


def _is_bert(settings: dict[str, Any]) -> bool:
    normalizer, splitter = settings.get("normalizer") or {}, settings.get("pre_tokenizer") or {}
    return splitter.get("type") == "BertPreTokenizer" and normalizer.get("type") in (None, "BertNormalizer")


def _is_byte_level(settings: dict[str, Any]) -> bool:
    normalizer, splitter = settings.get("normalizer") or {}, settings.get("pre_tokenizer") or {}
    if normalizer.get("type") not in (None, "NFC"):
        return False
    if splitter.get("type") == "ByteLevel":
        return bool(splitter.get("use_regex", True)) and not splitter.get("add_prefix_space")
    if splitter.get("type") != "Sequence":
        return False
    steps = splitter.get("pretokenizers", [])
    patterns = [step.get("pattern", {}).get("Regex", "") for step in steps if step.get("type") == "Split"]
    byte_level = [step for step in steps if step.get("type") == "ByteLevel"]
    # The family of GPT patterns: a blank belongs to the word it precedes.
    return bool(patterns) and all(r"\s+(?!\S)" in p for p in patterns) and not any(s.get("add_prefix_space") for s in byte_level)
