"""A cache, or an index, in a process of its own: one JSON order per line, one JSON answer per line."""

from __future__ import annotations

import json
import sys
from typing import Any

from ragkit import Document, Index, SemanticCache
from ragkit.cache import Scope, Static, vault
from ragkit.testing.embedders import HashEmbedder

HERE = Scope("acme", "m")


def say(what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    index: Index | None = None
    cache: SemanticCache | None = None
    # So that rows are moved into the table all the time, also while it is killed.
    vault._WAITING = 16
    say("ready")
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        said: Any = None
        match order.pop("do"):
            case "open":
                index = Index(order["index"], embedder=HashEmbedder()) if "index" in order else None
                cache = SemanticCache(order["cache"], embedder=HashEmbedder(), policy=Static(0.8), index=index)
            case "put":
                said = cache.put(order["prompt"], order["answer"], scope=HERE, sources=order["sources"]).entry
            case "put many":
                # Says each number when it is stored, until it is killed.
                for number in range(order["count"]):
                    cache.put(f"What is number {number}?", "a" * 2000, scope=HERE)
                    say(number)
            case "lookup":
                said = cache.lookup(order["prompt"], scope=HERE).answer
            case "invalidate":
                said = cache.invalidate(**order)
            case "add":
                index.add([Document(order["text"], id=order["id"])])
            case "delete":
                said = index.delete(order["id"])
        say(said)


if __name__ == "__main__":
    main()
