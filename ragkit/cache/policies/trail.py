"""How a policy has fared over time, in a bounded number of points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Self

#: Points from which on every second one is dropped.
_MOST = 256


class Point(NamedTuple):
    """After so many ``requests``: how many were ``hits``, of how many of those a judge has heard (``audited``), how many he found
    ``wrong``, and the share that may be wrong, at most (``bound``)."""

    requests: int
    hits: int
    audited: int
    wrong: int
    bound: float


class Trail:
    """Points from the first request to the last, evenly spaced and at most 256: when there are more, every second one goes.

    The oldest are not forgotten, so the whole of a policy's life can be drawn, whatever its length.
    """

    def __init__(self, every: int = 1) -> None:
        self._every = every
        self._points: list[Point] = []

    def __iter__(self) -> Iterator[Point]:
        return iter(self._points)

    def __len__(self) -> int:
        return len(self._points)

    def pass_by(self, point: Point) -> None:
        """Keep a point if it is time for one."""
        if self._points and point.requests < self._points[-1].requests + self._every:
            return
        self._points.append(point)
        if len(self._points) > _MOST:
            self._every *= 2
            self._points = self._points[::2]

    def to_dict(self) -> dict[str, Any]:
        """The points, ready for JSON."""
        return {"every": self._every, "points": [list(point) for point in self._points]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], /) -> Self:
        """A trail from ``to_dict``'s output."""
        made = cls(data["every"])
        made._points = [Point(*point) for point in data["points"]]
        return made
