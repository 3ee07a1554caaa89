"""The command line: ``ragkit index | search | chunk | eval``."""

from __future__ import annotations

from ragkit.cli.app import main

__all__ = ["main"]
