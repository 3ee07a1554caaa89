"""Vectors equal those of sentence-transformers and of transformers used by hand, on real and on random models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragkit.embed import TransformerEmbedder

TEXTS = [
    "The cat sat on a mat.",
    "",
    "rain",
    "   \n\t ",
    "Her dog barks at night, while rain fell over old town walls; the cat saw it all (twice).",
    "猫 and 犬, naïve é ü ñ",
    "a" * 40,
    "x \u0000 \u200b \ufeff y",
    "a mat " * 14,
]


def by_hand(folder: Path, texts: list[str], pooling: str) -> np.ndarray:
    """One text at a time through transformers, no padding, no batches."""
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModel

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    model = model.get_encoder() if model.config.is_encoder_decoder else model
    rows = []
    with torch.inference_mode():
        for text in texts:
            hidden = model(input_ids=torch.tensor([tokenizer.encode(text).ids])).last_hidden_state[0]
            row = {"mean": hidden.mean(0), "cls": hidden[0], "lasttoken": hidden[-1], "max": hidden.amax(0)}[pooling]
            rows.append(torch.nn.functional.normalize(row, dim=0).numpy())
    return np.stack(rows)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "modernbert", "qwen3", "t5"])
@pytest.mark.parametrize("pooling", ["mean", "cls", "lasttoken", "max"])
def test_any_encoder_and_pooling_as_by_hand(make_model: Callable[..., Path], kind: str, pooling: str) -> None:
    folder = make_model(kind, pooling=pooling, new_keys=pooling != "cls", window=62)
    embedder = TransformerEmbedder(str(folder))
    assert embedder.card.pooling == pooling
    assert embedder.card.window == 62
    texts = TEXTS[:-1]
    assert cosines(embedder.embed_texts(texts), by_hand(folder, texts, pooling)).min() > 1 - 1e-5


def peer(folder: Path) -> Any:
    library = pytest.importorskip("sentence_transformers", reason="the dependency group bench is not installed")
    return library.SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def test_minilm_as_sentence_transformers(minilm: TransformerEmbedder, model_folder: Path) -> None:
    texts = [*TEXTS, "token " * 200, "Δέλτα кошка 가나다 \U0001f600 déjà-vu " * 6]
    theirs = peer(model_folder).encode(texts)
    ours = minilm.embed_texts(texts)
    assert ours.dtype == np.float32
    assert ours.shape == (len(texts), 384)
    assert cosines(ours, theirs).min() > 1 - 1e-5
    assert np.abs(ours - theirs).max() < 1e-5


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"pooling": "cls", "new_keys": False},
        {"normalize": False},
        {"dense": 16},
        {"dense": 48, "normalize": False, "pooling": "max"},
        {"prompts": {"query": "the dog: ", "document": "a cat: "}},
        {"prompts": {"query": "the dog: ", "document": "a cat: "}, "include_prompt": False},
        {"prompts": {"query": "the dog: ", "document": "a cat: "}, "include_prompt": False, "pooling": "cls"},
        {"pooling": "lasttoken", "prompts": {"query": "the dog: "}},
    ],
    ids=str,
)
def test_random_models_as_sentence_transformers(make_model: Callable[..., Path], choices: dict[str, Any]) -> None:
    folder = make_model("bert", **choices)
    embedder, theirs = TransformerEmbedder(str(folder)), peer(folder)
    texts = TEXTS[:1] + TEXTS[2:7]
    documents, queries = embedder.embed_texts(texts), embedder.embed_queries(texts)
    assert cosines(documents, theirs.encode_document(texts)).min() > 1 - 1e-5
    assert cosines(queries, theirs.encode_query(texts)).min() > 1 - 1e-5
    assert documents.shape == (len(texts), embedder.card.dim)
    np.testing.assert_allclose(np.linalg.norm(documents, axis=1), 1, atol=1e-5)


def test_passage_prompt_is_the_document_prompt(make_model: Callable[..., Path]) -> None:
    card = TransformerEmbedder(str(make_model(prompts={"query": "q: ", "passage": "the mat: "}))).card
    assert (card.query_prompt, card.document_prompt) == ("q: ", "the mat: ")


def test_matryoshka_slices_then_normalises(minilm: TransformerEmbedder) -> None:
    short = TransformerEmbedder("all-MiniLM-L6-v2", dims=64)
    assert short.card.dim == 64
    assert short.card.fingerprint != minilm.card.fingerprint
    whole = minilm.embed_texts(TEXTS)[:, :64]
    np.testing.assert_allclose(short.embed_texts(TEXTS), whole / np.linalg.norm(whole, axis=1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "modernbert", "qwen3", "t5"])
def test_early_exit_runs_the_first_layers(make_model: Callable[..., Path], kind: str) -> None:
    import torch
    from transformers import AutoModel

    folder = make_model(kind)
    embedder = TransformerEmbedder(str(folder), layers=2, window=62)
    assert embedder.card.settings["layers"] == "2"
    tokenizer = embedder.tokenizer.backend
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    model = model.get_encoder() if model.config.is_encoder_decoder else model
    with torch.inference_mode():
        states = model(input_ids=torch.tensor([tokenizer.encode(TEXTS[0]).ids]), output_hidden_states=True).hidden_states
        # Some families normalise once more after their last layer, whichever that is.
        final = {"modernbert": "final_norm", "qwen3": "norm", "t5": "final_layer_norm"}.get(kind)
        hidden = getattr(model, final)(states[2]) if final else states[2]
    expected = torch.nn.functional.normalize(hidden[0].mean(0), dim=0).numpy()
    np.testing.assert_allclose(embedder.embed_texts(TEXTS[:1])[0], expected, atol=1e-5)
    assert (
        np.abs(embedder.embed_texts(TEXTS[:1]) - TransformerEmbedder(str(folder), window=62).embed_texts(TEXTS[:1])).max() > 1e-3
    )


def test_a_folder_with_vocab_txt_alone(minilm: TransformerEmbedder, model_folder: Path, tmp_path: Path) -> None:
    for file in model_folder.rglob("*"):
        if file.is_file() and file.name not in ("tokenizer.json", "special_tokens_map.json"):
            target = tmp_path / file.relative_to(model_folder)
            target.parent.mkdir(exist_ok=True)
            target.symlink_to(file)
    old = TransformerEmbedder(str(tmp_path))
    np.testing.assert_allclose(old.embed_texts(TEXTS), minilm.embed_texts(TEXTS), atol=1e-6)
    assert old.card.weights == minilm.card.weights
