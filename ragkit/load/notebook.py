"""Jupyter notebooks to Markdown: the cells a person wrote, without outputs."""

from __future__ import annotations

import json

from ragkit.errors import LoadError


def notebook_text(source: str, *, name: str) -> str:
    """Markdown cells as they are, code cells in fences, joined by blank lines (nbformat 4).

    Raises LoadError (naming ``name``) when the JSON is not a notebook.
    """
    try:
        notebook = json.loads(source)
        language = notebook.get("metadata", {}).get("language_info", {}).get("name", "python")
        cells = []
        for cell in notebook["cells"]:
            text = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
            if text.strip():
                cells.append(f"```{language}\n{text}\n```" if cell["cell_type"] == "code" else text)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LoadError(
            f"{name} is not a notebook of format 4 ({type(error).__name__}: {error}). Open and save it again."
        ) from error
    return "\n\n".join(cells)
