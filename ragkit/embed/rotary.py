"""Longer windows for rotary models: NTK scales theta, SelfExtend gives distant tokens the positions of their groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragkit.embed.reach import Reach
from ragkit.errors import CapabilityError

if TYPE_CHECKING:
    from torch import Tensor, nn

#: The name under which transformers' attention interface knows SelfExtend.
SELF_EXTEND = "ragkit_self_extend"
#: Scores held at once, for each of the three kinds of distance.
_SCORES = 1 << 24


def scale_theta(config: Any, factor: float) -> None:
    """Multiply theta of the layers that see the whole text; those with a local window are left as they are."""
    parameters = getattr(config, "rope_parameters", None)
    if parameters is None:
        raise CapabilityError(
            "extend='ntk' needs transformers 5 or newer, whose models keep rope_parameters. Update transformers."
        )
    parameters.get("full_attention", parameters)["rope_theta"] *= factor


@dataclass(frozen=True, slots=True)
class Groups:
    """What the attention has to know: ``(dim / 2,)`` frequencies, the near distance, ``(batch,)`` tokens in a group."""

    frequencies: Tensor
    near: int
    sizes: Tensor


def register_self_extend() -> None:
    """Make SELF_EXTEND an ``attn_implementation`` of transformers, with the masks of "sdpa"."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(SELF_EXTEND, _attend)
    AttentionMaskInterface.register(SELF_EXTEND, sdpa_mask)


def with_groups(model: nn.Module, reach: Reach) -> Grouped:
    """The model, loaded with SELF_EXTEND, its own rotation turned off and done in the attention instead."""
    rotary: Any = model.rotary_emb
    own = "full_attention_inv_freq" if hasattr(rotary, "full_attention_inv_freq") else "inv_freq"
    frequencies = getattr(rotary, own).clone()
    # Cosine 1 and sine 0: queries and keys arrive as they were projected.
    getattr(rotary, own).zero_()
    return Grouped(model, frequencies, reach.base, reach.neighbours or 1, reach.group or 1)


@dataclass(frozen=True, slots=True)
class Grouped:
    """A model called with the sizes of groups. Each row's follow from its own length alone, so batches change nothing."""

    model: nn.Module
    frequencies: Tensor
    base: int
    near: int
    group: int

    def parameters(self) -> Iterator[nn.Parameter]:
        return self.model.parameters()

    def __call__(self, *, input_ids: Tensor, attention_mask: Tensor, **asked: bool) -> Any:
        import torch

        sizes = torch.where(attention_mask.sum(1) > self.base, self.group, 1)
        groups = Groups(self.frequencies, self.near, sizes)
        return self.model(input_ids=input_ids, attention_mask=attention_mask, self_extend=groups, **asked)


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    self_extend: Groups,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Softmax over scores at relative positions: exact below the near distance, of groups from there on.

    Token i sees token j at ``i - j`` while ``|i - j| < near``, else at ``sign(i - j) (|i // g - j // g| + near - near // g)``.
    """
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if sliding_window is not None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, sliding_window=sliding_window, **kwargs
        )
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    near, places = self_extend.near, torch.arange(query.shape[2], device=query.device)
    sizes = self_extend.sizes[:, None]
    groups = places // sizes
    shift = near - near // sizes

    def turned(vectors: Tensor, positions: Tensor) -> Tensor:
        return _turned(vectors, positions, self_extend.frequencies)

    near_key, far_key = turned(key, places[None]).mT, turned(key, groups).mT
    near_query = turned(query, places[None])
    before, after = turned(query, groups + shift), turned(query, groups - shift)
    step = max(1, _SCORES // (query.shape[0] * query.shape[1] * key.shape[2]))
    parts: list[Tensor] = []
    for first in range(0, query.shape[2], step):
        rows = slice(first, first + step)
        distance = places[rows, None] - places[None]
        far = torch.where(distance > 0, before[:, :, rows] @ far_key, after[:, :, rows] @ far_key)
        scores = torch.where(distance.abs() < near, near_query[:, :, rows] @ near_key, far).float() * scaling
        if attention_mask is not None:
            mask = attention_mask[:, :, rows]
            scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
        parts.append(torch.softmax(scores, -1).to(value.dtype) @ value)
    return torch.cat(parts, 2).transpose(1, 2).contiguous(), None


def _turned(vectors: Tensor, positions: Tensor, frequencies: Tensor) -> Tensor:
    """``(batch, heads, n, dim)`` vectors rotated to ``(batch or 1, n)`` positions; pairs are i and i + dim / 2, as in these models."""
    import torch

    angles = (positions[..., None].float() * frequencies)[:, None]
    left, right = vectors.float().chunk(2, -1)
    cosine, sine = angles.cos(), angles.sin()
    return torch.cat([left * cosine - right * sine, right * cosine + left * sine], -1).to(vectors.dtype)
