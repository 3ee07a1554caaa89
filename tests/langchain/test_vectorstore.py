"""RagkitVectorStore beyond the standard suite: parts of long documents, filters, modes, scores, indexing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.indexing import InMemoryRecordManager, aindex, index

import ragkit
from ragkit import Index
from ragkit.chunk import MarkdownChunker, RecursiveChunker
from ragkit.errors import DuplicateIdError, FilterError, InvalidInputError
from ragkit.langchain import LangChainEmbedder, RagkitEmbeddings, RagkitVectorStore
from ragkit.retrieve import Shape
from ragkit.testing.embedders import HashEmbedder

LONG = "Granite is an igneous rock. " * 6 + "\n\n" + "Marble is a metamorphic rock. " * 6 + "\n\n" + "Zircon dates them. "


@pytest.fixture
def store(tmp_path: Path) -> RagkitVectorStore:
    return RagkitVectorStore(Index(tmp_path / "kb.lance", embedder=HashEmbedder()))


@pytest.fixture
def parts(tmp_path: Path) -> RagkitVectorStore:
    """A store whose chunks are small enough to split LONG."""
    return RagkitVectorStore(Index(tmp_path / "parts.lance", chunker=RecursiveChunker(max_tokens=30), embedder=HashEmbedder()))


def add(store: RagkitVectorStore, **texts: str) -> list[str]:
    return store.add_documents([Document(page_content=text, id=name, metadata={"name": name}) for name, text in texts.items()])


class TestDocuments:
    def test_equal_texts_without_ids_stay_two(self, store: RagkitVectorStore) -> None:
        ids = store.add_documents([Document(page_content="same words"), Document(page_content="same words")])
        assert len(set(ids)) == 2
        assert {document.id for document in store.similarity_search("same words", k=5)} == set(ids)

    def test_given_ids_come_before_own_ones(self, store: RagkitVectorStore) -> None:
        documents = [Document(page_content="a b", id="own"), Document(page_content="c d")]
        ids = store.add_documents(documents, ids=["given", None])
        assert ids[0] == "given"
        assert ids[1] not in ("given", "own", "")

    def test_metadata_come_back_exactly(self, store: RagkitVectorStore) -> None:
        metadata = {"source": "a.md", "n": 1, "x": 1.5, "none": None, "tags": ["a", 1], "deep": {"k": [True]}, "doc_id": "mine"}
        store.add_documents([Document(page_content="some words", id="1", metadata=metadata)])
        assert store.similarity_search("words", k=1) == [Document(page_content="some words", id="1", metadata=metadata)]

    def test_metadata_that_json_cannot_hold_is_refused(self, store: RagkitVectorStore) -> None:
        with pytest.raises(InvalidInputError, match=r"metadata\['a'\] is a set"):
            store.add_documents([Document(page_content="x", metadata={"a": {1}})])

    def test_two_texts_under_one_id_are_refused(self, store: RagkitVectorStore) -> None:
        with pytest.raises(DuplicateIdError):
            store.add_documents([Document(page_content="a"), Document(page_content="b")], ids=["1", "1"])

    def test_a_document_without_text_is_named(self, store: RagkitVectorStore) -> None:
        with pytest.warns(UserWarning, match="'empty' was not stored"):
            assert add(store, full="words", empty="  ") == ["full"]

    def test_numbers_must_match(self, store: RagkitVectorStore) -> None:
        with pytest.raises(InvalidInputError, match="1 documents and 2 ids"):
            store.add_documents([Document(page_content="a")], ids=["1", "2"])

    def test_delete_everything(self, store: RagkitVectorStore) -> None:
        add(store, a="one", b="two")
        assert store.delete() is True
        assert store.index.stats().documents == 0


class TestParts:
    def test_a_part_tells_its_place(self, parts: RagkitVectorStore) -> None:
        parts.add_documents(
            [Document(page_content=LONG, id="rocks", metadata={"topic": "rock"}), Document(page_content="brief", id="b")]
        )
        found = parts.similarity_search("zircon marble granite rock", k=20)
        pieces = [document for document in found if document.id != "b"]
        assert len(pieces) > 2
        for piece in pieces:
            place = piece.metadata
            assert LONG[place["start_index"] : place["end_index"]] == piece.page_content
            assert (place["doc_id"], place["topic"]) == ("rocks", "rock")
        assert parts.get_by_ids([piece.id or "" for piece in pieces]) == pieces

    @pytest.mark.parametrize("overlap", [0, 8])
    def test_get_by_ids_gives_the_whole_text(self, tmp_path: Path, overlap: int) -> None:
        chunker = RecursiveChunker(max_tokens=30, overlap=overlap)
        store = RagkitVectorStore(Index(tmp_path / "o.lance", chunker=chunker, embedder=HashEmbedder()))
        whole = Document(page_content=LONG, id="rocks", metadata={"topic": "rock"})
        store.add_documents([whole])
        assert store.index.stats().chunks > 2
        assert store.get_by_ids(["none", "rocks"]) == [whole]

    def test_what_a_chunker_found_is_metadata_of_parts_only(self, tmp_path: Path) -> None:
        store = RagkitVectorStore(Index(tmp_path / "m.lance", chunker=MarkdownChunker(max_tokens=16), embedder=HashEmbedder()))
        whole = Document(
            page_content="# A\n\n" + "one two three. " * 4 + "\n\n# B\n\n" + "four five six. " * 4, id="d", metadata={"x": 1}
        )
        store.add_documents([whole])
        assert {tuple(part.metadata["headings"]) for part in store.similarity_search("one four", k=9)} == {("A",), ("B",)}
        assert store.get_by_ids(["d"]) == [whole]

    def test_replacing_a_long_document_leaves_no_old_part(self, parts: RagkitVectorStore) -> None:
        add(parts, doc=LONG)
        add(parts, doc="short now")
        assert [document.page_content for document in parts.similarity_search("granite", k=9)] == ["short now"]


class TestSearch:
    @pytest.fixture(autouse=True)
    def _three(self, store: RagkitVectorStore) -> None:
        add(store, dog="the dog barks", cat="the cat purrs", car="the car honks")

    def test_scores_are_higher_for_better(self, store: RagkitVectorStore) -> None:
        for mode in ("dense", "bm25", "hybrid"):
            found = store.similarity_search_with_score("cat purrs", k=3, mode=mode)
            scores = [score for _, score in found]
            assert found[0][0].id == "cat"
            assert scores == sorted(scores, reverse=True)
        assert store.similarity_search_with_score("the cat purrs", k=1, mode="dense")[0][1] == pytest.approx(1)

    def test_modes_of_the_store_and_the_call(self, store: RagkitVectorStore) -> None:
        words = RagkitVectorStore(store.index, mode="bm25")
        assert [document.id for document in words.similarity_search("honks", k=3)] == ["car"]
        assert len(words.similarity_search("honks", k=3, mode="dense")) == 3

    @pytest.mark.parametrize("name", ["filter", "where"])
    def test_filters(self, store: RagkitVectorStore, name: str) -> None:
        condition: dict[str, Any] = {name: {"name": {"$in": ["dog", "car"]}}}
        vector = store.embeddings.embed_query("cat")
        for found in (
            store.similarity_search("cat", k=9, **condition),
            store.similarity_search_by_vector(vector, k=9, **condition),
            store.max_marginal_relevance_search("cat", k=9, **condition),
            [document for document, _ in store.similarity_search_with_relevance_scores("cat", k=9, **condition)],
        ):
            assert {document.id for document in found} == {"dog", "car"}

    def test_unknown_options_and_filters_are_named(self, store: RagkitVectorStore) -> None:
        with pytest.raises(InvalidInputError, match="score_treshold"):
            store.similarity_search("cat", score_treshold=1)
        with pytest.raises(InvalidInputError, match="Both filter= and where="):
            store.similarity_search("cat", filter={"a": 1}, where={"a": 1})
        with pytest.raises(FilterError):
            store.similarity_search("cat", filter=lambda document: True)
        with pytest.raises(InvalidInputError, match="namespace"):
            store.add_documents([], namespace="x")

    def test_relevance_is_the_cosine_from_0_to_1(self, store: RagkitVectorStore) -> None:
        found = store.similarity_search_with_relevance_scores("the cat purrs", k=3)
        assert found[0][1] == pytest.approx(1)
        assert all(0 <= score <= 1 for _, score in found)
        vector = np.array(store.embeddings.embed_query("the cat purrs"))
        others = np.array(store.embeddings.embed_documents([document.page_content for document, _ in found]))
        np.testing.assert_allclose([score for _, score in found], np.clip(others @ vector, 0, 1), atol=1e-6)
        kept = store.similarity_search_with_relevance_scores("the cat purrs", k=3, score_threshold=0.99)
        assert [document.id for document, _ in kept] == ["cat"]

    def test_by_vector_is_by_meaning(self, store: RagkitVectorStore) -> None:
        vector = store.embeddings.embed_query("the dog barks")
        assert store.similarity_search_by_vector(vector, k=3) == store.similarity_search("the dog barks", k=3, mode="dense")
        assert store.similarity_search_with_score_by_vector(vector, k=1)[0][1] == pytest.approx(1)
        with pytest.raises(InvalidInputError):
            store.similarity_search_by_vector([1.0, 2.0])

    def test_variety(self, store: RagkitVectorStore) -> None:
        add(store, twin="the cat purrs", triplet="the cat purrs")
        closest = store.max_marginal_relevance_search("the cat purrs", k=3, lambda_mult=1.0)
        varied = store.max_marginal_relevance_search("the cat purrs", k=3, lambda_mult=0.3)
        assert {document.page_content for document in closest} == {"the cat purrs"}
        assert len({document.page_content for document in varied}) == 3
        assert store.max_marginal_relevance_search("x", k=2, filter={"name": "nobody"}) == []
        with pytest.raises(InvalidInputError, match="lambda_mult is 2"):
            store.max_marginal_relevance_search("x", lambda_mult=2)

    async def test_async_twins_agree(self, store: RagkitVectorStore) -> None:
        vector = store.embeddings.embed_query("cat")
        assert await store.asimilarity_search("cat", k=2) == store.similarity_search("cat", k=2)
        assert await store.asimilarity_search_with_score("cat", k=2) == store.similarity_search_with_score("cat", k=2)
        assert await store.asimilarity_search_by_vector(vector, k=2) == store.similarity_search_by_vector(vector, k=2)
        assert await store.amax_marginal_relevance_search("cat", k=2) == store.max_marginal_relevance_search("cat", k=2)
        both = (
            await store.asimilarity_search_with_relevance_scores("cat", k=2),
            store.similarity_search_with_relevance_scores("cat", k=2),
        )
        assert both[0] == both[1]

    async def test_variety_in_every_way(self, store: RagkitVectorStore) -> None:
        """By text and by vector, at once and awaited, with filters in the index's language; more than fetch_k is no loss."""
        add(store, twin="the cat purrs", triplet="the cat purrs")
        vector = store.embeddings.embed_query("the cat purrs")
        where = {"name": {"$in": ["cat", "twin", "dog"]}}
        for options in ({"filter": where}, {"where": where}):
            given = {"k": 2, "lambda_mult": 0.3, **options}
            found = store.max_marginal_relevance_search("the cat purrs", **given)
            assert [document.page_content for document in found] == ["the cat purrs", "the dog barks"]
            assert store.max_marginal_relevance_search_by_vector(vector, **given) == found
            assert await store.amax_marginal_relevance_search("the cat purrs", **given) == found
            assert await store.amax_marginal_relevance_search_by_vector(vector, **given) == found
        assert len(store.max_marginal_relevance_search("cat", k=4, fetch_k=2)) == 4

    async def test_shapes(self, store: RagkitVectorStore) -> None:
        add(store, twin="the cat purrs", triplet="the cat purrs")
        for options in ({"shape": Shape(fold=1.0)}, {"shape": Shape(mmr=0.3), "where": {"name": {"$ne": "triplet"}}}):
            found = store.similarity_search("the cat purrs", k=2, **options)
            assert len({document.page_content for document in found}) == 2
            assert await store.asimilarity_search("the cat purrs", k=2, **options) == found
            assert store.as_retriever(search_kwargs={"k": 2, **options}).invoke("the cat purrs") == found

    async def test_queries_beyond_reason(self, store: RagkitVectorStore) -> None:
        endless = "the cat purrs " * 7_500
        assert len(endless) > 100_000
        assert store.similarity_search(endless, k=1)[0].id == "cat"
        assert store.max_marginal_relevance_search(endless, k=1)[0].id == "cat"
        assert len(await store.asimilarity_search("cat", k=1_000_000)) == 3
        for query in ("", "  "):
            with pytest.raises(InvalidInputError, match="is blank"):
                store.similarity_search(query)
            with pytest.raises(InvalidInputError, match="is blank"):
                await store.asimilarity_search(query)
            with pytest.raises(InvalidInputError, match="is blank"):
                store.max_marginal_relevance_search(query)

    @pytest.mark.parametrize(
        ("kind", "options"),
        [("similarity", {"k": 2}), ("mmr", {"k": 2}), ("similarity_score_threshold", {"k": 2, "score_threshold": 0.1})],
    )
    def test_as_retriever(self, store: RagkitVectorStore, kind: str, options: dict[str, Any]) -> None:
        retriever = store.as_retriever(search_type=kind, search_kwargs=options)
        assert retriever.invoke("the cat purrs")[0].id == "cat"


