"""``ragkit train rerank``: parameters for reranking with compressed passages."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from ragkit.cli.output import ERROR, Debug, Json, print_json, reporting, say
from ragkit.cli.training_materials import (
    Collection,
    Dtype,
    Library,
    Licence,
    Scores,
    SomeDocuments,
    States,
    check_materials,
    read_materials,
    show_gains,
)  # fmt: skip
from ragkit.cli.training_options import Force, Model, Root, Seed, SomeQuestions, check_target
from ragkit.weights import DEFAULT_MODEL


def rerank(
    out: Annotated[
        Path, typer.Option("--out", help="The parameters, a .safetensors file, written if they win.", show_default=False)
    ],
    documents: SomeDocuments = None,
    questions: SomeQuestions = None,
    collection: Collection = None,
    scores: Scores = None,
    library: Library = False,
    root: Root = Path("."),
    model: Model = DEFAULT_MODEL,
    dtype: Dtype = "float32",
    layers: Annotated[str, typer.Option("--layers", help="The layers to read, the most important first.")] = "6,3",
    bits: Annotated[int, typer.Option("--bits", min=8, help="Bits of a vector, a multiple of 8.")] = 128,
    steps: Annotated[
        int, typer.Option("--steps", min=0, help="Steps of each of three runs; 0 with --force writes the untrained form.")
    ] = 300,
    seed: Seed = 0,
    licence: Licence = "",
    cache: States = None,
    force: Force = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train how passages are compressed and questions are weighed; keep the untrained form unless documents held out gain.

    Learn from labelled questions, from a teacher's scores, or from documents alone: headings, inverse cloze, cropped sentences. The model
    stays as it is. A card is written beside the parameters. Use them with TokenCompressor(path).
    """
    check_materials(documents, questions, collection, scores, library=library)
    with reporting(as_json=as_json, debug=debug), TemporaryDirectory(prefix="ragkit-states-") as spare:
        from ragkit.embed import TransformerEmbedder
        from ragkit.train.rerank import train_reranker
        from ragkit.train.rerank_fit import FitSettings

        check_target(out)
        reader = TransformerEmbedder(model, dtype=dtype)
        materials = read_materials(
            reader,
            documents=documents,
            questions=questions,
            collection=collection,
            scores=scores,
            library=library,
            root=root,
            seed=seed,
        )
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
            show_gains(report.gains, report.over_arms, against="untrained", steps=report.steps, seconds=report.seconds)
        if not written:
            say(f"The untrained form is kept; nothing was written to {out}.")
            raise typer.Exit(ERROR)
        say(f"Written to {out}, with a card beside it. Use it: CompressedReranker(TokenCompressor({str(out)!r})).")


def _layers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no list of numbers such as 6,3.", param_hint="--layers") from error
