"""Questions for a reranker without anybody's labels: what stands in documents already asks for other parts of them."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError
from ragkit.seams import Chunker
from ragkit.text.boundaries import Strength, prose_cuts
from ragkit.types import Chunk, Document

_WORD = re.compile(r"\w+")
_HEADING = re.compile(
    r"^(?:#{1,6}[ \t]+(?P<marked>.+?)[ \t#]*|(?P<lined>\S[^\n]{2,80})\n(?:={3,}|-{3,}|\*{3,}|~{3,}))$", re.MULTILINE
)
#: A sentence of fewer words is seldom about anything; a longer one is no question.
_WORDS = range(6, 41)
_CROP = range(3, 13)
#: So many functions are asked for by name.
_NAMED = 0.7


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Material:
    """Passages of documents, and questions with the one passage that answers each.

    ``doc`` is int64 ``(passages,)``, the document a passage comes from, ``gold`` int64 ``(questions,)`` the passage. With a teacher,
    ``lists`` has for each question the passages it judged and its scores, with mean 0 and deviation 1.
    """

    name: str
    passages: Sequence[str]
    doc: NDArray[np.int64]
    questions: Sequence[str]
    gold: NDArray[np.int64]
    lists: Sequence[tuple[NDArray[np.int64], NDArray[np.float32]]] = ()


def by_rule(name: str, documents: Iterable[Document], chunker: Chunker, *, seed: int = 0) -> Material:
    """One question for each chunk of the documents, made by the first rule by lot that fits it.

    Its heading, taken out; one of its sentences, taken out nine times in ten (inverse cloze, 1906.00300); a few
    words in a row, left in (cropped sentences, 2112.09118); or some of its rarer words, as people type them into a search box.
    """
    rng = np.random.default_rng(seed)
    passages: list[str] = []
    doc: list[int] = []
    asked: list[tuple[str, int]] = []
    chunks = [(number, chunk) for number, document in enumerate(documents) for chunk in chunker(document)]
    spread = _spread(chunk for _, chunk in chunks)
    for number, chunk in chunks:
        question, text = _ask(chunk.text, spread, rng)
        if question and len(_WORD.findall(text)) >= _WORDS.start:
            asked.append((question, len(passages)))
        passages.append(text if text.strip() else chunk.text)
        doc.append(number)
    return _material(name, passages, doc, asked)


def functions(name: str, files: Iterable[Path], *, root: Path, most: int = 1500, seed: int = 0) -> Material:
    """Python functions without their docstrings; what the docstring says first is a question, and another one names the function.

    ``most`` is the longest function kept, in characters. A file is a document. Files that are no Python of this version are passed over.
    """
    rng = np.random.default_rng(seed)
    passages: list[str] = []
    doc: list[int] = []
    asked: list[tuple[str, int]] = []
    for number, file in enumerate(sorted(files, key=lambda path: path.relative_to(root).as_posix())):
        try:
            source = file.read_text(encoding="utf-8")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(source)
        except (OSError, ValueError, SyntaxError):
            continue
        lines = source.splitlines(keepends=True)
        owners = {member: node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for member in node.body}
        for node in ast.walk(tree):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or node.end_lineno is None:
                continue
            text, said = _without_docstring(node, lines)
            if not 80 <= len(text) <= most:
                continue
            if len(_WORD.findall(said)) >= 3:
                asked.append((said, len(passages)))
            if not node.name.startswith("__") and rng.random() < _NAMED:
                asked.append((_by_name(node, owners.get(node, ""), rng), len(passages)))
            passages.append(text)
            doc.append(number)
    return _material(name, passages, doc, asked)


def _by_name(node: ast.FunctionDef | ast.AsyncFunctionDef, owner: str, rng: np.random.Generator) -> str:
    """A question that names a function, its class, or a name that stands in it, as people ask about code they have met."""
    kind = "method" if owner else "function"
    inner = sorted({one.id for one in ast.walk(node) if isinstance(one, ast.Name)} - {"self", "cls", node.name})
    used = inner[int(rng.integers(len(inner)))] if inner else kind
    forms = [
        f"What does the {node.name} {kind} do?",
        f"What is {node.name} for?",
        f"How does {node.name} work?",
        f"What does {node.name} return?",
        f"When is {node.name} called, and with what?",
        f"How is {used} used in {node.name}?",
        f"What happens to {used} in the {kind} {node.name}?",
    ]
    if owner:
        forms += [
            f"What does the {node.name} method of {owner} do?",
            f"How does {owner} {node.name.replace('_', ' ').strip()}?",
            f"{owner}.{node.name}",
        ]
    return forms[int(rng.integers(len(forms)))]


def _material(name: str, passages: list[str], doc: list[int], asked: list[tuple[str, int]]) -> Material:
    if not asked:
        raise InvalidInputError(
            f"Nothing in {name!r} can be asked by rule: {len(passages)} passages, none with a heading or a sentence."
        )
    gold = np.array([row for _, row in asked], np.int64)
    return Material(name=name, passages=passages, doc=np.array(doc, np.int64), questions=[text for text, _ in asked], gold=gold)


def _without_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: Sequence[str]) -> tuple[str, str]:
    first = min([node.lineno, *(one.lineno for one in node.decorator_list)]) - 1
    said = ast.get_docstring(node) or ""
    if not said:
        return "".join(lines[first : node.end_lineno]), ""
    held = node.body[0]
    body = [*lines[first : held.lineno - 1], *lines[held.end_lineno or held.lineno : node.end_lineno]]
    words = " ".join(said.split("\n\n")[0].split()[: _WORDS.stop])
    return "".join(body), words


def _spread(chunks: Iterable[Chunk]) -> dict[str, int]:
    """In how many chunks each word stands."""
    counts: dict[str, int] = {}
    for chunk in chunks:
        for word in {word.lower() for word in _WORD.findall(chunk.text)}:
            counts[word] = counts.get(word, 0) + 1
    return counts


def _ask(text: str, spread: dict[str, int], rng: np.random.Generator) -> tuple[str, str]:
    """A question for this text, "" where none fits, and the text without what was taken out."""
    heading = _HEADING.search(text)
    if heading and rng.random() < 0.7:
        return (heading["marked"] or heading["lined"]).strip(), text[: heading.start()] + text[heading.end() :]
    ends = sorted({0, *(at for at, strength in prose_cuts(text).items() if strength >= Strength.SENTENCE), len(text)})
    sentences = [(start, end) for start, end in pairwise(ends) if len(_WORD.findall(text[start:end])) in _WORDS]
    kind = rng.random()
    if sentences and kind < 0.5:
        start, end = sentences[int(rng.integers(len(sentences)))]
        return " ".join(text[start:end].split()), text if rng.random() < 0.1 else text[:start] + text[end:]
    words = _WORD.findall(text)
    if len(words) < 2 * _CROP.start:
        return "", text
    size = int(rng.integers(_CROP.start, min(_CROP.stop, len(words))))
    if kind < 0.75:
        first = int(rng.integers(len(words) - size + 1))
        return " ".join(words[first : first + size]), text
    rarest = sorted({word.lower() for word in words if len(word) > 2}, key=lambda word: (spread.get(word, 0), word))
    pool = rarest[: 4 * size]
    return " ".join(pool[place] for place in rng.permutation(len(pool))[: min(size, 6)]), text
