"""``ragkit cache``: look into a cache of answers, take out of it, and measure what it may serve."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragkit.cli.caching_pairs import Per, PerOption, calibrate, measure
from ragkit.cli.output import Debug, Json, print_json, reporting, say, write_file
from ragkit.errors import InvalidInputError, StoreError

if TYPE_CHECKING:
    from ragkit.cache import Policy, Scope, SemanticCache

cache = typer.Typer(no_args_is_help=True, help="Look into a cache of answers, take out of it, and measure what it may serve.")

Store = Annotated[
    Path, typer.Option("--cache", help="The cache: the folder that SemanticCache was opened with.", show_default=False)
]
PolicyName = Annotated[str, typer.Option("--policy", help="The policy that the cache is used with.")]
Secret = Annotated[
    str | None,
    typer.Option(
        "--secret-env", help="The environment variable that holds the cache's secret, if it has one.", show_default=False
    ),
]
_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


@cache.callback()
def _cache() -> None:
    """Look into a cache of answers, take out of it, and measure what it may serve."""


@cache.command(epilog="Example: ragkit cache stats --cache answers.lance --html errors.html")
def stats(
    store: Store,
    policy: PolicyName = "certified",
    budget: Annotated[
        float | None,
        typer.Option("--budget", help="Of a certified policy that is used with another budget than 0.02.", show_default=False),
    ] = None,
    per: PerOption = Per.request,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a page with its errors over time (extra study).", show_default=False)
    ] = None,
    png: Annotated[
        Path | None, typer.Option("--png", help="Write the picture of its errors over time (extra study).", show_default=False)
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say how many answers there are, how large they are, what the policy serves, and how wrong a certified one has been over time."""
    with reporting(as_json=as_json, debug=debug), _opened(store, _named(policy, budget, per)) as opened:
        found = asdict(opened.stats())
        kept = {name: found[name] for name in ("path", "entries", "bytes", "model", "policy")}
        kept["tenants"] = len({entry.tenant for entry in opened.entries()})
        # JSON has no infinity: None stands for a policy that serves nothing by meaning.
        kept["threshold"] = None if found["threshold"] == float("inf") else found["threshold"]
        _draw(opened.policy, store.name, html, png)
        if as_json:
            print_json(kept)
            return
        serves = "exact repetitions only" if kept["threshold"] is None else f"by meaning from {kept['threshold']:.3f} on"
        typer.echo(f"{kept['entries']} answers, {kept['bytes'] / 1e6:.1f} MB in memory, {kept['tenants']} tenants")
        typer.echo(f"model {kept['model'] or 'none'}, policy {kept['policy']['policy']}: serves {serves}")


@cache.command(epilog="""Example: ragkit cache explain "how do I reset it?" --cache answers.lance --tenant acme --model gpt-5""")
def explain(
    prompt: Annotated[str, typer.Argument(help="The last user text.", show_default=False)],
    store: Store,
    tenant: Annotated[str | None, typer.Option("--tenant", help="The tenant of the scope.", show_default=False)] = None,
    model: Annotated[str | None, typer.Option("--model", help="The chat model of the scope.", show_default=False)] = None,
    system: Annotated[str, typer.Option("--system", help="The system prompt of the scope.")] = "",
    scope: Annotated[
        Path | None,
        typer.Option("--scope", help="A JSON file with all arguments of Scope, in place of the three.", show_default=False),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            "--like", help="An entry's id, in place of a scope: the one it has, also from ragkit serve.", show_default=False
        ),
    ] = None,
    policy: PolicyName = "certified",
    secret: Secret = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say what the cache would do with a prompt, and why: each candidate, and which tier refused it. Nothing is counted."""
    if [scope is not None, like is not None, tenant is not None and model is not None].count(True) != 1:
        raise typer.BadParameter("give --tenant and --model, or --scope FILE, or --like ENTRY.", param_hint="--scope")
    with reporting(as_json=as_json, debug=debug), _opened(store, policy, secret) as opened:
        place = None if like is not None else _scope(scope, tenant or "", model or "", system)
        verdict = opened.explain(prompt, scope=place, like=like)
        names = [one.entry for one in verdict.refusals] + ([verdict.entry] if verdict.entry else [])
        prompts = {name: entry.prompt for name in names if (entry := opened.get(name)) is not None}
        if as_json:
            print_json(asdict(verdict) | {"prompts": prompts})
            return
        typer.echo(f"{verdict.kind}: {verdict.reason}")
        for one in verdict.refusals:
            typer.echo(f"  {one.similarity:.3f}  {prompts.get(one.entry, one.entry)!r}: {one.tier}: {one.reason}")
        if verdict.answer is not None:
            typer.echo(f"  {verdict.similarity:.3f}  {prompts.get(str(verdict.entry))!r} is answered: {verdict.answer}")


@cache.command(epilog="Example: ragkit cache invalidate --cache answers.lance --document handbook.md")
def invalidate(
    store: Store,
    entry: Annotated[str | None, typer.Option("--entry", help="The entry with this id.", show_default=False)] = None,
    tag: Annotated[str | None, typer.Option("--tag", help="Entries with this tag.", show_default=False)] = None,
    document: Annotated[
        str | None, typer.Option("--document", help="Entries that rest on the document with this id.", show_default=False)
    ] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Entries of this tenant.", show_default=False)] = None,
    older_than: Annotated[
        str | None, typer.Option("--older-than", help="Entries older than 90s, 15m, 12h or 7d.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--everything", help="All entries.")] = False,
    secret: Secret = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Remove the answers that any of these options names, for every process that uses the cache."""
    named: dict[str, Any] = {"entry": entry, "tag": tag, "document": document, "tenant": tenant}
    if not (everything or older_than or any(value is not None for value in named.values())):
        raise typer.BadParameter("name what to remove: an entry, tag, document, tenant or age, or --everything.")
    with reporting(as_json=as_json, debug=debug), _opened(store, "certified", secret) as opened:
        removed = opened.invalidate(
            **named, older_than=None if older_than is None else _seconds(older_than), everything=everything
        )
        if as_json:
            print_json({"removed": removed})
        else:
            typer.echo(f"{removed} answers removed.")


