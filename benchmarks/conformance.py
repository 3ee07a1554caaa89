"""Which laws of chunking each library keeps, on 23 texts that break chunkers.

    python benchmarks/conformance.py [--size 6000] [--json | --markdown] [--seconds 8]

Every contender cuts every text at 128 tokens, with three tokenizers, without overlap and with 32 tokens of it where it has
such a setting. The checks are those of ``ragkit.testing.conformance``; the judge of every limit is the tokenizer itself.
Peers run with the settings that serve them best here (``CONTENDERS`` says which). Each runs in a process of its own, so
that a crash or a text that takes longer than ``--seconds`` costs one cell. Peers that are not installed are left out and named.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ragkit.testing.conformance import LAWS, Conformance, Piece, TextChunker, TextReport, check_text
from ragkit.testing.texts import pathological
from ragkit.text import resolve_tokenizer
from ragkit.weights import find_model

LIMIT, OVERLAP = 128, 32
START_SECONDS = 120
QUIET = os.environ | {"HAYSTACK_TELEMETRY_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
TOKENIZERS = {
    "cl100k": "the encoding cl100k_base of tiktoken",
    "MiniLM": "the WordPiece tokenizer of all-MiniLM-L6-v2, truncation and padding switched off",
    "MiniLM as shipped": "the same file as its authors ship it: truncation and padding on, at 128 tokens",
}


def vocabulary(tokenizer: str) -> Any:
    """The object that people hold: a ``tiktoken.Encoding`` or a ``tokenizers.Tokenizer``."""
    if tokenizer == "cl100k":
        import tiktoken

        return tiktoken.get_encoding("cl100k_base")
    from tokenizers import Tokenizer

    backend = Tokenizer.from_file(str(find_model("all-MiniLM-L6-v2") / "tokenizer.json"))
    if tokenizer == "MiniLM":
        backend.no_truncation()
        backend.no_padding()
    return backend


def encoder(tokenizer: str) -> Callable[[str], list[int]]:
    """Text to token ids without special tokens; strings that look like special tokens are text."""
    held = vocabulary(tokenizer)
    if tokenizer == "cl100k":
        return held.encode_ordinary
    return lambda text: held.encode(text, add_special_tokens=False).ids


def ragkit(kind: str, tokenizer: str, overlap: int) -> TextChunker:
    from ragkit import Document
    from ragkit import chunk as chunkers

    chunker = getattr(chunkers, f"{kind}Chunker")(LIMIT, overlap=overlap, tokenizer=vocabulary(tokenizer), reserve=0)
    return lambda text: chunker(Document(text, id="d"))


def chonkie(kind: str, tokenizer: str, overlap: int) -> TextChunker:
    import chonkie

    held = vocabulary(tokenizer)
    if kind == "sentence" and tokenizer == "cl100k":
        encode = encoder(tokenizer)

        def held(text: str) -> int:
            return len(encode(text))

    if kind == "token":
        chunker: Any = chonkie.TokenChunker(held, chunk_size=LIMIT, chunk_overlap=overlap)
    elif kind == "sentence":
        delimiters = [". ", "! ", "? ", "\n", "。", "！", "？"]
        chunker = chonkie.SentenceChunker(
            held, chunk_size=LIMIT, chunk_overlap=overlap, delim=delimiters, min_characters_per_sentence=1
        )
    else:
        chunker = chonkie.RecursiveChunker(held, chunk_size=LIMIT, min_characters_per_chunk=1)
    return lambda text: [Piece(c.text, c.start_index, c.end_index, c.token_count) for c in chunker.chunk(text)]


def semchunk(_: str, tokenizer: str, overlap: int) -> TextChunker:
    import semchunk

    encode = encoder(tokenizer)
    chunker = semchunk.chunkerify(lambda text: len(encode(text)), LIMIT)

    def run(text: str) -> list[Piece]:
        bodies, spans = chunker(text, offsets=True, overlap=overlap or None)
        return [Piece(body, start, end) for body, (start, end) in zip(bodies, spans, strict=True)]

    return run


def semantic_text_splitter(_: str, tokenizer: str, overlap: int) -> TextChunker:
    from semantic_text_splitter import TextSplitter

    if tokenizer == "cl100k":
        splitter = TextSplitter.from_tiktoken_model("gpt-4", LIMIT, overlap=overlap, trim=False)
    else:
        splitter = TextSplitter.from_huggingface_tokenizer(vocabulary(tokenizer), LIMIT, overlap=overlap, trim=False)
    return lambda text: [Piece(body, start, start + len(body)) for start, body in splitter.chunk_indices(text)]


def langchain(kind: str, tokenizer: str, overlap: int) -> TextChunker:
    from langchain_text_splitters import RecursiveCharacterTextSplitter, TextSplitter, TokenTextSplitter, split_text_on_tokens
    from langchain_text_splitters.base import Tokenizer

    common: dict[str, Any] = {
        "chunk_size": LIMIT,
        "chunk_overlap": overlap,
        "add_start_index": True,
        "strip_whitespace": False,
    }
    if kind == "recursive":
        encode = encoder(tokenizer)
        splitter: TextSplitter = RecursiveCharacterTextSplitter(length_function=lambda text: len(encode(text)), **common)
    elif tokenizer == "cl100k":
        splitter = TokenTextSplitter(encoding_name="cl100k_base", disallowed_special=(), **common)
    else:
        window = Tokenizer(
            chunk_overlap=overlap, tokens_per_chunk=LIMIT, decode=vocabulary(tokenizer).decode, encode=encoder(tokenizer)
        )

        class Splitter(TextSplitter):
            def split_text(self, text: str) -> list[str]:
                return split_text_on_tokens(text=text, tokenizer=window)

        splitter = Splitter(**common)

    def run(text: str) -> Iterator[Piece]:
        for document in splitter.create_documents([text]):
            start = document.metadata["start_index"]
            yield Piece(document.page_content, start, start + len(document.page_content))

    return run


def llama_index(_: str, tokenizer: str, overlap: int) -> TextChunker:
    from llama_index.core import Document
    from llama_index.core.node_parser import SentenceSplitter

    splitter = SentenceSplitter(chunk_size=LIMIT, chunk_overlap=overlap, tokenizer=encoder(tokenizer), include_metadata=False)
    return lambda text: [
        Piece(node.text, node.start_char_idx, node.end_char_idx)
        for node in splitter.get_nodes_from_documents([Document(text=text)])
    ]


def haystack(_: str, tokenizer: str, overlap: int) -> TextChunker:
    from haystack import Document
    from haystack.components.preprocessors import DocumentSplitter

    if tokenizer != "cl100k":
        raise ValueError("Haystack counts with tiktoken only")
    splitter = DocumentSplitter(split_by="token", split_length=LIMIT, split_overlap=overlap, tokenizer_encoding="cl100k_base")

    def run(text: str) -> Iterator[Piece]:
        for document in splitter.run([Document(content=text)])["documents"]:
            start = document.meta["split_idx_start"]
            yield Piece(document.content, start, start + len(document.content))

    return run


@dataclass(frozen=True)
class Contender:
    """A chunker of a library: how to make it, and what was set for its good."""

    module: str
    package: str
    kind: str
    make: Callable[[str, str, int], TextChunker]
    settings: str
    overlaps: bool = True
    tokenizers: tuple[str, ...] = tuple(TOKENIZERS)

    @property
    def name(self) -> str:
        return f"{self.package.removesuffix('-core').removesuffix('-text-splitters').removesuffix('-ai')} {self.kind.lower()}".strip()


_OURS = [Contender("ragkit", "ragkit", kind, ragkit, "defaults") for kind in ("Fixed", "Sentence", "Recursive", "Markdown")]
CONTENDERS = {
    contender.name: contender
    for contender in [
        *_OURS,
        Contender("chonkie", "chonkie", "token", chonkie, "defaults"),
        Contender("chonkie", "chonkie", "sentence", chonkie, "full-width sentence ends added, min_characters_per_sentence=1, tiktoken through a function that takes special tokens as text"),
        Contender("chonkie", "chonkie", "recursive", chonkie, "min_characters_per_chunk=1", overlaps=False),
        Contender("semchunk", "semchunk", "", semchunk, "offsets=True, a function as counter"),
        Contender("semantic_text_splitter", "semantic-text-splitter", "", semantic_text_splitter, "trim=False, chunk_indices"),
        Contender("langchain_text_splitters", "langchain-text-splitters", "token", langchain, "disallowed_special=(), strip_whitespace=False, add_start_index=True"),
        Contender("langchain_text_splitters", "langchain-text-splitters", "recursive", langchain, "strip_whitespace=False, add_start_index=True, a function as length"),
        Contender("llama_index.core", "llama-index-core", "sentence", llama_index, "include_metadata=False, a function as tokenizer"),
        Contender("haystack", "haystack-ai", "token", haystack, "tokenizer_encoding=\"cl100k_base\"; it counts with tiktoken only", tokenizers=("cl100k",)),
    ]
}  # fmt: skip


def runs(contender: Contender) -> list[tuple[str, int]]:
    return [
        (tokenizer, overlap) for tokenizer in contender.tokenizers for overlap in ((0, OVERLAP) if contender.overlaps else (0,))
    ]


def work(name: str, size: int) -> None:
    """The child process: asked for one cell after the other on standard input, it answers each with a line of JSON."""
    texts = pathological(size)
    contender = CONTENDERS[name]
    answers, sys.stdout = sys.stdout, sys.stderr  # what a peer prints is no answer
    held = {(tokenizer, overlap): contender.make(contender.kind, tokenizer, overlap) for tokenizer, overlap in runs(contender)}
    judges = {tokenizer: resolve_tokenizer(vocabulary(tokenizer)).count_batch for tokenizer in contender.tokenizers}
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        tokenizer, overlap, text = json.loads(line)
        report = check_text(
            held[tokenizer, overlap], judges[tokenizer], name=text, text=texts[text], limit=LIMIT, overlap=overlap
        ).to_dict()
        del report["broken"]
        print(json.dumps(report), file=answers, flush=True)


class Child:
    """A child process that can be asked with a time limit; after a crash or a hang the next question starts another."""

    def __init__(self, name: str, size: int) -> None:
        self._command = [sys.executable, str(Path(__file__).resolve()), "--work", name, "--size", str(size)]
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()

    def ask(self, tokenizer: str, overlap: int, text: str, *, seconds: float) -> TextReport:
        process = self._process or self._start()
        begun = time.perf_counter()
        try:
            process.stdin.write(json.dumps([tokenizer, overlap, text]) + "\n")
            process.stdin.flush()
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            error = f"no answer in {seconds:.0f} seconds"
        except BrokenPipeError:
            error = "the process died"
        else:
            if line:
                return TextReport(**json.loads(line))
            error = f"the process died with {process.wait()}"
        self.stop()
        return TextReport(name=text, seconds=time.perf_counter() - begun, error=error)

    def _start(self) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=QUIET)
        self._process, lines = process, queue.Queue()
        self._lines = lines

        def read() -> None:
            for line in process.stdout:
                lines.put(line)
            lines.put("")

        threading.Thread(target=read, daemon=True).start()
        if lines.get(timeout=START_SECONDS) != "ready\n":
            raise RuntimeError(f"{' '.join(self._command[1:])} did not start; run it by hand to see why.")
        return process

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def measure(contender: Contender, size: int, seconds: float) -> list[dict[str, Any]]:
    """All runs of one contender."""
    rows = []
    child = Child(contender.name, size)
    for tokenizer, overlap in runs(contender):
        cells = tuple(child.ask(tokenizer, overlap, text, seconds=seconds) for text in pathological(size))
        result = Conformance(limit=LIMIT, overlap=overlap, texts=cells)
        rows.append({"chunker": contender.name, "tokenizer": tokenizer} | result.to_dict())
        print(f"{contender.name}, {tokenizer}, overlap {overlap}: {result.clean} clean, {result.seconds:.1f} s", file=sys.stderr)
    child.stop()
    return rows


def versions(names: list[str]) -> dict[str, str]:
    import ragkit

    found = {"ragkit": ragkit.__version__}
    for package in [*dict.fromkeys(CONTENDERS[name].package for name in names), "tiktoken", "tokenizers"]:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def overview(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Clean texts by chunker, tokenizer and overlap."""
    columns = [(tokenizer, overlap) for tokenizer in TOKENIZERS for overlap in (0, OVERLAP)]
    cells = {(row["chunker"], row["tokenizer"], row["overlap"]): f"{row['clean']}" for row in rows}
    names = list(dict.fromkeys(row["chunker"] for row in rows))
    heads = ["chunker", *(f"{tokenizer}{f', overlap {overlap}' if overlap else ''}" for tokenizer, overlap in columns)]
    return heads, [[name, *(cells.get((name, *column), "–") for column in columns)] for name in names]


