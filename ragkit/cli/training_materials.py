"""What training for reranking learns from, and how its gains are shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.output import say, show_table
from ragkit.cli.training_options import read_documents

if TYPE_CHECKING:
    from ragkit.chunk import RecursiveChunker
    from ragkit.embed import TransformerEmbedder
    from ragkit.train.judge import Interval
    from ragkit.train.rerank_rules import Material

#: With special tokens and a prompt, a passage of so many tokens lies in one window of every model.
_TOKENS = 200

SomeDocuments = Annotated[
    list[Path] | None,
    typer.Argument(help="Folders and files to learn from, by rule or with --questions.", show_default=False),
]
Collection = Annotated[Path | None, typer.Option("--collection", help="A folder with a labelled collection.", show_default=False)]
Scores = Annotated[
    Path | None,
    typer.Option("--scores", help='A teacher: JSON lines {"question", "passages": [...], "scores": [...]}.', show_default=False),
]
Library = Annotated[
    bool,
    typer.Option(
        "--library",
        help="With --collection: learn from its articles by rule, Python's library and installed packages too, as the shipped parameters did.",
    ),
]
Dtype = Annotated[str, typer.Option("--dtype", help="bfloat16 where the processor has it reads four times as fast.")]
Licence = Annotated[str, typer.Option("--licence", help="Licences of what was learned from, for the card.")]
States = Annotated[
    Path | None, typer.Option("--cache", help="Keep token states in this folder; 1.5 kB a token.", show_default=False)
]


def read_materials(
    reader: TransformerEmbedder,
    *,
    documents: list[Path] | None,
    questions: Path | None,
    collection: Path | None,
    scores: Path | None,
    library: bool,
    root: Path,
    seed: int,
) -> list[tuple[Material, float]]:
    """Everything that was named to learn from, each with how often it is drawn; ``check_materials`` says whether that is anything."""
    from ragkit.chunk import RecursiveChunker

    chunker = RecursiveChunker(max_tokens=_TOKENS, tokenizer=reader.tokenizer)
    return _collected(collection, library, scores, chunker, seed) + _own(documents, questions, root, chunker, seed)


def check_materials(
    documents: list[Path] | None, questions: Path | None, collection: Path | None, scores: Path | None, *, library: bool
) -> None:
    """Raise BadParameter where nothing is named to learn from, or an option stands without what it is about."""
    if not (documents or collection or scores):
        raise typer.BadParameter("give documents, --collection or --scores: something to learn from.", param_hint="DOCUMENTS")
    if questions is not None and not documents:
        raise typer.BadParameter("--questions is about documents; name them.", param_hint="--questions")
    if library and collection is None:
        raise typer.BadParameter("--library goes with --collection.", param_hint="--library")


def _collected(
    collection: Path | None, library: bool, scores: Path | None, chunker: RecursiveChunker, seed: int
) -> list[tuple[Material, float]]:
    from ragkit.evaluate import load_collection
    from ragkit.train.rerank_materials import labelled, recipe, taught

    found: list[tuple[Material, float]] = [] if scores is None else [(taught(scores), 1.0)]
    if collection is not None:
        read = load_collection(collection)
        found += recipe(read, chunker, seed=seed) if library else [(labelled(read, seed=seed), 1.0)]
    return found


def _own(
    documents: list[Path] | None, questions: Path | None, root: Path, chunker: RecursiveChunker, seed: int
) -> list[tuple[Material, float]]:
    if not documents:
        return []
    from ragkit.train import load_labels
    from ragkit.train.rerank_materials import on_documents
    from ragkit.train.rerank_rules import by_rule

    texts = read_documents(documents, root)
    if questions is not None:
        return [(on_documents(texts, load_labels(questions, texts), chunker), 1.0)]
    return [(by_rule("documents", texts, chunker, seed=seed), 1.0)]


def show_gains(
    gains: Mapping[str, Interval], over_arms: Mapping[str, Interval], *, against: str, steps: int, seconds: float
) -> None:
    """A table of both differences for each material, in points."""
    rows = []
    for name, gain in gains.items():
        cells = [
            cell
            for one in (gain, over_arms[name])
            for cell in (f"{100 * one.mean:+.1f}", f"{100 * one.low:+.1f} to {100 * one.high:+.1f}")
        ]
        rows.append([name, str(gain.n), *cells])
    show_table(("held out", "questions", f"trained less {against}", "95 %", "with less without reranking", "95 %"), rows)
    say(f"Points of nDCG@10 on documents held out; {steps} steps, {seconds:.0f} seconds of processor time.")
