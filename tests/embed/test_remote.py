"""OpenAIEmbedder against a real HTTP server that speaks the endpoint, and misbehaves on demand."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from ragkit.embed import OpenAIEmbedder
from ragkit.errors import CapabilityError, EmbeddingError, InvalidInputError, TextTooLongError
from ragkit.seams import Embedder
from ragkit.types import Chunk, Document

pytestmark = pytest.mark.filterwarnings("error")
Cut = Callable[..., Chunk]


def vector(text: str) -> list[float]:
    """Three numbers that depend on the text; not unit length, as some servers answer."""
    return [float(len(text)) + 1, float(sum(map(ord, text)) % 97), 2.0]


def unit(text: str) -> np.ndarray:
    row = np.array(vector(text))
    return (row / np.linalg.norm(row)).astype(np.float32)


class Server:
    """An endpoint; ``faults`` are taken one per request: a status, or a change of the answer."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.faults: list[Any] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append(body)
                outer.headers.append({name.lower(): value for name, value in self.headers.items()})
                fault = outer.faults.pop(0) if outer.faults else None
                if isinstance(fault, int):
                    return self.answer(
                        fault, json.dumps({"error": {"message": f"fault {fault}"}}).encode(), {"Retry-After-Ms": "10"}
                    )
                data = [{"object": "embedding", "index": i, "embedding": vector(text)} for i, text in enumerate(body["input"])]
                reply: Any = {
                    "object": "list",
                    "model": body["model"],
                    "data": data[::-1],
                    "usage": {"prompt_tokens": 1, "total_tokens": 1},
                }
                if callable(fault):
                    reply = fault(reply)
                return self.answer(200, reply if isinstance(reply, bytes) else json.dumps(reply).encode())

            def answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
                self.send_response(status)
                for name, value in {
                    "Content-Type": "application/json",
                    "Content-Length": str(len(content)),
                    **(headers or {}),
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def make(server: Server) -> Iterator[Callable[..., OpenAIEmbedder]]:
    made: list[OpenAIEmbedder] = []

    def build(**choices: Any) -> OpenAIEmbedder:
        made.append(OpenAIEmbedder("small", **{"dim": 3, "base_url": server.url, "api_key": "none", "timeout": 5.0} | choices))
        return made[-1]

    yield build
    for embedder in made:
        if embedder._known_client is not None:
            embedder._known_client.close()


def test_rows_in_order_unit_and_typed(server: Server, make: Callable[..., OpenAIEmbedder]) -> None:
    embedder = make(batch_size=2)
    assert isinstance(embedder, Embedder)
    texts = ["the cat", "a", "old \ud800 town", "猫", "rain"]
    found = embedder.embed_texts(texts)
    np.testing.assert_allclose(found, np.stack([unit(text.replace("\ud800", "\ufffd")) for text in texts]), atol=1e-6)
    assert found.dtype == np.float32
    assert [len(body["input"]) for body in server.requests] == [2, 2, 1]
    assert {body["encoding_format"] for body in server.requests} == {"float"}
    assert server.headers[0]["authorization"] == "Bearer none"
    assert embedder.embed_texts([]).shape == (0, 3)


def test_prompts_and_context_go_before_the_text(server: Server, make: Callable[..., OpenAIEmbedder], cut: Cut) -> None:
    embedder = make(query_prompt="query: ", document_prompt="passage: ")
    document = Document("the cat sat", id="d")
    found = embedder.embed_chunks(document, [cut(document, 0, 7), cut(document, 8, 11, context="Pets")])
    np.testing.assert_allclose(embedder.embed_query("who?"), unit("query: who?"), atol=1e-6)
    np.testing.assert_allclose(found, np.stack([unit("passage: the cat"), unit("passage: Pets\nsat")]), atol=1e-6)
    assert [body["input"] for body in server.requests] == [["passage: the cat", "passage: Pets\nsat"], ["query: who?"]]


def test_windows_larger_than_spans_are_refused(server: Server, make: Callable[..., OpenAIEmbedder], cut: Cut) -> None:
    document = Document("the cat sat", id="d")
    with pytest.raises(CapabilityError, match=r"chunk 'c0'.*one vector per text"):
        make().embed_chunks(document, [cut(document, 0, 7, window=(0, 11))])
    assert server.requests == []


def test_requests_hold_a_bounded_number_of_tokens(server: Server, make: Callable[..., OpenAIEmbedder]) -> None:
    with_tokenizer = make(tokenizer="words", window=150_000)
    with_tokenizer.embed_texts(["a " * 100_000] * 5)
    assert [len(body["input"]) for body in server.requests] == [2, 2, 1]
    server.requests.clear()
    make().embed_texts(["abcd" * 25_000] * 5)  # bytes, where nothing counts tokens
    assert [len(body["input"]) for body in server.requests] == [2, 2, 1]


def test_too_long_texts_with_a_tokenizer(server: Server, make: Callable[..., OpenAIEmbedder]) -> None:
    embedder = make(tokenizer="words", window=4, document_prompt="passage ")
    assert embedder.tokenizer is not None
    assert embedder.tokenizer.n_special == 1
    embedder.embed_texts(["a b c"])
    with pytest.raises(TextTooLongError, match=r"text 1 .* has 5 tokens"):
        embedder.embed_texts(["a", "a b c d"])
    assert len(server.requests) == 1
    assert make().tokenizer is None


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_faults_are_retried(server: Server, make: Callable[..., OpenAIEmbedder], status: int) -> None:
    server.faults = [status, status]
    np.testing.assert_allclose(make().embed_query("cat"), unit("cat"), atol=1e-6)
    assert len(server.requests) == 3


@pytest.mark.parametrize(("status", "tries"), [(429, 2), (500, 2), (400, 1), (401, 1), (404, 1)])
def test_lasting_faults_name_the_texts(server: Server, make: Callable[..., OpenAIEmbedder], status: int, tries: int) -> None:
    server.faults = [None] + [status] * 9
    with pytest.raises(
        EmbeddingError, match=rf"answered {status} for 2 texts, from text 2 \('c'\) to text 3 \('d'\).*fault {status}"
    ):
        make(batch_size=2, max_retries=1).embed_texts(["a", "b", "c", "d"])
    assert len(server.requests) == 1 + tries


def drop(reply: dict[str, Any]) -> dict[str, Any]:
    return reply | {"data": reply["data"][1:]}


def with_first(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def spoil(reply: dict[str, Any]) -> dict[str, Any]:
        change(reply["data"][-1])
        return reply

    return spoil


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (with_first(lambda item: item.update(embedding=[1.0, 2.0])), r"text 0 \('a'\) a vector of shape \(2,\); dim=3"),
        (with_first(lambda item: item.update(embedding=[1.0, float("nan"), 0.0])), r"text 0 .*not finite"),
        (with_first(lambda item: item.update(embedding=[0.0, 0.0, 0.0])), r"text 0 .*zero"),
        (with_first(lambda item: item.update(embedding=None)), r"2 texts, from text 0|text 0"),
        (with_first(lambda item: item.update(embedding="AAAA")), "no list of embeddings"),
        (with_first(lambda item: item.update(index=1)), "indices must be 0 to 1"),
        (with_first(lambda item: item.update(index=None)), "no list of embeddings"),
        (drop, "1 vectors"),
        (lambda reply: reply | {"data": []}, "2 texts, from text 0"),
        (lambda reply: {"detail": "hello"}, "2 texts, from text 0"),
        (lambda reply: b"<html>not JSON", "2 texts, from text 0"),
        (lambda reply: b'{"data": [', "2 texts, from text 0"),
    ],
)
def test_unusable_answers(server: Server, make: Callable[..., OpenAIEmbedder], fault: Any, message: str) -> None:
    server.faults = [fault]
    with pytest.raises(EmbeddingError, match=message):
        make(max_retries=0).embed_texts(["a", "b"])


