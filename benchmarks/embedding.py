"""Encoding speed beside sentence-transformers, in one process and interleaved rounds.

    python benchmarks/embedding.py [FOLDER] [--texts 96] [--rounds 5] [--threads N] [--model NAME] [--json]

Texts of 20 to 254 tokens come from the Markdown and text files of FOLDER (or of $RAGKIT_BENCH_TEXTS), else from the
descriptions of the installed packages. Each round asks every engine in turn, so that a busy machine slows all of
them alike; the ratios are medians over rounds. The floor is the time of the model's matrix products alone.
Exit status 1 when a vector differs from sentence-transformers' (cosine below 0.99999 in float32).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

from ragkit.embed import TransformerEmbedder
from ragkit.errors import CapabilityError
from ragkit.weights import DEFAULT_MODEL, find_model

SHORTEST, LONGEST = 20, 254


def sources(folder: str | None) -> Iterator[str]:
    """Whole texts, in a stable order."""
    if folder:
        for path in sorted(Path(folder).rglob("*")):
            if path.suffix in {".md", ".txt", ".rst"}:
                yield path.read_text(encoding="utf-8", errors="replace")
        return
    for distribution in sorted(metadata.distributions(), key=lambda found: str(found.name)):
        yield str(distribution.metadata.get_payload() or "")


def mixed_texts(folder: str | None, n: int, embedder: TransformerEmbedder) -> list[str]:
    """``n`` texts whose lengths are spread evenly on a logarithmic scale from 20 to 254 tokens."""
    draw = random.Random(7)
    tokenizer = embedder.tokenizer
    found: list[str] = []
    whole = [text for text in sources(folder) if len(text) >= 4_000]
    if not whole:
        raise SystemExit("No text of 4,000 characters or more was found; give a folder of .md, .txt or .rst files.")
    for text in cycle(whole):
        begin = draw.randrange(len(text) - 2_000)
        words = text[begin : begin + 2_000].split()
        wanted = round(math.exp(draw.uniform(math.log(SHORTEST), math.log(LONGEST + 1))))
        size = 0
        while size < len(words) and tokenizer.count_batch([" ".join(words[: size + 1])])[0] + tokenizer.n_special <= wanted:
            size += 1
        if size > 5:
            found.append(" ".join(words[:size]))
        if len(found) == n:
            break
    draw.shuffle(found)
    return found


def plain_transformers(folder: Path, limit: int) -> Callable[[list[str]], np.ndarray]:
    """What a short script does: batches of 32 in file order, padded to the longest, mean pooling."""
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()

    @torch.inference_mode()
    def encode(texts: list[str]) -> np.ndarray:
        parts = []
        for at in range(0, len(texts), 32):
            batch = tokenizer(texts[at : at + 32], padding=True, truncation=True, max_length=limit, return_tensors="pt")
            mask = batch["attention_mask"][..., None].float()
            means = (model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1)
            parts.append(torch.nn.functional.normalize(means, dim=-1))
        return torch.cat(parts).numpy()

    return encode


def matrix_floor(folder: Path, n_tokens: int) -> Callable[[], None]:
    """The model's linear layers alone, on blocks of 1,024 rows."""
    config = json.loads((folder / "config.json").read_text())
    width, inner, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    shapes = [(width, width)] * 4 + [(width, inner), (inner, width)]
    weights = [torch.randn(shape) for shape in shapes]
    inputs = {size: torch.randn(1024, size) for size in {width, inner}}
    tail = n_tokens % 1024

    @torch.inference_mode()
    def multiply() -> None:
        for rows in [1024] * (n_tokens // 1024) + ([tail] if tail else []):
            for _ in range(layers):
                for weight in weights:
                    torch.mm(inputs[weight.shape[0]][:rows], weight)

    return multiply


def peak_memory() -> float:
    """MiB at the highest point since the last reset (Linux), else of the whole run."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def reset_peak() -> None:
    """Ask Linux to forget the highest point."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds on the wall, or of processor time on one thread, which other programs disturb less."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    begin = clock()
    answer = call()
    return clock() - begin, answer


def run(options: argparse.Namespace) -> dict[str, Any]:
    logging.disable_progress_bar()
    if options.threads:
        torch.set_num_threads(options.threads)
    folder = find_model(options.model)
    ours = TransformerEmbedder(options.model, device="cpu")
    texts = mixed_texts(options.folder, options.texts, ours)
    lengths = [count + ours.tokenizer.n_special for count in ours.tokenizer.count_batch(texts)]
    peer = SentenceTransformer(str(folder), device="cpu")
    engines: dict[str, Callable[[list[str]], Any]] = {
        "sentence-transformers": lambda batch: peer.encode(batch, show_progress_bar=False, normalize_embeddings=True),
        "transformers, 32 in order": plain_transformers(folder, ours.card.window),
        "ragkit float32": ours.embed_texts,
    }
    half = TransformerEmbedder(options.model, dtype="bfloat16", device="cpu")
    unsupported = {}
    try:
        half.embed_texts(["warm"])
        engines["ragkit bfloat16"] = half.embed_texts
    except CapabilityError as error:
        unsupported["ragkit bfloat16"] = str(error)
    floor = matrix_floor(folder, sum(lengths))

    vectors = {name: np.asarray(encode(texts[:32])) for name, encode in engines.items()}
    times: dict[str, list[float]] = {name: [] for name in (*engines, "matrix products")}
    peaks = dict.fromkeys(engines, 0.0)
    order = list(engines)
    for number in range(options.rounds):
        for name in order[number % len(order) :] + order[: number % len(order)]:
            reset_peak()
            seconds, vectors[name] = timed(lambda name=name: np.asarray(engines[name](texts)))
            times[name].append(seconds)
            peaks[name] = max(peaks[name], peak_memory())
        times["matrix products"].append(timed(floor)[0])

    queries = [" ".join(text.split()[:6]) for text in texts[:25]]
    single: dict[str, list[float]] = {name: [] for name in engines}
    for query in queries:
        for name, encode in engines.items():
            single[name].append(timed(lambda encode=encode, query=query: encode([query]))[0])

    truth = vectors["sentence-transformers"].astype(np.float64)
    base = times["sentence-transformers"]
    results = {}
    for name in times:
        row = {
            "ratio": statistics.median(a / b for a, b in zip(base, times[name], strict=True)),
            "tokens_per_second": sum(lengths) / statistics.median(times[name]),
        }
        if name in engines:
            cosines = (
                (truth * vectors[name]).sum(1)
                / np.linalg.norm(truth, axis=1)
                / np.linalg.norm(vectors[name].astype(np.float64), axis=1)
            )
            row |= {
                "cosine_mean": float(cosines.mean()),
                "cosine_min": float(cosines.min()),
                "query_p50_ms": 1e3 * statistics.median(single[name]),
                "peak_mib": peaks[name],
            }
        results[name] = row
    return {
        "model": options.model,
        "texts": len(texts),
        "tokens": sum(lengths),
        "longest": max(lengths),
        "rounds": options.rounds,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "engines": results,
        "unsupported": unsupported,
    }


def report(found: dict[str, Any]) -> None:
    print(
        f"{found['model']}: {found['texts']} texts, {found['tokens']} tokens (longest {found['longest']}), {found['rounds']} rounds, "
        f"{found['threads']} threads, torch {found['torch']}"
    )
    print(f"{'engine':28}{'x peer':>8}{'tok/s':>9}{'cos mean':>11}{'cos min':>11}{'query ms':>10}{'peak MiB':>10}")
    for name, row in found["engines"].items():
        line = f"{name:28}{row['ratio']:8.2f}{row['tokens_per_second']:9.0f}"
        if "cosine_mean" in row:
            line += f"{row['cosine_mean']:11.7f}{row['cosine_min']:11.7f}{row['query_p50_ms']:10.1f}{row['peak_mib']:10.0f}"
        print(line)
    for name, why in found["unsupported"].items():
        print(f"{name}: not supported here. {why}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folder", nargs="?", default=os.environ.get("RAGKIT_BENCH_TEXTS"), help="folder of .md, .txt and .rst files"
    )
    parser.add_argument("--texts", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="torch threads; with 1 the times are processor time, for busy machines")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    found = run(options)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        report(found)
    return 0 if found["engines"]["ragkit float32"]["cosine_min"] >= 0.99999 else 1


if __name__ == "__main__":
    raise SystemExit(main())
