"""Who asks: a tenant is a keyed digest of the API key, so that neither the store nor a log can tell the key."""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from ragkit.errors import InvalidInputError, StoreError

_BYTES = 32
#: All of them, because an organisation or a project chooses what an account may see.
_CREDENTIALS = ("authorization", "api-key", "x-api-key", "openai-organization", "openai-project")

#: Headers that go upstream and do not change what is answered. Any other may, so it counts.
_NEUTRAL = frozenset(
    {
        "accept", "accept-encoding", "content-type", "idempotency-key", "traceparent", "tracestate", "user-agent", "x-request-id",
    }
)  # fmt: skip


def tenant_of(headers: Mapping[str, str], secret: bytes, *, shared: str = "") -> str:
    """32 hex digits for the caller: HMAC-SHA-256 (RFC 2104) of the credentials under the server's secret.

    ``shared`` names one tenant for all callers. Callers without credentials are one tenant of their own.
    """
    who = ["shared", shared] if shared else ["key", *(headers.get(name, "") for name in _CREDENTIALS)]
    return hmac.new(secret, "\0".join(who).encode("utf-8", "surrogatepass"), sha256).hexdigest()[:32]


def deciding(headers: Mapping[str, str]) -> dict[str, str]:
    """Of the headers that go upstream those that may decide the answer or who asks, and that ``tenant_of`` does not know."""
    return {
        name: value
        for name, value in headers.items()
        if name not in _NEUTRAL and name not in _CREDENTIALS and not name.startswith("x-stainless-")
    }


def load_secret(path: Path) -> bytes:
    """The server's secret, made on first use and readable by its owner only; replicas share the file.

    Raises StoreError where the file cannot be read or made, InvalidInputError for one that is too short to be a secret.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        found = path.read_bytes().strip()
    except OSError as error:
        raise StoreError(
            f"The secret {str(path)!r} cannot be read or made: {error}. Name another file with --secret-file."
        ) from error
    if len(found) < _BYTES:
        raise InvalidInputError(
            f"The secret in {str(path)!r} has {len(found)} bytes; at least {_BYTES} are needed. Delete it to have a new one."
        )
    return found


def _make(path: Path) -> None:
    """Write it whole under another name first: a replica that starts at the same moment must not read half of it."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(_BYTES).encode())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
