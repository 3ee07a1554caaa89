"""Running the server: two addresses in one process, one for clients and one for operators."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import httpx2
import uvicorn
from starlette.applications import Starlette

from ragkit.errors import RagkitError, StoreError
from ragkit.proxy.admin import make_admin
from ragkit.proxy.app import make_app, open_cache
from ragkit.proxy.settings import Settings
from ragkit.proxy.tenancy import load_secret

#: Seconds; Python's own 0.005 are longer than an answer may take.
_SWITCH = 0.0005


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What ``ragkit serve --check`` found: for each part whether it can be used, and what was seen."""

    parts: tuple[tuple[str, bool, str], ...]

    @property
    def ok(self) -> bool:
        """Whether the server would start and could answer."""
        return all(good for _, good, _ in self.parts)

    def lines(self) -> list[str]:
        """One line a part, for people."""
        return [f"{'ok  ' if good else 'FAIL'}  {name}: {seen}" for name, good, seen in self.parts]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"ok": self.ok, **asdict(self)}


def check_settings(settings: Settings) -> CheckReport:
    """Try each part without serving: the secret, the cache, and one GET of each upstream's /models.

    An upstream that asks for a key has answered: it is reachable.
    """
    parts: list[tuple[str, bool, str]] = []

    def tried(name: str, act: Callable[[], str]) -> None:
        try:
            parts.append((name, True, act()))
        except (RagkitError, httpx2.HTTPError, OSError) as error:
            parts.append((name, False, f"{type(error).__name__}: {error}"))

    def secret() -> str:
        path = settings.secret_path
        load_secret(path)
        return str(path)

    def cache() -> str:
        opened = open_cache(settings)
        try:
            return f"{settings.cache}, {opened.stats().entries} entries, policy {settings.policy}"
        finally:
            opened.close()

    tried("secret", secret)
    tried("cache", cache)
    for upstream in settings.upstreams:

        def reach(url: str = upstream.url, key: Any = upstream.api_key) -> str:
            headers = {"authorization": f"Bearer {key.get_secret_value()}"} if key else {}
            response = httpx2.get(f"{url}/models", headers=headers, timeout=settings.connect_timeout, trust_env=False)
            if response.status_code >= 500:
                raise OSError(f"GET /models answered {response.status_code}")
            return f"GET /models answered {response.status_code}"

        tried(f"upstream {upstream.url}", reach)
    return CheckReport(parts=tuple(parts))


def run(settings: Settings, *, say: Callable[[str], None]) -> None:
    """Serve until a signal says stop; then answer what has begun, for at most ``settings.drain`` seconds.

    Raises StoreError where an address is taken, and what opening the cache raises, before anything is served.
    """
    # Now, so that a wrong model or a damaged cache is one line and not a log.
    open_cache(settings).close()
    app = make_app(settings)
    front = _Server(_config(settings, app))
    sockets = [_bound(settings.host, settings.port)]
    say(
        f"Serving {_address(sockets[0])}/v1, upstream {', '.join(one.url for one in settings.upstreams)}, cache {settings.cache}."
    )
    back = None
    if settings.admin_port is not None:
        sockets.append(_bound(settings.admin_host, settings.admin_port))
        back = _Silent(_config(settings, make_admin(app.state.server), lifespan="off"))
        say(f"For operators: {_address(sockets[1])}/ui and /metrics.")
    # What was loaded so far stays: no garbage collection needs to look at it again.
    gc.freeze()
    # The event loop waits at most so long for a thread that is at work in Python.
    sys.setswitchinterval(_SWITCH)
    with asyncio.Runner(loop_factory=front.config.get_loop_factory()) as runner:
        runner.run(_both(front, back, sockets))
    if front.failed:
        raise StoreError("The server could not start; the log above says why.")


async def _both(front: _Server, back: _Silent | None, sockets: list[socket.socket]) -> None:
    if back is None:
        await front.serve(sockets=sockets)
        return
    beside = asyncio.create_task(back.serve(sockets=sockets[1:]))
    try:
        await front.serve(sockets=sockets[:1])
    finally:
        back.should_exit = True
        await beside


def _config(settings: Settings, app: Starlette, *, lifespan: Any = "on") -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan=lifespan,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=int(settings.drain),
        timeout_keep_alive=75,
    )


class _Server(uvicorn.Server):
    """uvicorn's, which remembers that it could not start."""

    @property
    def failed(self) -> bool:
        return not self.started


class _Silent(uvicorn.Server):
    """A second server beside the first, which alone listens to signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except OSError as error:
        raise StoreError(f"{host}:{port} cannot be listened on: {error}. Choose another address or port.") from error
    return made


def _address(made: socket.socket) -> str:
    host, port = made.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
