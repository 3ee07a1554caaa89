"""An explanation as one HTML page: no network, no script, light and dark, and every mark reached by the keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ragkit.rerank.explain import Explanation, Match


def explain_page(why: Explanation) -> str:
    """The page: the text, the darker the more a place added to the score, and what each token of the question met."""
    rows = "".join(_row(why, match) for match in why.matches)
    return _PAGE.format(question=escape(why.question), score=f"{why.score:.4f}", text="".join(_marked(why)), rows=rows)


def _marked(why: Explanation) -> Iterator[str]:
    """The text in stretches that the same tokens met."""
    heat = np.zeros(len(why.text))
    met: list[list[str]] = [[] for _ in why.text]
    for match in why.matches:
        for span in match.spans:
            heat[span.start : span.end] += match.weight * max(match.likeness, 0.0)
            for at in range(span.start, span.end):
                met[at].append(match.token)
    top = float(heat.max(initial=0.0)) or 1.0
    at = 0
    while at < len(why.text):
        end = at + 1
        while end < len(why.text) and heat[end] == heat[at] and met[end] == met[at]:
            end += 1
        part = escape(why.text[at:end])
        # What only unlike vectors met stays plain: it added nothing.
        if heat[at]:
            tip = escape(", ".join(dict.fromkeys(met[at])), quote=True)
            part = f'<mark tabindex="0" style="--heat:{heat[at] / top:.2f}" data-met="{tip}">{part}</mark>'
        yield part
        at = end


def _row(why: Explanation, match: Match) -> str:
    where = " … ".join(why.text[span.start : span.end] for span in match.spans)
    return (
        f"<tr><th scope='row'>{escape(match.token)}</th><td>{match.weight:.3f}</td><td>{match.likeness:+.3f}</td>"
        f"<td>{escape(where)}</td></tr>"
    )


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Why this passage</title><style>
:root {{ color-scheme: light dark; font: 16px/1.6 system-ui, sans-serif; --page: #fbfbf9; --ink: #1d2127; --line: #dcdfe3; --mark: #e8a200 }}
@media (prefers-color-scheme: dark) {{ :root {{ --page: #14171b; --ink: #e4e7eb; --line: #343a43; --mark: #b57b00 }} }}
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem; background: var(--page); color: var(--ink) }}
mark {{ position: relative; color: inherit; border-radius: .2em;
  background: color-mix(in srgb, var(--mark) calc(var(--heat) * 80% + 10%), transparent) }}
mark:focus-visible {{ outline: 2px solid var(--ink) }}
mark:hover::after, mark:focus::after {{ content: attr(data-met); position: absolute; left: 0; top: 100%; z-index: 1; width: max-content;
  max-width: 20rem; padding: 0 .4rem; font-size: .8rem; background: var(--page); border: 1px solid var(--line); border-radius: .2em }}
.text {{ white-space: pre-wrap; overflow-wrap: anywhere }} .wide {{ overflow-x: auto }}
table {{ border-collapse: collapse; margin-top: 2rem; font-size: .9rem }}
td, th {{ padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line) }}
</style></head><body><h1>{question}</h1><p>Score {score}. Marked words met words of the question: hover over them, or go through them with the tab key.</p>
<p class="text">{text}</p>
<div class="wide"><table><thead><tr><th scope="col">Token</th><th scope="col">Weight</th><th scope="col">Likeness</th>
<th scope="col">Met</th></tr></thead><tbody>{rows}</tbody></table></div></body></html>
"""
