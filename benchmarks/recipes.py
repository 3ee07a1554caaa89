"""Default recipes on labelled collections: landmarks and half-late chunks against plain chunks of the same size.

    python benchmarks/recipes.py [NAME ...] [--data COLLECTIONS] [--size 128] [--questions 400] [--cache FOLDER] [--json FILE]

COLLECTIONS is a folder of collections (default: the environment variable RAGKIT_DATA). Hybrid search with the default fusion. Landmarks are
single sentences, returned as runs of at most ``--size`` tokens; every figure is at equal returned tokens or ranks judged passages. Each
difference from plain chunks has a 95 % interval (questions resampled). "needy" are the questions that name a word of their document's
title which their answer's plain chunks lack: only context can connect them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ragkit.chunk import Late, RecursiveChunker, SentenceChunker, Situate
from ragkit.embed import TransformerEmbedder
from ragkit.evaluate import Collection, Recipe, Study, estimate, limited, load_collection, plan_study
from ragkit.evaluate.report import markdown
from ragkit.evaluate.study_measure import Gold

#: What is measured of each, and how many documents: those of the tables in docs/studies.md.
COLLECTIONS = {"contextual_code": None, "squad_articles": 12, "covid_qa": 15, "chunking_eval": 4, "policy_qa": None}
BUDGETS = (64, 128, 256, 512, 1024)


def recipes(size: int) -> list[Recipe]:
    sentences = SentenceChunker(size, packing="one")
    return [
        Recipe(name="plain", chunker=RecursiveChunker(size)),
        Recipe(name="half-late", chunker=RecursiveChunker(size) | Late(blend=0.5), baseline="plain"),
        Recipe(name="titles", chunker=RecursiveChunker(size + 64) | Situate(before=0, use="both"), baseline="plain"),
        Recipe(name="landmarks", chunker=sentences, runs=size, baseline="plain"),
        Recipe(
            name="landmarks, neighbours",
            chunker=SentenceChunker(size + 64, packing="one") | Situate(before=1, after=1),
            runs=size,
            baseline="plain",
        ),
        Recipe(name="landmarks, half-late", chunker=sentences | Late(blend=0.5), runs=size, baseline="plain"),
    ]


def needy(study: Study) -> list[bool]:
    """For each question whether it names a word of the title that no plain chunk of its answer has."""
    gold: Gold = study.gold
    analyzer, plain = study.settings.analyzer, next(one for one in study.recipes if one.name == "plain")
    answering = {span[0] for spans in gold.spans.values() for span in spans}
    documents = {one.id: one for one in study.collection.documents if one.id in answering}
    titles = {key: set(analyzer.tokens(str(one.metadata.get("title") or ""))) for key, one in documents.items()}
    chunks = {
        key: [(piece.start, piece.end, set(analyzer.tokens(piece.text))) for piece in plain.chunker(one)]
        for key, one in documents.items()
    }

    def lacking(words: set[str], span: tuple[str, int, int]) -> bool:
        doc_id, start, end = span
        held = [own for first, last, own in chunks[doc_id] if min(last, end) - max(first, start) > 0]
        return all(words & titles[doc_id] - own for own in held)

    return [all(lacking(set(analyzer.query_tokens(query.text)), span) for span in gold.spans[query.id]) for query in gold.queries]


def measured(collection: Collection, study: Study, values: dict[str, dict[str, Sequence[float]]]) -> dict[str, Any]:
    """Means, and differences from plain, for all questions and for the needy."""
    wanting = needy(study)
    found: dict[str, Any] = {"collection": collection.name, "questions": len(wanting), "needy": sum(wanting), "figures": []}
    for name, metrics in values.items():
        for metric, some in metrics.items():
            if metric.startswith(("precision", "IoU")):
                continue
            for who, keep in (("all", [True] * len(wanting)), ("needy", wanting)):
                pairs = [(mine, plain) for mine, plain, kept in zip(some, values["plain"][metric], keep, strict=True) if kept]
                if pairs:
                    gain = estimate([mine - plain for mine, plain in pairs])
                    mean = sum(mine for mine, _ in pairs) / len(pairs)
                    found["figures"].append([name, metric, who, mean, gain.mean, gain.low, gain.high])
    return found


def cell(row: Sequence[Any]) -> str:
    *_, mean, gain, low, high = row
    return f"{mean:.3f} ({gain:+.3f} [{low:+.3f}, {high:+.3f}])" if row[0] != "plain" else f"{mean:.3f}"


def main() -> int:
    """Run what is asked for and print a table per collection, then the means over them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(COLLECTIONS), metavar="NAME")
    parser.add_argument("--data", type=Path, default=os.environ.get("RAGKIT_DATA"), help="folder of collections")
    parser.add_argument("--size", type=int, default=128, help="tokens of a chunk, and of a run")
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("--documents", type=int)
    parser.add_argument("--recipes", nargs="+", help="some of the recipes by name; plain is always among them")
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--cache", type=Path, help="a folder that keeps vectors and finished recipes")
    parser.add_argument("--json", type=Path, help="write all figures here, as JSON")
    given = parser.parse_args()
    if given.data is None:
        parser.error("give --data, or set RAGKIT_DATA to a folder of collections")
    embedder = TransformerEmbedder(dtype=given.dtype, window=given.window)
    wanted = [one for one in recipes(given.size) if given.recipes is None or one.name in ("plain", *given.recipes)]
    tables: list[dict[str, Any]] = []
    for name in given.names:
        begun = time.perf_counter()
        whole = load_collection(Path(given.data) / name)
        some = limited(whole, documents=given.documents or COLLECTIONS.get(name), questions=given.questions)
        study = plan_study(some, recipes=wanted, embedder=embedder, modes=["hybrid"], budgets=BUDGETS, cache=given.cache)
        values = {one.name: dict(one.values["hybrid"]) for one in study.run(progress=True)}
        table = measured(some, study, values)
        tables.append(table)
        print(f"\n{name}: {table['questions']} questions, {table['needy']} of them needy; {time.perf_counter() - begun:.0f} s")
        for who in ("all", "needy"):
            rows = [row for row in table["figures"] if row[2] == who]
            if rows:
                metrics = list(dict.fromkeys(row[1] for row in rows))
                lines = [[one.name, *(cell(row) for row in rows if row[0] == one.name)] for one in wanted]
                print(markdown([who, *metrics], lines), flush=True)
        if given.json:
            given.json.write_text(json.dumps(tables, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
