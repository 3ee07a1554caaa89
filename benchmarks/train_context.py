"""Trained context on labelled collections: train on some documents, ask the others, print what was gained.

    python benchmarks/train_context.py --data COLLECTIONS [--cache FILE] [NAME ...]

Every collection is cut into folds of documents; an adapter trained on the rest (at most ``--labels`` of its questions) is asked
the fold's questions among all chunks. The weights are thrown away. With ``--general FILE`` one adapter is measured on all
collections instead, and with ``--train FOLDER --out FILE`` that adapter is made from a collection that may be trained on. ``--untrained`` measures context alone,
for example ``--before 0 --read both``: the title, read by model and BM25.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from ragkit.chunk import RecursiveChunker, Situate
from ragkit.embed import CachedEmbedder, TransformerEmbedder, load_adapter
from ragkit.embed.adapted import mix, turn, unit
from ragkit.embed.adapter import Shares
from ragkit.evaluate import Collection, limited, load_collection
from ragkit.lexical import Analyzer
from ragkit.retrieve import DEFAULT_FUSION
from ragkit.seams import Embedder
from ragkit.train import ContextReport, Label, TuneSettings, train_context, tune_context
from ragkit.train.corpus import read_corpus, read_questions
from ragkit.train.judge import Arm, by_documents, ndcg, plain_arm

NAMES = ("contextual_code", "squad_articles", "covid_qa", "chunking_eval", "policy_qa")


def labels_of(collection: Collection) -> list[Label]:
    """Spans where the collection has them, else the judged passages."""
    places = {one.id: (one.doc_id, one.start, one.end) for one in collection.passages}
    found = []
    for query in collection.queries:
        judged = collection.passage_qrels.get(query.id, {})
        spans = tuple(collection.spans.get(query.id, ())) or tuple(places[one] for one, grade in judged.items() if grade > 0)
        if spans:
            found.append(Label(question=query.text, spans=spans, scope=query.doc_id))
    return found


def some_of(labels: list[Label], most: int, seed: int) -> list[Label]:
    """At most ``most`` labels by lot, in their order."""
    if len(labels) <= most:
        return labels
    return [labels[place] for place in sorted(np.random.default_rng(seed).permutation(len(labels))[:most])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="keep vectors in this file")
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--labels", type=int, default=1334, help="labels in all, of which each fold trains on three quarters")
    parser.add_argument("--by-rule", action="store_true", help="train without labels, ask the collection's questions")
    parser.add_argument("--mode", default="hybrid", choices=("hybrid", "dense"))
    parser.add_argument("--dtype", default="float32", help="of the frozen model's vectors")
    parser.add_argument("--method", default="adapter", choices=("adapter", "lora", "full"), help="what is trained")
    parser.add_argument("--folds", type=int, help="4 for adapters and 2 for weights, if not told")
    parser.add_argument("--epochs", type=int, default=2, help="how often lora and full ask each question")
    parser.add_argument("--read", default="dense", choices=("dense", "both"), help="who reads the context: vectors, or BM25 too")
    parser.add_argument("--before", type=int, default=1, help="sentences before a chunk that are read along with the title")
    parser.add_argument("--documents", type=int, help="at most so many documents of each collection, by lot")
    parser.add_argument("--untrained", action="store_true", help="train nothing: half read alone, half with the context")
    parser.add_argument("--general", type=Path, help="measure this adapter instead of training")
    parser.add_argument("--train", type=Path, help="with --out: make the general adapter from this collection")
    parser.add_argument("--articles", type=int, default=60)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    base: Embedder = TransformerEmbedder(dtype=args.dtype)
    if args.cache:
        base = CachedEmbedder(base, path=args.cache)
    # The context has room beside the text: spans are those of plain chunks of the same size.
    mean = 0.1 if args.method == "adapter" else 0.0
    situate = Situate(title=True, before=args.before, max_tokens=64, document=mean, use=args.read)
    chunker = RecursiveChunker(args.max_tokens + 64) | situate
    if args.train:
        general(args, base, chunker)
        return
    print(
        "| collection | questions | mode | subset | plain | mixed | trained | gain of trained [95 %] |\n" + "| --- " * 8 + "|",
        flush=True,
    )
    results = []
    for name in args.names:
        begun = time.perf_counter()
        collection = load_collection(args.data / name)
        if args.documents:
            collection = limited(collection, documents=args.documents)
        if args.general or args.by_rule or args.untrained:
            rows = fixed(args, base, chunker, collection)
        else:
            report = train(args, base, chunker, collection)
            rows = []
            for mode in ("dense", "hybrid"):
                for subset in ("all", "needs context"):
                    try:
                        mixed, trained = (report.difference(arm, mode, subset) for arm in ("mixed", "trained"))
                    except KeyError:
                        continue
                    rows.append((trained.gain.n, mode, subset, trained.plain, mixed.plain + mixed.gain.mean, trained.gain))
            results.append(report.to_dict() | {"collection": name})
            print(f"<!-- {name}: {report.verdict} {dict(report.training)}, {report.seconds:.0f} s -->")
        for n, mode, subset, plain, mixed, gain in rows:
            interval = f"{100 * gain.mean:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
            print(f"| {name} | {n} | {mode} | {subset} | {plain:.3f} | {mixed:.3f} | {plain + gain.mean:.3f} | {interval} |")
        print(f"<!-- {time.perf_counter() - begun:.0f} s -->", flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


def train(args: argparse.Namespace, base: Embedder, chunker: object, collection: Collection) -> ContextReport:
    """What this method makes of the collection's labels, judged on its held-out documents."""
    labels = some_of(labels_of(collection), args.labels, args.seed)
    common = {"embedder": base, "chunker": chunker, "mode": args.mode, "seed": args.seed}
    if args.method == "adapter":
        return train_context(collection.documents, labels, folds=args.folds or 4, **common)
    settings = TuneSettings(method=args.method, epochs=args.epochs)
    return tune_context(collection.documents, labels, folds=args.folds or 2, settings=settings, most_seconds=None, **common)


