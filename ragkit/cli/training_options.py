"""What the training commands share: their options, reading the documents, and telling what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragkit.cli.output import ERROR, print_json, say

if TYPE_CHECKING:
    from ragkit.types import Document

_SPANS = 'JSON lines {"question", "doc_id", "start", "end"}: where in which document the answer stands.'

Documents = Annotated[
    list[Path], typer.Argument(help="Folders and files: text, code, Markdown, HTML, PDF, notebooks.", show_default=False)
]
Questions = Annotated[Path, typer.Option("--questions", help=_SPANS, show_default=False)]
SomeQuestions = Annotated[Path | None, typer.Option("--questions", help=_SPANS, show_default=False)]
Root = Annotated[Path, typer.Option("--root", help="Document ids are paths relative to this folder.")]
Model = Annotated[str, typer.Option("--model", help="The embedding model: a name or a folder.")]
Folds = Annotated[int, typer.Option("--folds", min=2, help="Rounds in which a part is held out.")]
Seed = Annotated[int, typer.Option("--seed", help="The same seed gives the same result on the same machine.")]
Force = Annotated[bool, typer.Option("--force", help="Write it even if it does not win.")]


def read_documents(paths: Sequence[Path], root: Path) -> list[Document]:
    """The documents in these folders and files; those that cannot be read are told of and left out."""
    from ragkit.load import load_folder

    loaded = load_folder(paths, root=root, on_error="collect")
    texts = list(loaded)
    for entry in loaded.failed:
        say(f"Could not be read: {entry.reason}")
    return texts


def check_target(out: Path, *, suffix: str = ".safetensors") -> None:
    """Raise BadParameter for a file that could not be written, or that no one would find again; "" is a folder's suffix."""
    if suffix and out.suffix != suffix:
        raise typer.BadParameter(f"{out} does not end in {suffix}.", param_hint="--out")
    if not out.resolve().parent.is_dir():
        raise typer.BadParameter(f"the folder {out.resolve().parent} does not exist; make it first.", param_hint="--out")
    if not suffix and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise typer.BadParameter(f"{out} exists and is not an empty folder; name a new one.", param_hint="--out")


def tell(report: Mapping[str, Any], *, out: Path, written: bool, as_json: bool, verdict: str, usage: str) -> None:
    """Say what came out: the verdict, and how to use what was written. Exits with 1 where nothing was."""
    if as_json:
        print_json({**report, "out": str(out) if written else None})
    say(verdict)
    if not written:
        say(f"Nothing was written to {out}.")
        raise typer.Exit(ERROR)
    say(f"Written to {out}. {usage}")
