"""Quality of reranking with compressed passages: the first stage, untrained, trained, a 512-byte code, and MaxSim of all tokens.

    python benchmarks/rerank_quality.py --data COLLECTIONS [NAME ...] [--questions N] [--candidates N] [--json FILE]

COLLECTIONS is a folder of collections (default: the environment variable RAGKIT_DATA), none of which the parameters were trained on.
The first stage is an index with its default fusion; every row reorders its same best candidates. Figures are nDCG@10 in
points, differences to the first stage with 95 % intervals of a paired bootstrap over questions. Span collections are
cut to passages of 200 tokens, where a passage answers that shares half of a span or of itself with it. Exit status 1
when the trained code loses more than half a point on a collection, or gains nothing on average.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ragkit import Hit, Index
from ragkit.chunk import RecursiveChunker
from ragkit.embed import TransformerEmbedder
from ragkit.evaluate import Collection, Query, load_collection
from ragkit.evaluate.collections import SCOPE
from ragkit.evaluate.metrics import compare
from ragkit.evaluate.report import markdown
from ragkit.rerank.compressor import TokenCompressor
from ragkit.rerank.passages import Passages, compress, passages
from ragkit.rerank.placing import place
from ragkit.rerank.reranker import CompressedReranker
from ragkit.rerank.states import normalise_layers, unit
from ragkit.seams import TokenStates
from ragkit.vec.maxsim import sketches

COLLECTIONS = ["chunking_eval", "covid_qa", "contextual_code", "nq_open", "cranfield", "policy_qa"]
_DISCOUNT = 1 / np.log2(np.arange(2, 12))
_SPAN_TOKENS = 200
Gold = Mapping[Any, int]


def judged(collection: Collection, index: Index, queries: Sequence[Query], by_span: bool) -> dict[str, Gold]:
    """The relevance of what a hit stands for: of its document, or of its place where the collection has spans."""
    if not by_span:
        grades = collection.judgements(collection.unit)
        return {one.id: {target: grade for target, grade in grades[one.id].items() if grade > 0} for one in queries}
    chunker = RecursiveChunker(max_tokens=_SPAN_TOKENS).bind(index.embedder.tokenizer)
    places = {one.id: [(chunk.start, chunk.end) for chunk in chunker(one)] for one in collection.documents}
    found: dict[str, Gold] = {}
    for query in queries:
        gold: dict[Any, int] = {}
        for doc_id, start, end in collection.spans[query.id]:
            for first, last in places[doc_id]:
                shared = min(last, end) - max(first, start)
                if shared > 0 and 2 * shared >= min(end - start, last - first):
                    gold[doc_id, first, last] = 1
        found[query.id] = gold
    return found


def ndcg(hits: Sequence[Hit], gold: Gold, by_span: bool) -> float:
    """nDCG@10 of what the hits stand for, each at its best place."""
    names = dict.fromkeys((hit.chunk.doc_id, hit.chunk.start, hit.chunk.end) if by_span else hit.chunk.doc_id for hit in hits)
    gains = np.array([gold.get(name, 0) for name in list(names)[:10]], np.float64)
    ideal = np.array(sorted(gold.values(), reverse=True)[:10], np.float64)
    return float((gains * _DISCOUNT[: len(gains)]).sum() / (ideal * _DISCOUNT[: len(ideal)]).sum()) if len(ideal) else 0.0


class Uncompressed:
    """MaxSim of every token as numbers: the last layer gated by rarity, 1.5 kB a token, or the projection of trained parameters."""

    def __init__(self, compressor: TokenCompressor, *, projected: bool) -> None:
        self._compressor, self._projected, self._kept = compressor, projected, {}

    def rows(self, name: str, read: Sequence[TokenStates]) -> None:
        self._kept[name] = np.concatenate([self._tokens(one) for one in read]).astype(np.float16)

    def scores(self, asked: TokenStates, names: Sequence[str]) -> dict[str, float]:
        query = self._compressor.query(asked)
        rows = query.vectors if self._projected else self._tokens(asked)
        gates = query.gates / query.gates.sum()
        best = [(rows @ self._kept[name].T.astype(np.float32)).max(axis=1, initial=-1.0) @ gates for name in names]
        return dict(zip(names, map(float, best), strict=True))

    def _tokens(self, states: TokenStates) -> np.ndarray:
        normal = normalise_layers(states.states, 2)
        return unit(normal @ self._compressor.parameters.documents if self._projected else normal[:, : normal.shape[1] // 2])


@dataclass(frozen=True)
class Setting:
    """A collection in an index, with those of its questions that are judged, and what is relevant to each."""

    index: Index
    queries: Sequence[Query]
    gold: Mapping[str, Gold]
    by_span: bool

    def ask(self, depth: int, **search: Any) -> dict[str, list[Hit]]:
        """The best ``depth`` hits of every question by its id."""
        hits: dict[str, list[Hit]] = {}
        for scope in dict.fromkeys(one.doc_id for one in self.queries):
            some = [one for one in self.queries if one.doc_id == scope]
            where = None if scope is None else {SCOPE: scope}
            found = self.index.search_many([one.text for one in some], k=depth, fetch_k=max(depth, 100), where=where, **search)
            hits |= {one.id: answer for one, answer in zip(some, found, strict=True)}
        return hits

    def scores(self, hits: Mapping[str, Sequence[Hit]]) -> dict[str, float]:
        """nDCG@10 by question."""
        return {name: ndcg(found, self.gold[name], self.by_span) for name, found in hits.items()}


@contextmanager
def indexed(
    collection: Collection, embedder: TransformerEmbedder, *, most: int, compressor: TokenCompressor | None = None
) -> Iterator[Setting]:
    """The collection in an index for a while; of more than ``most`` judged questions so many by lot."""
    by_span = bool(collection.spans) and not collection.passage_qrels
    documents, _ = collection.units("document" if by_span else collection.unit)
    grades = collection.judgements(collection.unit)
    queries = [
        one
        for one in collection.queries
        if (one.id in collection.spans if by_span else any(v > 0 for v in grades.get(one.id, {}).values()))
    ]
    if len(queries) > most:
        queries = [queries[at] for at in np.sort(np.random.default_rng(0).permutation(len(queries))[:most])]
    chunker = RecursiveChunker(max_tokens=_SPAN_TOKENS if by_span else 256)
    with (
        TemporaryDirectory(prefix="ragkit-rerank-") as folder,
        Index(Path(folder) / "db", chunker=chunker, embedder=embedder, compressor=compressor) as index,
    ):
        index.add(documents)
        index.optimize()
        yield Setting(index, queries, judged(collection, index, queries, by_span), by_span)


def measure(collection: Collection, embedder: TransformerEmbedder, most: int, depth: int) -> dict[str, dict[str, float]]:
    """nDCG@10 by question for each row of the table."""
    trained, untrained = TokenCompressor(), TokenCompressor("untrained")
    rerankers = {
        "untrained": CompressedReranker(untrained),
        "trained": CompressedReranker(trained),
        "512 bytes": CompressedReranker(trained, bits=64),
    }
    with indexed(collection, embedder, most=most) as setting:
        queries, gold, by_span, hits = setting.queries, setting.gold, setting.by_span, setting.ask(depth)
    texts = {hit.chunk.id: hit.chunk.text for found in hits.values() for hit in found}
    codes: dict[str, Passages] = {}
    full = {
        "uncompressed": ("untrained", Uncompressed(untrained, projected=False)),
        "trained, uncompressed": ("trained", Uncompressed(trained, projected=True)),
    }
    names = list(texts)
    made: dict[str, list[Any]] = {"trained": [], "untrained": []}
    for first in range(0, len(names), 128):
        block = names[first : first + 128]
        for name, read in zip(block, embedder.read_texts([texts[name] for name in block], layers=trained.layers), strict=True):
            for _, one in full.values():
                one.rows(name, read)
            for kind, compressor in (("trained", trained), ("untrained", untrained)):
                made[kind].append((name, compress(compressor, read)))
    codes = {kind: passages(TokenCompressor(kind).card, found) for kind, found in made.items()}
    rows: dict[str, dict[str, float]] = {name: {} for name in ("first stage", *rerankers, *full)}
    for query in queries:
        found = hits[query.id]
        (asked,) = embedder.read_queries([query.text], layers=trained.layers)
        rows["first stage"][query.id] = ndcg(found, gold[query.id], by_span)
        for name, reranker in rerankers.items():
            held = codes["untrained" if name == "untrained" else "trained"]
            ordered = reranker.rank(reranker.compressor.query(asked), found, held)
            rows[name][query.id] = ndcg(ordered, gold[query.id], by_span)
        ids = sorted({hit.chunk.id for hit in found})
        for name, (kind, one) in full.items():
            packed, counts, owners = codes[kind].only(ids)
            likes = sketches(packed, counts, owners=owners)
            ordered = place(found, one.scores(asked, ids), rerankers["trained"].weights, sketches=likes)
            rows[name][query.id] = ndcg(ordered, gold[query.id], by_span)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=COLLECTIONS, metavar="NAME")
    parser.add_argument("--data", type=Path, default=os.environ.get("RAGKIT_DATA"), help="folder of collections")
    parser.add_argument("--questions", type=int, default=500, help="at most so many questions of a collection, by lot")
    parser.add_argument("--candidates", type=int, default=100, help="hits of the first stage that are reranked")
    parser.add_argument("--dtype", default="float32", help="bfloat16 where the processor has it")
    parser.add_argument("--json", type=Path, help="write all figures here, as JSON")
    given = parser.parse_args()
    if given.data is None:
        parser.error("give --data, or set RAGKIT_DATA to a folder of collections")
    embedder = TransformerEmbedder(dtype=given.dtype)
    table: list[list[str]] = []
    figures: list[dict[str, Any]] = []
    gained: dict[str, list[float]] = {}
    for name in given.names:
        begun = time.perf_counter()
        rows = measure(load_collection(Path(given.data) / name), embedder, given.questions, given.candidates)
        first = rows["first stage"]
        cells, entry = [], {"collection": name, "questions": len(first), "first stage": float(np.mean(list(first.values())))}
        for row, values in rows.items():
            if row == "first stage":
                continue
            (mean, low, high, _), _ = compare(values, first)
            gained.setdefault(row, []).append(mean)
            cells.append(f"{100 * mean:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})")
            entry[row] = {"gain": mean, "low": low, "high": high}
        table.append([name, str(len(first)), f"{100 * entry['first stage']:.1f}", *cells])
        figures.append(entry)
        print(f"{name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
        if given.json:
            given.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    table.append(["mean", "", "", *(f"{100 * np.mean(values):+.1f}" for values in gained.values())])
    print(markdown(["collection", "questions", "first stage", *gained], table))
    return 0 if min(gained["trained"]) >= -0.005 and np.mean(gained["trained"]) > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
