"""``ragkit move``: a database to another embedding model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ragkit.cli.output import Debug, Json, print_json, reporting, say

_RESUME = "What was embedded is kept and the old model stays in use; run the same command again to go on."


def move(
    db: Annotated[Path, typer.Option("--db", help="The database.", show_default=False)],
    model: Annotated[
        str | None, typer.Option("--model", help="The model to move to: a name or a folder.", show_default=False)
    ] = None,
    layers: Annotated[
        int | None, typer.Option("--layers", min=1, help="Run only the model's first layers.", show_default=False)
    ] = None,
    dims: Annotated[
        int | None, typer.Option("--dims", min=1, help="Keep only the first dimensions of its vectors.", show_default=False)
    ] = None,
    status: Annotated[bool, typer.Option("--status", help="Only say where the database stands.")] = False,
    drop_old: Annotated[
        bool, typer.Option("--drop-old", help="Drop the vectors of models that were in use before, after the move or by itself.")
    ] = False,
    give_up: Annotated[bool, typer.Option("--give-up", help="Drop what an unfinished move has embedded.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Embed everything stored anew with another model, while the database is searched and added to; then change to it in one step.

    Texts come from the database, no files are needed. Programs that have the database open are told to open it again. The
    old vectors are kept, so that moving back is quick, until --drop-old.
    """
    with reporting(as_json=as_json, debug=debug, on_interrupt=_RESUME):
        from ragkit.index import drop_old_vectors, give_up_move, move_state
        from ragkit.index import move as move_index

        if sum([model is not None, status, give_up]) + (drop_old and not (model or status or give_up)) != 1:
            raise typer.BadParameter("give one of --model, --status, --give-up or --drop-old; --drop-old may go with --model.")
        if give_up:
            done = give_up_move(db)
            said = "dropped what the unfinished move had embedded." if done else "no move is unfinished; nothing was dropped."
            told: dict[str, object] = {"given_up": done}
        elif status:
            state = move_state(db)
            kept = [card.name for card in state.kept]
            target = None if state.target is None else state.target.name
            told = {"model": state.model.name, "target": target, "waiting": state.waiting, "kept": kept}
            said = f"vectors of {state.model.name!r}"
            said += f"; on the way to {target!r}, {state.waiting} chunks wait" if target else "; no move is unfinished"
            said += f"; vectors of {', '.join(map(repr, kept))} are kept." if kept else "."
        elif model is not None:
            from ragkit.embed import TransformerEmbedder

            report = move_index(db, TransformerEmbedder(model, layers=layers, dims=dims), progress=True)
            told = {name: getattr(report, name) for name in ("chunks", "embedded", "reused", "rounds", "note")}
            told |= {"model": report.model.name, "kept": list(report.kept), "seconds": round(report.seconds, 3)}
            said = f"moved to {report.model.name!r}: {report.chunks} chunks, {report.embedded} embedded, in {report.seconds:.1f} seconds."
            said += (
                f" Vectors of {', '.join(map(repr, report.kept))} are kept: --drop-old drops them."
                if report.kept and not drop_old
                else ""
            )
            said += f" Note: {report.note}" if report.note else ""
        else:
            told, said = {}, ""
        if drop_old:
            told["dropped"] = drop_old_vectors(db)
            said = f"{said} Dropped the vectors of {told['dropped']} earlier models.".strip()
        if as_json:
            print_json({"db": str(db)} | told)
        say(f"{db}: {said}")
