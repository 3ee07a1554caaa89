"""The wheel with nothing but the core requirements: every module imports, and documents become cited hits.

Run by the package gate in an environment without extras, from a folder outside the repository.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import tempfile
from pathlib import Path

import ragkit
from ragkit import Document, Index
from ragkit.chunk import RecursiveChunker
from ragkit.testing.embedders import HashEmbedder

# What only an extra brings must be absent here, or this run would prove nothing.
EXTRAS = ["torch", "transformers", "langchain_core", "lxml", "pypdf", "openai", "ir_measures", "starlette"]
# Doors that are made of another library's classes.
NEEDS_EXTRA = ("ragkit.langchain", "ragkit.proxy")

assert not [name for name in EXTRAS if importlib.util.find_spec(name)], "an extra is installed"
assert "site-packages" in ragkit.__file__, f"{ragkit.__file__} is not the installed wheel"

for module in pkgutil.walk_packages(ragkit.__path__, "ragkit.", onerror=lambda name: None):
    if not module.name.startswith(NEEDS_EXTRA) and not module.name.endswith("__main__"):
        importlib.import_module(module.name)

documents = [
    Document("The lighthouse keeper lit the lamp.\nShips passed safely in the night.", id="lighthouse.txt"),
    Document("Bread needs flour, water, salt and yeast.\nKnead the dough for ten minutes.", id="bread.txt"),
]
chunks = RecursiveChunker(max_tokens=8, tokenizer="words")(documents[0])
assert "".join(chunk.text for chunk in chunks) == documents[0].text

with tempfile.TemporaryDirectory() as folder:
    index = Index(Path(folder) / "kb.lance", chunker=RecursiveChunker(max_tokens=8, tokenizer="words"), embedder=HashEmbedder())
    assert index.add(documents).added == 2
    assert index.add(documents).unchanged == 2
    best = index.search("How long do I knead the dough?", k=1)[0]
    assert best.citation == "bread.txt:2", best.citation
    assert set(best.parts) == {"dense", "bm25"}

print(f"ragkit {ragkit.__version__} works with its core requirements alone")
