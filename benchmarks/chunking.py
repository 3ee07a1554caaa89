"""Chunking speed beside the peers and the tokenizers' own floor, in one process.

    python benchmarks/chunking.py [--megabytes 1.1] [--rounds 5] [--json] [--plot speed.png]

Every contender cuts the same text at 128 tokens without overlap. Rounds are interleaved, so that a slow moment of the
machine hits all alike; every round has a text and contenders of its own, so that nobody's memory of earlier texts helps.
Ratios are medians over the rounds, with the lowest and the highest; absolute times are noise. Peers that are not installed
are left out and named. With ``--cpu`` the processor's time counts instead of the clock's: on a busy machine it is the steadier
measure, but threads then bring nothing.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer as Backend

from ragkit import Document
from ragkit.chunk import FixedChunker, MarkdownChunker, RecursiveChunker, SentenceChunker
from ragkit.text import HuggingFaceTokenizer, TiktokenTokenizer
from ragkit.text.threads import cores
from ragkit.weights import find_model

LIMIT = 128
PACKAGES = (
    "tiktoken", "tokenizers", "numpy", "chonkie", "semchunk", "semantic-text-splitter", "langchain-text-splitters", "llama-index-core",
)  # fmt: skip
Contender = Callable[[str], object]

#: (ours, other, at least) as ratios of speed; what the project asks of itself.
TARGETS = [
    ("ragkit fixed cl100k, one thread", "floor: tiktoken, one thread", 0.85),
    ("ragkit fixed cl100k", "floor: tiktoken, one thread", 1.0),
    ("ragkit fixed cl100k", "chonkie token cl100k", 1.8),
    ("ragkit fixed cl100k", "LangChain token cl100k (no offsets)", 1.0),
    ("ragkit fixed MiniLM", "chonkie token MiniLM", 4.0),
    ("ragkit fixed MiniLM", "LangChain token MiniLM", 5.0),
    ("ragkit sentence MiniLM", "chonkie sentence MiniLM", 5.0),
    ("ragkit sentence MiniLM", "LlamaIndex sentence MiniLM", 8.0),
    ("ragkit recursive MiniLM", "chonkie recursive MiniLM", 2.0),
    ("ragkit recursive MiniLM", "LangChain recursive MiniLM", 7.0),
    ("ragkit recursive MiniLM", "semchunk MiniLM", 5.0),
    ("ragkit recursive MiniLM", "semantic-text-splitter MiniLM", 40.0),
    ("ragkit markdown MiniLM", "ragkit recursive MiniLM", 1 / 1.5),
]


def texts(size: int, rounds: int) -> list[str]:
    """Real text of this environment: documentation, licences and source, another part of it each round."""
    root = Path(sysconfig.get_paths()["purelib"])
    wanted = (p for kind in ("*.md", "*.rst", "LICENSE*", "*.txt", "*.py") for p in sorted(root.rglob(kind)))
    pieces: list[str] = []
    length = 0
    for path in wanted:
        if length >= size * rounds:
            break
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        pieces.append(text[:20_000])
        length += len(pieces[-1])
    # Dealt out like cards, so that every round has text of every kind.
    return ["".join(pieces[at::rounds])[:size] for at in range(rounds)]


def ours(chunker: Callable[[Document], object]) -> Contender:
    return lambda text: chunker(Document(text, id="d"))


def contenders(missing: list[str]) -> Iterator[tuple[str, Contender]]:
    import tiktoken

    encoding = tiktoken.get_encoding("cl100k_base")
    vocabulary = str(find_model("all-MiniLM-L6-v2") / "tokenizer.json")

    def fresh() -> Backend:
        backend = Backend.from_file(vocabulary)
        backend.no_truncation()
        backend.no_padding()
        return backend

    floor = fresh()

    def pieces(text: str) -> list[str]:
        return [text[at : at + 4_000] for at in range(0, len(text), 4_000)]

    yield "floor: tiktoken, one thread", encoding.encode_ordinary
    yield (
        "floor: tiktoken, two threads",
        lambda text: encoding.encode_ordinary_batch(
            [text[at : at + 64_000] for at in range(0, len(text), 64_000)], num_threads=2
        ),
    )
    yield "ragkit fixed cl100k, one thread", ours(FixedChunker(LIMIT, tokenizer=TiktokenTokenizer(encoding, threads=1)))
    yield "floor: MiniLM, 4 kB pieces with offsets", lambda text: [e.offsets for e in floor.encode_batch(pieces(text))]
    for name, kind in (
        ("fixed", FixedChunker),
        ("sentence", SentenceChunker),
        ("recursive", RecursiveChunker),
        ("markdown", MarkdownChunker),
    ):
        yield f"ragkit {name} cl100k", ours(kind(LIMIT, tokenizer=TiktokenTokenizer(encoding)))
        yield f"ragkit {name} MiniLM", ours(kind(LIMIT, tokenizer=HuggingFaceTokenizer(fresh(), name="minilm"), reserve=0))
    try:
        import chonkie

        for name, kind in (
            ("token", chonkie.TokenChunker),
            ("sentence", chonkie.SentenceChunker),
            ("recursive", chonkie.RecursiveChunker),
        ):
            extra = {} if name == "recursive" else {"chunk_overlap": 0}
            yield f"chonkie {name} cl100k", kind(encoding, chunk_size=LIMIT, **extra).chunk
            yield f"chonkie {name} MiniLM", kind(fresh(), chunk_size=LIMIT, **extra).chunk
    except ImportError:
        missing.append("chonkie")
    try:
        import semchunk

        def semantic(text: str) -> object:
            # A new counter each time: its memo of strings would answer for a text it has seen.
            backend = fresh()
            return semchunk.chunkerify(lambda piece: len(backend.encode(piece, add_special_tokens=False)), LIMIT)(text)

        yield "semchunk MiniLM", semantic
    except ImportError:
        missing.append("semchunk")
    try:
        from semantic_text_splitter import TextSplitter

        splitter = TextSplitter.from_huggingface_tokenizer(fresh(), LIMIT, trim=False)
        # It takes minutes for a megabyte; a twentieth of the text is enough to tell.
        yield "semantic-text-splitter MiniLM", lambda text: splitter.chunks(text[: len(text) // 20])
    except ImportError:
        missing.append("semantic-text-splitter")
    try:
        from langchain_text_splitters import RecursiveCharacterTextSplitter, TokenTextSplitter, split_text_on_tokens
        from langchain_text_splitters.base import Tokenizer as LangChainTokenizer

        yield (
            "LangChain token cl100k (no offsets)",
            TokenTextSplitter(encoding_name="cl100k_base", chunk_size=LIMIT, chunk_overlap=0).split_text,
        )
        backend = fresh()
        tokenizer = LangChainTokenizer(
            chunk_overlap=0,
            tokens_per_chunk=LIMIT,
            decode=backend.decode,
            encode=lambda text: backend.encode(text, add_special_tokens=False).ids,
        )
        yield "LangChain token MiniLM", lambda text: split_text_on_tokens(text=text, tokenizer=tokenizer)
        for name, count in (
            ("cl100k", lambda text: len(encoding.encode_ordinary(text))),
            ("MiniLM", lambda text: len(backend.encode(text, add_special_tokens=False))),
        ):
            yield (
                f"LangChain recursive {name}",
                RecursiveCharacterTextSplitter(
                    chunk_size=LIMIT, chunk_overlap=0, length_function=count, strip_whitespace=False
                ).split_text,
            )
    except ImportError:
        missing.append("langchain-text-splitters")
    try:
        from llama_index.core.node_parser import SentenceSplitter

        llama = fresh()
        yield (
            "LlamaIndex sentence MiniLM",
            SentenceSplitter(
                chunk_size=LIMIT, chunk_overlap=0, tokenizer=lambda text: llama.encode(text, add_special_tokens=False).ids
            ).split_text,
        )
    except ImportError:
        missing.append("llama-index-core")


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("ragkit-middleware", *PACKAGES):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def measure(rounds: list[str], clock: Callable[[], float], missing: list[str]) -> dict[str, list[float]]:
    """Megabytes (millions of characters) per second of every contender, round by round."""
    speeds: dict[str, list[float]] = {name: [] for name, _ in contenders(missing)}
    for number, text in enumerate(rounds, 1):
        for name, run in contenders([]):
            run("A few words to warm up. " * 40)
            if sys.stderr.isatty():
                print(f"\rround {number}/{len(rounds)}  {name:45}", end="", file=sys.stderr)
            begun = clock()
            run(text)
            size = len(text) // 20 if name.startswith("semantic-text") else len(text)
            speeds[name].append(size / 1e6 / (clock() - begun))
    return speeds


def compare(speeds: dict[str, list[float]]) -> list[dict[str, Any]]:
    rows = []
    for a, b, least in TARGETS:
        if a in speeds and b in speeds:
            found = sorted(x / y for x, y in zip(speeds[a], speeds[b], strict=True))
            ratio = statistics.median(found)
            rows.append({"ours": a, "other": b, "ratio": ratio, "least": found[0], "most": found[-1], "target": least})
    return rows


def show(report: dict[str, Any]) -> None:
    console = Console()
    console.print(", ".join(f"{name} {version}" for name, version in report["versions"].items()))
    title = f"{report['rounds']} rounds of {report['characters_per_round'] / 1e6:.2f} MB, {LIMIT} tokens, no overlap"
    speed = Table("contender", "MB/s (median)", title=title)
    for name, value in report["mb_per_second"].items():
        speed.add_row(name, f"{value:.2f}")
    console.print(speed)
    table = Table("ours", "beside", "times as fast", "from", "to", "asked")
    for row in report["ratios"]:
        numbers = (f"{row[key]:.2f}" for key in ("ratio", "least", "most", "target"))
        table.add_row(row["ours"], row["other"], *numbers)
    console.print(table)
    if report["missing"]:
        console.print(f"not installed, left out: {', '.join(report['missing'])}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=1.1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpu", action="store_true", help="measure processor time")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the speeds into a .png, .svg or .pdf file")
    options = parser.parse_args()
    missing: list[str] = []
    rounds = texts(int(options.megabytes * 1e6), options.rounds)
    speeds = measure(rounds, time.process_time if options.cpu else time.perf_counter, missing)
    report = {
        "versions": versions(),
        "cores": cores(),
        "clock": "processor" if options.cpu else "wall",
        "characters_per_round": len(rounds[0]),
        "rounds": len(rounds),
        "missing": missing,
        "mb_per_second": {name: statistics.median(values) for name, values in speeds.items()},
        "ratios": compare(speeds),
    }
    if options.plot:
        from chunking_plot import draw

        draw(speeds, options.plot)
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        show(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
