"""The index against a plain dict, under any order of adding, replacing, emptying, deleting and reopening."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ragkit import Document, Index
from ragkit.chunk import FixedChunker
from ragkit.testing.embedders import HashEmbedder

ids = st.sampled_from(["a", "b", "it's", "\ud800", "\x00"])
texts = st.sampled_from(
    ["", " \n", "one", "one two three four five six", "one two three four FIVE", "x \ud800 \ue000 \x00 y", "数据 数据"]
)
metadata = st.sampled_from([{}, {"n": 1}, {"n": "1"}, {"n": [1]}, {"\udfff": None}])


class Shelf(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp()) / "kb"
        self.model: dict[str, Document] = {}
        self.reopen()

    @rule()
    def reopen(self) -> None:
        self.index = Index(self.path, embedder=HashEmbedder(dim=16), chunker=FixedChunker(max_tokens=2))

    @rule(batch=st.dictionaries(ids, st.tuples(texts, metadata), max_size=4), batch_chunks=st.sampled_from([1, 3, 4096]))
    def add(self, batch: dict[str, tuple[str, dict[str, object]]], batch_chunks: int) -> None:
        documents = [Document(text, id=doc_id, metadata=facts) for doc_id, (text, facts) in batch.items()]
        report = self.index.add(documents, batch_chunks=batch_chunks)
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

    @rule(some=st.lists(ids, max_size=3))
    def delete(self, some: list[str]) -> None:
        assert self.index.delete(some) == len(set(some) & self.model.keys())
        for doc_id in some:
            self.model.pop(doc_id, None)

    @rule()
    def optimize(self) -> None:
        self.index.optimize()

    @invariant()
    def the_index_is_the_model(self) -> None:
        assert self.index.document_ids() == sorted(self.model)
        for doc_id, document in self.model.items():
            chunks = self.index.chunks_of(doc_id)
            assert "".join(chunk.text for chunk in chunks) == document.text
            assert all(chunk.metadata == document.metadata for chunk in chunks)
        hits = self.index.search("one two 数据", k=100)
        assert sum(len(hit.chunk.text) for hit in hits) == sum(len(one.text) for one in self.model.values())
        words = {hit.chunk.doc_id for hit in self.index.search("one", k=100, mode="bm25")}
        assert words == {one.id for one in self.model.values() if "one" in one.text}

    def teardown(self) -> None:
        self.index.close()
        shutil.rmtree(self.path.parent)


TestShelf = Shelf.TestCase
TestShelf.settings = settings(max_examples=8, stateful_step_count=10)
