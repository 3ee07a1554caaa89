"""A document and its chunks as one HTML page: no other file, no network, no framework."""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from statistics import median
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ragkit.chunk.sizes import Size
    from ragkit.types import Chunk, Document

_HUES = 4
_BARS = 24
#: What HTML text cannot hold: parsers replace NUL, and UTF-8 has no lone surrogates.
_UNHELD = {0: "\ufffd"} | dict.fromkeys(range(0xD800, 0xE000), "\ufffd")


def shown(text: str) -> str:
    """The text that the page shows: NUL and lone surrogates as U+FFFD, one for one, all else as it is."""
    return text.translate(_UNHELD)


def chunk_page(
    document: Document, chunks: Sequence[Chunk], lines: Sequence[tuple[int, int]], *, chunker: str, max_tokens: Size, overlap: int
) -> str:
    """The page. ``lines`` are first and last line of each chunk; ``chunker`` names it, sizes are in tokens.

    Every chunk is a run of ``<span class="s" data-first="i" data-last="j">``: the characters of chunks i to j, counted
    from 0. The text of the element ``#text`` is ``shown(document.text)``, character for character.
    """
    counts = [chunk.n_tokens for chunk in chunks]
    most = max_tokens if isinstance(max_tokens, int) else max_tokens[1]
    facts = [
        ("chunks", f"{len(chunks):,}"),
        ("characters", f"{len(document.text):,}"),
        ("chunker", chunker),
        ("limit", f"{most:,} tokens" if isinstance(max_tokens, int) else f"{most:,} tokens, filled to {max_tokens[0]:,}"),
        ("overlap", f"{overlap:,} tokens"),
        ("smallest, median, largest", f"{min(counts):,}, {median(counts):,.0f}, {max(counts):,} tokens" if counts else "none"),
    ]
    return _PAGE.substitute(
        title=_text(str(document.metadata.get("title") or document.id)),
        name=_text(document.id),
        facts="".join(f"<div><dt>{name}</dt><dd>{_text(value)}</dd></div>" for name, value in facts),
        histogram=_histogram(counts, most),
        text=_segments(document.text, chunks),
        data=_data(document, chunks, lines),
    )


def _text(text: str) -> str:
    # A parser turns a bare carriage return into a line feed; its reference stays.
    return escape(shown(text)).replace("\r", "&#13;")


def _segments(text: str, chunks: Sequence[Chunk]) -> str:
    """The text between neighbouring edges, each stretch with the chunks that hold it."""
    starts, ends = [chunk.start for chunk in chunks], [chunk.end for chunk in chunks]
    out: list[str] = []
    opened = -1
    edges = sorted({0, len(text), *starts, *ends})
    for begin, end in pairwise(edges):
        first, last = bisect_right(ends, begin), bisect_left(starts, end) - 1
        body = _text(text[begin:end])
        if last < first:
            out.append(body)
            continue
        classes = f"s a{first % _HUES}" + (f" o b{last % _HUES}" if last > first else "")
        # A chunk is one stop of the Tab key, where it begins.
        stop = ""
        if last > opened:
            opened = last
            label = f"Chunk {last + 1} of {len(chunks)}, {chunks[last].n_tokens} tokens"
            stop = f' id="c{last + 1}" tabindex="0" data-number="{last + 1}" role="group" aria-label="{label}"'
        out.append(f'<span class="{classes}" data-first="{first}" data-last="{last}"{stop}>{body}</span>')
    return "".join(out)


