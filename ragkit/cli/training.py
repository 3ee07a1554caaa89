"""``ragkit train``: small parts trained on one's own documents."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.choices import ChunkerName, ChunkerOption, MaxTokens, Overlap, make_chunker
from ragkit.cli.output import Debug, Json, reporting, say, show_table
from ragkit.cli.training_cache import cache
from ragkit.cli.training_options import (
    Documents,
    Force,
    Model,
    Questions,
    Root,
    Seed,
    SomeQuestions,
    check_target,
    read_documents,
    tell,
)
from ragkit.cli.training_rerank import rerank
from ragkit.cli.training_scorer import scorer
from ragkit.weights import DEFAULT_MODEL

if TYPE_CHECKING:
    from ragkit.train import ContextReport

train = typer.Typer(no_args_is_help=True, help="Train small parts on your own documents.")

_CONTEXT_TOKENS = 64
_HOUR = 3600.0


class TrainingMethod(StrEnum):
    """What is trained: matrices over the frozen model, or its own weights."""

    adapter = "adapter"
    lora = "lora"
    full = "full"


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
    documents: Documents,
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="What is written if it wins: a .safetensors file, a folder for lora and full.", show_default=False
        ),
    ],
    questions: SomeQuestions = None,
    by_rule: Annotated[
        bool, typer.Option("--by-rule", help="Make questions from the documents: sentences and headings taken out of them.")
    ] = False,
    root: Root = Path("."),
    model: Model = DEFAULT_MODEL,
    method: Annotated[
        TrainingMethod,
        typer.Option(
            "--method",
            help="adapter: matrices over the frozen model's vectors, minutes on a CPU. lora, full: the model's own weights, for a GPU.",
        ),
    ] = TrainingMethod.adapter,
    chunker: ChunkerOption = ChunkerName.recursive,
    max_tokens: MaxTokens = 256,
    overlap: Overlap = 0,
    mode: Annotated[JudgedMode, typer.Option("--mode", help="The search that must gain.")] = JudgedMode.hybrid,
    min_gain: Annotated[
        float, typer.Option("--min-gain", min=0.0, help="The least mean gain of nDCG@10 worth having; 0.03 is 3 points.")
    ] = 0.0,
    folds: Annotated[
        int | None,
        typer.Option(
            "--folds",
            min=2,
            help="Rounds in which a part of the documents is held out: 4, or 2 for lora and full.",
            show_default=False,
        ),
    ] = None,
    seed: Seed = 0,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="How often lora and full ask each question.")] = 2,
    yes: Annotated[bool, typer.Option("--yes", help="Train weights even if it will take more than an hour.")] = False,
    cache: Annotated[
        Path | None,
        typer.Option("--cache", help="Keep vectors in this file, so that the next run reads no chunk again.", show_default=False),
    ] = None,
    force: Force = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train so that chunks, read with their context, match questions; keep the plain model unless it wins.

    An adapter leaves the model as it is; lora and full make a model of your own. Documents are held out in turns and their
    questions asked: the table shows plain vectors, the untrained mix and what was trained, with 95 % intervals over
    documents. It is written only if it gains on documents it has not seen.
    """
    if (questions is None) != by_rule:
        raise typer.BadParameter("give --questions FILE, or --by-rule to do without; one of them.", param_hint="--questions")
    tuned = method is not TrainingMethod.adapter
    with reporting(as_json=as_json, debug=debug, on_interrupt="" if cache is None else f"Vectors read so far are in {cache}."):
        from ragkit.chunk import Situate
        from ragkit.embed import CachedEmbedder, TransformerEmbedder
        from ragkit.retrieve import DEFAULT_FUSION
        from ragkit.train import TuneSettings, load_labels, train_context, tune_context

        # Before the work rather than after it.
        check_target(out, suffix="" if tuned else ".safetensors")
        texts = read_documents(documents, root)
        labels = None if questions is None else load_labels(questions, texts)
        base = TransformerEmbedder(model)
        embedder = base if cache is None else CachedEmbedder(base, path=cache)
        made = make_chunker(chunker, max_tokens=max_tokens, overlap=overlap)
        most = max_tokens if isinstance(max_tokens, int) else max_tokens[1]
        context_tokens = min(_CONTEXT_TOKENS, most // 4)
        if tuned:
            report = tune_context(
                texts,
                labels,
                embedder=embedder,
                chunker=made | Situate(title=True, before=1, max_tokens=context_tokens),
                settings=TuneSettings(method="full" if method is TrainingMethod.full else "lora", epochs=epochs),
                mode=mode.value,
                folds=folds or 2,
                seed=seed,
                min_gain=min_gain,
                most_seconds=None if yes else _HOUR,
                progress=True,
            )
            usage = f"Its README.md says how to use it: TransformerEmbedder({str(out)!r}) and its own chunker."
        else:
            report = train_context(
                texts,
                labels,
                embedder=embedder,
                chunker=made | Situate(title=True, before=1, max_tokens=context_tokens, document=0.1),
                mode=mode.value,
                folds=folds or 4,
                seed=seed,
                min_gain=min_gain,
                progress=True,
            )
            fused = "" if report.fusion == DEFAULT_FUSION else f", fusion={report.fusion}"
            usage = (
                f"Use it with its own chunker: adapter = load_adapter({str(out)!r}); Index(db, "
                f"chunker=from_recipe(adapter.chunker), embedder=AdaptedEmbedder(TransformerEmbedder(...), path=adapter){fused})."
            )
        written = report.won or force
        if written:
            report.save(out, force=force)
        if not as_json:
            _show(report)
        tell(
            report.to_dict(),
            out=out,
            written=written,
            as_json=as_json,
            verdict=report.verdict,
            usage=usage,
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
    questions: Questions,
    out: Annotated[Path, typer.Option("--out", help="The fusion, a .json file, written if it wins.", show_default=False)],
    root: Root = Path("."),
    fetch_k: Annotated[int, typer.Option("--fetch-k", min=1, help="How many candidates each arm looks at.")] = 100,
    held_out: Annotated[float, typer.Option("--held-out", help="The share of the documents whose questions only judge.")] = 0.5,
    seed: Seed = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Fit how far hybrid search trusts meaning and words to labelled questions; keep the default unless that wins.

    Half of the documents' questions choose among settings, the others judge the choice: it is written only if its gain of nDCG@10
    there is sure at 99 %.
    """
    with reporting(as_json=as_json, debug=debug):
        from ragkit.index import Index
        from ragkit.load import load_folder
        from ragkit.train import load_labels
        from ragkit.train.fusion import save_fusion, train_fusion

        check_target(out, suffix=".json")
        texts = list(load_folder(documents, root=root))
        report = train_fusion(
            Index(db, create=False), load_labels(questions, texts), fetch_k=fetch_k, held_out=held_out, seed=seed
        )
        if report.won:
            save_fusion(report, out)
        tell(
            json.loads(report.to_json()),
            out=out,
            written=report.won,
            as_json=as_json,
            verdict=report.verdict,
            usage=f"Use it: Index(db, fusion=load_fusion({str(out)!r})), from ragkit.train.",
        )


def _show(report: ContextReport) -> None:
    show_table(*report.table())
    training = ", ".join(f"{name} {value}" for name, value in report.training.items())
    say(
        f"{report.questions} questions ({report.labels}) on {report.documents} documents in {report.chunks} chunks, {report.folds} "
        f"rounds, {report.seconds:.0f} seconds. Trained: {training}."
    )


train.command(
    epilog="Example: ragkit train rerank docs --out rerank.safetensors. Exit code 1 when the untrained form is kept.",
)(rerank)
train.command(
    epilog="Example: ragkit train scorer docs --questions labels.jsonl --out scorer.safetensors. Exit code 1 when MaxSim is kept.",
)(scorer)
train.command(
    epilog="Example: ragkit train cache pairs.jsonl --out cache.safetensors. Exit code 1 when plain is kept.",
)(cache)
