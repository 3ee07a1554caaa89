"""What must match exactly before two prompts are compared at all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from ragkit.errors import InvalidInputError
from ragkit.types import canonical_json

#: Part of every digest: another layout of the fields makes other digests, never equal ones by accident.
_LAYOUT = "ragkit-scope-1"


@dataclass(frozen=True, slots=True)
class Scope:
    """Everything about a request but its last user text; entries of another scope are never candidates.

    ``tenant`` and ``model`` must not be empty. ``history`` holds every earlier turn in order (texts, or mappings as they are
    sent), ``tools`` the tools offered, ``response_format`` and ``sampling`` (temperature, seed, top_p ...) the settings,
    ``access`` what the asker may read (filters, groups), ``documents`` the versions of the sources, ``extra`` anything else
    that changes the answer. All are JSON-like and copied; two scopes are equal when their ``digest`` is. A number written
    another way (1 and 1.0) is another scope: a miss at worst.

    Raises InvalidInputError for an empty tenant or model, or a value that JSON cannot hold.
    """

    tenant: str
    model: str
    system: str = ""
    history: tuple[Any, ...] = ()
    tools: Any = ()
    response_format: Any = None
    sampling: Any = None
    access: Any = None
    documents: Any = None
    extra: Any = None
    _json: str = field(default="", repr=False)

    def __init__(
        self,
        tenant: str,
        model: str,
        system: str = "",
        history: tuple[Any, ...] | list[Any] = (),
        *,
        tools: Any = (),
        response_format: Any = None,
        sampling: Any = None,
        access: Any = None,
        documents: Any = None,
        extra: Any = None,
    ) -> None:
        for name, value in (("tenant", tenant), ("model", model), ("system", system)):
            if not isinstance(value, str):
                raise InvalidInputError(f"Scope {name} is {value!r} ({type(value).__name__}); it is a str.")
        for name, value in (("tenant", tenant), ("model", model)):
            if not value:
                raise InvalidInputError(
                    f"Scope {name} is empty; name it, so that answers never cross from one {name} to another."
                )
        if isinstance(history, (str, Mapping)) or not isinstance(history, (list, tuple)):
            raise InvalidInputError(f"Scope history is a {type(history).__name__}; it is a tuple of turns, oldest first.")
        given = {
            "tenant": tenant, "model": model, "system": system, "history": history, "tools": tools,
            "response_format": response_format, "sampling": sampling, "access": access, "documents": documents, "extra": extra,
        }  # fmt: skip
        plain = {name: _plain(value, name) for name, value in given.items()}
        for name, value in plain.items():
            object.__setattr__(self, name, tuple(value) if name == "history" else value)
        object.__setattr__(self, "_json", canonical_json([_LAYOUT, plain]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scope) and self._json == other._json

    def __hash__(self) -> int:
        return hash(self._json)

    @property
    def digest(self) -> str:
        """128 bits over all fields, as 32 hex digits: the same on every machine."""
        return self.keyed(b"")

    def keyed(self, secret: bytes) -> str:
        """The digest under a secret of up to 64 bytes, so that who reads the store cannot guess tenants from it."""
        if len(secret) > 64:
            raise InvalidInputError(f"secret has {len(secret)} bytes; BLAKE2b takes at most 64. Hash it first.")
        return blake2b(self._json.encode("utf-8", "surrogatepass"), digest_size=16, key=secret).hexdigest()


def required(scope: Scope | None) -> Scope:
    """The scope itself; InvalidInputError where none was given."""
    if not isinstance(scope, Scope):
        raise InvalidInputError(
            f"scope is {scope!r}; a cache needs one, for example Scope(tenant='acme', model='m'). "
            "Without it one tenant's answers could reach another."
        )
    return scope


def _plain(value: Any, path: str) -> Any:
    """A copy made of dict, list, str, int, float, bool and None; dict keys must be str, numbers finite."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInputError(f"Scope {path} is {value}; numbers must be finite. Leave it out, or use None.")
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{path}[{place}]") for place, item in enumerate(value)]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item, path) for item in value), key=canonical_json)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise InvalidInputError(f"Scope {path} has the key {key!r}; keys are str.")
        return {key: _plain(item, f"{path}[{key!r}]") for key, item in value.items()}
    raise InvalidInputError(
        f"Scope {path} is a {type(value).__name__}; it holds str, int, float, bool, None, lists and dicts. Convert it first."
    )
