"""The semantic cache in front of chat endpoints: an OpenAI-compatible server, ``ragkit serve``."""

from __future__ import annotations

from ragkit.errors import MissingDependencyError

try:
    import circuitbreaker  # noqa: F401
    import httpx2  # noqa: F401
    import opentelemetry.trace  # noqa: F401
    import prometheus_client  # noqa: F401
    import pydantic_settings  # noqa: F401
    import starlette  # noqa: F401
    import tenacity  # noqa: F401
    import uvicorn  # noqa: F401
except ImportError as error:
    raise MissingDependencyError(f"ragkit.proxy needs {error.name}. Install the extra: ragkit-middleware[serve].") from error

from ragkit.proxy.app import make_app
from ragkit.proxy.running import check_settings, run
from ragkit.proxy.settings import Settings, Upstream, load

__all__ = ["Settings", "Upstream", "check_settings", "load", "make_app", "run"]
