"""The public face: promised names exist, everything exported is there and documented, arguments have names."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import ragkit

PROMISED = {
    "ragkit": ["Document", "Chunk", "Hit", "Index", "RagkitError"],
    "ragkit.chunk": ["FixedChunker", "SentenceChunker", "RecursiveChunker", "MarkdownChunker"],
    "ragkit.embed": ["TransformerEmbedder"],
    "ragkit.langchain": ["RagkitTextSplitter", "RagkitEmbeddings", "RagkitVectorStore", "RagkitRetriever"],
}
MODULES = [
    "ragkit",
    *(module.name for module in pkgutil.walk_packages(ragkit.__path__, "ragkit.") if not module.name.endswith("__main__")),
]
FACES = [name for name in MODULES if hasattr(importlib.import_module(name), "__all__")]


def exported():
    """Each object that some ``__all__`` names and ragkit itself defines, once."""
    found = {}
    for face in FACES:
        module = importlib.import_module(face)
        for name in module.__all__:
            value = getattr(module, name)
            if getattr(value, "__module__", "").startswith("ragkit"):
                found[id(value)] = pytest.param(value, id=f"{face}.{name}")
    return list(found.values())


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in PROMISED.items() for name in names])
def test_promised_name(module: str, name: str):
    assert name in importlib.import_module(module).__all__
    assert getattr(importlib.import_module(module), name) is not None


@pytest.mark.parametrize("face", FACES)
def test_all_is_sorted_out(face: str):
    """No name twice, none missing, and ``dir`` of the package shows each."""
    module = importlib.import_module(face)
    assert len(set(module.__all__)) == len(module.__all__)
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = ragkit.nonsense


def methods(value: type):
    """Public methods written in ragkit, with the class that a person sees them on."""
    for name, member in inspect.getmembers(value):
        if not name.startswith("_") and callable(member) and getattr(member, "__module__", "").startswith("ragkit"):
            yield name, member


@pytest.mark.parametrize("value", exported())
def test_documented(value: object):
    """Every public function, class and method says what it is for; a method may inherit its words, a Protocol's class says it for all."""
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return
    bare = [] if inspect.getdoc(value) else [value.__name__]
    if inspect.isclass(value) and not getattr(value, "_is_protocol", False):
        bare += [f"{value.__name__}.{name}" for name, member in methods(value) if not inspect.getdoc(member)]
    assert not bare


def test_typed():
    assert (Path(ragkit.__file__).parent / "py.typed").is_file()
