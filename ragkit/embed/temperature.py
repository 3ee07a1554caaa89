"""Attention temperature (TempScale, Zhou et al., 2410.24200) as a scale of the query weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragkit.errors import EmbeddingError

if TYPE_CHECKING:
    from torch import nn

_QUERIES = ("attention.self.query", "attention.q_lin", "self_attn.q_proj", "attn.Wqkv")


def scale_queries(model: nn.Module, temperature: float, *, n_layers: int) -> None:
    """Divide each layer's query weights and bias by ``temperature``: softmax(QK / (temperature sqrt(d))), whatever runs it.

    Raises EmbeddingError unless there is one query projection per layer.
    """
    found: list[Any] = [module for name, module in model.named_modules() if name.endswith(_QUERIES)]
    if len(found) != n_layers:
        raise EmbeddingError(f"temperature= found {len(found)} query projections in a model of {n_layers} layers. Leave it out.")
    for linear in found:
        # A joint projection has queries, keys and values below each other.
        joint = linear.out_features == 3 * linear.in_features
        rows = linear.out_features // 3 if joint else linear.out_features
        linear.weight.data[:rows] /= temperature
        if linear.bias is not None:
            linear.bias.data[:rows] /= temperature
