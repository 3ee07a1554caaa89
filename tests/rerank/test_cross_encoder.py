"""A real cross-encoder of a few thousand random numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ragkit.embed import PairScorer
from ragkit.errors import CapabilityError, InvalidInputError, TextTooLongError
from ragkit.rerank import CrossEncoderReranker, reranker_from

from .test_reranker import HITS, QUESTION

WORDS = ["the", "river", "bridge", "town", "rain", "closed", "morning", "over", "is", "until", "dog", "night"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make(path: Path, *, labels: int = 1) -> Path:
    import torch
    import transformers as t
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    torch.manual_seed(0)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
    backend = Tokenizer(models.WordPiece({piece: at for at, piece in enumerate(pieces)}, unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = t.PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", model_max_length=64
    )
    tokenizer.save_pretrained(path)
    config = t.BertConfig(
        vocab_size=len(pieces),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        num_labels=labels,
        initializer_range=1.0,
    )
    t.BertForSequenceClassification(config).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("cross") / "model")


def reference(model: Path, query: str, text: str) -> float:
    import torch
    import transformers as t

    tokenizer = t.AutoTokenizer.from_pretrained(str(model))
    loaded = t.AutoModelForSequenceClassification.from_pretrained(str(model)).eval()
    with torch.inference_mode():
        return float(loaded(**tokenizer(query, text, return_tensors="pt")).logits[0, 0])


def test_scores_are_the_models_whatever_the_batch(model: Path) -> None:
    texts = ["the river", "rain over the town until morning", "dog", "?", "the bridge is closed " * 5]
    expected = [reference(model, QUESTION, text) for text in texts]
    for batch_tokens in (1, 64, 4096):
        found = PairScorer(str(model), batch_tokens=batch_tokens, device="cpu").score(QUESTION, texts)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert len(PairScorer(str(model)).score(QUESTION, [])) == 0


def test_the_rerankers_library_scores_the_same_model_alike(model: Path) -> None:
    from rerankers import Reranker

    own = CrossEncoderReranker(str(model))(QUESTION, HITS)
    theirs = reranker_from(Reranker(str(model), model_type="cross-encoder", device="cpu", verbose=0))(QUESTION, HITS)
    assert [hit.chunk.id for hit in theirs] == [hit.chunk.id for hit in own]
    scores = [[hit.parts["rerank"].score for hit in hits] for hits in (theirs, own)]
    np.testing.assert_allclose(*scores, atol=1e-4)


def test_models_of_the_rerankers_library_that_only_rank() -> None:
    from rerankers.models.ranker import BaseRanker
    from rerankers.results import RankedResults, Result
    from rerankers.utils import prep_docs

    class Longest(BaseRanker):
        def __init__(self) -> None: ...

        def score(self, query: str, doc: str) -> float:
            raise NotImplementedError

        def rank(self, query: str, docs: list[str], doc_ids: list[int] | None = None) -> RankedResults:
            ordered = sorted(prep_docs(docs, doc_ids), key=lambda one: -len(one.text))
            return RankedResults([Result(document=one, rank=rank) for rank, one in enumerate(ordered, 1)], query)

    found = reranker_from(Longest())(QUESTION, HITS)
    assert [hit.chunk.id for hit in found] == [hit.chunk.id for hit in sorted(HITS, key=lambda hit: -len(hit.chunk.text))]


def test_hits_in_the_models_order(model: Path) -> None:
    reranker = CrossEncoderReranker(str(model))
    scores = reranker.scores(QUESTION, [hit.chunk.text for hit in HITS])
    found = reranker(QUESTION, HITS)
    assert [hit.chunk.id for hit in found] == [HITS[at].chunk.id for at in np.argsort(-scores)]
    assert [hit.parts["rerank"].score for hit in found] == pytest.approx(sorted(scores, reverse=True), abs=1e-5)


def test_long_passages_are_read_in_windows_and_the_best_counts(model: Path) -> None:
    scorer = PairScorer(str(model))
    noise, answer = "dog night " * 40, "the river bridge is closed " * 8
    whole = scorer.score(QUESTION, [noise + answer])[0]
    room = 64 - 3 - 10
    words = (noise + answer).split()
    windows = [" ".join(words[at : at + room]) for at in range(0, len(words), room)]
    assert whole == pytest.approx(scorer.score(QUESTION, windows).max(), abs=1e-5)


def test_questions_too_long_and_models_of_another_kind(model: Path, tmp_path: Path) -> None:
    with pytest.raises(TextTooLongError, match="2000 tokens"):
        PairScorer(str(model)).score("rain " * 2000, ["river"])
    with pytest.raises(CapabilityError, match="5 outputs"):
        PairScorer(str(make(tmp_path / "five", labels=5))).score("rain", ["river"])
    with pytest.raises(InvalidInputError, match="positions for 64"):
        PairScorer(str(model), window=100).score("rain", ["river"])


def test_two_outputs_count_by_their_difference(tmp_path: Path) -> None:
    assert np.ptp(PairScorer(str(make(tmp_path / "two", labels=2))).score("rain", ["river", "dog night", "the town"])) > 0
