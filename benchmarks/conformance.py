"""Which laws of chunking each library keeps, on 23 texts that break chunkers.

    python benchmarks/conformance.py [--size 6000] [--json | --markdown] [--seconds 8]

Every contender cuts every text at 128 tokens, with three tokenizers, without overlap and with 32 tokens of it where it has
such a setting. The checks are those of ``ragkit.testing.conformance``; the judge of every limit is the tokenizer itself.
Peers run with the settings that serve them best here (``benchmarks/peers`` has them, one module per library). Each runs in a process of its own, so
that a crash or a text that takes longer than ``--seconds`` costs one cell. Peers that are not installed are left out and named.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from peers import CONTENDERS
from peers.child import measure, work
from peers.contender import LIMIT
from peers.report import details, overview, page
from rich.console import Console
from rich.table import Table

from ragkit.testing.texts import pathological


def versions(names: list[str]) -> dict[str, str]:
    import ragkit

    found = {"ragkit": ragkit.__version__}
    for package in [*dict.fromkeys(CONTENDERS[name].package for name in names), "tiktoken", "tokenizers"]:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=6_000, help="characters of most texts")
    parser.add_argument("--seconds", type=float, default=8, help="the most that one text may take")
    parser.add_argument("--only", help="contenders whose names begin so")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="everything, text by text, as JSON")
    shape.add_argument("--markdown", action="store_true", help="the page docs/conformance.md")
    shape.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.size)
        return 0
    wanted = [name for name in CONTENDERS if name.startswith(options.only or "")]
    here = [name for name in wanted if find_spec(CONTENDERS[name].module.partition(".")[0])]
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        # Peers first: the slow ones are among them, and nothing should wait for them alone at the end.
        asked = {name: pool.submit(measure, CONTENDERS[name], options.size, options.seconds) for name in reversed(here)}
    rows = [row for name in here for row in asked[name].result()]
    result = {
        "size": options.size,
        "seconds": options.seconds,
        "of": len(pathological(options.size)),
        "limit": LIMIT,
        "python": platform.python_version(),
        "versions": versions(here),
        "missing": [name for name in wanted if name not in here],
        "settings": {name: CONTENDERS[name].settings for name in here},
        "rows": rows,
    }
    if options.json:
        print(json.dumps(result, indent=2))
        return 0
    result |= {"overview": overview(rows), "details": details(rows)}
    if options.markdown:
        print(page(result), end="")
        return 0
    for title, (heads, body) in (("clean texts", result["overview"]), ("texts on which each law broke", result["details"])):
        table = Table(*heads, title=f"{title}, of {result['of']}")
        for cells in body:
            table.add_row(*cells)
        Console().print(table)
    print("versions:", ", ".join(f"{name} {number}" for name, number in result["versions"].items()))
    if result["missing"]:
        print("not installed, left out:", ", ".join(result["missing"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
