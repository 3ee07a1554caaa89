"""A real server process before a real upstream process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

HERE = Path(__file__).parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, process: subprocess.Popen[str]) -> None:
    for _ in range(600):
        try:
            httpx2.get(url, trust_env=False)
            return
        except httpx2.TransportError:
            if process.poll() is not None:
                raise AssertionError(f"ended with {process.returncode}: {process.stderr.read()}") from None  # type: ignore[union-attr]
            time.sleep(0.05)
    raise AssertionError(f"nothing answers at {url}")


@dataclass(frozen=True)
class Upstream:
    """A running stand-in."""

    url: str
    process: subprocess.Popen[str]

    def log(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = httpx2.get(f"{self.url}/log", trust_env=False).json()
        return found

    def asked(self, text: str) -> int:
        """How many requests it got whose body holds a text."""
        return sum(text in json.dumps(one["body"]) for one in self.log())


@dataclass(frozen=True)
class Server:
    """A running ``ragkit serve``."""

    url: str
    admin: str
    process: subprocess.Popen[str]
    folder: Path

    @property
    def v1(self) -> str:
        return f"{self.url}/v1"


Serve = Callable[..., Server]


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    port = free_port()
    process = subprocess.Popen([sys.executable, str(HERE / "standin.py"), str(port)], stderr=subprocess.PIPE, text=True)
    try:
        wait_for(f"http://127.0.0.1:{port}/log", process)
        yield Upstream(f"http://127.0.0.1:{port}", process)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def serving(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A function that starts servers; flags as on the command line, ``env`` beside them."""
    with ExitStack() as running:

        def start(*flags: str, url: str = upstream.url, folder: Path | None = None, env: dict[str, str] | None = None) -> Server:
            folder = folder or tmp_path_factory.mktemp("serve")
            port, admin = free_port(), free_port()
            told = [
                "--upstream",
                f"{url}/v1",
                "--cache",
                str(folder / "cache.lance"),
                "--port",
                str(port),
                "--admin-port",
                str(admin),
            ]
            process = subprocess.Popen(
                [sys.executable, "-m", "ragkit", "serve", *told, *flags],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, **(env or {})},
            )
            running.callback(process.wait)
            running.callback(process.kill)
            wait_for(f"http://127.0.0.1:{port}/readyz", process)
            return Server(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin}", process, folder)

        yield start


@pytest.fixture(scope="session")
def server(serving: Serve) -> Server:
    """One that serves a cosine of 0.9 by meaning, for the tests that do not need their own."""
    return serving("--policy", "static", "--threshold", "0.9")
