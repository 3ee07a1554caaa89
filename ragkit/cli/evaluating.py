"""``ragkit eval``: how well a labelled collection is found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragkit.cli.choices import ChunkerName, ChunkerOption, MaxTokens, Overlap, make_chunker
from ragkit.cli.output import Debug, Json, Mode, console, print_json, reporting, say, show_table
from ragkit.weights import DEFAULT_MODEL

if TYPE_CHECKING:
    from ragkit.evaluate import Comparison


def evaluate(
    collection: Annotated[
        Path,
        typer.Argument(
            help="A folder in BEIR's layout: corpus.jsonl, queries.jsonl, qrels; spans and passages too.", show_default=False
        ),
    ],
    mode: Annotated[
        list[Mode] | None,
        typer.Option("--mode", help="A mode to measure; may be repeated; without it all three.", show_default=False),
    ] = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="How many results the rank metrics look at.")] = 10,
    fetch_k: Annotated[int, typer.Option("--fetch-k", min=1, help="How many candidates each arm looks at.")] = 100,
    model: Annotated[str, typer.Option("--model", help="The embedding model: a name or a folder.")] = DEFAULT_MODEL,
    chunker: ChunkerOption = ChunkerName.recursive,
    max_tokens: MaxTokens = 256,
    overlap: Overlap = 0,
    rerank: Annotated[
        bool, typer.Option("--rerank", help="Also rerank by compressed chunks, and compare with hybrid search.")
    ] = False,
    cross_encoder: Annotated[
        str | None,
        typer.Option("--cross-encoder", help="Also rerank by this cross-encoder, a name or a folder.", show_default=False),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Index a labelled collection in a temporary folder, ask its questions, and print the metrics.

    nDCG, recall and MRR, with 95 % bootstrap intervals; for collections with evidence spans also character recall,
    precision and intersection over union at equal numbers of returned tokens.
    """
    with reporting(as_json=as_json, debug=debug):
        from ragkit.embed import TransformerEmbedder
        from ragkit.evaluate import evaluate as measure
        from ragkit.evaluate import load_collection
        from ragkit.rerank import CompressedReranker, CrossEncoderReranker

        rerankers: dict[str, Any] = {"reranked": CompressedReranker()} if rerank else {}
        if cross_encoder is not None:
            rerankers["cross-encoder"] = CrossEncoderReranker(cross_encoder)
        report = measure(
            load_collection(collection),
            chunker=make_chunker(chunker, max_tokens=max_tokens, overlap=overlap),
            embedder=TransformerEmbedder(model),
            modes=[one.value for one in mode or list(Mode)],
            rerankers=rerankers,
            k=k,
            fetch_k=fetch_k,
            progress=True,
        )
        if as_json:
            print_json(report.to_dict())
            return
        show_table(*report.table())
        out = console()
        for one in report.comparisons:
            out.print(_sentence(one), soft_wrap=True)
        say(
            f"{report.collection}: {report.queries} questions, {report.documents} {report.unit}s in {report.chunks} chunks, "
            f"model {report.model}. Brackets are 95 % intervals."
        )
        if report.unjudgeable:
            say(f"{report.unjudgeable} judgements name ids that the collection lacks; they count as not found.")


def _sentence(one: Comparison) -> str:
    return f"{one.mode} - {one.other}, {one.metric}: {one.mean:+.3f} [{one.low:+.3f}, {one.high:+.3f}], {one.verdict}"
