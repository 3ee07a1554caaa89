"""``ragkit train``: small parts trained on one's own documents."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.choices import ChunkerName, ChunkerOption, MaxTokens, Overlap, make_chunker
from ragkit.cli.output import ERROR, Debug, Json, console, print_json, reporting, say
from ragkit.cli.training_cache import cache
from ragkit.cli.training_rerank import rerank
from ragkit.weights import DEFAULT_MODEL

if TYPE_CHECKING:
    from ragkit.train import ContextReport

train = typer.Typer(no_args_is_help=True, help="Train small parts on your own documents.")

_CONTEXT_TOKENS = 64


class JudgedMode(StrEnum):
    """The searches an adapter can be judged by."""

    dense = "dense"
    hybrid = "hybrid"


@train.callback()
def _train() -> None:
    """Train small parts on your own documents: everything stays on this machine."""


@train.command(
    epilog="Example: ragkit train context docs --questions labels.jsonl --out adapter.safetensors. Exit code 1 when plain is kept."
)
def context(
    documents: Annotated[
        list[Path], typer.Argument(help="Folders and files: text, code, Markdown, HTML, PDF, notebooks.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="The adapter, a .safetensors file, written if it wins.", show_default=False)],
    questions: Annotated[
        Path | None,
        typer.Option(
            "--questions",
            help='JSON lines {"question", "doc_id", "start", "end"}: where in which document the answer stands.',
            show_default=False,
        ),
    ] = None,
    by_rule: Annotated[
        bool, typer.Option("--by-rule", help="Make questions from the documents: sentences and headings taken out of them.")
    ] = False,
    root: Annotated[Path, typer.Option("--root", help="Document ids are paths relative to this folder.")] = Path("."),
    model: Annotated[str, typer.Option("--model", help="The embedding model: a name or a folder.")] = DEFAULT_MODEL,
    chunker: ChunkerOption = ChunkerName.recursive,
    max_tokens: MaxTokens = 256,
    overlap: Overlap = 0,
    mode: Annotated[JudgedMode, typer.Option("--mode", help="The search that must gain.")] = JudgedMode.hybrid,
    min_gain: Annotated[
        float, typer.Option("--min-gain", min=0.0, help="The least mean gain of nDCG@10 worth having; 0.03 is 3 points.")
    ] = 0.0,
    folds: Annotated[int, typer.Option("--folds", min=2, help="Rounds in which a part of the documents is held out.")] = 4,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same adapter on the same machine.")] = 0,
    cache: Annotated[
        Path | None,
        typer.Option("--cache", help="Keep vectors in this file, so that the next run reads no chunk again.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write the adapter even if it does not win.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Fit a small adapter so that chunks, read with their context, match questions; keep the plain model unless it wins.

    The model itself stays as it is. Documents are held out in turns and their questions asked: the table shows plain
    vectors, the untrained mix and the trained adapter, with 95 % intervals over documents. The adapter is written only
    if it gains on documents it has not seen.
    """
    if (questions is None) != by_rule:
        raise typer.BadParameter("give --questions FILE, or --by-rule to do without; one of them.", param_hint="--questions")
    with reporting(as_json=as_json, debug=debug, on_interrupt="" if cache is None else f"Vectors read so far are in {cache}."):
        from ragkit.chunk import Situate
        from ragkit.embed import CachedEmbedder, TransformerEmbedder
        from ragkit.load import load_folder
        from ragkit.train import load_labels, train_context

        # Before the work rather than after it.
        check_target(out)
        loaded = load_folder(documents, root=root, on_error="collect")
        texts = list(loaded)
        for entry in loaded.failed:
            say(f"Could not be read: {entry.reason}")
        labels = None if questions is None else load_labels(questions, texts)
        base = TransformerEmbedder(model)
        made = make_chunker(chunker, max_tokens=max_tokens, overlap=overlap)
        most = max_tokens if isinstance(max_tokens, int) else max_tokens[1]
        report = train_context(
            texts,
            labels,
            embedder=base if cache is None else CachedEmbedder(base, path=cache),
            chunker=made | Situate(title=True, before=1, max_tokens=min(_CONTEXT_TOKENS, most // 4), document=0.1),
            mode=mode.value,
            folds=folds,
            seed=seed,
            min_gain=min_gain,
            progress=True,
        )
        written = report.won or force
        if written:
            report.save(out, force=force)
        if as_json:
            print_json(report.to_dict() | {"out": str(out) if written else None})
        else:
            _show(report)
        say(report.verdict)
        if not written:
            say(f"Nothing was written to {out}.")
            raise typer.Exit(ERROR)
        say(
            f"Written to {out}. Use it with its own chunker: adapter = load_adapter({str(out)!r}); "
            "Index(db, chunker=from_recipe(adapter.chunker), embedder=AdaptedEmbedder(TransformerEmbedder(...), path=adapter))."
        )


@train.command(
    epilog="Example: ragkit train fusion docs --db kb.lance --questions labels.jsonl --out fusion.json. "
    "Exit code 1 when the default is kept."
)
def fusion(
    documents: Annotated[
        list[Path],
        typer.Argument(help="The folders and files that were indexed: labels point into their text.", show_default=False),
    ],
    db: Annotated[Path, typer.Option("--db", help="The database that `ragkit index` made.", show_default=False)],
    questions: Annotated[
        Path,
        typer.Option(
            "--questions",
            help='JSON lines {"question", "doc_id", "start", "end"}: where in which document the answer stands.',
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The fusion, a .json file, written if it wins.", show_default=False)],
    root: Annotated[Path, typer.Option("--root", help="Document ids are paths relative to this folder.")] = Path("."),
    fetch_k: Annotated[int, typer.Option("--fetch-k", min=1, help="How many candidates each arm looks at.")] = 100,
    held_out: Annotated[float, typer.Option("--held-out", help="The share of the documents whose questions only judge.")] = 0.5,
    seed: Annotated[int, typer.Option("--seed", help="The same seed holds out the same documents.")] = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Fit how far hybrid search trusts meaning and words to labelled questions; keep the default unless that wins.

    Half of the documents' questions choose among settings, the others judge the choice: it is written only if its gain of nDCG@10
    there is sure at 99 %.
    """
    if out.suffix != ".json" or not out.resolve().parent.is_dir():
        raise typer.BadParameter(f"{out} must end in .json and lie in a folder that exists.", param_hint="--out")
    with reporting(as_json=as_json, debug=debug):
        from ragkit.index import Index
        from ragkit.load import load_folder
        from ragkit.train import load_labels
        from ragkit.train.fusion import save_fusion, train_fusion

        texts = list(load_folder(documents, root=root))
        report = train_fusion(
            Index(db, create=False), load_labels(questions, texts), fetch_k=fetch_k, held_out=held_out, seed=seed
        )
        if report.won:
            save_fusion(report, out)
        if as_json:
            print_json(json.loads(report.to_json()) | {"out": str(out) if report.won else None})
        say(report.verdict)
        if not report.won:
            say(f"Nothing was written to {out}.")
            raise typer.Exit(ERROR)
        say(f"Written to {out}. Use it: Index(db, fusion=load_fusion({str(out)!r})), from ragkit.train.")


def check_target(out: Path) -> None:
    """Raise BadParameter for a file that could not be written, or that no one would find again."""
    if out.suffix != ".safetensors":
        raise typer.BadParameter(f"{out} does not end in .safetensors.", param_hint="--out")
    if not out.resolve().parent.is_dir():
        raise typer.BadParameter(f"the folder {out.resolve().parent} does not exist; make it first.", param_hint="--out")


def _show(report: ContextReport) -> None:
    from rich.table import Table

    header, rows = report.table()
    table = Table(box=None, pad_edge=False)
    for name in header:
        table.add_column(name)
    for row in rows:
        table.add_row(*row)
    console().print(table)
    shares = ", ".join(f"{name} {value:g}" for name, value in report.shares.items())
    say(
        f"{report.questions} questions ({report.labels}) on {report.documents} documents in {report.chunks} chunks, {report.folds} "
        f"rounds, {report.seconds:.0f} seconds. Shares: {shares}; whitening {report.whitening:g}; {report.steps} steps."
    )


train.command(
    epilog="Example: ragkit train rerank docs --out rerank.safetensors. Exit code 1 when the untrained form is kept.",
)(rerank)
train.command(
    epilog="Example: ragkit train cache pairs.jsonl --out cache.safetensors. Exit code 1 when plain is kept.",
)(cache)
