"""From a stored card back to the embedder, or a clear refusal."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragkit.embed import OpenAIEmbedder, TransformerEmbedder, card_differences, load_embedder
from ragkit.errors import CapabilityError, ModelNotFoundError, StoreMismatchError
from ragkit.types import ModelCard

Make = Callable[..., Path]


def through_json(card: ModelCard) -> ModelCard:
    import json

    return ModelCard.from_dict(json.loads(json.dumps(card.to_dict())))


def test_the_same_embedder_comes_back(make_model: Make) -> None:
    folder = str(make_model(prompts={"query": "the dog: "}))
    made = TransformerEmbedder(folder, dims=16, layers=2, window=40, document_prompt="a mat: ", pooling="max", batch_tokens=7)
    back = load_embedder(through_json(made.card))
    assert back.card == made.card
    assert back.card.fingerprint == made.card.fingerprint
    np.testing.assert_allclose(back.embed_texts(["the cat"]), made.embed_texts(["the cat"]), atol=1e-6)
    np.testing.assert_allclose(back.embed_query("the cat"), made.embed_query("the cat"), atol=1e-6)


def test_the_packaged_model_comes_back(minilm: TransformerEmbedder) -> None:
    assert load_embedder(through_json(minilm.card)).card.fingerprint == minilm.card.fingerprint


def test_the_card_does_not_depend_on_where_and_how_it_runs(make_model: Make) -> None:
    folder = str(make_model())
    cards = {
        TransformerEmbedder(folder, device=device, batch_tokens=size).card.fingerprint
        for device in (None, "cpu", "cuda")
        for size in (1, 4096)
    }
    assert len(cards) == 1


def test_a_hub_copy_with_other_truncation_is_the_same_model(make_model: Make) -> None:
    import json

    folder = make_model()
    before = TransformerEmbedder(str(folder)).card
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["truncation"] = {"max_length": 5, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, indent=1))
    assert TransformerEmbedder(str(folder)).card == before


def test_other_weights_or_tokenizer_are_refused(make_model: Make) -> None:
    folder, other = make_model(seed=0), make_model(seed=1)
    card = TransformerEmbedder(str(folder)).card
    shutil.copy(other / "model.safetensors", folder / "model.safetensors")
    with pytest.raises(StoreMismatchError, match=r"weights was '\w+' and is '\w+'.*index again"):
        load_embedder(card)
    card = TransformerEmbedder(str(folder)).card
    text = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(text.replace('"cat"', '"cow"'))
    with pytest.raises(StoreMismatchError, match="tokenizer"):
        load_embedder(card)


def test_a_smaller_model_in_its_place_is_refused(make_model: Make) -> None:
    card = TransformerEmbedder(str(make_model())).card
    with pytest.raises(StoreMismatchError, match="1 to 3"):
        load_embedder(replace(card, settings={**card.settings, "layers": "12"}))


def test_a_missing_model(make_model: Make) -> None:
    card = TransformerEmbedder(str(make_model())).card
    with pytest.raises(ModelNotFoundError):
        load_embedder(replace(card, name="/nowhere/at/all"))


def test_a_remote_model_comes_back_on_its_own_server() -> None:
    made = OpenAIEmbedder("m", dim=3, base_url="http://127.0.0.1:9/v1/", query_prompt="q: ", window=99, api_key="secret")
    assert "secret" not in str(made.card.to_dict())
    back = load_embedder(through_json(made.card))
    assert isinstance(back, OpenAIEmbedder)
    assert back.card == made.card


def test_an_embedder_of_somebody_else(make_model: Make) -> None:
    with pytest.raises(CapabilityError, match="Pass embedder="):
        load_embedder(ModelCard(name="mine", dim=3, pooling="own", window=9))


def test_differences_in_words(make_model: Make) -> None:
    card = TransformerEmbedder(str(make_model())).card
    assert card_differences(card, card) == []
    other = replace(card, dim=7, settings={**card.settings, "dtype": "bfloat16"})
    assert card_differences(card, other) == ["dim was 32 and is 7", "settings['dtype'] was 'float32' and is 'bfloat16'"]