def _data(document: Document, chunks: Sequence[Chunk], lines: Sequence[tuple[int, int]]) -> str:
    """What the panel tells of each chunk, as JSON that no text can break out of."""
    rows = [
        {
            "span": [chunk.start, chunk.end],
            "lines": place,
            "tokens": chunk.n_tokens,
            "context": chunk.context,
            "metadata": {
                key: " \u203a ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
                for key, value in chunk.metadata.items()
                if document.metadata.get(key) != value
            },
        }
        for chunk, place in zip(chunks, lines, strict=True)
    ]
    return json.dumps(rows, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")


def _histogram(counts: Sequence[int], limit: int) -> str:
    """How many chunks have how many tokens, as SVG, with the limit as a line."""
    if not counts:
        return ""
    reach = max(limit, *counts)
    step = -(-reach // min(_BARS, reach))
    bars = -(-reach // step)
    tall = [0] * bars
    for tokens in counts:
        tall[max(tokens - 1, 0) // step] += 1
    width, height, top = 480, 90, 14
    unit = width / (bars * step)
    parts = []
    for place, number in enumerate(tall):
        if not number:
            continue
        high = max(2.0, (height - top) * number / max(tall))
        low, up = place * step + 1, (place + 1) * step
        parts.append(
            f'<rect x="{place * step * unit + 1:.1f}" y="{height - high:.1f}" width="{step * unit - 2:.1f}" height="{high:.1f}">'
            f"<title>{low:,} to {up:,} tokens: {number:,} chunks</title></rect>"
        )
    return (
        f'<svg viewBox="0 0 {width} {height + 16}" role="img" aria-label="Histogram of tokens per chunk">{"".join(parts)}'
        f'<path class="axis" d="M0 {height}H{width}"/><path class="limit" d="M{limit * unit:.1f} 0V{height}"/>'
        f'<text x="0" y="{height + 12}">1</text><text x="{limit * unit - 4:.1f}" y="10" text-anchor="end">limit {limit:,}</text>'
        f'<text x="{width}" y="{height + 12}" text-anchor="end">{bars * step:,} tokens</text></svg>'
    )


_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>$title: chunks</title>
<style>
:root { color-scheme: light; --page: #fbfbf9; --card: #fff; --ink: #1d2127; --dim: #5c6570; --line: #dcdfe3; --mark: #1f5fbf;
  --h0: #dcebfb; --h1: #fdeccb; --h2: #dcf2dd; --h3: #f3e0f5; --chip: #ffffffcc; }
@media (prefers-color-scheme: dark) { :root:not([data-theme=light]) { color-scheme: dark; --page: #14171b; --card: #1c2026;
  --ink: #e4e7eb; --dim: #9aa4b0; --line: #343a43; --mark: #7db3ff; --h0: #1d3550; --h1: #473816; --h2: #1d402a; --h3: #432a4c;
  --chip: #00000066; } }
:root[data-theme=dark] { color-scheme: dark; --page: #14171b; --card: #1c2026; --ink: #e4e7eb; --dim: #9aa4b0; --line: #343a43;
  --mark: #7db3ff; --h0: #1d3550; --h1: #473816; --h2: #1d402a; --h3: #432a4c; --chip: #00000066; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
header, main { max-width: 1240px; margin: 0 auto; padding: 16px 20px; }
header { display: grid; grid-template-columns: 1fr minmax(240px, 480px); gap: 8px 32px; align-items: end; }
h1 { grid-column: 1 / -1; margin: 0; font-size: 20px; display: flex; gap: 16px; align-items: center; overflow-wrap: anywhere; }
h1 span { flex: 1; }
button { font: inherit; font-size: 13px; color: var(--ink); background: var(--card); border: 1px solid var(--line); border-radius: 6px;
  padding: 4px 12px; cursor: pointer; }
dl { margin: 0; }
header dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 8px 20px; }
dt { color: var(--dim); font-size: 12px; }
dd { margin: 0; overflow-wrap: anywhere; }
svg { width: 100%; height: auto; }
svg rect { fill: var(--mark); opacity: .75; }
svg .axis { stroke: var(--line); }
svg .limit { stroke: var(--ink); stroke-dasharray: 3 3; }
svg text { fill: var(--dim); font-size: 11px; }
main { display: grid; grid-template-columns: minmax(0, 1fr) 290px; gap: 20px; align-items: start; }
#text { margin: 0; padding: 16px 20px; background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  font: 13.5px/1.75 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre-wrap; overflow-wrap: anywhere;
  unicode-bidi: plaintext; tab-size: 4; }
.s { padding: 2px 0; border-radius: 2px; -webkit-box-decoration-break: clone; box-decoration-break: clone; background: var(--a); }
.o { background: repeating-linear-gradient(135deg, var(--a) 0 6px, var(--b) 6px 12px); }
.a0 { --a: var(--h0); } .a1 { --a: var(--h1); } .a2 { --a: var(--h2); } .a3 { --a: var(--h3); }
.b0 { --b: var(--h0); } .b1 { --b: var(--h1); } .b2 { --b: var(--h2); } .b3 { --b: var(--h3); }
[data-number]::before { content: attr(data-number); font: 600 10px/1 system-ui, sans-serif; color: var(--dim); background: var(--chip);
  border-radius: 3px; padding: 1px 4px; margin-right: 3px; vertical-align: 2px; }
.on { text-decoration: underline; text-decoration-color: var(--mark); text-decoration-thickness: 2px; text-underline-offset: 4px; }
[data-number]:focus { outline: none; }
[data-number]:focus-visible::before, .on[data-number]::before { background: var(--mark); color: var(--page); }
button:focus-visible { outline: 2px solid var(--mark); outline-offset: 2px; }
aside { position: sticky; top: 16px; max-height: calc(100vh - 32px); overflow: auto; padding: 14px 16px; background: var(--card);
  border: 1px solid var(--line); border-radius: 8px; }
aside h2 { margin: 0 0 8px; font-size: 15px; }
aside dd { margin-bottom: 8px; white-space: pre-wrap; }
aside p { margin: 8px 0 0; color: var(--dim); font-size: 13px; }
@media (max-width: 860px) { header, main { grid-template-columns: minmax(0, 1fr); padding: 12px; }
  aside { order: -1; top: 0; max-height: 34vh; } }
</style>
</head>
<body>
<header>
<h1><span>$name</span><button type="button" id="theme">Light or dark</button></h1>
<dl>$facts</dl>
<div>$histogram</div>
</header>
<main>
<div id="text">$text</div>
<aside aria-live="polite"><div id="panel"><h2>Chunks</h2>Point at a chunk, or walk through them.</div>
<p>Tab, or the keys n and p: next and previous chunk. Stripes: text that two chunks share. Blanks and line ends belong to the chunk whose colour they have.</p></aside>
</main>
<script type="application/json" id="data">$data</script>
<script>
"use strict";
const rows = JSON.parse(document.getElementById("data").textContent), parts = rows.map(() => []), heads = [];
const text = document.getElementById("text"), panel = document.getElementById("panel");
for (const part of text.querySelectorAll(".s")) {
  for (let i = +part.dataset.first; i <= +part.dataset.last; i++) parts[i].push(part);
  if (part.dataset.number) heads[part.dataset.number - 1] = part;
}
let current = -1;
function add(list, name, value) {
  list.append(Object.assign(document.createElement("dt"), { textContent: name }), Object.assign(document.createElement("dd"), { textContent: value }));
}
function show(i) {
  if (i === current || !rows[i]) return;
  for (const part of parts[current] || []) part.classList.remove("on");
  for (const part of parts[i]) part.classList.add("on");
  current = i;
  const row = rows[i], list = document.createElement("dl"), n = value => value.toLocaleString("en");
  add(list, "characters", n(row.span[0]) + " to " + n(row.span[1]) + " (" + n(row.span[1] - row.span[0]) + ")");
  add(list, "lines", n(row.lines[0]) + " to " + n(row.lines[1]));
  add(list, "tokens", n(row.tokens));
  for (const [side, other] of [["previous", rows[i - 1]], ["next", rows[i + 1]]]) {
    const shared = other ? Math.min(row.span[1], other.span[1]) - Math.max(row.span[0], other.span[0]) : 0;
    if (shared > 0) add(list, "shared with the " + side, n(shared) + " characters");
  }
  for (const [key, value] of Object.entries(row.metadata)) add(list, key, value);
  if (row.context) add(list, "context", row.context);
  panel.replaceChildren(Object.assign(document.createElement("h2"), { textContent: "Chunk " + (i + 1) + " of " + rows.length }), list);
}
function pointed(event) {
  const part = event.target.closest && event.target.closest(".s");
  if (part) show(event.type === "focusin" ? part.dataset.number - 1 : +part.dataset.last);
}
text.addEventListener("mouseover", pointed);
text.addEventListener("focusin", pointed);
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || !"np".includes(event.key)) return;
  const head = heads[current + (event.key === "n" ? 1 : -1)];
  if (head) { head.focus({ preventScroll: true }); head.scrollIntoView({ block: "center" }); }
});
document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = (root.dataset.theme || (dark ? "dark" : "light")) === "dark" ? "light" : "dark";
});
</script>
</body>
</html>
""")
