"""From what people have at hand (a name, a file, a tokenizer object, a function) to a Tokenizer."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from ragkit.errors import InvalidInputError, ModelNotFoundError
from ragkit.seams import Tokenizer
from ragkit.text.bpe import TiktokenTokenizer, cached_encoding
from ragkit.text.counting import CharacterTokenizer, FunctionTokenizer, WordTokenizer
from ragkit.text.huggingface import HuggingFaceTokenizer
from ragkit.weights import DEFAULT_MODEL, find_model

_ALLOWED = (
    "Give a tiktoken encoding name ('cl100k_base', 'o200k_base'), 'characters', 'words', the path of a tokenizer.json, "
    "the name or folder of a model on this machine, a tiktoken.Encoding, a tokenizers.Tokenizer, a fast transformers "
    "tokenizer, or a function from text to its token count."
)


def resolve_tokenizer(source: Any = None) -> Tokenizer:
    """The Tokenizer that ``source`` stands for; None means the default model's (all-MiniLM-L6-v2).

    Nothing is downloaded: an encoding or model that is not on this machine raises ModelNotFoundError, anything
    else that cannot be understood InvalidInputError.
    """
    if source is None:
        return _of_default()
    if isinstance(source, str | Path):
        return _of_name(str(source))
    backend = getattr(source, "backend_tokenizer", source)
    module = type(backend).__module__.split(".")[0]
    if module == "tokenizers":
        return HuggingFaceTokenizer(backend)
    if module == "tiktoken":
        return TiktokenTokenizer(backend)
    if isinstance(source, Tokenizer):
        return source
    if callable(source) and module != "transformers":
        return FunctionTokenizer(source)
    raise InvalidInputError(f"{source!r} is no tokenizer. {_ALLOWED}")


@lru_cache(maxsize=1)
def _of_default() -> Tokenizer:
    try:
        return _of_name(DEFAULT_MODEL)
    except ModelNotFoundError as error:
        raise ModelNotFoundError(
            f"The default tokenizer is that of {DEFAULT_MODEL}, which is not on this machine. Pass tokenizer=. {_ALLOWED}"
        ) from error


def _of_name(name: str) -> Tokenizer:
    if name == CharacterTokenizer.name:
        return CharacterTokenizer()
    if name == WordTokenizer.name:
        return WordTokenizer()
    import tiktoken

    if name in tiktoken.list_encoding_names():
        return TiktokenTokenizer(cached_encoding(name))
    if not name:
        raise InvalidInputError(f"The name of the tokenizer is empty. {_ALLOWED}")
    if name.endswith(".json"):
        return _of_file(name, "")
    try:
        folder = find_model(name)
    except ModelNotFoundError as error:
        raise ModelNotFoundError(
            f"{name!r} is no tiktoken encoding, no tokenizer by name and no model on this machine, and nothing is downloaded. {_ALLOWED}"
        ) from error
    return _of_file(str(folder / "tokenizer.json"), folder.name if Path(name).is_dir() else name.rsplit("/", 1)[-1])


@lru_cache(maxsize=8)
def _of_file(path: str, name: str) -> Tokenizer:
    return HuggingFaceTokenizer.from_file(path, name=name or None)
