"""``ragkit cache eval`` and ``calibrate``: what labelled pairs say about serving by meaning."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.output import ERROR, Debug, Json, print_json, reporting, say, show_table, write_file
from ragkit.errors import InvalidInputError
from ragkit.weights import DEFAULT_MODEL

if TYPE_CHECKING:
    from ragkit.seams import Embedder

_THRESHOLDS = (0.60, 0.75, 0.85, 0.95)


class Per(StrEnum):
    """What the budget is a share of."""

    request = "request"
    hit = "hit"


Pairs = Annotated[
    Path,
    typer.Argument(help='JSON lines {"a", "b", "same"}, plain or .gz, or a folder with pairs.jsonl.', show_default=False),
]
Budget = Annotated[float, typer.Option("--budget", help="Wrong answers that may be served: 0.02 is 2 in 100.")]
PerOption = Annotated[Per, typer.Option("--per", help="The budget is a share of all requests, or of the hits.")]
Model = Annotated[str, typer.Option("--model", help="The embedding model: a name or a folder.")]
AdapterOption = Annotated[Path | None, typer.Option("--adapter", help="An adapter from ragkit train cache.", show_default=False)]


def measure(
    pairs: Pairs,
    model: Model = DEFAULT_MODEL,
    adapter: AdapterOption = None,
    budget: Budget = 0.02,
    per: PerOption = Per.request,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with plots.", show_default=False)] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure on labelled pairs what the cosine and the guards are worth for a cache, and recommend a policy.

    Average precision, F1, recall at precision 90, 95 and 98, precision over hit rate with its area, wrong answers per 100, all with
    95 % bootstrap intervals; the traps that ragkit ships; and the policy to start with.
    """
    with reporting(as_json=as_json, debug=debug):
        from ragkit.cache import evaluate_pairs, evaluate_traps, load_suite
        from ragkit.cache.pairs import LabelledPair, load_pairs, pair_vectors, score_pairs
        from ragkit.evaluate.cache_page import cache_page, pair_table, trap_table

        embedder = _embedder(model, adapter)
        scores = score_pairs(load_pairs(pairs), embedder)
        reports = {
            "cosine": evaluate_pairs(scores.cosines, scores.same, budget=budget, per=per.value),
            "cosine and guards": evaluate_pairs(
                scores.cosines, scores.same, allowed=scores.allowed, budget=budget, per=per.value
            ),
        }
        suite = load_suite()
        left, right = pair_vectors([LabelledPair(one.left, one.right, one.same) for one in suite], embedder)
        traps = [evaluate_traps(suite, (left * right).sum(axis=1), threshold) for threshold in _THRESHOLDS]
        if html is not None:
            write_file(html, cache_page(reports, traps, model=embedder.card.name, source=pairs.name).encode())
            say(f"The page is in {html}.")
        best = reports["cosine and guards"]
        if as_json:
            print_json(
                {
                    "model": embedder.card.name,
                    "scorers": {name: report.to_dict() for name, report in reports.items()},
                    "traps": [asdict(one) for one in traps],
                    "policy": best.policy,
                    "why": best.why,
                }
            )
            return
        show_table(*pair_table(reports))
        show_table(*trap_table(traps))
        say(f"{best.pairs} pairs, {best.positive} of the same meaning. Brackets are 95 % intervals.")
        typer.echo(f"Recommended: {best.policy['policy']}: {best.why}.")


def calibrate(
    pairs: Pairs,
    store: Annotated[Path, typer.Option("--cache", help="The cache; it is made where there is none.", show_default=False)],
    budget: Budget = 0.02,
    per: PerOption = Per.request,
    model: Annotated[
        str | None, typer.Option("--model", help="For a new cache: the embedding model.", show_default=False)
    ] = None,
    adapter: AdapterOption = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Find the lowest cosine that keeps the budget on labelled pairs with 95 % confidence, and let the cache adopt it; or refuse.

    Guards have their say as they do in the cache. The pairs should be drawn as requests come: a request, and the stored prompt nearest to it.
    """
    with reporting(as_json=as_json, debug=debug):
        import numpy as np

        from ragkit.cache import SemanticCache
        from ragkit.cache import calibrate as find
        from ragkit.cache.pairs import load_pairs, score_pairs
        from ragkit.embed import load_embedder
        from ragkit.store.entries import EntryLog

        given = load_pairs(pairs)
        known = EntryLog.exists(store)
        embedder = None if known and model is None and adapter is None else _embedder(model or DEFAULT_MODEL, adapter)
        with SemanticCache(store, embedder=embedder, policy="calibrated") as cache:
            if cache.card is None:
                raise InvalidInputError(f"The cache {store} compares nothing by meaning; reembed() it with a model first.")
            scores = score_pairs(given, embedder or load_embedder(cache.card))
            found = find(np.where(scores.allowed, scores.cosines, -np.inf), scores.same, budget=budget, per=per.value)
            adopted = found.certified is not None
            if adopted:
                cache.adopt(found)
        if as_json:
            print_json(found.to_dict() | {"adopted": adopted, "cache": str(store)})
        if not adopted:
            say(
                f"Refused: no threshold keeps {budget:g} wrong per {per.value} on these {len(given)} pairs with 95 % confidence. "
                "Nothing was adopted, and the cache goes on as it was. Give more pairs, a larger budget, or let 'certified' learn."
            )
            raise typer.Exit(ERROR)
        say(
            f"Adopted: served from {found.certified:.4f} on, where at most {found.upper:.4f} are wrong per {per.value} "
            f"({found.wrong} of {found.hits} hits on {found.pairs} pairs were). Open the cache with policy='calibrated'."
        )


def _embedder(model: str, adapter: Path | None) -> Embedder:
    from ragkit.embed import AdaptedEmbedder, TransformerEmbedder

    base = TransformerEmbedder(model)
    return base if adapter is None else AdaptedEmbedder(base, path=adapter)
