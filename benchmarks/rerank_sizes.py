"""Quality of reranking by codes of several sizes, on labelled collections, and its picture."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rerank_quality import indexed

from ragkit.embed import TransformerEmbedder
from ragkit.evaluate import load_collection
from ragkit.evaluate.metrics import compare
from ragkit.rerank import CompressedReranker, TokenCompressor

VECTORS, BITS = (8, 16, 32, 64), (64, 128)
DEPTH = 100
COLOURS = {64: "#b8590e", 128: "#1f5fa8"}


class Size(NamedTuple):
    """A code of so many vectors and bits: its bytes a window, nDCG@10, and the difference to hybrid search with 95 % bounds."""

    vectors: int
    bits: int
    bytes: int
    ndcg: float
    mean: float
    low: float
    high: float

    def gain(self) -> str:
        """The difference in points, with its bounds."""
        return f"{100 * self.mean:+.1f} ({100 * self.low:+.1f} to {100 * self.high:+.1f})"


def measure(folder: Path, embedder: TransformerEmbedder, *, questions: int) -> list[Size]:
    """Every size, read from the same stored codes of the same index."""
    compressor = TokenCompressor()
    sizes: list[Size] = []
    with indexed(load_collection(folder), embedder, most=questions, compressor=compressor) as setting:
        first = setting.scores(setting.ask(DEPTH))
        for k, bits in product(VECTORS, BITS):
            found = setting.scores(setting.ask(DEPTH, rerank=CompressedReranker(compressor, vectors=k, bits=bits)))
            (mean, low, high, _), _ = compare(found, first)
            sizes.append(Size(k, bits, k * bits // 8, float(np.mean(list(found.values()))), mean, low, high))
    return sizes


def draw(measured: Mapping[str, Sequence[Size]], form: str) -> bytes:
    """The picture, a panel a collection: bytes of a window against points of nDCG@10 over hybrid search; a curve for each number of bits."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1 + 4.5 * len(measured), 4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(measured), sharey=True, squeeze=False)[0]
    for axes, (name, sizes) in zip(panels, measured.items(), strict=True):
        axes.set_title(name)
        for at, bits in enumerate(BITS):
            some = [one for one in sizes if one.bits == bits]
            # Sizes of equal bytes stand a little apart, so that their intervals can be told from each other.
            x = [one.bytes * 1.04 ** (2 * at - 1) for one in some]
            y = [100 * one.mean for one in some]
            spread = [[100 * (one.mean - one.low) for one in some], [100 * (one.high - one.mean) for one in some]]
            axes.errorbar(x, y, spread, color=COLOURS[bits], marker="o", capsize=2, linewidth=1, label=f"{bits} bits a vector")
            for one, left, up in zip(some, x, y, strict=True):
                side = ((-5, 5), "right") if at == 0 else ((5, -11), "left")
                axes.annotate(f"k={one.vectors}", (left, up), side[0], textcoords="offset points", ha=side[1], fontsize=8)
        axes.axhline(0, color="#8a8f98", linewidth=1, linestyle=":", label="hybrid search")
        axes.set_xscale("log", base=2)
        axes.margins(x=0.12)
        ticks = sorted({one.bytes for one in sizes})
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.set_xlabel("bytes of a window")
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("points of nDCG@10 over hybrid search")
    panels[0].legend(frameon=False, fontsize=8)
    out = BytesIO()
    figure.savefig(out, format=form, dpi=90)
    return out.getvalue()


def rows(measured: Mapping[str, Sequence[Size]]) -> list[list[str]]:
    """A line of a table for each size: its bytes, and what it gains on each collection."""
    columns = list(measured.values())
    first = [[str(one.vectors), str(one.bits), f"{one.bytes:,}"] for one in columns[0]]
    return [start + [column[at].gain() for column in columns] for at, start in enumerate(first)]


HEADER = ["vectors", "bits", "bytes"]


def page(measured: Mapping[str, Sequence[Size]], times: Sequence[Sequence[str]]) -> str:
    """One HTML page without network: the picture, the sizes, the times."""
    svg = re.sub(
        r"^.*?<svg",
        "<svg role='img' aria-label='quality against bytes'",
        draw(measured, "svg").decode(),
        count=1,
        flags=re.DOTALL,
    )
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    small = _table([*HEADER, *measured], rows(measured))
    header = ["tokens", "100 candidates", "cpu ms", "wall ms", "times faster"]
    slow = f'<h2>Time</h2><div class="wide">{_table(header, times)}</div>' if times else ""
    source = ", ".join(measured)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Codes: {escape(source)}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c1f24; background: #fff }}
svg {{ width: 100%; height: auto }} table {{ border-collapse: collapse }} .wide {{ overflow-x: auto }}
td, th {{ padding: .25rem .7rem; border-bottom: 1px solid #dde; text-align: right }}
</style></head><body><h1>Quality against bytes: {escape(source)}</h1>{svg}
<div class="wide">{small}</div>{slow}</body></html>
"""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th scope='col'>{escape(one)}</th>" for one in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(one)}</td>" for one in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
