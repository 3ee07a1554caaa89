"""Longer windows agree with the formulas, leave short texts alone, and are refused where a model cannot."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, normalize, silu

from ragkit.embed import Extend, TransformerEmbedder, load_embedder
from ragkit.embed.reach import ABSOLUTE, ROTARY, TEMPERED
from ragkit.errors import CapabilityError, EmbeddingError, InvalidInputError, StoreMismatchError, TextTooLongError
from ragkit.types import Chunk, Document, ModelCard

Make = Callable[..., Path]
State = dict[str, Tensor]
WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "her", "dog", "bark", "at", "night", "while", "rain", "old", "town"]
BASE, WINDOW = 24, 60
HEADS, LAYERS = 4, 3
TABLES = ("grouped", "recurrent", "interpolated")


# The encoders, written from their formulas.


def linear(state: State, name: str, x: Tensor) -> Tensor:
    y = x @ state[f"{name}.weight"].T
    return y + state[f"{name}.bias"] if f"{name}.bias" in state else y


def norm(state: State, name: str, x: Tensor) -> Tensor:
    return layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], 1e-12)


def heads(x: Tensor) -> Tensor:
    return x.view(len(x), HEADS, -1).transpose(0, 1)


def unit_mean(hidden: Tensor) -> Any:
    return normalize(hidden.mean(0), dim=0).numpy()


def bert(folder: Path, ids: list[int], positions: Tensor, *, temperature: float = 1.0) -> Any:
    """The mean vector of one text whose token i has the position vector ``positions[i]``."""
    state = load_file(str(folder / "model.safetensors"))
    x = state["embeddings.word_embeddings.weight"][ids] + state["embeddings.token_type_embeddings.weight"][0] + positions
    x = norm(state, "embeddings.LayerNorm", x)
    for number in range(LAYERS):
        at = f"encoder.layer.{number}"
        query, key, value = (heads(linear(state, f"{at}.attention.self.{one}", x)) for one in ("query", "key", "value"))
        weights = torch.softmax(query @ key.mT / (temperature * query.shape[-1] ** 0.5), -1)
        seen = (weights @ value).transpose(0, 1).flatten(1)
        x = norm(state, f"{at}.attention.output.LayerNorm", x + linear(state, f"{at}.attention.output.dense", seen))
        wide = gelu(linear(state, f"{at}.intermediate.dense", x))
        x = norm(state, f"{at}.output.LayerNorm", x + linear(state, f"{at}.output.dense", wide))
    return unit_mean(x)


def nomic(
    folder: Path, ids: list[int], relative: Callable[[int, int], int], *, theta: float = 1000.0, temperature: float = 1.0
) -> Any:
    """The mean vector of one text whose token i sees token j at the relative position ``relative(i, j)``."""
    from transformers import AutoModel

    state = AutoModel.from_pretrained(folder).state_dict()
    n = len(ids)
    distance = torch.tensor([[relative(i, j) for j in range(n)] for i in range(n)])
    x = state["embeddings.word_embeddings.weight"][ids] + state["embeddings.token_type_embeddings.weight"][0]
    x = norm(state, "embeddings.LayerNorm", x)
    for number in range(LAYERS):
        at = f"layers.{number}"
        query, key, value = (heads(linear(state, f"{at}.self_attn.{one}_proj", x)) for one in "qkv")
        half = query.shape[-1] // 2
        frequencies = theta ** (-torch.arange(half) / half)
        turns = torch.polar(torch.ones(n, n, half), distance[..., None] * frequencies)
        pairs = [torch.complex(one[..., :half], one[..., half:]) for one in (query, key)]
        scores = torch.einsum("hic,hjc,ijc->hij", pairs[0], pairs[1].conj(), turns).real
        weights = torch.softmax(scores / (temperature * query.shape[-1] ** 0.5), -1)
        x = norm(
            state,
            f"{at}.post_attention_layernorm",
            x + linear(state, f"{at}.self_attn.o_proj", (weights @ value).transpose(0, 1).flatten(1)),
        )
        wide = silu(linear(state, f"{at}.mlp.gate_proj", x)) * linear(state, f"{at}.mlp.up_proj", x)
        x = norm(state, f"{at}.post_mlp_layernorm", x + linear(state, f"{at}.mlp.down_proj", wide))
    return unit_mean(x)


def words(n_tokens: int, seed: int = 0) -> str:
    """A text of so many tokens, special tokens included."""
    return " ".join(np.random.default_rng(seed).choice(WORDS, n_tokens - 2))


def ids_of(embedder: TransformerEmbedder, text: str) -> list[int]:
    ids: list[int] = embedder.tokenizer.backend.encode(text).ids
    return ids


def long(folder: Path, method: str, window: int = WINDOW, **numbers: Any) -> TransformerEmbedder:
    return TransformerEmbedder(str(folder), window=window, extend=Extend(method, base=BASE, **numbers))


def table(rows: np.ndarray, method: str, window: int = WINDOW) -> np.ndarray:
    """The vector of each position, from the paper's definitions."""
    scale = math.ceil(window / BASE)
    if method == "grouped":
        return np.stack([rows[i // scale] for i in range(window)])
    if method == "recurrent":
        return np.stack([rows[i % BASE] for i in range(window)])
    whole = np.minimum(np.arange(window) / scale, BASE - 1)
    return np.stack([np.interp(whole, np.arange(BASE), column[:BASE]) for column in rows.T], axis=1).astype(np.float32)


@pytest.mark.parametrize("method", TABLES)
def test_positions_of_bert_follow_the_formula(make_model: Make, method: str) -> None:
    folder = make_model("bert")
    embedder = long(folder, method)
    rows = load_file(str(folder / "model.safetensors"))["embeddings.position_embeddings.weight"].numpy()
    for n in (BASE + 1, 41, WINDOW):
        text = words(n, seed=n)
        expected = bert(folder, ids_of(embedder, text), torch.from_numpy(table(rows, method)[:n]))
        np.testing.assert_allclose(embedder.embed_texts([text])[0], expected, atol=1e-5)


@pytest.mark.parametrize("kind", ABSOLUTE)
@pytest.mark.parametrize("method", TABLES)
def test_every_allowed_model_reads_as_with_a_table_made_by_hand(make_model: Make, kind: str, method: str) -> None:
    """Also beyond the end of the model's own table: 64 positions, 100 tokens."""
    from transformers import AutoConfig, AutoModel

    folder, window = make_model(kind), 100
    model = AutoModel.from_pretrained(folder)
    state = model.state_dict()
    name = next(key for key in state if key.endswith("position_embeddings.weight"))
    first = 2 if kind == "mpnet" else 1 if "roberta" in kind or kind == "camembert" else 0
    own = state[name].numpy()
    state[name] = torch.from_numpy(np.concatenate([own[:first], table(own[first:], method, window)]))
    config = AutoConfig.from_pretrained(folder)
    config.max_position_embeddings = first + window
    by_hand = AutoModel.from_config(config).eval()
    by_hand.load_state_dict(state)
    embedder = long(folder, method, window)
    text = words(window, seed=3)
    with torch.inference_mode():
        hidden = by_hand(input_ids=torch.tensor([ids_of(embedder, text)])).last_hidden_state[0]
    expected = torch.nn.functional.normalize(hidden.mean(0), dim=0).numpy()
    np.testing.assert_allclose(embedder.embed_texts([text])[0], expected, atol=1e-5)


def test_ntk_scales_theta(make_model: Make) -> None:
    folder = make_model("nomic_bert")
    text = words(50)
    for scale in (1.0, 7.5):
        embedder = long(folder, "ntk", theta_scale=scale)
        expected = nomic(folder, ids_of(embedder, text), lambda i, j: i - j, theta=1000.0 * scale)
        np.testing.assert_allclose(embedder.embed_texts([text])[0], expected, atol=1e-5)
    assert json.loads(long(folder, "ntk").card.settings["extend"])["theta_scale"] == 1.25 * math.ceil(WINDOW / BASE)


@pytest.mark.parametrize(("near", "group"), [(4, 3), (8, 5), (1, 2), (11, 4)])
def test_self_extend_has_exact_positions_near_and_those_of_groups_beyond(
    make_model: Make, near: int, group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_model("nomic_bert")
    embedder = long(folder, "self-extend", neighbours=near, group=group)

    def relative(i: int, j: int) -> int:
        if abs(i - j) < near:
            return i - j
        return int(math.copysign(abs(i // group - j // group) + near - near // group, i - j))

    for n in (BASE + 1, 55):
        text = words(n, seed=n)
        expected = nomic(folder, ids_of(embedder, text), relative)
        for scores in (1 << 24, 4 * n * 7):  # all queries at once, and seven at a time
            monkeypatch.setattr("ragkit.embed.rotary._SCORES", scores)
            np.testing.assert_allclose(embedder.embed_texts([text])[0], expected, atol=1e-5)


@pytest.mark.parametrize("kind", ROTARY)
def test_rotary_models_rotate_as_they_did(make_model: Make, kind: str) -> None:
    """Groups of one token are exact positions, and theta times one is theta; with local layers and shared keys too."""
    folder = make_model(kind)
    texts = [words(n, seed=n) for n in (60, 3, 31)]
    plain = TransformerEmbedder(str(folder)).embed_texts(texts)
    for extended in (long(folder, "self-extend", neighbours=5, group=1), long(folder, "ntk", theta_scale=1.0)):
        np.testing.assert_allclose(extended.embed_texts(texts), plain, atol=1e-5)
    for extended in (long(folder, "self-extend", neighbours=2, group=9), long(folder, "ntk", theta_scale=50.0)):
        assert np.abs(extended.embed_texts(texts[:1]) - plain[:1]).max() > 1e-4


def test_self_extend_keeps_every_distance_below_the_base(make_model: Make) -> None:
    folder = make_model("nomic_bert")
    for window in (25, 40, 60, 64, 400, 4000):
        chosen = json.loads(long(folder, "self-extend", window).card.settings["extend"])
        near, group = chosen["neighbours"], chosen["group"]
        assert (window - 1) // group + near - near // group < BASE
        assert group == 1 or (window - 1) // (group - 1) + near - near // (group - 1) >= BASE


METHODS = [("bert", method) for method in (*TABLES, "parallel")] + [("modernbert", "self-extend"), ("roberta", "interpolated")]


@pytest.mark.parametrize(("kind", "method"), METHODS)
def test_texts_within_the_base_keep_their_vectors_and_batches_change_nothing(make_model: Make, kind: str, method: str) -> None:
    folder = make_model(kind, prompts={"document": "the ", "query": "a dog: "})
    texts = [words(n - 1, seed=n) for n in (BASE, 5, WINDOW, BASE + 1, 44, 3)]
    plain, extended = TransformerEmbedder(str(folder), window=BASE), long(folder, method)
    together = extended.embed_texts(texts)
    short = [0, 1, 5]
    np.testing.assert_allclose(together[short], plain.embed_texts([texts[row] for row in short]), atol=1e-6)
    one_by_one = np.concatenate([extended.embed_texts([text]) for text in texts])
    np.testing.assert_allclose(together, one_by_one, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    query = words(10)
    np.testing.assert_allclose(extended.embed_query(query), plain.embed_query(query), atol=1e-6)
    with pytest.raises(TextTooLongError, match=f"{WINDOW}"):
        extended.embed_texts([words(WINDOW + 1)])


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "lasttoken"])
@pytest.mark.parametrize("include_prompt", [True, False])
def test_parallel_windows_are_averaged(make_model: Make, pooling: str, include_prompt: bool) -> None:
    folder = make_model(pooling=pooling, prompts={"document": "rain on "}, include_prompt=include_prompt)
    plain, parallel = TransformerEmbedder(str(folder), window=BASE), long(folder, "parallel")
    room = BASE - 4
    text = words(2 + 2 * room + 7)
    tokens = text.split()
    windows = [tokens[:room], tokens[room : 2 * room], tokens[-room:]]
    mean = plain.embed_texts([" ".join(window) for window in windows]).mean(0)
    found = parallel.embed_texts(["a mat", text, "the cat", text])
    np.testing.assert_allclose(found[1], mean / np.linalg.norm(mean), atol=1e-6)
    np.testing.assert_array_equal(found[1], found[3])
    np.testing.assert_allclose(found[[0, 2]], plain.embed_texts(["a mat", "the cat"]), atol=1e-6)


def test_parallel_windows_are_for_plain_texts(make_model: Make, cut: Callable[..., Chunk]) -> None:
    """A chunk's own tokens are pooled as ever: from windows of the base, or not at all."""
    folder = make_model()
    document = Document(words(50), id="d")
    end = len("".join(document.text.split(" ")[:1]))
    late = cut(document, 0, end, window=(0, len(document.text)))
    plain, parallel = TransformerEmbedder(str(folder), window=BASE), long(folder, "parallel")
    np.testing.assert_allclose(parallel.embed_chunks(document, [late]), plain.embed_chunks(document, [late]), atol=1e-6)
    situated = cut(document, 0, len(document.text), context="a dog")
    with pytest.raises(TextTooLongError, match=f"{BASE}.*only plain texts may be longer"):
        parallel.embed_chunks(document, [situated])


@pytest.mark.parametrize("temperature", [0.5, 0.8, 1.7])
def test_temperature_divides_the_scores(make_model: Make, temperature: float) -> None:
    text = words(40)
    folder = make_model("bert")
    embedder = TransformerEmbedder(str(folder), temperature=temperature)
    rows = load_file(str(folder / "model.safetensors"))["embeddings.position_embeddings.weight"]
    expected = bert(folder, ids_of(embedder, text), rows[:40], temperature=temperature)
    np.testing.assert_allclose(embedder.embed_texts([text])[0], expected, atol=1e-5)
    np.testing.assert_allclose(embedder.embed_query(text), expected, atol=1e-5)
    folder = make_model("nomic_bert")
    embedder = TransformerEmbedder(str(folder), temperature=temperature)
    expected = nomic(folder, ids_of(embedder, text), lambda i, j: i - j, temperature=temperature)
    np.testing.assert_allclose(embedder.embed_texts([text])[0], expected, atol=1e-5)


@pytest.mark.parametrize("kind", TEMPERED)
def test_temperature_is_exact_for_every_allowed_model(make_model: Make, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same model with its scores divided where they are made."""
    from transformers import AttentionInterface, AttentionMaskInterface, AutoModel
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask

    def colder(*arguments: Any, scaling: float, **settings: Any) -> Any:
        return sdpa_attention_forward(*arguments, scaling=scaling / 0.7, **settings)

    monkeypatch.setattr(AttentionInterface, "_global_mapping", AttentionInterface._global_mapping | {"colder": colder})
    monkeypatch.setattr(AttentionMaskInterface, "_global_mapping", AttentionMaskInterface._global_mapping | {"colder": sdpa_mask})
    folder = make_model(kind)
    embedder = TransformerEmbedder(str(folder), temperature=0.7)
    text = words(50)
    model = AutoModel.from_pretrained(folder, attn_implementation="colder").eval()
    with torch.inference_mode():
        hidden = model(input_ids=torch.tensor([ids_of(embedder, text)])).last_hidden_state[0]
    expected = torch.nn.functional.normalize(hidden.mean(0), dim=0).numpy()
    np.testing.assert_allclose(embedder.embed_texts([text])[0], expected, atol=1e-5)
    assert np.abs(TransformerEmbedder(str(folder)).embed_texts([text])[0] - expected).max() > 1e-4


def through_json(card: ModelCard) -> ModelCard:
    return ModelCard.from_dict(json.loads(json.dumps(card.to_dict())))


@pytest.mark.parametrize(("kind", "method"), [*METHODS, ("gte", "ntk")])
def test_the_card_tells_it_and_brings_it_back(make_model: Make, kind: str, method: str) -> None:
    folder = make_model(kind)
    made = TransformerEmbedder(str(folder), window=WINDOW, extend=Extend(method, base=BASE), temperature=0.8)
    back = load_embedder(through_json(made.card))
    assert back.card == made.card
    text = words(WINDOW)
    np.testing.assert_allclose(back.embed_texts([text]), made.embed_texts([text]), atol=1e-6)
    others = [
        TransformerEmbedder(str(folder), window=WINDOW),
        TransformerEmbedder(str(folder), window=WINDOW, temperature=0.8),
        long(folder, method),
        TransformerEmbedder(str(folder), window=WINDOW, extend=Extend(method, base=BASE + 1), temperature=0.8),
    ]
    assert len({made.card.fingerprint, *(one.card.fingerprint for one in others)}) == 5


def test_a_temperature_of_one_is_none(make_model: Make) -> None:
    folder = str(make_model())
    assert TransformerEmbedder(folder, temperature=1.0).card == TransformerEmbedder(folder).card


def test_a_card_of_another_version_is_refused_in_words(make_model: Make) -> None:
    from dataclasses import replace

    card = long(make_model(), "grouped").card
    for text in ('{"method":"tomorrow"}', '{"methods":1}', "grouped"):
        with pytest.raises((EmbeddingError, StoreMismatchError), match="extend"):
            load_embedder(replace(card, settings=dict(card.settings) | {"extend": text}))


@pytest.mark.parametrize(
    ("kind", "settings", "error", "words"),
    [
        ("bert", {"extend": "ntk"}, CapabilityError, "modernbert.*grouped, recurrent, interpolated, parallel"),
        ("bert", {"extend": "self-extend"}, CapabilityError, "nomic_bert"),
        ("modernbert", {"extend": "grouped"}, CapabilityError, "roberta.*parallel, ntk, self-extend"),
        ("t5", {"extend": "interpolated"}, CapabilityError, "For this model: parallel"),
        ("qwen3", {"temperature": 0.8, "window": None}, CapabilityError, "roberta"),
        ("mpnet", {"temperature": 0.8, "window": None}, CapabilityError, "more than queries times keys"),
        ("bert", {"temperature": 0.0, "window": None}, InvalidInputError, "above 0"),
        ("bert", {"temperature": "0.5", "window": None}, InvalidInputError, "above 0"),
        ("bert", {"temperature": float("nan"), "window": None}, InvalidInputError, "above 0"),
        ("bert", {"extend": "grouped", "window": 20}, InvalidInputError, "reads 24 tokens without it"),
        ("bert", {"extend": "grouped", "window": None}, InvalidInputError, "window=None"),
        ("bert", {"extend": Extend("grouped", base=65)}, InvalidInputError, "base=65.*1 to 64"),
        ("gte", {"extend": Extend("self-extend", neighbours=24)}, InvalidInputError, "neighbours=24"),
    ],
)
def test_what_a_model_cannot_is_refused_before_it_is_loaded(
    make_model: Make, kind: str, settings: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        _ = TransformerEmbedder(str(make_model(kind, window=BASE)), **{"window": 90} | settings).card


def test_what_is_scaled_already_or_not_a_table_is_refused(make_model: Make) -> None:
    for kind, method, change, found in (
        ("nomic_bert", "ntk", {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1000.0}}, "yarn"),
        ("gte", "self-extend", {"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "dynamic"),
        ("bert", "grouped", {"position_embedding_type": "relative_key"}, "relative_key"),
    ):
        folder = make_model(kind, window=BASE)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(CapabilityError, match=found):
            _ = long(folder, method).card


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        ({"method": "stretch"}, "grouped, recurrent"),
        ({"method": "ntk", "group": 3}, "belongs to 'self-extend'"),
        ({"method": "grouped", "theta_scale": 2.0}, "belongs to 'ntk'"),
        ({"method": "ntk", "theta_scale": 0.5}, "at least 1"),
        ({"method": "self-extend", "neighbours": 0}, "at least 1"),
        ({"method": "grouped", "base": 0}, "at least 1"),
    ],
)
def test_numbers_that_make_no_sense(numbers: dict[str, Any], found: str) -> None:
    with pytest.raises(InvalidInputError, match=found):
        Extend(**numbers)
