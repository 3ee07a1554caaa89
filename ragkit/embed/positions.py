"""More positions for models with a table of them: by the numbers given to tokens, and new rows of the table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragkit.embed.reach import Reach

if TYPE_CHECKING:
    from torch import Tensor, nn


def with_positions(model: nn.Module, reach: Reach) -> Numbered:
    """The model, called with position numbers for texts beyond ``reach.base``; shorter texts get those they always had."""
    import torch

    embeddings: Any = model.embeddings
    table: Tensor = embeddings.position_embeddings.weight.data
    # RoBERTa and its relatives count from the padding id + 1.
    first = int(getattr(embeddings, "padding_idx", -1)) + 1
    tokens = torch.arange(reach.window)
    if reach.method == "grouped":
        numbers = first + tokens // reach.scale
    elif reach.method == "recurrent":
        numbers = first + tokens % reach.base
    else:
        numbers = len(table) + tokens
        rows = stretched(table[first : first + reach.base], reach.scale)[: reach.window]
        embeddings.position_embeddings.weight = torch.nn.Parameter(torch.cat([table, rows]), requires_grad=False)
        if hasattr(embeddings, "token_type_ids"):
            # BERT looks token types up by position number.
            embeddings.token_type_ids = embeddings.token_type_ids.new_zeros(1, len(table) + len(rows))
    return Numbered(model, numbers.to(table.device), first, reach.base)


def stretched(rows: Tensor, scale: int) -> Tensor:
    """``(n, dim)`` to ``(n * scale, dim)``: row i goes to ``i * scale``, new rows lie on the line to the next; the last stays."""
    import torch

    follow = torch.cat([rows[1:], rows[-1:]]).float()
    share = (torch.arange(scale, device=rows.device) / scale)[None, :, None]
    return torch.lerp(rows.float()[:, None], follow[:, None], share).flatten(0, 1).to(rows.dtype)


@dataclass(frozen=True, slots=True)
class Numbered:
    """A model called with position numbers. Each row's follow from its own length alone, so batches change nothing."""

    model: nn.Module
    numbers: Tensor
    first: int
    base: int

    def parameters(self) -> Iterator[nn.Parameter]:
        return self.model.parameters()

    def __call__(self, *, input_ids: Tensor, attention_mask: Tensor, **asked: bool) -> Any:
        import torch

        width = input_ids.shape[1]
        # Beyond a short row's end there is padding, which nobody reads: any number that exists will do.
        own = torch.arange(width, device=input_ids.device).clamp(max=self.base - 1) + self.first
        long = attention_mask.sum(1, keepdim=True) > self.base
        positions = torch.where(long, self.numbers[:width], own)
        return self.model(input_ids=input_ids, attention_mask=attention_mask, position_ids=positions, **asked)
