"""``ragkit train scorer``: a small transformer that reads questions and compressed passages together."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from ragkit.cli.output import Debug, Json, reporting, say
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
from ragkit.cli.training_options import Force, Model, Root, Seed, SomeQuestions, check_target, tell
from ragkit.weights import DEFAULT_MODEL


def scorer(
    out: Annotated[Path, typer.Option("--out", help="The scorer, a .safetensors file, written if it wins.", show_default=False)],
    documents: SomeDocuments = None,
    questions: SomeQuestions = None,
    collection: Collection = None,
    scores: Scores = None,
    library: Library = False,
    compressor: Annotated[
        Path | None,
        typer.Option(
            "--compressor", help="What ragkit train rerank wrote; without it, the shipped parameters.", show_default=False
        ),
    ] = None,
    root: Root = Path("."),
    model: Model = DEFAULT_MODEL,
    dtype: Dtype = "float32",
    steps: Annotated[int, typer.Option("--steps", min=1, help="Steps, of 16 questions with 16 passages each.")] = 400,
    seed: Seed = 0,
    licence: Licence = "",
    cache: States = None,
    force: Force = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train a small transformer over (question's tokens, passage's vectors); keep MaxSim unless documents held out gain.

    It learns from labelled questions, a teacher's scores, or documents alone, over codes that are already there: nothing has to be
    compressed anew. Use it with CompressedReranker(scorer=TransformerScorer(path)).
    """
    check_materials(documents, questions, collection, scores, library=library)
    with reporting(as_json=as_json, debug=debug), TemporaryDirectory(prefix="ragkit-states-") as spare:
        from ragkit.embed import TransformerEmbedder
        from ragkit.rerank import TokenCompressor
        from ragkit.train.scorer import train_scorer
        from ragkit.train.scorer_fit import ScorerSettings

        check_target(out)
        reader = TransformerEmbedder(model, dtype=dtype)
        report = train_scorer(
            read_materials(
                reader,
                documents=documents,
                questions=questions,
                collection=collection,
                scores=scores,
                library=library,
                root=root,
                seed=seed,
            ),
            reader=reader,
            compressor=TokenCompressor(None if compressor is None else str(compressor)),
            folder=cache or Path(spare),
            settings=ScorerSettings(steps=steps, seed=seed),
            about={"licence": licence} if licence else {},
            say=say,
        )
        written = report.won or force
        if written:
            report.weights.save(out)
        if not as_json:
            show_gains(report.gains, report.over_arms, against="MaxSim", steps=report.steps, seconds=report.seconds)
        tell(
            report.to_dict(),
            out=out,
            written=written,
            as_json=as_json,
            verdict="It beats MaxSim on documents held out."
            if report.won
            else "Keep MaxSim: it is as good on documents held out.",
            usage=f"Use it: CompressedReranker(scorer=TransformerScorer({str(out)!r})).",
        )