def test_a_server_that_hangs(server: Server, make: Callable[..., OpenAIEmbedder]) -> None:
    server.faults = [lambda reply: time.sleep(1) or reply]
    with pytest.raises(EmbeddingError, match=r"no answer for 1 texts, from query 0 .* in 1 tries of 0\.1 s"):
        make(timeout=0.1, max_retries=0).embed_query("cat")


def test_a_server_that_is_not_there(make: Callable[..., OpenAIEmbedder]) -> None:
    with pytest.raises(EmbeddingError, match="Is the address right"):
        make(base_url="http://127.0.0.1:9/v1", max_retries=0).embed_query("cat")


def test_choices_that_cannot_be_used(server: Server, make: Callable[..., OpenAIEmbedder]) -> None:
    for wrong in (
        {"dim": 0},
        {"window": 0},
        {"batch_size": 0},
        {"max_retries": -1},
        {"base_url": "localhost"},
        {"base_url": "http://me:pw@host/v1"},
    ):
        with pytest.raises(InvalidInputError):
            make(**wrong)
    with pytest.raises(InvalidInputError, match="OPENAI_API_KEY"):
        make(api_key=None).embed_query("cat")


def test_key_and_address_from_the_environment(
    server: Server, make: Callable[..., OpenAIEmbedder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")
    embedder = make(base_url=None, api_key=None)
    embedder.embed_query("cat")
    assert server.headers[0]["authorization"] == "Bearer from-the-environment"
    assert embedder.card.settings["base_url"] == server.url
    assert "from-the-environment" not in json.dumps(embedder.card.to_dict()) + repr(embedder)


def test_threads(server: Server, make: Callable[..., OpenAIEmbedder]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    embedder = make()
    with ThreadPoolExecutor(8) as pool:
        for text, found in zip("abcdefgh", pool.map(embedder.embed_query, "abcdefgh"), strict=True):
            np.testing.assert_allclose(found, unit(text), atol=1e-6)


def test_without_the_package() -> None:
    code = (
        "import sys; sys.modules['openai'] = None\n"
        "from ragkit.embed import OpenAIEmbedder\n"
        "from ragkit.errors import MissingDependencyError\n"
        "try: OpenAIEmbedder('m', dim=3, api_key='none', base_url='http://127.0.0.1:9').embed_query('x')\n"
        "except MissingDependencyError as error: assert 'openai]' in str(error)\n"
        "else: raise SystemExit(1)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