class TestConstruction:
    def test_from_texts_with_langchain_embeddings(self, tmp_path: Path) -> None:
        fake = DeterministicFakeEmbedding(size=6)
        path = tmp_path / "kb.lance"
        store = RagkitVectorStore.from_texts(["a b", "c d"], fake, [{"n": 1}, {"n": 2}], path=path, ids=["1", "2"], name="fake")
        assert store.embeddings is fake
        assert store.similarity_search("c d", k=1) == [Document(page_content="c d", id="2", metadata={"n": 2})]
        again = RagkitVectorStore(Index(path, embedder=LangChainEmbedder(fake, name="fake")))
        assert again.similarity_search("a b", k=1)[0].id == "1"

    async def test_from_documents(self, tmp_path: Path) -> None:
        documents = [Document(page_content="a b", id="1"), Document(page_content="c d")]
        store = RagkitVectorStore.from_documents(documents, HashEmbedder(), path=tmp_path / "a.lance")  # type: ignore[arg-type]
        assert isinstance(store.embeddings, RagkitEmbeddings)
        assert store.get_by_ids(["1"]) == documents[:1]
        assert len(store.similarity_search("c d", k=3)) == 2
        later = await RagkitVectorStore.afrom_documents(documents, store.embeddings, path=tmp_path / "b.lance")
        assert later.get_by_ids(["1"]) == documents[:1]

    def test_a_model_without_a_name_is_asked_for_one(self, tmp_path: Path) -> None:
        class Named(DeterministicFakeEmbedding):
            model: str = "named-model"

        with pytest.raises(InvalidInputError, match="pass name="):
            RagkitVectorStore.from_texts(["a"], DeterministicFakeEmbedding(size=6), path=tmp_path / "kb.lance")
        assert RagkitVectorStore.from_texts(["a"], Named(size=6), path=tmp_path / "kb.lance").index.card.name == "named-model"


