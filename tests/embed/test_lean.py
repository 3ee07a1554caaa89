"""The forward that is written out gives the model's own states, and is used for no model that it does not know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.embed import Extend, TransformerEmbedder
from ragkit.embed.forward import has_native_bfloat16
from ragkit.embed.lean import lean
from ragkit.embed.tuning import Tunable

VOCAB = 50


def bert(kind: str = "Bert", **chosen: Any) -> Any:
    """A model of random weights, large enough that every term of the forward counts."""
    import torch
    import transformers

    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 32,
    }
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}Model")(
        getattr(transformers, f"{kind}Config")(vocab_size=VOCAB, **sizes | chosen)
    ).eval()
    for weight in model.parameters():
        weight.data += 0.3 * torch.randn_like(weight)
    return model.requires_grad_(False)


def own_states(model: Any, ids: Any) -> tuple[Any, ...]:
    import torch

    with torch.inference_mode():
        found: tuple[Any, ...] = model(
            input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True
        ).hidden_states
    return found


def assert_same(model: Any, found: Any, ids: Any, tolerance: float = 1e-5) -> None:
    own, ours = own_states(model, ids), found(ids, every=True)
    assert len(own) == len(ours)
    for theirs, state in zip(own, ours, strict=True):
        np.testing.assert_allclose(state.float().numpy(), theirs.float().numpy(), atol=tolerance, rtol=tolerance)
    assert (found(ids)[0] == ours[-1]).all()


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_every_state_is_the_models_own(data: st.DataObject) -> None:
    import torch

    heads = data.draw(st.sampled_from([1, 2, 3]))
    model = bert(
        hidden_size=heads * data.draw(st.sampled_from([4, 8, 12])),
        num_attention_heads=heads,
        num_hidden_layers=data.draw(st.integers(1, 3)),
        intermediate_size=data.draw(st.sampled_from([8, 40])),
        hidden_act=data.draw(st.sampled_from(["gelu", "gelu_new", "relu", "silu"])),
        layer_norm_eps=data.draw(st.sampled_from([1e-12, 1e-3])),
        type_vocab_size=data.draw(st.sampled_from([1, 2])),
    )
    found = lean(model)
    assert found is not None
    rows, length = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 32))
    assert_same(model, found, torch.randint(0, VOCAB, (rows, length), generator=torch.Generator().manual_seed(length)))


def test_bfloat16_rounds_where_the_model_rounds() -> None:
    import torch

    if not has_native_bfloat16(torch):
        pytest.skip("this processor does not multiply bfloat16")
    model = bert().bfloat16()
    found = lean(model)
    assert found is not None
    assert_same(model, found, torch.arange(20)[None], tolerance=2e-2)


def test_weights_are_held_once_and_shared() -> None:
    import torch

    model = bert()
    found = lean(model)
    assert found is not None
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    for layer in found.layers:
        for affine in (layer.joint, layer.attended, layer.wide, layer.narrow):
            assert {affine.weight.untyped_storage().data_ptr(), affine.bias.untyped_storage().data_ptr()} <= own
    for name in ("query", "key", "value"):
        getattr(model.encoder.layer[1].attention.self, name).weight.data *= 0.5
    assert_same(model, found, torch.arange(9)[None])


@pytest.mark.parametrize("change", ["training", "hook", "linear", "norm", "layer", "half", "decoder", "roberta"])
def test_a_model_that_is_not_known_to_the_last_module_keeps_its_own_forward(change: str) -> None:
    import torch

    class Linear(torch.nn.Linear):
        pass

    class Norm(torch.nn.LayerNorm):
        pass

    model = bert("Roberta" if change == "roberta" else "Bert", **({"is_decoder": True} if change == "decoder" else {}))
    layer = model.encoder.layer[1]
    if change == "training":
        model.train()
    elif change == "hook":
        layer.output.register_forward_hook(lambda module, given, out: out)
    elif change == "linear":
        layer.output.dense = Linear(24, 16)
    elif change == "norm":
        layer.output.LayerNorm = Norm(16)
    elif change == "layer":
        layer.forward = lambda states, *rest, **more: states + 1
    elif change == "half":
        model.half()
    assert lean(model) is None


def test_who_uses_it(make_model: Callable[..., Path]) -> None:
    folder = str(make_model("bert", window=30))
    assert TransformerEmbedder(folder)._encoder()._lean is not None
    assert TransformerEmbedder(folder, layers=2, temperature=0.7)._encoder()._lean is not None
    assert TransformerEmbedder(folder, window=60, extend=Extend("grouped", base=30))._encoder()._lean is None
    assert Tunable(TransformerEmbedder(folder), method="full")._encoder._lean is None


@pytest.mark.parametrize("chosen", [{}, {"layers": 2}, {"temperature": 0.6}, {"pooling": "cls"}, {"pooling": "max"}])
def test_vectors_and_states_are_those_of_the_models_own_forward(make_model: Callable[..., Path], chosen: dict[str, Any]) -> None:
    folder = str(make_model("bert", window=60))
    ours, theirs = TransformerEmbedder(folder, **chosen), TransformerEmbedder(folder, **chosen)
    theirs._encoder()._lean = None
    questions = ["the cat", "her dog", "rain at night while the old town saw her dog bark"]
    for some in (questions, questions[:2], questions[2:]):
        vectors, states = ours.embed_and_read_queries(some, layers=(2, 0))
        expected, known = theirs.embed_and_read_queries(some, layers=(2, 0))
        np.testing.assert_allclose(vectors, expected, atol=1e-6)
        for one, other in zip(states, known, strict=True):
            np.testing.assert_allclose(one.states, other.states, atol=1e-5)


def test_the_real_model_gives_the_same_vectors(minilm: TransformerEmbedder) -> None:
    theirs = TransformerEmbedder(minilm.name)
    theirs._encoder()._lean = None
    assert minilm._encoder()._lean is not None
    questions = ["How long are logs kept?", "which of these windows was closed when the river rose in the old town", "x"]
    alone = np.concatenate([minilm.embed_queries([one]) for one in questions])
    np.testing.assert_allclose((alone * theirs.embed_queries(questions)).sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(alone, minilm.embed_queries(questions), atol=1e-6)
