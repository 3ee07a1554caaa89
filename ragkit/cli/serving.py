"""``ragkit serve``: the semantic cache in front of chat endpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ragkit.cli.output import Debug, Json, print_json, reporting, say


def serve(
    upstream: Annotated[
        list[str] | None,
        typer.Option(
            "--upstream",
            help="An OpenAI-compatible endpoint, as its clients' base_url. Repeat it, or write PATTERN=URL, to choose by model name.",
            show_default=False,
        ),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="The cache's database.  [default: cache.lance]", show_default=False)
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="A TOML file of settings; flags and RAGKIT_SERVE_… come first.", show_default=False),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy", help="exact, static, calibrated, certified, or a file of ragkit cache calibrate.", show_default=False
        ),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="The cosine of --policy static.", show_default=False)
    ] = None,
    embedder: Annotated[
        str | None,
        typer.Option("--model", help="The embedding model that compares prompts: a name or a folder.", show_default=False),
    ] = None,
    host: Annotated[
        str | None, typer.Option("--host", help="Where clients reach the server.  [default: 127.0.0.1]", show_default=False)
    ] = None,
    port: Annotated[int | None, typer.Option("--port", help="0 takes a free one.  [default: 8080]", show_default=False)] = None,
    admin_host: Annotated[
        str | None,
        typer.Option("--admin-host", help="Where operators reach /ui and /metrics.  [default: 127.0.0.1]", show_default=False),
    ] = None,
    admin_port: Annotated[int | None, typer.Option("--admin-port", help="[default: 8081]", show_default=False)] = None,
    secret_file: Annotated[
        Path | None, typer.Option("--secret-file", help="The key of tenants' digests; made when missing.", show_default=False)
    ] = None,
    shared_tenant: Annotated[
        str | None,
        typer.Option("--shared-tenant", help="One tenant for all API keys; without it nothing is shared.", show_default=False),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Check settings, cache and upstreams, and stop.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Serve an OpenAI-compatible API that answers from a semantic cache where it safely can.

    Point your client's base_url at it. /v1/chat/completions and the text form of /v1/responses are cached, /v1/embeddings by
    content, everything else passes through. Operators find /ui and /metrics at the admin address.
    """
    with reporting(as_json=as_json, debug=debug):
        from ragkit.proxy import check_settings, load, run

        flags: dict[str, Any] = {
            "cache": cache,
            "policy": policy,
            "threshold": threshold,
            "embedder": embedder,
            "host": host,
            "port": port,
            "admin_host": admin_host,
            "admin_port": admin_port,
            "secret_file": secret_file,
            "shared_tenant": shared_tenant,
            "upstreams": [_upstream(text) for text in upstream] if upstream else None,
        }
        settings = load(file=config, **flags)
        if check:
            report = check_settings(settings)
            if as_json:
                print_json(report.to_dict())
            else:
                for line in report.lines():
                    say(line)
            raise typer.Exit(0 if report.ok else 1)
        run(settings, say=say)


def _upstream(text: str) -> dict[str, Any]:
    models, equals, url = text.partition("=")
    if equals and "://" not in models:
        return {"url": url, "models": [name.strip() for name in models.split(",")]}
    return {"url": text}
