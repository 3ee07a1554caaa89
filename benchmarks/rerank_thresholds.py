"""Calibration of ``fit_threshold`` on reranked hits of real questions: fitted on half of them, judged by the other half.

    python benchmarks/rerank_thresholds.py --data COLLECTIONS [NAME ...] [--questions 500] [--hits 10] [--dtype bfloat16]

COLLECTIONS is a folder of collections (default: the environment variable RAGKIT_DATA). For hits of hybrid search and the same reranked by codes: how far
the probabilities lie from the shares that are relevant, in points (the mean over ten bins of equally many hits); what they say of the first hits of the
questions, and how many of these are relevant, in percent; how well they tell relevant hits from others (area under the ROC curve); and for each precision
aimed at, what the held-out half showed and, in brackets, the share of the relevant hits that passed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rerank_quality import Setting, indexed

from ragkit import Hit
from ragkit.embed import TransformerEmbedder
from ragkit.errors import InvalidInputError
from ragkit.evaluate import load_collection
from ragkit.evaluate.report import markdown
from ragkit.rerank import CompressedReranker, TokenCompressor
from ragkit.retrieve import Threshold, fit_threshold

AIMS = (0.4, 0.6, 0.8)
BINS = 10
Floats = NDArray[np.float64]


def relevant(setting: Setting, name: str, hits: Sequence[Hit]) -> list[bool]:
    """Whether each hit stands for something that answers the question."""
    gold = setting.gold[name]
    return [
        gold.get((hit.chunk.doc_id, hit.chunk.start, hit.chunk.end) if setting.by_span else hit.chunk.doc_id, 0) > 0
        for hit in hits
    ]


def miscalibration(probabilities: Floats, labels: Floats) -> float:
    """The mean distance of probability and share over bins of equally many hits."""
    bins = np.array_split(np.argsort(probabilities, kind="stable"), BINS)
    return float(sum(len(one) * abs(probabilities[one].mean() - labels[one].mean()) for one in bins if len(one)) / len(labels))


def area(probabilities: Floats, labels: Floats) -> float:
    """How often a relevant hit has a higher probability than another one."""
    good, bad = probabilities[labels > 0], probabilities[labels == 0]
    return float(((good[:, None] > bad).mean() + (good[:, None] >= bad).mean()) / 2)


def judge(setting: Setting, hits: dict[str, list[Hit]]) -> list[str]:
    """A row of figures for these hits."""
    names = list(hits)
    turn = np.random.default_rng(1).permutation(len(names)) % 2
    fitted, held = ([name for name, half in zip(names, turn, strict=True) if half == wanted] for wanted in (0, 1))
    seen, labels = [hits[name] for name in fitted], [relevant(setting, name, hits[name]) for name in fitted]
    shown = [hit for name in held for hit in hits[name]]
    truth = np.array([one for name in held for one in relevant(setting, name, hits[name])], np.float64)
    first = np.array([hit.rank == 1 for hit in shown])
    thresholds = [fitted_to(seen, labels, aim) for aim in AIMS]
    known = next(one for one in thresholds if one is not None)  # the aim moves ``least`` alone
    probabilities = np.array([known.probability(hit) for hit in shown])
    cells = [
        str(len(held)),
        f"{100 * miscalibration(probabilities, truth):.1f}",
        f"{100 * probabilities[first].mean():.0f}, {100 * truth[first].mean():.0f}",
        f"{area(probabilities, truth):.3f}",
    ]
    for threshold in thresholds:
        passed = probabilities >= (2.0 if threshold is None else threshold.least)
        cells.append(
            f"{100 * truth[passed].mean():.0f} ({100 * truth[passed].sum() / truth.sum():.0f})" if passed.any() else "none"
        )
    return cells


def fitted_to(hits: Sequence[Sequence[Hit]], labels: Sequence[Sequence[bool]], aim: float) -> Threshold | None:
    """None where no threshold reaches the precision aimed at."""
    try:
        return fit_threshold(hits, labels, precision=aim)
    except InvalidInputError:
        return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["covid_qa", "policy_qa"], metavar="NAME")
    parser.add_argument("--data", type=Path, default=os.environ.get("RAGKIT_DATA"), help="folder of collections")
    parser.add_argument("--questions", type=int, default=500, help="at most so many questions of a collection, by lot")
    parser.add_argument("--hits", type=int, default=10, help="judged hits of a question")
    parser.add_argument("--dtype", default="float32", help="bfloat16 where the processor has it")
    given = parser.parse_args()
    if given.data is None:
        parser.error("give --data, or set RAGKIT_DATA to a folder of collections")
    embedder, compressor = TransformerEmbedder(dtype=given.dtype), TokenCompressor()
    table: list[list[str]] = []
    for name in given.names:
        with indexed(load_collection(Path(given.data) / name), embedder, most=given.questions, compressor=compressor) as setting:
            for kind, search in {"hybrid": {}, "reranked": {"rerank": CompressedReranker(compressor)}}.items():
                table.append([name, kind, *judge(setting, setting.ask(given.hits, **search))])
    header = [
        "collection",
        "hits",
        "questions held out",
        "off, points",
        "first hits: said, were",
        "ROC area",
        *(f"aim {100 * aim:.0f} %" for aim in AIMS),
    ]
    print(markdown(header, table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
