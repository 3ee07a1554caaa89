"""When a stored answer may be served: pure state machines over a score, without clock, coin or disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ragkit.cache.policies.certified import Certified, CertifiedSettings
from ragkit.cache.policies.decision import Decision, Policy
from ragkit.cache.policies.fixed import Calibrated, Exact, Static, calibrate
from ragkit.errors import InvalidInputError

__all__ = [
    "Calibrated",
    "Certified",
    "CertifiedSettings",
    "Decision",
    "Exact",
    "Policy",
    "Static",
    "calibrate",
    "load_policy",
    "make_policy",
]

_KINDS: dict[str, type[Exact] | type[Static] | type[Calibrated] | type[Certified]] = {
    "exact": Exact,
    "static": Static,
    "calibrated": Calibrated,
    "certified": Certified,
}


def make_policy(policy: str | Policy) -> Policy:
    """A policy by name with its default settings, or the policy itself.

    "calibrated" by name alone serves nothing by meaning, as nothing was calibrated: use ``calibrate``. Raises
    InvalidInputError for other names.
    """
    if isinstance(policy, str):
        if policy not in _KINDS:
            raise InvalidInputError(f"policy is {policy!r}; it is one of {', '.join(_KINDS)}, or a policy object.")
        return _KINDS[policy]()
    return policy


def load_policy(data: Mapping[str, Any]) -> Policy:
    """The policy whose ``to_dict`` gave ``data``; InvalidInputError where no policy of ragkit did."""
    kind = _KINDS.get(data.get("policy", ""))
    if kind is None:
        raise InvalidInputError(f"policy is {data.get('policy')!r}; stored policies are {', '.join(_KINDS)}.")
    return kind.from_dict(data)
