"""Codecs: how much of a search's quality each keeps, and what scoring against codes costs.

    python benchmarks/codecs.py --data COLLECTIONS [--vectors FOLDER] [--seeds 5] [--json]
    python benchmarks/codecs.py --speed [--rows 50000] [--dim 384] [--json]

The first embeds collections (kept in FOLDER for the next run), encodes the chunks with every codec and asks the judged questions: nDCG@10 against
float32 with paired bootstrap intervals, and the share of the same top 10. Rotated codecs are averaged over several random rotations,
question by question, because one rotation alone is partly luck. Exit status 1 when a promise of docs/codecs.md is broken.

The second times scoring against codes beside decoding them first and beside a float32 matrix product, interleaved, in one process.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ragkit.evaluate import compare, load_collection, rank_metrics
from ragkit.evaluate.codecs import parse_codec
from ragkit.vec.codecs import Pipeline, Rescored, Rotation, named

COLLECTIONS = ("contextual_code", "squad_articles", "cranfield")
CODECS = (
    "float16", "float8-e4m3", "float8-e4m3-scaled", "float8-e5m2", "int8", "int4", "rotated+int4", "rotated+int2", "rotated+trellis2",
    "centred+rotated+trellis2", "svdall+banded+graded", "rotated+residual3", "rotated+residual2", "rotated+binary-unbiased", "binary", "svdhalf+int8", "pcahalf+int8", "svdquarter+int8",
    "firsthalf+int8", "binary -> int8 @ 4", "binary -> int8 @ 10", "binary -> rotated+int4 @ 10",
)  # fmt: skip
#: Codec: most loss of mean nDCG@10 over the collections in percent, least mean share of the same top 10.
PROMISES = {
    "int8": (0.2, 0.995),
    "rotated+int4": (0.3, 0.95),
    "centred+rotated+trellis2": (0.6, 0.88),
    "svdall+banded+graded": (0.6, 0.90),
    "binary -> int8 @ 10": (0.2, 0.99),
}
DEPTH = 100


def embedded(folder: Path, kept: Path | None) -> dict[str, np.ndarray]:
    """Vectors of a collection's chunks and judged questions."""
    file = None if kept is None else kept / f"{folder.name}.npz"
    if file is not None and file.is_file():
        return dict(np.load(file))
    from ragkit.chunk import RecursiveChunker
    from ragkit.embed import TransformerEmbedder

    embedder = TransformerEmbedder()
    collection = load_collection(folder)
    documents, _ = collection.units(collection.unit)
    chunker = RecursiveChunker(256).bind(embedder.tokenizer, window=embedder.card.window)
    items = [(document, chunker(document)) for document in documents if document.text.strip()]
    judged = collection.judgements(collection.unit)
    asked = [query for query in collection.queries if any(grade > 0 for grade in judged.get(query.id, {}).values())]
    made = {
        "V": embedder.embed_batch(items),
        "Q": embedder.embed_queries([query.text for query in asked]),
        "owners": np.array([document.id for document, chunks in items for _ in chunks]),
        "qids": np.array([query.id for query in asked]),
    }
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, **made)
    return made


def turned(setting: Pipeline | Rescored, seed: int) -> Pipeline | Rescored:
    """The codec with other random rotations."""
    if isinstance(setting, Rescored):
        return Rescored(turned(setting.coarse, seed), turned(setting.fine, seed), setting.oversample)
    steps = tuple(Rotation(seed, banded=step.banded) if isinstance(step, Rotation) else step for step in setting.steps)
    return Pipeline(steps, setting.quantizer)


def ranked(
    setting: Pipeline | Rescored, vectors: np.ndarray, queries: np.ndarray, *, share: float = 1.0
) -> tuple[np.ndarray, int, int]:
    """Rows for each query, and bytes in memory and on disk; the codec is fitted on a ``share`` of the vectors."""
    codec = setting.fit(vectors[np.random.default_rng(0).permutation(len(vectors))[: int(len(vectors) * share)]])
    if isinstance(setting, Rescored):
        coarse, fine = codec.encode(vectors)
        rows = codec.with_oversample(1).search(queries, coarse, fine, k=int(10 * setting.oversample)).rows
        return rows, codec.hot_bytes, codec.cold_bytes
    return codec.search(queries, codec.encode(vectors), k=DEPTH).rows, codec.size_bytes, 0


