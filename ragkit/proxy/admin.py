"""What operators see, on an address of its own: metrics, the page and its data. None of it is reachable from the clients' address."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ragkit.cache import Certified, Entry, Policy
from ragkit.proxy.answers import text_of
from ragkit.proxy.app import Handler, Server
from ragkit.proxy.forwarding import failure, read_body

_PAGE = {
    "/ui": ("index.html", "text/html"),
    "/ui/style.css": ("style.css", "text/css"),
    "/ui/page.js": ("page.js", "text/javascript"),
}
#: The page may load what this server gives it, and nothing from anywhere else.
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'self'"
_OPEN = frozenset({"/healthz", "/readyz", *_PAGE})
_SHOWN = 100
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


def _name(host: bytes) -> str:
    """The name in a Host header, without its port."""
    return host.decode("latin-1").rpartition("]")[0].removeprefix("[") or host.decode("latin-1").partition(":")[0]


class Guard:
    """Lets in who knows the token: ``Authorization: Bearer TOKEN``. Without a token everyone who reaches the address.

    The page itself holds nothing and needs no token; its data does. Requests that a page of another origin made are refused.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._wanted = app, f"Bearer {token}".encode() if token else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            refused = None
            if not self._wanted and scope["path"] not in _OPEN and _name(headers.get(b"host", b"")) not in _LOCAL:
                # A name that another site points at this machine would make its pages of the same origin.
                refused = failure(403, "Without an admin token this server answers to localhost and 127.0.0.1 only.")
            elif headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin"):
                refused = failure(403, "Another site's page may not use this server.")
            elif scope["path"] not in _OPEN and not self._knows(headers.get(b"authorization", b"")):
                refused = failure(401, "The admin token is missing or wrong.", extra={"www-authenticate": "Bearer"})
            if refused is not None:
                await refused(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _knows(self, given: bytes) -> bool:
        return not self._wanted or hmac.compare_digest(given, self._wanted)


class Desk:
    """The page's data and its actions."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def page(self, request: Request) -> Response:
        """The page, its style or its script."""
        name, kind = _PAGE[request.url.path]
        headers = {"content-security-policy": _POLICY, "x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}
        return Response((files("ragkit.proxy") / "page" / name).read_bytes(), media_type=kind, headers=headers)

    async def state(self, _: Request) -> Response:
        """Everything the page shows but the entries."""
        server = self._server
        stats = await server.memory.call("stats", server.memory.cache.stats)
        if stats is None:
            return failure(503, "The cache cannot be read; the server's log says why.")
        return JSONResponse(
            {
                **server.activity.to_dict(),
                "policy": policy_told(server.memory.cache.policy),
                "cache": {"path": stats.path, "entries": stats.entries, "bytes": stats.bytes, "trouble": stats.trouble},
                "upstreams": [one.url for one in server.settings.upstreams],
                "upstreams_down": server.upstreams.open_breakers(),
            }
        )

    async def entries(self, request: Request) -> Response:
        """The newest entries whose prompt or answer holds ``search``, in any case; texts only where the settings show them."""
        wanted = request.query_params.get("search", "").casefold()
        shown = self._server.settings.show_prompts

        def ask() -> dict[str, Any]:
            found = [_told(entry) for entry in self._server.memory.cache.entries()]
            if wanted:
                found = [one for one in found if wanted in f"{one['prompt']}\n{one['answer']}".casefold()] if shown else []
            found.sort(key=lambda one: -one["created"])
            cut = [one if shown else {**one, "prompt": "", "answer": "(hidden)"} for one in found[:_SHOWN]]
            return {"total": len(found), "entries": cut}

        value = await self._server.memory.call("listing", ask)
        return failure(503, "The cache cannot be read.") if value is None else JSONResponse(value)

    async def wrong(self, request: Request) -> Response:
        """Mark an entry wrong: it is removed, and the policy is told."""
        name = request.path_params["entry"]
        cache = self._server.memory.cache

        def act() -> bool:
            if cache.get(name) is None:
                return False
            cache.feedback(name, wrong=True)
            return True

        done = await self._server.memory.call("feedback", act)
        if not done:
            return failure(
                404 if done is False else 503, f"There is no entry {name!r}." if done is False else "The cache failed."
            )
        self._server.metrics.wrong.inc()
        self._server.activity.count("wrong")
        return JSONResponse({"wrong": name})

    async def invalidate(self, request: Request) -> Response:
        """Remove entries by one of "entry", "tag", "document", "older_than" (seconds) or "everything"."""
        told = _object(await read_body(request, 65_536))
        text = {"entry", "tag", "document"}
        good = len(told) == 1 and all(
            (isinstance(value, str) and bool(value))
            if name in text
            else value is True
            if name == "everything"
            else name == "older_than" and isinstance(value, (int, float)) and not isinstance(value, bool)
            for name, value in told.items()
        )
        if not good:
            return failure(400, "Give one of entry, tag, document (text), older_than (seconds) or everything (true).")
        removed = await self._server.memory.call("invalidation", lambda: self._server.memory.cache.invalidate(**told))
        return failure(503, "The cache failed.") if removed is None else JSONResponse({"removed": removed})


def policy_told(policy: Policy) -> dict[str, Any]:
    """A policy in words, as a curve, and over time.

    For each score: how many requests it would serve, and at least how many of them right. For each point of its trail: the share of wrong
    answers among those judged, and at most, in the unit of the budget.
    """
    told: dict[str, Any] = {"name": policy.name, "curve": [], "trail": []}
    if not isinstance(policy, Certified):
        serves = f"at or above {policy.threshold:g}" if policy.threshold <= 1 else "exact repetitions only"
        return told | {"told": f"{policy.name}: serves {serves}. It promises nothing about wrong answers."}
    settings = policy.settings
    promise = f"at most {100 * settings.budget:g} wrong in 100 {'requests' if settings.per == 'request' else 'hits'}"
    state = (
        f"shadow mode: {policy.requests} requests seen, nothing is served by meaning yet"
        if policy.shadow
        else f"serves scores from {policy.threshold:g}; at most {100 * policy.wrong_upper:.1f} of 100 such answers are wrong"
    )
    curve = [
        {
            "score": one.score,
            "hit_rate": one.share,
            "precision": 1 - one.wrong_upper,
            "judged": one.judged,
            "serving": one.serving,
        }
        for one in policy.regions()
        if one.judged
    ]
    trail = [{"requests": one.requests, "judged": policy.found_wrong(one), "bound": one.bound} for one in policy.trail]
    return told | {"told": f"certified, {promise}: {state}.", "curve": curve, "trail": trail, "budget": settings.budget}


def _told(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "prompt": entry.prompt,
        "answer": text_of(_object(entry.answer)),
        "created": entry.created,
        "hits": entry.hits,
        "wrong": entry.wrong,
        "tags": list(entry.tags),
    }


def _object(data: bytes | str) -> Mapping[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def make_admin(server: Server) -> Starlette:
    """The application for operators: /ui and its data, /metrics, /healthz, /readyz."""
    token = server.settings.admin_token

    def started(handler: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            return await handler(request) if server.started else failure(503, "The server has not started, or has ended.")

        return answer

    guard = Middleware(Guard, token=token.get_secret_value() if token is not None else "")
    desk = Desk(server)

    async def home(_: Request) -> Response:
        return RedirectResponse("/ui")

    return Starlette(
        routes=[
            Route("/", home),
            *(Route(path, desk.page) for path in _PAGE),
            Route("/ui/api/state", started(desk.state)),
            Route("/ui/api/entries", started(desk.entries)),
            Route("/ui/api/entries/{entry}/wrong", started(desk.wrong), methods=["POST"]),
            Route("/ui/api/invalidate", started(desk.invalidate), methods=["POST"]),
            Route("/metrics", started(server.metrics_page)),
            Route("/healthz", server.health),
            Route("/readyz", server.readiness),
        ],
        middleware=[guard],
    )
