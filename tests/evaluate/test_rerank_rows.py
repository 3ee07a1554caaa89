"""Reranked rows of an evaluation, compared with hybrid search question by question."""

from __future__ import annotations

from ragkit import Document
from ragkit.evaluate import Collection, Query, evaluate
from ragkit.rerank import CompressedReranker, TextReranker, TokenCompressor
from ragkit.testing.embedders import HashReader

TOPICS = [f"topic{place}" for place in range(12)]
DOCUMENTS = [Document(f"a page of many words about {topic} and other things", id=topic) for topic in TOPICS]
COLLECTION = Collection(
    name="topics",
    documents=DOCUMENTS,
    queries=[Query(id=topic, text=f"what about {topic}") for topic in TOPICS],
    qrels={topic: {topic: 1} for topic in TOPICS},
)


def test_a_reranker_is_a_row_and_its_difference_has_an_interval() -> None:
    reader = HashReader(dim=64)
    compressor = TokenCompressor.untrained(reader, [document.text for document in DOCUMENTS], layers=(1,), vectors=16, bits=64)
    wrong = TextReranker(lambda question, texts: [-(question.split()[-1] in text.split()) for text in texts])
    rerankers = {"codes": CompressedReranker(compressor, reader=reader), "wrong": wrong}
    report = evaluate(COLLECTION, embedder=reader, modes=["hybrid"], rerankers=rerankers)
    assert report.score("codes", "nDCG@10").mean == report.score("hybrid", "nDCG@10").mean == 1.0
    told = {(one.mode, one.other): one for one in report.comparisons if one.metric == "nDCG@10"}
    assert set(told) == {("codes", "hybrid"), ("wrong", "hybrid")}
    assert told["wrong", "hybrid"].high < 0
    assert told["codes", "hybrid"].mean == 0
