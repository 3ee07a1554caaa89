"""The semantic cache in front of chat endpoints: an OpenAI-compatible server, ``ragkit serve``."""

from __future__ import annotations

from ragkit.proxy.app import make_app
from ragkit.proxy.running import check_settings, run
from ragkit.proxy.settings import Settings, Upstream, load

__all__ = ["Settings", "Upstream", "check_settings", "load", "make_app", "run"]
