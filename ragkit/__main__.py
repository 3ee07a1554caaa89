"""``python -m ragkit``: the command line."""

from __future__ import annotations

from ragkit.cli import main

main()