def details(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Texts on which each law broke, the largest piece, cut graphemes."""
    heads = ["chunker", "tokenizer", "overlap", "clean", *LAWS, "pieces", "largest, tokens", "graphemes cut"]
    body = [
        [
            row["chunker"],
            row["tokenizer"],
            str(row["overlap"]),
            str(row["clean"]),
            *(str(number or ".") for number in row["broken"].values()),
            f"{sum(text['pieces'] for text in row['texts']):,}",
            f"{max(text['largest'] for text in row['texts']):,}",
            f"{sum(text['cut_graphemes'] or 0 for text in row['texts']):,}",
        ]
        for row in rows
    ]
    return heads, body


def as_markdown(heads: list[str], body: list[list[str]], *, words: int = 1) -> str:
    rule = ["---"] * words + ["---:"] * (len(heads) - words)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [heads, rule, *body])


def page(result: dict[str, Any]) -> str:
    """The page of the documents, whole."""
    found = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    laws = "\n".join(f"* **{law}**: {says}." for law, says in LAWS.items())
    tokenizers = "\n".join(f"* **{name}**: {says}." for name, says in TOKENIZERS.items())
    settings = "\n".join(f"* {name}: {says}." for name, says in result["settings"].items())
    left_out = f" Not installed and left out: {', '.join(result['missing'])}." if result["missing"] else ""
    count, size = result["of"], result["size"]
    return f"""# Conformance: which chunker keeps which law

Made by `python benchmarks/conformance.py --markdown`, with {found}, Python {result["python"]}. To change this page, change the command.

{count} texts that break chunkers (`ragkit.testing.texts`: white space, scripts without blanks, emoji, combining marks, controls, lone
surrogates, special-token strings, repeats, long addresses, tables, source ...), most of {size:,} characters, are cut at {LIMIT} tokens, without
overlap and with {OVERLAP} tokens of it where the chunker has such a setting. A text is clean when every law holds on it:

{laws}

{as_markdown(*result["overview"])}

Texts of {count} that are clean. "–": not offered.{left_out} A text that took longer than {result["seconds"]:g} seconds counts as not answered.
Clean is not yet good: look at the number of pieces below. Padding makes every piece {LIMIT} tokens to a counter that keeps it, and then a
recursive splitter may cut between all letters, which breaks no law. The tokenizers:

{tokenizers}

## By law

The number of texts on which each law broke ("." is none), the number of pieces of all texts, the largest
of them as the tokenizer counts it again, and how many grapheme clusters that would have fitted were cut (where the offsets are right; no text is unclean for that).

{as_markdown(*result["details"], words=2)}

## How it was made fair

Nothing is held against a chunker for what it does not claim: offsets and counts are checked where it tells them, and a blank text
may come back as no piece. Lost white space is told apart from lost content; some libraries strip by design. Each peer has the settings
that serve it best here:

{settings}

Run the same checks on your own chunker:

```python
from ragkit.testing.conformance import check_chunker
from ragkit.text import resolve_tokenizer


def by_lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


report = check_chunker(by_lines, resolve_tokenizer("words").count_batch, limit=128)
print(report.clean, "of", len(report.texts), "clean;", report.broken)
```
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=6_000, help="characters of most texts")
    parser.add_argument("--seconds", type=float, default=8, help="the most that one text may take")
    parser.add_argument("--only", help="contenders whose names begin so")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="everything, text by text, as JSON")
    shape.add_argument("--markdown", action="store_true", help="the page docs/conformance.md")
    shape.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.size)
        return 0
    wanted = [name for name in CONTENDERS if name.startswith(options.only or "")]
    here = [name for name in wanted if find_spec(CONTENDERS[name].module.partition(".")[0])]
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        # Peers first: the slow ones are among them, and nothing should wait for them alone at the end.
        asked = {name: pool.submit(measure, CONTENDERS[name], options.size, options.seconds) for name in reversed(here)}
    rows = [row for name in here for row in asked[name].result()]
    result = {
        "size": options.size,
        "seconds": options.seconds,
        "of": len(pathological(options.size)),
        "limit": LIMIT,
        "python": platform.python_version(),
        "versions": versions(here),
        "missing": [name for name in wanted if name not in here],
        "settings": {name: CONTENDERS[name].settings for name in here},
        "rows": rows,
    }
    if options.json:
        print(json.dumps(result, indent=2))
        return 0
    result |= {"overview": overview(rows), "details": details(rows)}
    if options.markdown:
        print(page(result), end="")
        return 0
    for title, (heads, body) in (("clean texts", result["overview"]), ("texts on which each law broke", result["details"])):
        table = Table(*heads, title=f"{title}, of {result['of']}")
        for cells in body:
            table.add_row(*cells)
        Console().print(table)
    print("versions:", ", ".join(f"{name} {number}" for name, number in result["versions"].items()))
    if result["missing"]:
        print("not installed, left out:", ", ".join(result["missing"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
