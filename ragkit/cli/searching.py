"""``ragkit search``: questions to a database, answers with their places and reasons."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragkit.cli.chunking import as_dict, printable
from ragkit.cli.output import Debug, Json, Mode, console, print_json, reporting, say
from ragkit.cli.shaping import Also, ContextTokens, ExpandOption, Fold, Mmr, PerDocument, Runs, context_dict, make_shape
from ragkit.errors import FilterError, InvalidInputError

if TYPE_CHECKING:
    from rich.console import Console

    from ragkit.types import Hit

_SNIPPET = 300
_UNITS = {"dense": "cosine", "bm25": "BM25"}


def search(
    question: Annotated[str, typer.Argument(help="What to look for, in your own words.", show_default=False)],
    db: Annotated[Path, typer.Option("--db", help="The database that `ragkit index` made.", show_default=False)],
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="How many hits.")] = 5,
    mode: Annotated[Mode, typer.Option("--mode", help="By meaning (dense), by words (bm25), or both.")] = Mode.hybrid,
    where: Annotated[
        str | None,
        typer.Option(
            "--where", help="""Only documents whose metadata match, as JSON: '{"media_type": "text/html"}'.""", show_default=False
        ),
    ] = None,
    fetch_k: Annotated[int, typer.Option("--fetch-k", min=1, help="How many candidates each arm looks at.")] = 100,
    rerank: Annotated[
        bool, typer.Option("--rerank", help="Rerank by compressed chunks; no text is read. See ragkit index --compress.")
    ] = False,
    also: Also = None,
    fold: Fold = False,
    per_document: PerDocument = None,
    mmr: Mmr = None,
    expand: ExpandOption = None,
    runs: Runs = None,
    context_tokens: ContextTokens = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Search a database and say, for each hit, where it stands and why it ranked.

    The place is file:first-last line and the range of characters. The reason is each arm's rank and score, and its
    share of the final score; "-" means that the arm did not return it. With --also the reason is each wording's, q1, q2 and so
    on. Near copies are folded first, then documents capped, then differing hits chosen, then hits expanded.
    """
    with reporting(as_json=as_json, debug=debug):
        condition = parse_where(where)
        from ragkit.index import Index
        from ragkit.rerank import CompressedReranker
        from ragkit.retrieve import Phrasings, assemble

        shape = make_shape(fold=fold, per_document=per_document, mmr=mmr, expand=expand)
        query = Phrasings([question, *also]) if also else question
        index = Index(db, create=False)
        reranker = CompressedReranker() if rerank else None
        if runs is None:
            with saying_warnings():
                hits = index.search(query, k=k, mode=mode.value, where=condition, fetch_k=fetch_k, shape=shape, rerank=reranker)
        elif shape is not None or rerank:
            raise InvalidInputError(
                "--runs chooses and expands hits by a rule of its own. Leave out --fold, --per-document, --mmr, --expand and --rerank."
            )
        else:
            hits = index.search_runs(query, k=k, max_tokens=runs, mode=mode.value, where=condition, fetch_k=fetch_k)
        if context_tokens is not None:
            context = assemble(hits, max_tokens=context_tokens, tokenizer=index.embedder.tokenizer)
            if as_json:
                print_json(context_dict(context))
                return
            console().print(printable(context.text), soft_wrap=True)
            left = f", {len(context.left_out)} left out" if context.left_out else ""
            say(f"{len(context.passages)} passages, {context.n_tokens} tokens{left}, from {db}.")
            return
        if as_json:
            print_json([hit_dict(hit) for hit in hits])
            return
        out = console()
        for hit in hits:
            _print_hit(out, hit, question)
        say(f"{len(hits)} hit{'s' * (len(hits) != 1)} in {db}." if hits else f"Nothing in {db} matches.")


@contextmanager
def saying_warnings() -> Iterator[None]:
    """Print what a search warns of as lines for people, each once."""
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always", RuntimeWarning)
        yield
    for one in met:
        if not issubclass(one.category, RuntimeWarning):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    for message in dict.fromkeys(str(one.message) for one in met if issubclass(one.category, RuntimeWarning)):
        say(f"ragkit: {message}")


def parse_where(text: str | None) -> dict[str, Any] | None:
    """The filter from the command line. FilterError when it is no JSON object."""
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise FilterError(
            f'--where is not JSON: {error}. Write for example --where \'{{"media_type": "text/html"}}\'.'
        ) from error
    if not isinstance(value, dict):
        raise FilterError(f'--where is {value!r}; it must be a JSON object such as \'{{"media_type": "text/html"}}\'.')
    return value


def hit_dict(hit: Hit) -> dict[str, Any]:
    """A hit as JSON."""
    return {
        "rank": hit.rank,
        "score": hit.score,
        "citation": hit.citation,
        "lines": list(hit.lines),
        "parts": {arm: {"score": part.score, "rank": part.rank, "share": part.share} for arm, part in hit.parts.items()},
        "chunk": as_dict(hit.chunk),
        "folded": [one.citation for one in hit.folded],
    }


def _print_hit(out: Console, hit: Hit, question: str) -> None:
    headings = list(hit.chunk.metadata.get("headings", []))
    title = hit.chunk.metadata.get("title")
    path = " > ".join(headings if title is None or title in headings else [title, *headings])
    out.print(f"{hit.rank:>2}. {hit.citation}", style="bold", soft_wrap=True)
    place = f"    characters {hit.chunk.start}-{hit.chunk.end}" + (f"  {path}" if path else "")
    out.print(place, style="dim", no_wrap=True, overflow="ellipsis")
    out.print(f"    score {hit.score:.4f}, from:")
    for arm, part in hit.parts.items():
        rank = "-" if part.rank is None else f"#{part.rank}"
        out.print(f"      {part.share:.4f}  {arm:<6}{rank:>5}  {_UNITS.get(arm, 'score')} {part.score:.3f}", style="cyan")
    if hit.folded:
        behind = ", ".join(one.citation for one in hit.folded)
        out.print(f"    stands also for {behind}", style="dim", no_wrap=True, overflow="ellipsis")
    out.print(_indented(snippet(hit.chunk.text, question), out.width))
    out.print()


def snippet(text: str, question: str) -> str:
    """At most ``_SNIPPET`` characters of a chunk on one line, beginning near the first of the question's longest words in it."""
    flat = " ".join(printable(text).split())
    if len(flat) <= _SNIPPET:
        return flat
    lowered = flat.lower()
    words = sorted(re.findall(r"\w+", question.lower()), key=len, reverse=True)
    at = next((place for word in words if (place := lowered.find(word)) >= 0), 0)
    start = flat.rfind(" ", 0, max(0, min(at - 80, len(flat) - _SNIPPET))) + 1
    end = flat.rfind(" ", start, start + _SNIPPET) if start + _SNIPPET < len(flat) else len(flat)
    end = end if end > start else start + _SNIPPET
    return ("… " if start else "") + flat[start:end] + (" …" if end < len(flat) else "")


def _indented(text: str, width: int) -> str:
    from textwrap import fill

    return fill(text, width=max(20, min(width, 100)), initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
