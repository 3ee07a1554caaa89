"""The index against a plain dict, under any order of adding, replacing, emptying, deleting, going back, by two handles."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ragkit import Document, Hit, Index
from ragkit.chunk import FixedChunker
from ragkit.store import Column
from ragkit.testing.embedders import HashEmbedder

ids = st.sampled_from(["a", "b", "it's", "\ud800", "\x00"])
texts = st.sampled_from(
    ["", " \n", "one", "one two three four five six", "one two three four FIVE", "x \ud800 \ue000 \x00 y", "数据 数据"]
)
metadata = st.sampled_from([{}, {"n": 1}, {"n": "1"}, {"n": [1]}, {"\udfff": None}])


handles = st.sampled_from([0, 1])


class Shelf(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp()) / "kb"
        self.model: dict[str, Document] = {}
        self.past: dict[int, dict[str, Document]] = {}
        self.indexes = [self.opened(), self.opened()]

    def opened(self, **options: Any) -> Index:
        return Index(self.path, embedder=HashEmbedder(dim=16), chunker=FixedChunker(max_tokens=2), **options)

    @rule(handle=handles)
    def reopen(self, handle: int) -> None:
        self.indexes[handle] = self.opened()

    @rule(handle=handles)
    def declare(self, handle: int) -> None:
        self.indexes[handle] = self.opened(columns=[Column("n", int, wrong="null")])

    @rule(
        handle=handles,
        batch=st.dictionaries(ids, st.tuples(texts, metadata), max_size=4),
        batch_chunks=st.sampled_from([1, 3, 4096]),
    )
    def add(self, handle: int, batch: dict[str, tuple[str, dict[str, object]]], batch_chunks: int) -> None:
        documents = [Document(text, id=doc_id, metadata=facts) for doc_id, (text, facts) in batch.items()]
        report = self.indexes[handle].add(documents, batch_chunks=batch_chunks)
        blank = {one.id for one in documents if not one.text.strip()}
        known = {one.id for one in documents if one.id in self.model}
        same = {one.id for one in documents if self.model.get(one.id) == one}
        everything = {one.id for one in documents}
        assert report.unchanged == len(same)
        assert report.added == len(everything - blank - known)
        assert report.replaced == len((known & everything) - blank - same)
        assert report.removed == len(blank & known)
        assert {doc_id for doc_id, _ in report.skipped} == blank
        assert report.chunks == report.embedded + report.reused
        for one in documents:
            if one.id in blank:
                self.model.pop(one.id, None)
            else:
                self.model[one.id] = one

    @rule(handle=handles, some=st.lists(ids, max_size=3))
    def delete(self, handle: int, some: list[str]) -> None:
        assert self.indexes[handle].delete(some) == len(set(some) & self.model.keys())
        for doc_id in some:
            self.model.pop(doc_id, None)

    @rule(handle=handles)
    def optimize(self, handle: int) -> None:
        self.indexes[handle].optimize()

    @rule(handle=handles)
    def remember(self, handle: int) -> None:
        self.past[self.indexes[handle].history.versions()[-1].number] = dict(self.model)

    @precondition(lambda self: self.past)
    @rule(handle=handles, which=st.integers(0, 9))
    def look_back(self, handle: int, which: int) -> None:
        version = sorted(self.past)[which % len(self.past)]
        with self.indexes[handle].at(version) as old:
            agrees(old, self.past[version])

    @precondition(lambda self: self.past)
    @rule(handle=handles, which=st.integers(0, 9))
    def restore(self, handle: int, which: int) -> None:
        version = sorted(self.past)[which % len(self.past)]
        self.indexes[handle].history.restore(version)
        self.model = dict(self.past[version])

    @invariant()
    def both_handles_see_the_model(self) -> None:
        for index in self.indexes:
            agrees(index, self.model)

    def teardown(self) -> None:
        for index in self.indexes:
            index.close()
        shutil.rmtree(self.path.parent)


def agrees(index: Index, model: dict[str, Document]) -> None:
    """The index holds the documents of the model whole and once, and its searches and filters know them all."""
    assert index.document_ids() == sorted(model)
    for doc_id, document in model.items():
        chunks = index.chunks_of(doc_id)
        assert "".join(chunk.text for chunk in chunks) == document.text
        assert all(chunk.metadata == document.metadata for chunk in chunks)
    hits = index.search("one two 数据", k=100)
    assert sum(len(hit.chunk.text) for hit in hits) == sum(len(one.text) for one in model.values())
    assert documents(index.search("one", k=100, mode="bm25")) == {one.id for one in model.values() if "one" in one.text}
    with_one = {one.id for one in model.values() if one.metadata.get("n") == 1}
    assert documents(index.search("one", k=100, mode="dense", where={"n": 1})) == with_one
    others = documents(index.search("one", k=100, where={"n": {"$ne": 1}}))
    assert others == model.keys() - with_one


def documents(hits: list[Hit]) -> set[str]:
    return {hit.chunk.doc_id for hit in hits}


TestShelf = Shelf.TestCase
TestShelf.settings = settings(max_examples=8, stateful_step_count=10)
