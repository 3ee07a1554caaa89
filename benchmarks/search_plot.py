"""How the cost of a search grows with the number of chunks: one curve per contender, a panel per way of searching."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any


def picture(results: Sequence[dict[str, Any]]) -> bytes:
    """A PNG of the results of several sizes."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    modes = ("dense", "bm25", "hybrid")
    figure, axes = plt.subplots(1, len(modes), figsize=(14, 5), sharey=True, layout="constrained")
    for axis, mode in zip(axes, modes, strict=True):
        for name in sorted({name for one in results for name in one["ms"] if name.split(",")[0] == mode}):
            points = [(one["size"], one["ms"][name]) for one in results if name in one["ms"]]
            ours = "LanceDB" not in name and name in (mode, f"{mode}, search_many (each)")
            axis.plot(*zip(*points, strict=True), marker="o", linewidth=2.5 if ours else 1, label=name)
        axis.set(xscale="log", yscale="log", xlabel="chunks", title=mode)
        axis.legend(fontsize=7)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("milliseconds a question, median")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    plt.close(figure)
    return buffer.getvalue()


def write(results: Sequence[dict[str, Any]], path: Path) -> None:
    """``path`` as PNG, and beside it the same with its figures as one page of HTML."""
    image = picture(results)
    path.with_suffix(".png").write_bytes(image)
    rows = "".join(
        f"<tr><td>{one['size']:,}</td><td>{escape(name)}</td><td>{ms:.2f}</td><td>{one['cpu_ms'][name]:.2f}</td></tr>"
        for one in results
        for name, ms in one["ms"].items()
    )
    path.with_suffix(".html").write_text(
        "<!doctype html><meta charset=utf-8><title>Cost of search by size</title>"
        "<style>body{font:15px sans-serif;max-width:70em;margin:2em auto}img{width:100%}td,th{padding:.2em 1em;text-align:left}</style>"
        f"<h1>Cost of search by size</h1><img alt='cost against size' src='data:image/png;base64,{base64.b64encode(image).decode()}'>"
        f"<table><tr><th>chunks</th><th>search</th><th>ms</th><th>processor ms</th></tr>{rows}</table>",
        encoding="utf-8",
    )