def quality(options: argparse.Namespace) -> int:
    """The table of quality; 1 when a promise is broken."""
    table: dict[str, dict[str, object]] = {}
    for name in options.collections.split(","):
        data = embedded(options.data / name, options.vectors)
        collection = load_collection(options.data / name)
        judged = collection.judgements(collection.unit)
        qrels = {query: dict(judged[query]) for query in data["qids"].tolist()}

        def values(
            rows: np.ndarray, data: dict[str, np.ndarray] = data, qrels: dict[str, dict[str, int]] = qrels
        ) -> dict[str, float]:
            run = {query: list(dict.fromkeys(data["owners"][row].tolist())) for query, row in zip(qrels, rows, strict=True)}
            return rank_metrics(qrels, run)["nDCG@10"]

        exact, _, _ = ranked(named("float32"), data["V"], data["Q"])
        base = values(exact)
        mean = statistics.mean(base.values())
        for codec in options.codecs.split(",") if options.codecs else CODECS:
            setting = parse_codec(codec, data["V"].shape[1])
            seeds = range(options.seeds) if re.search("rotated|banded", codec) else range(1)
            found, shared = [], []
            for seed in seeds:
                rows, hot, cold = ranked(turned(setting, seed), data["V"], data["Q"], share=options.fit_share)
                found.append(values(rows))
                shared += [len(set(a) & set(b)) / 10 for a, b in zip(rows[:, :10].tolist(), exact[:, :10].tolist(), strict=True)]
            averaged = {query: statistics.mean(one[query] for one in found) for query in base}
            difference, verdict = compare(averaged, base)
            spread = statistics.pstdev(100 * (statistics.mean(one.values()) / mean - 1) for one in found)
            row = table.setdefault(codec, {"hot": hot, "cold": cold, "times": 4 * data["V"].shape[1] / hot, "sets": {}})
            row["sets"][name] = {
                "ndcg": mean,
                "points": [100 * one for one in difference[:3]],
                "percent": 100 * difference.mean / mean,
                "spread": spread,
                "overlap": statistics.mean(shared),
                "verdict": verdict,
            }
            print(f"{name:16} {codec:30} {row['sets'][name]}", file=sys.stderr)
    broken = []
    for codec, row in table.items():
        row["percent"] = statistics.mean(one["percent"] for one in row["sets"].values())
        row["overlap"] = statistics.mean(one["overlap"] for one in row["sets"].values())
        most, least = PROMISES.get(codec, (100.0, 0.0))
        if row["percent"] < -most or row["overlap"] < least:
            broken.append(codec)
    if options.json:
        print(json.dumps({"codecs": table, "broken": broken}))
    else:
        for codec, row in table.items():
            cells = " | ".join(
                f"{one['percent']:+.2f} ({one['points'][0]:+.2f} [{one['points'][1]:+.2f}, {one['points'][2]:+.2f}])"
                for one in row["sets"].values()
            )
            size = f"{row['hot']}" + (f" + {row['cold']}" if row["cold"] else "")
            print(f"| {codec} | {size} | {row['times']:.1f} | {cells} | {row['percent']:+.2f} | {100 * row['overlap']:.1f} |")
        print(f"promises broken: {', '.join(broken) or 'none'}")
    return 1 if broken else 0


def speed(options: argparse.Namespace) -> int:
    """Processor times of scoring, as multiples of a float32 product over the vectors themselves."""
    random = np.random.default_rng(0)
    vectors = random.standard_normal((options.rows, options.dim), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    table = []
    for count in (1, 32):
        queries = vectors[:count] + 0.1 * random.standard_normal((count, options.dim), dtype=np.float32)
        ways: dict[str, Callable[[], object]] = {"float32 product": lambda queries=queries: queries @ vectors.T}
        for name in (
            "float16",
            "float8-e4m3",
            "int8",
            "rotated+int4",
            "rotated+int2",
            "rotated+trellis2",
            "rotated+binary-unbiased",
            "binary",
            "rotated+residual2",
        ):
            codec = named(name).fit(vectors[:2000])
            codes = codec.encode(vectors)
            ways[name] = lambda codec=codec, codes=codes, queries=queries: codec.score(queries, codes)
            ways[f"{name}, decoded first"] = lambda codec=codec, codes=codes, queries=queries: queries @ codec.decode(codes).T
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                begun = time.process_time()
                way()
                times[name].append(time.process_time() - begun)
        plain = statistics.median(times["float32 product"])
        for name, found in times.items():
            if name.endswith("decoded first"):
                continue
            decoded = statistics.median(times.get(f"{name}, decoded first", [plain]))
            one = statistics.median(found)
            table.append(
                {"queries": count, "codec": name, "ms": 1e3 * one, "times_product": one / plain, "times_decoded": one / decoded}
            )
    if options.json:
        print(json.dumps({"rows": options.rows, "dim": options.dim, "table": table}))
    else:
        for row in table:
            print(
                f"| {row['queries']} | {row['codec']} | {row['ms']:.1f} ms | {row['times_product']:.2f} | {row['times_decoded']:.2f} |"
            )
    return 0


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder with one folder per collection")
    parser.add_argument("--collections", default=",".join(COLLECTIONS))
    parser.add_argument("--codecs", default="", help="some codecs, separated by commas")
    parser.add_argument("--vectors", type=Path, help="a folder that keeps the vectors")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--fit-share", type=float, default=1.0, help="the share of the chunks that codecs are fitted on")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.speed and options.data is None:
        parser.error("--data names a folder of collections; or ask for --speed")
    return speed(options) if options.speed else quality(options)


if __name__ == "__main__":
    sys.exit(main())
