"""One document of millions of tokens through an index: processor time and memory by length, for plain, late and situated chunks.

    python benchmarks/long_document.py [--tokens 500000 1000000 2000000] [--methods plain late situate] [--json]

The model is random and tiny (one layer, 32 dimensions, the default model's tokenizer), so what is measured is everything else: cutting,
planning passes, alignment, pooling, words and the store. Each length runs in a process of its own, so that its peak memory is its own.
Exit status 1 when a method's time or memory for each token grows by more than half from the shortest length to the longest.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ragkit import Document, Index
from ragkit.chunk import Late, Pipeline, RecursiveChunker, Situate
from ragkit.embed import TransformerEmbedder
from ragkit.weights import DEFAULT_MODEL, find_model

METHODS = ("plain", "late", "situate")
GROWTH = 1.5
#: Some 50 tokens; the number makes every paragraph another text, so that no vector is used twice.
PARAGRAPH = (
    "Report {number} of the harbour office tells how many ships came in that week, what they carried, and who was paid for unloading them. "
    "It rained. The tide was low until noon, and two boats had to wait outside the mole for {number} minutes.\n\n"
)


def tiny_model(folder: Path) -> Path:
    """The default model's tokenizer and settings with random weights of one small layer."""
    from transformers import AutoConfig, AutoModel

    source = find_model(DEFAULT_MODEL)
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors", "*.bin", "onnx", "openvino"))
    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    AutoModel.from_config(AutoConfig.from_pretrained(str(source), **small)).save_pretrained(folder)
    pooling = folder / "1_Pooling" / "config.json"
    settings = json.loads(pooling.read_text(encoding="utf-8"))
    pooling.write_text(json.dumps({key: 32 if key.endswith("dimension") else value for key, value in settings.items()}))
    return folder


def chunker(method: str) -> RecursiveChunker | Pipeline:
    if method == "late":
        return RecursiveChunker(128) | Late(overlap=0)
    return RecursiveChunker(192) | Situate(before=1, blend=1.0) if method == "situate" else RecursiveChunker(128)


def one(model: Path, method: str, tokens: int) -> dict[str, Any]:
    """Index one document of about so many tokens, in this process."""
    text = "".join(PARAGRAPH.format(number=number) for number in range(tokens // 55))
    embedder = TransformerEmbedder(str(model))
    embedder.embed_texts(["The model is loaded before anything is counted."])
    with tempfile.TemporaryDirectory() as folder, Index(Path(folder) / "db", chunker=chunker(method), embedder=embedder) as index:
        before, begun = _peak(), time.process_time()
        report = index.add(Document(text, id="harbour", metadata={"title": "Harbour reports"}))
        seconds = time.process_time() - begun
        found = index.search("how long did boats wait outside the mole?", k=1)[0].chunk
        assert text[found.start : found.end] == found.text
        return {
            "method": method,
            "tokens": sum(chunk.n_tokens for chunk in index.chunks_of("harbour")),
            "characters": len(text),
            "chunks": report.chunks,
            "seconds": seconds,
            "megabytes": _peak() - before,
        }


def _peak() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, nargs="+", default=[500_000, 1_000_000, 2_000_000])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows, kept = [], True
    with tempfile.TemporaryDirectory() as folder:
        model = tiny_model(Path(folder) / "tiny")
        for method in given.methods:
            found = []
            for tokens in given.tokens:
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    found.append(pool.apply(one, (model, method, tokens)))
                row = found[-1]
                if not given.json:
                    print(
                        f"{method:8} {row['tokens']:>10,} tokens {row['chunks']:>7,} chunks {row['seconds']:7.1f} s {row['megabytes']:7.0f} MB; "
                        f"{1e6 * row['seconds'] / row['tokens']:5.1f} us and {1e6 * row['megabytes'] / row['tokens']:5.0f} bytes a token",
                        flush=True,
                    )
            for name in ("seconds", "megabytes"):
                kept = kept and found[-1][name] / found[-1]["tokens"] <= GROWTH * found[0][name] / found[0]["tokens"]
            rows += found
    if given.json:
        print(json.dumps(rows))
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
