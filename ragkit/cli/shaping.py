"""Options of ``ragkit search`` that choose among hits and say how much around each is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ragkit.retrieve import Context, Shape

Also = Annotated[
    list[str] | None,
    typer.Option(
        "--also",
        help="The same question in other words; may be given several times. Hits by all of them count.",
        show_default=False,
    ),
]
Mmr = Annotated[
    float | None,
    typer.Option(
        "--mmr",
        min=0,
        max=1,
        help="Prefer hits that differ from those before them: 1 keeps the order by relevance, 0 wants only difference, 0.7 is usual.",
        show_default=False,
    ),
]
PerDocument = Annotated[
    int | None, typer.Option("--per-document", min=1, help="At most so many hits of one document.", show_default=False)
]
Fold = Annotated[bool, typer.Option("--fold", help="Show texts that are nearly the same once.")]
ExpandOption = Annotated[
    str | None,
    typer.Option(
        "--expand",
        metavar="section|parent|N",
        help="Show more around each hit: its section (all under the same heading), its parent (for databases indexed with parents), or N "
        "chunks on either side.",
        show_default=False,
    ),
]
ContextTokens = Annotated[
    int | None,
    typer.Option(
        "--context-tokens",
        min=1,
        help="Instead of hits, print one text for a language model: numbered passages, at most so many tokens in all.",
        show_default=False,
    ),
]

Runs = Annotated[
    int | None,
    typer.Option(
        "--runs",
        min=1,
        metavar="N",
        help="Put the sentences that are found together into runs of at most N tokens, for databases indexed with --chunker landmarks.",
        show_default=False,
    ),
]


def make_shape(*, fold: bool, per_document: int | None, mmr: float | None, expand: str | None) -> Shape | None:
    """The shape that the options ask for; None where they ask for none."""
    from ragkit.retrieve import Shape

    if expand is not None and not expand.isdecimal() and expand not in ("section", "parent"):
        raise typer.BadParameter(f"--expand is {expand!r}; it is section, parent or a number of chunks.")
    wide: Any = int(expand) if expand is not None and expand.isdecimal() else expand
    shape = Shape(fold=0.8 if fold else None, per_document=per_document, mmr=mmr, expand=wide)
    return None if shape == Shape() else shape


def context_dict(context: Context) -> dict[str, Any]:
    """A context as JSON."""
    return {
        "text": context.text,
        "n_tokens": context.n_tokens,
        "passages": [
            {
                "number": passage.number,
                "source": passage.source,
                "doc_id": passage.doc_id,
                "start": passage.start,
                "end": passage.end,
                "lines": list(passage.lines),
                "score": passage.score,
                "text": passage.text,
                "chunk_ids": list(passage.chunk_ids),
            }
            for passage in context.passages
        ],
        "left_out": list(context.left_out),
    }
