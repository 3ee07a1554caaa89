"""What the pages with pictures share: the frame, tables, and figures as SVG or PNG. No network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from io import BytesIO, StringIO
from typing import TYPE_CHECKING

from ragkit.errors import MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float, *, what: str) -> Figure:
    """An empty figure of so many inches. Raises MissingDependencyError without matplotlib, naming ``what`` needs it."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(f"{what} need matplotlib: install the extra 'study'.") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png_of(figure: Figure) -> bytes:
    """The figure as a PNG file, the same bytes each time."""
    out = BytesIO()
    figure.savefig(out, format="png", dpi=150, metadata={"Software": None})
    return out.getvalue()


def svg_of(figure: Figure, label: str) -> str:
    """The figure as an element of a page; ``label`` is read out where nobody sees it."""
    drawn = StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
    svg = re.sub(r"^.*?<svg", f"<svg role='img' aria-label='{escape(label)}'", drawn.getvalue(), count=1, flags=re.DOTALL)
    return re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as an element of a page."""
    head = "".join(f"<th scope='col'>{escape(one)}</th>" for one in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(one)}</td>" for one in row) + "</tr>" for row in rows)
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def page(title: str, body: str) -> str:
    """A whole page; ``body`` is HTML, ``title`` text."""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #1c1f24; background: #fff }}
svg {{ width: 100%; height: auto }} table {{ border-collapse: collapse }} td, th {{ padding: .25rem .7rem; border-bottom: 1px solid #dde; text-align: right }}
td:first-child, th:first-child {{ text-align: left }} .wide {{ overflow-x: auto }}
</style></head><body>
{body}
</body></html>
"""
