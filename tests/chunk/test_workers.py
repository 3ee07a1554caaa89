"""Several processes give what one gives: chunks, order, errors; and they end."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from tokenizers import Tokenizer as Backend

from ragkit import Document
from ragkit.chunk import FixedChunker, Late, MarkdownChunker, RecursiveChunker
from ragkit.errors import ChunkLimitError, ChunkWorkerError, InvalidInputError
from ragkit.testing.texts import pathological
from ragkit.text import resolve_tokenizer
from ragkit.weights import find_model

DOCUMENTS = [
    Document(text, id=f"{at}", metadata={"name": name, "tags": [name]})
    for at, (name, text) in enumerate(pathological(12_000).items())
]


def words_and_a_heavy_x(text: str) -> int:
    return len(text.split()) + text.count("x")


def deadly(text: str) -> int:
    if "kill me" in text:
        os.kill(os.getpid(), signal.SIGKILL)
    return len(text)


def test_same_chunks_in_the_same_order() -> None:
    chunker = MarkdownChunker(64, overlap=8, tokenizer="cl100k_base") | Late(window=100, overlap=10)
    assert list(chunker.stream(DOCUMENTS, workers=2)) == list(chunker.stream(DOCUMENTS))


def test_documents_are_read_lazily_and_processes_end_with_the_iterator() -> None:
    read = 0

    def documents() -> Iterator[Document]:
        nonlocal read
        for read in range(1, 1_000):
            yield Document("Some words. " * 2_000, id=str(read))

    chunks = RecursiveChunker(tokenizer="words").stream(documents(), workers=2)
    assert next(chunks).doc_id == "1"
    assert read < 100
    chunks.close()  # type: ignore[attr-defined]
    assert read < 100


def test_an_error_comes_after_the_chunks_before_it_and_names_its_document() -> None:
    documents = [Document(text, id=text[:1]) for text in ("a bc de", "b cd ef", "x", "d ef gh")]
    found = []
    with pytest.raises(ChunkLimitError) as caught:
        found.extend(FixedChunker(1, tokenizer=words_and_a_heavy_x).stream(documents, workers=2))
    assert [chunk.doc_id for chunk in found] == ["a"] * 3 + ["b"] * 3
    assert "'x'" in "".join(caught.value.__notes__)


def test_an_error_of_the_source_comes_after_the_chunks_before_it() -> None:
    def documents() -> Iterator[Document]:
        yield Document("one two", id="a")
        raise OSError("the disk is gone")

    found = []
    with pytest.raises(OSError, match="the disk is gone"):
        found.extend(FixedChunker(tokenizer="words").stream(documents(), workers=2))
    assert [chunk.doc_id for chunk in found] == ["a"]


def test_a_killed_process_is_an_error() -> None:
    with pytest.raises(ChunkWorkerError, match="killed"):
        list(FixedChunker(tokenizer=deadly).stream([Document("kill me")], workers=2))


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, None])
def test_workers_must_be_a_number(workers: object) -> None:
    with pytest.raises(InvalidInputError, match="workers"):
        FixedChunker(tokenizer="words").stream([], workers=workers)  # type: ignore[arg-type]


def test_a_lambda_cannot_travel() -> None:
    with pytest.raises(InvalidInputError, match="top of a module"):
        list(FixedChunker(tokenizer=lambda text: len(text)).stream([Document("a")], workers=2))


@pytest.mark.parametrize("name", ["cl100k_base", "all-MiniLM-L6-v2", "words", "characters"])
def test_tokenizers_travel(name: str) -> None:
    tokenizer = resolve_tokenizer(name)
    texts = list(pathological(2_000).values())
    other = pickle.loads(pickle.dumps(tokenizer))
    assert (other.name, other.n_special) == (tokenizer.name, tokenizer.n_special)
    assert other.count_batch(texts) == tokenizer.count_batch(texts)
    assert [s.tolist() for s in other.starts_batch(texts)] == [s.tolist() for s in tokenizer.starts_batch(texts)]


def test_a_tokenizer_given_as_an_object_travels_with_its_name() -> None:
    tokenizer = resolve_tokenizer(Backend.from_file(str(find_model("all-MiniLM-L6-v2") / "tokenizer.json")))
    assert pickle.loads(pickle.dumps(tokenizer)).name == tokenizer.name


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_an_interrupted_one(sign: signal.Signals) -> None:
    code = """
import multiprocessing, signal
from ragkit import Document
from ragkit.chunk import FixedChunker
if __name__ == "__main__":
    # A shell that starts the tests in the background has them ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    chunks = FixedChunker(tokenizer="words").stream((Document("a b " * 50_000, id=str(n)) for n in range(100_000)), workers=2)
    next(chunks)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    for _ in chunks:
        pass
"""
    run = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert run.stdout is not None
    try:
        children = [int(pid) for pid in run.stdout.readline().split()]
        run.send_signal(sign)
        _, said = run.communicate(timeout=60)
    finally:
        run.kill()
    assert len(children) == 2
    assert said.count("Traceback") == (sign == signal.SIGINT), said
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in children):
        assert time.monotonic() < deadline, "a process is still there"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