def fixed(args: argparse.Namespace, base: Embedder, chunker: object, collection: Collection) -> list[tuple]:
    """One adapter that never saw the collection's questions, against plain."""
    if args.untrained:
        adapter, fusion = None, DEFAULT_FUSION
    elif args.by_rule:
        report = train_context(
            collection.documents, None, embedder=base, chunker=chunker, mode=args.mode, seed=args.seed, folds=args.folds or 4
        )
        print(f"<!-- {collection.name}, asked by rule: {report.verdict} {dict(report.training)} -->", flush=True)
        adapter, fusion = report.adapter, report.fusion
    else:
        adapter, fusion = load_adapter(args.general), DEFAULT_FUSION
    corpus = read_corpus(collection.documents, chunker.bind(base.tokenizer, window=base.card.window), base)
    questions = read_questions(
        corpus, some_of(labels_of(collection), args.labels if args.untrained else 10**9, args.seed), base, Analyzer()
    )
    if adapter is None:
        vectors, asked = unit(mix(corpus.read, Shares(alone=0.5, situated=0.5))), questions.vectors
    else:
        vectors, asked = turn(mix(corpus.read, adapter.shares), adapter.documents), turn(questions.vectors, adapter.queries)
    rows = []
    for mode in ("dense", "hybrid"):
        everything = np.arange(len(questions))
        plain = ndcg(corpus, questions, plain_arm(corpus, questions), rows=everything, mode=mode)
        found = ndcg(corpus, questions, Arm(vectors, asked, questions.words_in_context, fusion), rows=everything, mode=mode)
        for subset, chosen in (("all", everything), ("needs context", np.flatnonzero(questions.needy))):
            if len(chosen):
                gain = by_documents((found - plain)[chosen], questions.home[chosen])
                rows.append((len(chosen), mode, subset, float(plain[chosen].mean()), float("nan"), gain))
    return rows


def general(args: argparse.Namespace, base: Embedder, chunker: object) -> None:
    """An adapter from articles and questions that may be trained on."""
    collection = load_collection(args.train)
    rng = np.random.default_rng(args.seed)
    kept = {collection.documents[place].id for place in rng.permutation(len(collection.documents))[: args.articles]}
    documents = [document for document in collection.documents if document.id in kept]
    labels = [label for label in labels_of(collection) if label.spans[0][0] in kept]
    report = train_context(
        documents,
        some_of(labels, args.labels, args.seed),
        embedder=base,
        chunker=chunker,
        mode=args.mode,
        seed=args.seed,
        progress=True,
    )
    print(report.verdict, dict(report.training))
    report.save(args.out, force=True)


if __name__ == "__main__":
    main()
