"""What was found, as tables and as the page of the documents."""

from __future__ import annotations

from typing import Any

from peers.contender import LIMIT, OVERLAP
from peers.vocabularies import TOKENIZERS
from ragkit.testing.conformance import LAWS


def overview(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Clean texts by chunker, tokenizer and overlap."""
    columns = [(tokenizer, overlap) for tokenizer in TOKENIZERS for overlap in (0, OVERLAP)]
    cells = {(row["chunker"], row["tokenizer"], row["overlap"]): f"{row['clean']}" for row in rows}
    names = list(dict.fromkeys(row["chunker"] for row in rows))
    heads = ["chunker", *(f"{tokenizer}{f', overlap {overlap}' if overlap else ''}" for tokenizer, overlap in columns)]
    return heads, [[name, *(cells.get((name, *column), "–") for column in columns)] for name in names]


def details(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Texts on which each law broke, the largest piece, cut graphemes."""
    heads = ["chunker", "tokenizer", "overlap", "clean", *LAWS, "pieces", "largest, tokens", "graphemes cut"]
    body = [
        [
            row["chunker"],
            row["tokenizer"],
            str(row["overlap"]),
            str(row["clean"]),
            *(str(number or ".") for number in row["broken"].values()),
            f"{sum(text['pieces'] for text in row['texts']):,}",
            f"{max(text['largest'] for text in row['texts']):,}",
            f"{sum(text['cut_graphemes'] or 0 for text in row['texts']):,}",
        ]
        for row in rows
    ]
    return heads, body


def as_markdown(heads: list[str], body: list[list[str]], *, words: int = 1) -> str:
    rule = ["---"] * words + ["---:"] * (len(heads) - words)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [heads, rule, *body])


def page(result: dict[str, Any]) -> str:
    """The page of the documents, whole."""
    found = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    laws = "\n".join(f"* **{law}**: {says}." for law, says in LAWS.items())
    tokenizers = "\n".join(f"* **{name}**: {says}." for name, says in TOKENIZERS.items())
    settings = "\n".join(f"* {name}: {says}." for name, says in result["settings"].items())
    left_out = f" Not installed and left out: {', '.join(result['missing'])}." if result["missing"] else ""
    count, size = result["of"], result["size"]
    return f"""# Conformance: which chunker keeps which law

Made by `python benchmarks/conformance.py --markdown`, with {found}, Python {result["python"]}. To change this page, change the command.

{count} texts that break chunkers (`ragkit.testing.texts`: white space, scripts without blanks, emoji, combining marks, controls, lone
surrogates, special-token strings, repeats, long addresses, tables, source ...), most of {size:,} characters, are cut at {LIMIT} tokens, without
overlap and with {OVERLAP} tokens of it where the chunker has such a setting. A text is clean when every law holds on it:

{laws}

{as_markdown(*result["overview"])}

Texts of {count} that are clean. "–": not offered.{left_out} A text that took longer than {result["seconds"]:g} seconds counts as not answered.
Clean is not yet good: look at the number of pieces below. Padding makes every piece {LIMIT} tokens to a counter that keeps it, and then a
recursive splitter may cut between all letters, which breaks no law. The tokenizers:

{tokenizers}

## By law

The number of texts on which each law broke ("." is none), the number of pieces of all texts, the largest
of them as the tokenizer counts it again, and how many grapheme clusters that would have fitted were cut (where the offsets are right; no text is unclean for that).

{as_markdown(*result["details"], words=2)}

## How it was made fair

Nothing is held against a chunker for what it does not claim: offsets and counts are checked where it tells them, and a blank text
may come back as no piece. Lost white space is told apart from lost content; some libraries strip by design. Each peer has the settings
that serve it best here:

{settings}

Run the same checks on your own chunker:

```python
from ragkit.testing.conformance import check_chunker
from ragkit.text import resolve_tokenizer


def by_lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


report = check_chunker(by_lines, resolve_tokenizer("words").count_batch, limit=128)
print(report.clean, "of", len(report.texts), "clean;", report.broken)
```
"""
