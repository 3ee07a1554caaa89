"""A study as one HTML page: the verdict first, then pictures, the table, and the questions that decide. No network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from string import Template

from ragkit.evaluate.study_plots import contrast, plots
from ragkit.evaluate.study_report import StudyReport

_SHOWN = 8  # questions won and lost that are quoted
_NOTES = 4  # shown at once
_UNHELD = {0: "\ufffd"} | dict.fromkeys(range(0xD800, 0xE000), "\ufffd")


def study_page(report: StudyReport) -> str:
    """The page. Raises MissingDependencyError without matplotlib (extra ``study``)."""
    verdict, (mode, metric) = report.verdict, report.headline
    head = f"Take {verdict.recommended}" if len(report.outcomes) > 1 else verdict.best
    facts = [
        ("documents", f"{report.documents:,}"),
        ("characters", f"{report.characters:,}"),
        ("questions", f"{len(report.questions):,}"),
        ("recipes", f"{len(report.outcomes)}" + (f" of {report.planned}" if report.planned > len(report.outcomes) else "")),
        ("model", report.model.rsplit("/", 1)[-1]),
        ("decided by", f"{metric}, {mode} search"),
        ("seed", str(report.seed)),
    ]
    notes = list(report.notes)
    if report.planned > len(report.outcomes):
        notes.insert(0, f"Stopped early: {report.planned - len(report.outcomes)} recipes are not in it.")
    if any(one.timing == "sample" for one in report.outcomes):
        notes.insert(0, "Times marked ~ are reckoned from a sample of the documents, because some vectors came from the cache.")
    return _PAGE.substitute(
        title=_text(report.collection),
        head=_text(head),
        sentences="".join(f"<li>{_text(one)}</li>" for one in verdict.sentences),
        code=_text(_code(report)),
        facts="".join(f"<div><dt>{name}</dt><dd>{_text(value)}</dd></div>" for name, value in facts),
        notes=_notes(notes),
        plots="".join(f"<figure>{svg}<figcaption>{_text(caption)}</figcaption></figure>" for caption, svg in plots(report)),
        tables="".join(_table(report, one) for one in (mode, *(one for one in report.modes if one != mode))),
        differences=_differences(report),
        questions=_questions(report),
    )


def _text(text: str) -> str:
    return escape(text.translate(_UNHELD))


def _notes(notes: Sequence[str]) -> str:
    items = [f"<li>{_text(one)}</li>" for one in notes]
    if len(items) <= _NOTES:
        return f"<ul>{''.join(items)}</ul>"
    rest = f"<details><summary>{len(items) - _NOTES} more notes</summary><ul>{''.join(items[_NOTES:])}</ul></details>"
    return f"<ul>{''.join(items[:_NOTES])}</ul>{rest}"


def _code(report: StudyReport) -> str:
    code, embedder = report.verdict.code, report.embedder
    if not code:
        return "# a recipe of your own: pass its chunker to Index"
    names = ", ".join(dict.fromkeys(part.split("(")[0].strip() for part in code.split("|")))
    lines = ["from ragkit import Index", f"from ragkit.chunk import {names}"]
    if embedder:
        lines.append("from ragkit.embed import TransformerEmbedder")
    lines += ["", f"chunker = {code}"]
    lines += [f"embedder = {embedder}"] if embedder else ["embedder = ...  # the one studied"]
    return "\n".join([*lines, 'index = Index("kb.lance", chunker=chunker, embedder=embedder)'])


def _rows(header: Sequence[str], rows: Sequence[Sequence[str]], marked: str = "") -> str:
    heads = "".join(f'<th scope="col">{_text(one)}</th>' for one in header)
    body = "".join(
        f"<tr{' class=on' if row[0] == marked else ''}><th scope=row>{_text(row[0])}</th>"
        + "".join(f"<td>{_text(one)}</td>" for one in row[1:])
        + "</tr>"
        for row in rows
    )
    return f"<div class=wide><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"


def _table(report: StudyReport, mode: str) -> str:
    header, rows = report.table(mode)
    opened = " open" if mode == report.headline[0] else ""
    return f"<details{opened}><summary>All recipes, {_text(mode)} search</summary>{_rows(header, rows, report.verdict.recommended)}</details>"


def _differences(report: StudyReport) -> str:
    mode, metric = report.headline
    parts = []
    for against, title in (("baseline", "Against plain chunks of the same size"), ("best", "Against the best")):
        rows = [
            [
                one.name,
                one.other,
                f"{one.mean:+.3f} [{one.low:+.3f}, {one.high:+.3f}]",
                f"{one.p:.4f}",
                f"{one.p_holm:.4f}",
                one.verdict,
            ]
            for one in report.differences
            if (one.against, one.mode, one.metric) == (against, mode, metric)
        ]
        if rows:
            header = ["recipe", "other", f"difference in {metric}", "p", "p after Holm", "verdict"]
            parts.append(f"<details><summary>{title}</summary>{_rows(header, rows)}</details>")
    return "".join(parts)


def _questions(report: StudyReport) -> str:
    pair = contrast(report)
    if pair is None:
        return ""
    mode, metric = report.headline
    left, right = (report.outcome(name).values[mode][metric] for name in pair)
    apart = sorted(
        zip((a - b for a, b in zip(left, right, strict=True)), report.questions, left, right, strict=True), key=lambda row: row[0]
    )

    def told() -> Iterator[str]:
        for title, rows in (
            (f"{pair[0]} finds more", [row for row in apart[::-1][:_SHOWN] if row[0] > 0]),
            (f"{pair[1]} finds more", [row for row in apart[:_SHOWN] if row[0] < 0]),
        ):
            if rows:
                body = [[asked.text[:300], f"{one:.2f}", f"{other:.2f}"] for _, asked, one, other in rows]
                yield f"<h3>{_text(title)}</h3>{_rows(['question', *pair], body)}"

    return "".join(told())


_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>$title: study of chunks</title>
<style>
:root { color-scheme: light; --page: #fbfbf9; --card: #fff; --ink: #1d2127; --dim: #5c6570; --line: #d9dce1; --mark: #1f5fbf; --on: #eaf1fb;
  --c0: #1f5fbf; --c1: #c2571a; --c2: #2b7d3c; --c3: #8e3fa5; --c4: #b0262e; --c5: #0f7f86; --c6: #7a6410; --c7: #5b6470; }
@media (prefers-color-scheme: dark) { :root:not([data-theme=light]) { color-scheme: dark; --page: #14171b; --card: #1c2026; --ink: #e4e7eb;
  --dim: #9aa4b0; --line: #343a43; --mark: #7db3ff; --on: #1d2c40; --c0: #7db3ff; --c1: #f2a26b; --c2: #7fd08f; --c3: #d69be8; --c4: #ff8f8f;
  --c5: #6cd0d6; --c6: #d9c46a; --c7: #aab4c0; } }
:root[data-theme=dark] { color-scheme: dark; --page: #14171b; --card: #1c2026; --ink: #e4e7eb; --dim: #9aa4b0; --line: #343a43;
  --mark: #7db3ff; --on: #1d2c40; --c0: #7db3ff; --c1: #f2a26b; --c2: #7fd08f; --c3: #d69be8; --c4: #ff8f8f; --c5: #6cd0d6; --c6: #d9c46a;
  --c7: #aab4c0; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
header, main { max-width: 1040px; margin: 0 auto; padding: 16px 20px; }
h1 { margin: 0; font-size: 17px; color: var(--dim); font-weight: 500; display: flex; gap: 16px; align-items: center; overflow-wrap: anywhere; }
h1 span { flex: 1; }
h2 { margin: 28px 0 8px; font-size: 18px; }
h3 { margin: 18px 0 6px; font-size: 14px; color: var(--dim); font-weight: 600; }
button { font: inherit; font-size: 13px; color: var(--ink); background: var(--card); border: 1px solid var(--line); border-radius: 6px;
  padding: 4px 12px; cursor: pointer; }
button:focus-visible, summary:focus-visible { outline: 2px solid var(--mark); outline-offset: 2px; }
#verdict { background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--mark); border-radius: 8px; padding: 14px 20px; margin-top: 12px; }
#verdict h2 { margin: 0 0 6px; font-size: 24px; }
ul { margin: 0; padding-left: 20px; }
li { margin: 3px 0; }
pre { margin: 12px 0 2px; padding: 10px 14px; background: var(--page); border: 1px solid var(--line); border-radius: 6px; overflow-x: auto;
  font: 13px/1.5 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
dl { margin: 16px 0 0; display: grid; grid-template-columns: repeat(auto-fit, minmax(110px, 1fr)); gap: 8px 20px; }
dt { color: var(--dim); font-size: 12px; }
dd { margin: 0; overflow-wrap: anywhere; }
#notes { margin-top: 12px; color: var(--dim); font-size: 13px; }
figure { margin: 14px 0; padding: 14px 16px; background: var(--card); border: 1px solid var(--line); border-radius: 8px; overflow-x: auto; }
figure svg { display: block; width: 100%; min-width: 620px; height: auto; }
figcaption { color: var(--dim); font-size: 13px; margin-top: 6px; }
details { margin: 8px 0; }
summary { cursor: pointer; font-weight: 600; padding: 4px 0; }
.wide { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 7px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child { text-align: left; white-space: normal; min-width: 150px; }
tbody th { font-weight: 500; }
thead th { color: var(--dim); font-weight: 500; }
tbody tr:last-child > * { border-bottom: 0; }
tr.on { background: var(--on); }
</style>
</head>
<body>
<header>
<h1><span>Study of chunks: $title</span><button type="button" id="theme">Light or dark</button></h1>
<section id="verdict"><h2>$head</h2><ul>$sentences</ul><pre>$code</pre></section>
<dl>$facts</dl>
<div id="notes">$notes</div>
</header>
<main>
$plots
<h2>Table</h2>
$tables
$differences
<h2>Questions that decide</h2>
$questions
</main>
<script>
"use strict";
document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = (root.dataset.theme || (dark ? "dark" : "light")) === "dark" ? "light" : "dark";
});
</script>
</body>
</html>
""")
