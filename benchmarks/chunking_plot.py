"""The speeds of chunkers as bars: medians, and every round as a dot."""

from __future__ import annotations

import statistics
from pathlib import Path


def draw(speeds: dict[str, list[float]], path: Path) -> None:
    """Write ``{contender: MB/s of each round}`` as a picture; one panel per vocabulary, the tokenizers' floor in grey."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    panels = {name: [key for key in speeds if name in key] for name in ("cl100k", "MiniLM")}
    panels["cl100k"] = [key for key in speeds if "tiktoken" in key] + panels["cl100k"]
    heights = [max(1, len(keys)) for keys in panels.values()]
    figure, axes = plt.subplots(2, 1, figsize=(9, 0.32 * sum(heights) + 2), height_ratios=heights, layout="constrained")
    for axis, (name, keys) in zip(axes, panels.items(), strict=True):
        keys = sorted(keys, key=lambda key: statistics.median(speeds[key]))
        medians = [statistics.median(speeds[key]) for key in keys]
        axis.barh(range(len(keys)), medians, color=[_colour(key) for key in keys], height=0.7)
        for place, key in enumerate(keys):
            axis.plot(speeds[key], [place] * len(speeds[key]), ".", color="black", markersize=3)
            axis.annotate(f" {medians[place]:.2f}", (max(speeds[key]), place), va="center", fontsize=8)
        axis.set_yticks(range(len(keys)), keys, fontsize=8)
        axis.set_xlabel("million characters per second")
        axis.set_title(f"Chunks of 128 tokens, {name} vocabulary", fontsize=10)
        axis.margins(x=0.12, y=0.02)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def _colour(name: str) -> str:
    return "#2a6f97" if name.startswith("ragkit") else "#b0b0b0" if name.startswith("floor") else "#e0a458"