@cache.command(epilog="Example: ragkit cache export --cache answers.lance --out answers.jsonl")
def export(
    store: Store,
    out: Annotated[Path | None, typer.Option("--out", help="A file; standard output without it.", show_default=False)] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write all answers as JSON lines, without vectors, the oldest first; with --json as one list."""
    with reporting(as_json=as_json, debug=debug), _opened(store, "certified") as opened:
        rows = [entry.to_dict() for entry in sorted(opened.entries(), key=lambda one: (one.at, one.id))]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        if out is not None:
            write_file(out, lines.encode())
            say(f"{len(rows)} answers written to {out}.")
        if as_json:
            print_json(rows if out is None else {"out": str(out), "entries": len(rows)})
        elif out is None:
            typer.echo(lines, nl=False)


cache.command(name="eval", epilog="Example: ragkit cache eval pairs.jsonl --html pairs.html")(measure)
cache.command(
    epilog="Example: ragkit cache calibrate pairs.jsonl --cache answers.lance --budget 0.02. Exit code 1 when nothing was adopted."
)(calibrate)


def _named(policy: str, budget: float | None, per: Per) -> str | Policy:
    """A policy by name, or a certified one with settings of its own."""
    if budget is None and per is Per.request:
        return policy
    from ragkit.cache import Certified, CertifiedSettings

    if policy != "certified":
        raise InvalidInputError(f"--budget and --per are settings of the policy certified, and the policy is {policy}.")
    settings = CertifiedSettings(per=per.value)
    return Certified(settings if budget is None else replace(settings, budget=budget))


def _draw(policy: Policy, source: str, html: Path | None, png: Path | None) -> None:
    """Write the pictures that were asked for."""
    if html is None and png is None:
        return
    from ragkit.cache import Certified
    from ragkit.evaluate.trail_page import trail_page, trail_picture

    if not isinstance(policy, Certified):
        raise InvalidInputError(f"The policy {policy.name} learns nothing over time; name certified to see its errors.")
    if html is not None:
        write_file(html, trail_page(policy, source=source).encode())
        say(f"The page is in {html}.")
    if png is not None:
        write_file(png, trail_picture(policy))
        say(f"The picture is in {png}.")


def _opened(store: Path, policy: str | Policy, secret: str | None = None) -> SemanticCache:
    from ragkit.cache import SemanticCache
    from ragkit.store.entries import EntryLog

    if not EntryLog.exists(store):
        raise StoreError(f"There is no cache at {store}. Name the folder that SemanticCache or ragkit serve was given.")
    key = b"" if secret is None else os.environ.get(secret, "").encode()
    if secret is not None and not key:
        raise InvalidInputError(f"The environment variable {secret} is not set; it holds the cache's secret.")
    return SemanticCache(store, policy=policy, secret=key)


def _scope(file: Path | None, tenant: str, model: str, system: str) -> Scope:
    from ragkit.cache import Scope

    if file is None:
        return Scope(tenant, model, system)
    try:
        return Scope(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInputError(f"{file} holds no arguments of Scope: {error}.") from error


def _seconds(age: str) -> float:
    found = _AGE.fullmatch(age.strip())
    if found is None:
        raise InvalidInputError(f"--older-than is {age!r}; it is a number with s, m, h or d, such as 12h.")
    return float(found[1]) * _SECONDS[found[2]]
