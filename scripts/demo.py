"""The demo: documents of this machine are indexed and searched, offline. Called by scripts/demo."""

from __future__ import annotations

import argparse
import re
import socket
import sys
import sysconfig
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from ragkit import Document, Hit, Index, RagkitError
from ragkit.chunk import AutoChunker
from ragkit.embed import TransformerEmbedder
from ragkit.load import load_file, load_folder

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / ".demo"
# What two slow cores embed in less than five minutes; everything beyond it is counted and named as left out.
MOST_CHARACTERS = 2_500_000
QUESTIONS = [
    "What happens in a with statement when its body raises an exception?",
    "How can a test be stopped when it hangs and takes too long?",
    "How do I detect the character encoding of text from an unknown file?",
    "How do I show a progress bar while pandas applies a function?",
    "What is the difference between __getattr__ and __getattribute__?",
    "Where in ragkit may torch be imported, and what checks it?",
]


def guard_network(attempts: list[str]) -> None:
    """Refuse, and note, every connection and name lookup of this process beyond the machine itself."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
            address = arguments[0] if event == "socket.getaddrinfo" else arguments[-1]
            host = address[0] if isinstance(address, tuple) else address
            if host not in ("127.0.0.1", "::1", "localhost", None):
                attempts.append(f"{event} {address}")
                raise PermissionError(f"The demo is offline; refused: {event} {address}")

    sys.addaudithook(hook)


def python_reference() -> list[Path]:
    """The language reference that Python carries for help(), as one text file per topic, so that hits have a place to open."""
    from pydoc_data.topics import topics

    folder = PLACE / "python-reference"
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, text in sorted(topics.items()):
        file = folder / f"{re.sub(r'[^a-zA-Z0-9_-]', '_', name)}.txt"
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
        files.append(file)
    return files


def machine_files() -> Iterator[Path]:
    """Documentation on this machine, the most useful first: this repository's, Python's, then that of installed packages."""
    yield from sorted(ROOT.glob("*.md"))
    yield from sorted((ROOT / "docs").rglob("*.md"))
    yield from python_reference()
    yield from sorted((Path(sysconfig.get_path("stdlib")) / "idlelib").glob("*.html"))
    packages = Path(sysconfig.get_path("purelib"))
    for pattern in ("*.md", "*.rst", "*.html"):
        yield from sorted(path for path in packages.rglob(pattern) if "licenses" not in path.parts)
    # What a package shows on its page in the index lies in this file, mostly Markdown.
    yield from sorted(
        Path(str(package.locate_file(""))) / file
        for package in metadata.distributions()
        for file in package.files or ()
        if file.name == "METADATA"
    )
    yield from sorted(
        path for path in packages.rglob("*") if path.is_file() and re.match(r"(?i)(licen[cs]e|copying|notice)", path.name)
    )


def machine_documents() -> tuple[list[Document], int]:
    """Documents up to ``MOST_CHARACTERS``, equal texts once; and the number of files left out beyond it."""
    documents: list[Document] = []
    seen: set[str] = set()
    size = left_out = 0
    for path in machine_files():
        document = load_file(path, root=ROOT)
        # Shown as the id shows it: relative inside the repository, absolute elsewhere.
        extra: dict[str, str] = {"source": document.id}
        if path.name == "METADATA":
            extra |= {"media_type": "text/markdown", "title": path.parent.stem}
        document = replace(document, metadata={**document.metadata, **extra})
        if document.text in seen:
            continue
        if size + len(document.text) > MOST_CHARACTERS:
            left_out += 1
            continue
        seen.add(document.text)
        size += len(document.text)
        documents.append(document)
    return documents, left_out


def show(question: str, hits: Sequence[Hit]) -> None:
    """Each hit with its place, its words, and what each arm said about it."""
    print(f"\n\033[1m{question}\033[0m" if sys.stdout.isatty() else f"\n{question}")
    for hit in hits:
        reasons = ", ".join(
            f"{arm} {'unranked' if part.rank is None else f'rank {part.rank}'} ({part.score:.3f}) adds {part.share:.3f}"
            for arm, part in hit.parts.items()
        )
        print(f"  {hit.rank}. {hit.citation}  characters {hit.chunk.start}-{hit.chunk.end}")
        print(f"     score {hit.score:.3f}: {reasons}")
        print(
            textwrap.fill(
                textwrap.shorten(hit.chunk.text, 240, placeholder=" ..."),
                110,
                initial_indent="     | ",
                subsequent_indent="     | ",
            )
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/demo", description="Index real documents of this machine and ask them questions, offline."
    )
    parser.add_argument("--question", action="append", help="ask this instead of the questions that come along; may be repeated")
    parser.add_argument("--path", type=Path, help="index the files of this folder instead, in a database of their own")
    parser.add_argument("-k", type=int, default=3, help="hits per question (default: 3)")
    options = parser.parse_args()
    if options.path and not options.question:
        parser.error("--path needs a --question: only you know what your files are about")
    attempts: list[str] = []
    guard_network(attempts)
    PLACE.mkdir(exist_ok=True)

    begun = time.perf_counter()
    if options.path:
        loaded = load_folder(options.path, root=ROOT, on_error="collect")
        documents, database = list(loaded), PLACE / "own.lance"
        print(f"{len(documents)} files of {options.path}, {len(loaded.skipped)} left out")
        for skipped in loaded.failed:
            print(f"  could not be read: {skipped.reason}")
    else:
        documents, left_out = machine_documents()
        database = PLACE / "kb.lance"
        print(f"{len(documents)} documents of this machine: its Python, its packages and this repository")
        print(f"({left_out} more files would go beyond {MOST_CHARACTERS / 1e6:.1f} million characters and are left out)")
    print(
        f"{sum(len(document.text) for document in documents) / 1e6:.2f} million characters, read in {time.perf_counter() - begun:.1f} s"
    )

    with Index(database, chunker=AutoChunker(max_tokens=256), embedder=TransformerEmbedder("all-MiniLM-L6-v2")) as index:
        report = index.add(documents, progress=True)
        print(
            f"{report.added} added, {report.replaced} replaced, {report.unchanged} unchanged, {len(report.skipped)} without text; "
            f"{report.chunks} chunks written, {report.embedded} embedded, in {report.seconds:.1f} s"
        )
        # Documents that are gone from the machine are no answers any more.
        gone = sorted(set(index.document_ids()) - {document.id for document in documents})
        if gone:
            print(f"{index.delete(gone)} documents that are no longer there were deleted")
        stats = index.stats()
        print(
            f"{database.relative_to(ROOT)}: {stats.documents} documents, {stats.chunks} chunks, {stats.bytes_on_disk / 1e6:.1f} MB"
        )
        for question in options.question or QUESTIONS:
            asked = time.perf_counter()
            hits = index.search(question, k=options.k)
            show(question, hits)
            print(f"     {(time.perf_counter() - asked) * 1000:.0f} ms")

    interfaces = sorted({name for _, name in socket.if_nameindex()})
    alone = "no network interface but the machine's own" if interfaces == ["lo"] else "Python's connections refused by the demo"
    print(f"\nOffline: {alone}; connections tried: {len(attempts)}. {time.perf_counter() - begun:.0f} s in all.")
    for attempt in attempts:
        print(f"  {attempt}")
    return bool(attempts)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RagkitError as error:
        sys.exit(f"demo: {error}")
    except KeyboardInterrupt:
        sys.exit("\ndemo: stopped. What is indexed stays; run it again to go on.")
