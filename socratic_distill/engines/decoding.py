"""What makes decoding on a CPU fast: a cache with room to grow, and attention that copies no key.

Transformers' own copies the whole cache twice a token: once to append, once to repeat keys for grouped queries.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer
from transformers.masking_utils import sdpa_mask

NAME = "grouped_queries"
ROOM = 64
"""Tokens that a cache grows by at once."""


class RoomyLayer(DynamicLayer):
    """A layer's cache that writes new keys into room kept for them; `keys` and `values` are views of what is filled."""

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append states of (rows, key heads, new, width) and return all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
        assert self.keys is not None and self.values is not None
        keys, values = _appended(self.keys, key_states), _appended(self.values, value_states)
        self.keys, self.values = keys, values
        return keys, values


def _appended(filled: Tensor, new: Tensor) -> Tensor:
    """Write states behind those filled, moving to a larger storage where there is no room."""
    rows, heads, length, width = filled.shape
    total = length + new.shape[2]
    room = filled.stride(1) // width if length else 0  # of the storage that `filled` is a view of
    if total > room or filled.stride(0) != heads * filled.stride(1):
        storage = new.new_empty(rows, heads, total + ROOM, width)
        storage[:, :, :length] = filled
    else:
        storage = filled.as_strided((rows, heads, room, width), filled.stride(), filled.storage_offset())
    storage[:, :, length:total] = new
    return storage[:, :, :total]


def roomy_cache(config: PreTrainedConfig) -> DynamicCache:
    """Make a cache for a model whose full-attention layers have room to grow; other kinds stay as they are."""
    cache = DynamicCache(config=config)
    roomy: Any = RoomyLayer  # its parent's initialiser is untyped
    cache.layers = [roomy() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def grouped_queries(
    _module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Attend with the query heads of one key head as rows of one product.

    query: (rows, heads, new, width); key, value: (rows, key heads, length, width); mask: (rows or 1, 1, new, length),
    true where a key is seen. Without a mask all keys are seen by one new token, and the earlier ones by several.
    """
    rows, heads, new, width = query.shape
    key_heads, length = key.shape[1:3]
    group = heads // key_heads
    queries = query.reshape(rows * key_heads, group * new, width) * (width**-0.5 if scaling is None else scaling)
    # A view where the storage has room: rows and heads are still one stride.
    scores = torch.bmm(queries, key.flatten(0, 1).transpose(1, 2)).view(rows, key_heads, group, new, length)
    if attention_mask is None and new > 1:
        attention_mask = torch.ones(new, length, dtype=torch.bool, device=query.device).tril(length - new)[None, None]
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask[:, :, None], torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, dim=-1).view(rows * key_heads, group * new, length)
    attended = torch.bmm(weights, value.flatten(0, 1)).view(rows, heads, new, width)
    return attended.transpose(1, 2), None


AttentionInterface.register(NAME, grouped_queries)
AttentionMaskInterface.register(NAME, sdpa_mask)
