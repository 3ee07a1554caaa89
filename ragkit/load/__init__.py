"""Files to Documents: text, source code, Markdown, HTML, PDF and notebooks (extra ``load``)."""

from __future__ import annotations

from ragkit.load.file import load_file
from ragkit.load.folder import FolderLoad, Skipped, load_folder

__all__ = ["FolderLoad", "Skipped", "load_file", "load_folder"]
