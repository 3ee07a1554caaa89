"""BERT's forward over inputs of one length, written out: no masks, no modules, no output objects.

For a single question a model of MiniLM's size spends about a third of its time in transformers' Python, and not in arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Tokens of the input on which a model is compared with its own forward.
_PROBE = 12
#: How far a state may be off, as a share of the largest, in each kind of number that is written out.
_TOLERANCES = {"torch.float32": 1e-4, "torch.bfloat16": 2e-2}


class _Affine(NamedTuple):
    """``x @ weight + bias``: the weight is input-major, a view of the model's own."""

    weight: Tensor
    bias: Tensor


class _Norm(NamedTuple):
    weight: Tensor
    bias: Tensor
    eps: float


class _Layer(NamedTuple):
    joint: _Affine
    attended: _Affine
    first: _Norm
    wide: _Affine
    activation: Callable[[Tensor], Tensor]
    narrow: _Affine
    second: _Norm


@dataclass(frozen=True, slots=True)
class Lean:
    """A frozen BERT encoder as tensors; ``kind`` is the embedding of token type 0, which all tokens have."""

    words: Tensor
    kind: Tensor
    positions: Tensor
    norm: _Norm
    layers: Sequence[_Layer]
    heads: int

    def __call__(self, ids: Tensor, *, every: bool = False) -> list[Tensor]:
        """States of ids ``(batch, length)`` without padding, ``(batch, length, hidden)``: the last layer's, or ``every`` layer's, the input first."""
        import torch

        batch, length = ids.shape
        width = self.words.shape[1]
        x = torch.embedding(self.words, ids) + self.kind + self.positions[:length]
        x = _normed(x, self.norm).view(batch * length, width)
        states = [x]
        for layer in self.layers:
            joint = _affine(x, layer.joint).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
            heads = torch.nn.functional.scaled_dot_product_attention(joint[0], joint[1], joint[2])
            attended = _affine(heads.transpose(1, 2).reshape(batch * length, width), layer.attended)
            x = _normed(attended.add_(x), layer.first)
            x = _normed(_affine(layer.activation(_affine(x, layer.wide)), layer.narrow).add_(x), layer.second)
            if every:
                states.append(x)
        return [one.view(batch, length, width) for one in (states if every else [x])]


def _affine(x: Tensor, affine: _Affine) -> Tensor:
    import torch

    return torch.addmm(affine.bias, x, affine.weight)


def _normed(x: Tensor, norm: _Norm) -> Tensor:
    import torch

    return torch.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, norm.eps)


def lean(model: nn.Module) -> Lean | None:
    """The model written out, sharing its weights; None for any that is not known to the last module, or gives other states.

    The weights of queries, keys and values come to lie side by side, and the model's own modules keep views of them. Weights that are
    replaced afterwards, or hooks that are set, are not seen: for frozen models only.
    """
    import torch
    from transformers.models.bert import modeling_bert as bert

    if type(model) is not bert.BertModel or not _known(model, bert):
        return None
    found = _written_out(model)
    vocab = len(found.words)
    ids = (torch.arange(2 * min(_PROBE, len(found.positions))) * 7919 % vocab).view(2, -1)
    with torch.inference_mode():
        own = model(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True).hidden_states
        ours = found(ids, every=True)
    tolerance = _TOLERANCES[str(found.words.dtype)]
    near = len(own) == len(ours) and all(
        float((a - b).abs().max()) <= tolerance * float(a.abs().max()) for a, b in zip(own, ours, strict=True)
    )
    return found if near else None


def _known(model: Any, bert: Any) -> bool:
    """Whether the model consists of nothing but what ``Lean`` computes: every module of the very type, and none with a hook."""
    import torch

    config = model.config
    if model.training or config.is_decoder or config.add_cross_attention:
        return False
    kinds = {
        bert.BertModel, bert.BertEmbeddings, bert.BertEncoder, bert.BertLayer, bert.BertAttention, bert.BertSelfAttention,
        bert.BertSelfOutput, bert.BertIntermediate, bert.BertOutput, bert.BertPooler, torch.nn.ModuleList, torch.nn.Embedding,
        torch.nn.Linear, torch.nn.LayerNorm, torch.nn.Dropout,
    }  # fmt: skip
    plain = [module for name, module in model.named_modules() if not name.endswith("_act_fn") and not name.startswith("pooler.")]
    hooked = any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    weights = {(str(weight.dtype), weight.device.type) for weight in model.parameters()}
    fits = len(weights) == 1 and weights <= {(kind, "cpu") for kind in _TOLERANCES}
    return fits and not hooked and all(type(module) in kinds for module in plain)


def _written_out(model: Any) -> Lean:
    embeddings = model.embeddings
    return Lean(
        words=embeddings.word_embeddings.weight.detach(),
        kind=embeddings.token_type_embeddings.weight[0].detach(),
        positions=embeddings.position_embeddings.weight.detach(),
        norm=_norm(embeddings.LayerNorm),
        layers=[
            _Layer(
                joint=_side_by_side([layer.attention.self.query, layer.attention.self.key, layer.attention.self.value]),
                attended=_one(layer.attention.output.dense),
                first=_norm(layer.attention.output.LayerNorm),
                wide=_one(layer.intermediate.dense),
                activation=layer.intermediate.intermediate_act_fn,
                narrow=_one(layer.output.dense),
                second=_norm(layer.output.LayerNorm),
            )
            for layer in model.encoder.layer
        ],
        heads=model.config.num_attention_heads,
    )


def _one(linear: Any) -> _Affine:
    return _Affine(linear.weight.detach().t(), linear.bias.detach())


def _side_by_side(linears: Sequence[Any]) -> _Affine:
    """One matrix for all of them; each linear's own weight and bias become views of it, so that nothing is held twice."""
    import torch

    joint = torch.cat([linear.weight.detach().t() for linear in linears], dim=1)
    biases = torch.cat([linear.bias.detach() for linear in linears])
    width = joint.shape[1] // len(linears)
    for at, linear in enumerate(linears):
        linear.weight.data = joint[:, at * width : (at + 1) * width].t()
        linear.bias.data = biases[at * width : (at + 1) * width]
    return _Affine(joint, biases)


def _norm(module: Any) -> _Norm:
    return _Norm(module.weight.detach(), module.bias.detach(), float(module.eps))
