"""``ragkit train cache``: an adapter for the prompts of a semantic cache."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ragkit.cli.output import Debug, Json, reporting, show_table
from ragkit.cli.training_options import Folds, Force, Model, Seed, check_target, tell
from ragkit.weights import DEFAULT_MODEL


def cache(
    out: Annotated[Path, typer.Option("--out", help="The adapter, a .safetensors file, written if it wins.", show_default=False)],
    pairs: Annotated[
        Path | None,
        typer.Argument(help='JSON lines {"a", "b", "same"}, plain or .gz, or a folder with pairs.jsonl.', show_default=False),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            "--prompts", help="A prompt on each line: pairs are made of them by rule, and learned from too.", show_default=False
        ),
    ] = None,
    model: Model = DEFAULT_MODEL,
    min_gain: Annotated[
        float, typer.Option("--min-gain", min=0.0, help="The least gain of average precision worth having; 0.01 is one point.")
    ] = 0.0,
    folds: Folds = 4,
    seed: Seed = 0,
    force: Force = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Fit a small adapter so that prompts of one meaning come nearer than near misses; keep the plain model unless it wins.

    Average precision and precision over hit rate must both gain surely on pairs held out. Without PAIRS, the made pairs judge
    themselves, which says little about yours.
    """
    if pairs is None and prompts is None:
        raise typer.BadParameter("give labelled pairs, --prompts, or both.", param_hint="PAIRS")
    with reporting(as_json=as_json, debug=debug):
        from ragkit.cache.pairs import load_pairs
        from ragkit.embed import TransformerEmbedder
        from ragkit.train import pairs_by_rule, train_cache

        check_target(out)
        made = [] if prompts is None else pairs_by_rule(_lines(prompts), seed=seed)
        report = train_cache(
            made if pairs is None else load_pairs(pairs),
            embedder=TransformerEmbedder(model),
            extra=[] if pairs is None else made,
            labels="made by rule" if pairs is None else "labelled",
            folds=folds,
            seed=seed,
            min_gain=min_gain,
        )
        written = report.won or force
        if written:
            report.save(out, force=force)
        if not as_json:
            show_table(*report.table())
        tell(
            report.to_dict(),
            out=out,
            written=written,
            as_json=as_json,
            verdict=report.verdict,
            usage=f"Use it: SemanticCache(db, embedder=AdaptedEmbedder(TransformerEmbedder(...), path={str(out)!r})); "
            "for a cache that is there already, open it so with other_model='exact' and call reembed(), then calibrate anew.",
        )


def _lines(file: Path) -> list[str]:
    from ragkit.errors import LoadError

    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise LoadError(f"{file} cannot be read as prompts, one on each line: {error}.") from error
