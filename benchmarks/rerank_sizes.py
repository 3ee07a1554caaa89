"""Quality of reranking by codes of several sizes, on a sample of a labelled collection, and its picture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ragkit.embed import TransformerEmbedder
from ragkit.evaluate import Collection, evaluate, load_collection
from ragkit.rerank import CompressedReranker, TokenCompressor

VECTORS, BITS = (8, 16, 32, 64), (64, 128)
METRIC = "nDCG@10"
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

    def row(self) -> list[str]:
        gain = f"{100 * self.mean:+.1f} ({100 * self.low:+.1f} to {100 * self.high:+.1f})"
        return [str(self.vectors), str(self.bits), f"{self.bytes:,}", f"{self.ndcg:.3f}", gain]


def sample(collection: Collection, *, questions: int, documents: int) -> Collection:
    """Some judged questions by lot, the documents that answer them, and others up to ``documents``."""
    if collection.unit != "document" or collection.spans:
        raise SystemExit(f"{collection.name} judges no whole documents; give a collection that does, such as nq_open.")
    rng = np.random.default_rng(0)
    judged = [one for one in collection.queries if any(grade > 0 for grade in collection.qrels.get(one.id, {}).values())]
    kept = [judged[at] for at in np.sort(rng.permutation(len(judged))[:questions])]
    wanted = {target for one in kept for target, grade in collection.qrels[one.id].items() if grade > 0}
    others = [one.id for one in collection.documents if one.id not in wanted]
    wanted.update(others[at] for at in rng.permutation(len(others))[: max(0, documents - len(wanted))])
    return replace(collection, documents=[one for one in collection.documents if one.id in wanted], queries=kept)


def measure(folder: Path, embedder: TransformerEmbedder, *, questions: int, documents: int) -> list[Size]:
    """Every size, read from the same stored codes of the same index."""
    compressor = TokenCompressor()
    names = {f"{k} x {bits}": (k, bits) for k, bits in product(VECTORS, BITS)}
    rerankers = {name: CompressedReranker(compressor, vectors=k, bits=bits) for name, (k, bits) in names.items()}
    some = sample(load_collection(folder), questions=questions, documents=documents)
    report = evaluate(some, embedder=embedder, modes=["hybrid"], rerankers=rerankers)
    means = {one.mode: one.mean for one in report.scores if one.metric == METRIC}
    gains = {one.mode: one for one in report.comparisons if one.metric == METRIC}
    return [
        Size(k, bits, k * bits // 8, means[name], gains[name].mean, gains[name].low, gains[name].high)
        for name, (k, bits) in names.items()
    ]


def draw(sizes: Sequence[Size], form: str) -> bytes:
    """The picture: bytes of a window against points of nDCG@10 over hybrid search; a curve for each number of bits."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for at, bits in enumerate(BITS):
        some = [one for one in sizes if one.bits == bits]
        # Sizes of equal bytes stand a little apart, so that their intervals can be told from each other.
        x = [one.bytes * 1.04 ** (2 * at - 1) for one in some]
        y = [100 * one.mean for one in some]
        spread = [[100 * (one.mean - one.low) for one in some], [100 * (one.high - one.mean) for one in some]]
        axes.errorbar(x, y, spread, color=COLOURS[bits], marker="o", capsize=2, linewidth=1, label=f"{bits} bits a vector")
        for one, left, up in zip(some, x, y, strict=True):
            axes.annotate(f"k={one.vectors}", (left, up), xytext=(5, 5), textcoords="offset points", fontsize=8)
    axes.axhline(0, color="#8a8f98", linewidth=1, linestyle=":", label="hybrid search")
    axes.set_xscale("log", base=2)
    ticks = sorted({one.bytes for one in sizes})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xlabel("bytes of a window")
    axes.set_ylabel("points of nDCG@10 over hybrid search")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8)
    out = BytesIO()
    figure.savefig(out, format=form, dpi=150)
    return out.getvalue()


def page(sizes: Sequence[Size], times: Sequence[Sequence[str]], *, source: str) -> str:
    """One HTML page without network: the picture, the sizes, the times."""
    svg = re.sub(
        r"^.*?<svg", "<svg role='img' aria-label='quality against bytes'", draw(sizes, "svg").decode(), count=1, flags=re.DOTALL
    )
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    small = _table(["vectors", "bits", "bytes", "nDCG@10", "over hybrid search, points"], [one.row() for one in sizes])
    slow = _table(["tokens", "100 candidates", "cpu ms", "wall ms", "times faster"], times)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Codes: {escape(source)}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c1f24; background: #fff }}
svg {{ width: 100%; height: auto }} table {{ border-collapse: collapse }} .wide {{ overflow-x: auto }}
td, th {{ padding: .25rem .7rem; border-bottom: 1px solid #dde; text-align: right }}
</style></head><body><h1>Quality against bytes: a sample of {escape(source)}</h1>{svg}
<div class="wide">{small}</div><h2>Time</h2><div class="wide">{slow}</div></body></html>
"""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th scope='col'>{escape(one)}</th>" for one in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(one)}</td>" for one in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
