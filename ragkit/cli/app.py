"""The application and its commands; nothing heavy is imported before a command runs."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from ragkit import __version__
from ragkit.cli.caching import cache
from ragkit.cli.chunking import chunk
from ragkit.cli.evaluating import evaluate
from ragkit.cli.indexing import index
from ragkit.cli.moving import move
from ragkit.cli.searching import search
from ragkit.cli.serving import serve
from ragkit.cli.studying import study
from ragkit.cli.training import train
from ragkit.cli.versions import history, restore

_EPILOG = (
    "Exit codes: 0 done; 1 an error, explained in one line; 2 wrong usage; 3 done, but some files could not be read "
    "(they are listed); 130 stopped by Ctrl-C."
)

app = typer.Typer(
    name="ragkit",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ragkit {__version__}")
        raise typer.Exit


@app.callback()
def ragkit(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Index documents, search them, and see for each hit where it stands and why it ranked.

    Start with: ragkit index docs --db kb.lance, then: ragkit search --db kb.lance "your question"
    """


app.command(epilog="Example: ragkit index docs README.md --db kb.lance --include '*.md'")(index)
app.command(epilog="""Example: ragkit search --db kb.lance "how do I set a timeout?" -k 3""")(search)
app.command(epilog="Example: ragkit history --db kb.lance --tag before-the-change")(history)
app.command(epilog="Example: ragkit restore --db kb.lance --version before-the-change")(restore)
app.command(epilog="Example: ragkit move --db kb.lance --model all-MiniLM-L6-v2 --drop-old")(move)
app.command(epilog="Example: ragkit chunk README.md --chunker markdown --max-tokens 200")(chunk)
app.command(name="eval", epilog="Example: ragkit eval collections/cranfield --mode dense --mode hybrid")(evaluate)
app.command(epilog="Example: ragkit serve --upstream https://api.openai.com/v1 --cache cache.lance")(serve)
app.add_typer(cache, name="cache")
app.add_typer(train, name="train")
app.add_typer(study, name="study")


def main() -> None:
    """Run the command line on ``sys.argv`` and exit with its code."""
    try:
        app()
    except BrokenPipeError:
        # The reader (head, less) has what it wants; Python would complain again while flushing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
