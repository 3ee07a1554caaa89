"""``ragkit train rerank``: parameters for reranking with compressed passages."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.output import ERROR, Debug, Json, print_json, reporting, say, show_table
from ragkit.cli.training_options import Force, Root, Seed, SomeQuestions, check_target, read_documents
from ragkit.weights import DEFAULT_MODEL

if TYPE_CHECKING:
    from ragkit.chunk import RecursiveChunker
    from ragkit.train.rerank import RerankReport
    from ragkit.train.rerank_rules import Material

#: With special tokens and a prompt, a passage of so many tokens lies in one window of every model.
_TOKENS = 200


def rerank(
    out: Annotated[
        Path, typer.Option("--out", help="The parameters, a .safetensors file, written if they win.", show_default=False)
    ],
    documents: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders and files to learn from, by rule or with --questions.", show_default=False),
    ] = None,
    questions: SomeQuestions = None,
    collection: Annotated[
        Path | None, typer.Option("--collection", help="A folder with a labelled collection.", show_default=False)
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            "--scores", help='A teacher: JSON lines {"question", "passages": [...], "scores": [...]}.', show_default=False
        ),
    ] = None,
    library: Annotated[
        bool,
        typer.Option(
            "--library",
            help="With --collection: learn from its articles by rule, Python's library and installed packages too, as the shipped parameters did.",
        ),
    ] = False,
    root: Root = Path("."),
    model: Annotated[
        str, typer.Option("--model", help="The model whose token states are read: a name or a folder.")
    ] = DEFAULT_MODEL,
    dtype: Annotated[
        str, typer.Option("--dtype", help="bfloat16 where the processor has it reads four times as fast.")
    ] = "float32",
    layers: Annotated[str, typer.Option("--layers", help="The layers to read, the most important first.")] = "6,3",
    bits: Annotated[int, typer.Option("--bits", min=8, help="Bits of a vector, a multiple of 8.")] = 128,
    steps: Annotated[
        int, typer.Option("--steps", min=0, help="Steps of each of three runs; 0 with --force writes the untrained form.")
    ] = 300,
    seed: Seed = 0,
    licence: Annotated[str, typer.Option("--licence", help="Licences of what was learned from, for the card.")] = "",
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Keep token states in this folder; 1.5 kB a token.", show_default=False)
    ] = None,
    force: Force = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train how passages are compressed and questions are weighed; keep the untrained form unless documents held out gain.

    Learn from labelled questions, from a teacher's scores, or from documents alone: headings, inverse cloze, cropped sentences. The model
    stays as it is. A card is written beside the parameters. Use them with TokenCompressor(path).
    """
    if not (documents or collection or scores):
        raise typer.BadParameter("give documents, --collection or --scores: something to learn from.", param_hint="DOCUMENTS")
    if questions is not None and not documents:
        raise typer.BadParameter("--questions is about documents; name them.", param_hint="--questions")
    if library and collection is None:
        raise typer.BadParameter("--library goes with --collection.", param_hint="--library")
    with reporting(as_json=as_json, debug=debug), TemporaryDirectory(prefix="ragkit-states-") as spare:
        from ragkit.chunk import RecursiveChunker
        from ragkit.embed import TransformerEmbedder
        from ragkit.train.rerank import train_reranker
        from ragkit.train.rerank_fit import FitSettings

        check_target(out)
        reader = TransformerEmbedder(model, dtype=dtype)
        chunker = RecursiveChunker(max_tokens=_TOKENS, tokenizer=reader.tokenizer)
        materials = _collected(collection, library, scores, chunker, seed) + _own(documents, questions, root, chunker, seed)
        report = train_reranker(
            materials,
            reader=reader,
            folder=cache or Path(spare),
            layers=_layers(layers),
            bits=bits,
            settings=FitSettings(steps=steps, seed=seed),
            name=out.stem,
            about={"licence": licence} if licence else {},
            say=say,
        )
        written = report.won or force
        if written:
            report.save(out)
        if as_json:
            print_json(report.to_dict() | {"out": str(out) if written else None})
        else:
            _show(report)
        if not written:
            say(f"The untrained form is kept; nothing was written to {out}.")
            raise typer.Exit(ERROR)
        say(f"Written to {out}, with a card beside it. Use it: CompressedReranker(TokenCompressor({str(out)!r})).")


def _layers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no list of numbers such as 6,3.", param_hint="--layers") from error


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


def _show(report: RerankReport) -> None:
    rows = []
    for name, gain in report.gains.items():
        cells = [
            cell
            for one in (gain, report.over_arms[name])
            for cell in (f"{100 * one.mean:+.1f}", f"{100 * one.low:+.1f} to {100 * one.high:+.1f}")
        ]
        rows.append([name, str(gain.n), *cells])
    show_table(("held out", "questions", "trained less untrained", "95 %", "with less without reranking", "95 %"), rows)
    say(f"Points of nDCG@10 on documents held out; {report.steps} steps, {report.seconds:.0f} seconds of processor time.")