class TestIndexing:
    """langchain_core.indexing, which keeps a store in step with a source."""

    def run(self, store: RagkitVectorStore, records: InMemoryRecordManager, *texts: str, **options: Any) -> dict[str, int]:
        documents = [Document(page_content=text, metadata={"source": text[0]}) for text in texts]
        result = index(documents, records, store, source_id_key="source", key_encoder="blake2b", **options)
        return {key: value for key, value in result.items() if value}

    @pytest.fixture
    def records(self) -> InMemoryRecordManager:
        manager = InMemoryRecordManager("test")
        manager.create_schema()
        return manager

    def texts(self, store: RagkitVectorStore) -> set[str]:
        return {document.page_content for document in store.similarity_search("words", k=99)}

    def test_full(self, store: RagkitVectorStore, records: InMemoryRecordManager) -> None:
        assert self.run(store, records, "a words", "b words", cleanup="full") == {"num_added": 2}
        assert self.run(store, records, "a words", "b words", cleanup="full") == {"num_skipped": 2}
        assert self.run(store, records, "a words", "c words", cleanup="full") == {
            "num_added": 1,
            "num_skipped": 1,
            "num_deleted": 1,
        }
        assert self.texts(store) == {"a words", "c words"}

    @pytest.mark.parametrize("cleanup", ["incremental", "scoped_full"])
    def test_by_source(self, store: RagkitVectorStore, records: InMemoryRecordManager, cleanup: str) -> None:
        self.run(store, records, "a words", "b words", cleanup=cleanup)
        assert self.run(store, records, "a other words", cleanup=cleanup) == {"num_added": 1, "num_deleted": 1}
        assert self.texts(store) == {"a other words", "b words"}

    def test_no_cleanup_and_small_batches(self, store: RagkitVectorStore, records: InMemoryRecordManager) -> None:
        assert self.run(store, records, "a words", "a words", "b words", batch_size=1) == {"num_added": 2, "num_skipped": 1}
        assert self.run(store, records, "c words", force_update=True) == {"num_added": 1}
        assert self.texts(store) == {"a words", "b words", "c words"}

    async def test_async(self, store: RagkitVectorStore, records: InMemoryRecordManager) -> None:
        documents = [Document(page_content="a words", metadata={"source": "a"})]
        for expected in ("num_added", "num_skipped"):
            result = await aindex(documents, records, store, cleanup="full", source_id_key="source", key_encoder="blake2b")
            assert result[expected] == 1  # type: ignore[literal-required]


def test_one_index_two_doors(store: RagkitVectorStore) -> None:
    """What ragkit adds LangChain finds, and the other way round."""
    store.index.add([ragkit.Document("granite is hard", id="r", metadata={"a": 1})])
    assert store.similarity_search("granite", k=1) == [Document(page_content="granite is hard", id="r", metadata={"a": 1})]
    add(store, l="marble is soft")
    assert store.index.search("marble", k=1)[0].chunk.doc_id == "l"
