"""A small corpus with a secret: questions use other words than documents, always the same ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ragkit.testing.embedders import HashEmbedder
from ragkit.train import Label
from ragkit.types import Document

TOPICS = 16


def secret_corpus(*, documents: int = 14, seed: int = 0) -> tuple[list[Document], list[Label]]:
    """Every sentence is about one topic, in topic words and noise; a question asks for it in words of its own.

    No word is shared between questions and documents, so neither plain vectors nor BM25 can tell; what a question word
    means is the same in every document, so unseen documents gain from what others taught.
    """
    rng = np.random.default_rng(seed)
    made, labels = [], []
    for number in range(documents):
        text = ""
        for topic in rng.permutation(TOPICS)[:8]:
            noise = " ".join(f"filler{rng.integers(400)}" for _ in range(4))
            start = len(text)
            text += f"Here topic{topic} and thing{topic} with {noise}. "
            labels.append(
                Label(question=f"asked{topic} wanted{topic}", spans=((f"d{number}", start, len(text) - 1),), scope=f"d{number}")
            )
        made.append(Document(text, id=f"d{number}", metadata={"title": f"Paper {number}"}))
    return made, labels


@pytest.fixture(scope="session")
def secret() -> tuple[list[Document], list[Label]]:
    return secret_corpus()


@pytest.fixture
def embedder() -> HashEmbedder:
    return HashEmbedder(dim=64)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random one-layer BERT over whole words of the secret corpus."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    words = [f"{stem}{number}" for stem in ("topic", "thing", "asked", "wanted") for number in range(TOPICS)]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "here", "and", "with", ".", "paper", *words]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    model = BertModel(
        BertConfig(
            vocab_size=len(words),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )
    for parameter in model.parameters():
        # The usual start is so small that all texts look alike.
        parameter.data += 0.2 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    (folder / "modules.json").write_text(
        '[{"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},'
        ' {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]'
    )
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "mean"}')
    return folder


@pytest.fixture
def files(secret: tuple[list[Document], list[Label]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six documents of the corpus as files, their questions in ``q.jsonl``, and the command line among them."""
    documents, labels = secret
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    for document in documents[:6]:
        (tmp_path / "docs" / f"{document.id}.txt").write_text(document.text)
    rows = [
        {"question": label.question, "doc_id": f"docs/{span[0]}.txt", "start": span[1], "end": span[2], "scope": True}
        for label in labels
        for span in label.spans
        if span[0] in {document.id for document in documents[:6]}
    ]
    (tmp_path / "q.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return tmp_path
