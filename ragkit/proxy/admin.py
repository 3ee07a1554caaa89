"""What operators see, on an address of its own: metrics and the page. Nothing here is reachable from the clients' address."""

from __future__ import annotations

import hmac

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ragkit.proxy.app import Server
from ragkit.proxy.forwarding import failure


class Guard:
    """Lets in who knows the token: ``Authorization: Bearer TOKEN``. Without a token everyone who reaches the address."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._wanted = app, f"Bearer {token}".encode() if token else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._wanted and not scope["path"].startswith("/healthz"):
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._wanted):
                await failure(401, "The admin token is missing or wrong.", extra={"www-authenticate": "Bearer"})(
                    scope, receive, send
                )
                return
        await self._app(scope, receive, send)


def make_admin(server: Server) -> Starlette:
    """The application for operators: /metrics, /healthz, /readyz."""
    token = server.settings.admin_token
    guard = Middleware(Guard, token=token.get_secret_value() if token is not None else "")
    return Starlette(
        routes=[
            Route("/metrics", server.metrics_page),
            Route("/healthz", server.health),
            Route("/readyz", server.readiness),
        ],
        middleware=[guard],
    )
