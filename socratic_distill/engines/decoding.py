"""Attention over rows that each read and write at their own pace, and the keys and values that it looks at.

The new tokens of all rows go through a model on one line, without padding, so rows that read a prompt and rows that
write share a forward pass.
"""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

NAME = "rows_at_their_own_pace"
ROOM = 64
"""Tokens that the storage grows by at once."""


@dataclass(frozen=True, eq=False)
class Kept:
    """A row's keys and values after it has left: (layers, key heads, tokens, width)."""

    ids: list[int]
    keys: Tensor
    values: Tensor

    @property
    def bytes(self) -> int:
        """Memory taken."""
        return self.keys.nbytes + self.values.nbytes

    def copy(self) -> "Kept":
        """Return states of their own storage."""
        return Kept(self.ids, _copied(self.keys), _copied(self.values))


def _copied(tensor: Tensor) -> Tensor:
    if tensor.device.type != "cpu" or not tensor.numel():
        return tensor.clone()
    # Memory of its own, and not of the heap: megabytes of ever other sizes that come and go would leave holes in it.
    copy = torch.frombuffer(mmap.mmap(-1, tensor.nbytes), dtype=tensor.dtype).view(tensor.shape)
    return copy.copy_(tensor)


class RowCache:
    """The keys and values of the rows under way, each in one storage: (layers, rows, key heads, room, width).

    A product reads all the room, for one that is cut to its filled part would be copied first, so room is kept tight.
    """

    def __init__(self, layers: int) -> None:
        self._layers = layers
        self._storage: tuple[Tensor, Tensor] | None = None

    @property
    def room(self) -> int:
        """Tokens that a row has room for; nought where no attention has written."""
        return 0 if self._storage is None else self._storage[0].shape[3]

    def write(self, layer: int, batch: "Line", keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Put a layer's new states, (key heads, tokens, width), in place; return its states of all rows."""
        self._fit(len(batch.lengths), max(batch.lengths), (keys, values))
        assert self._storage is not None
        for storage, new in zip(self._storage, (keys, values), strict=True):
            storage[layer][batch.rows, :, batch.places] = new.transpose(0, 1)
        rows = len(batch.lengths)
        return self._storage[0][layer, :rows], self._storage[1][layer, :rows]

    def of(self, row: int, ids: list[int]) -> Kept:
        """Return the states of a row's first tokens, whose ids are given: views, not copies."""
        assert self._storage is not None
        keys, values = (storage[:, row, :, : len(ids)] for storage in self._storage)
        return Kept(ids, keys, values)

    def put(self, row: int, kept: Kept, tokens: int) -> None:
        """Copy the states of a sequence's first tokens to a row."""
        self._fit(row + 1, tokens, (kept.keys[0], kept.values[0]))
        assert self._storage is not None
        for storage, source in zip(self._storage, (kept.keys, kept.values), strict=True):
            storage[:, row, :, :tokens] = source[:, :, :tokens]

    def _fit(self, rows: int, length: int, like: Sequence[Tensor]) -> None:
        """Make room for rows of a length; `like` has a layer's states of keys and of values."""
        have, room = (0 if self._storage is None else self._storage[0].shape[1]), self.room
        if rows <= have and length <= room:
            return
        more = have if rows <= have else max(rows, have + have // 2)
        # Zeros: a weight of nought hides what lies in the room, but not if that is NaN.
        grown = tuple(
            one.new_zeros(self._layers, more, one.shape[0], max(_rooms(length), room), one.shape[2]) for one in like
        )
        for old, new in zip(self._storage or (), grown, strict=False):
            new[:, :have, :, :room] = old
        self._storage = (grown[0], grown[1])

    def tighten(self, rows: int, length: int) -> None:
        """Give back what so many rows of at most a length leave empty, once that is more than half."""
        room = _rooms(length)
        if self._storage is not None and 2 * rows * room < self._storage[0].shape[1] * self.room:
            keys, values = (storage[:, :rows, :, :room].contiguous() for storage in self._storage)
            self._storage = keys, values


def _rooms(length: int) -> int:
    return -(-length // ROOM) * ROOM


@dataclass(frozen=True)
class Line:
    """The new tokens of one forward pass, those of row 0 first; every row has at least one."""

    cache: RowCache
    starts: Sequence[int]
    """Where each row's tokens begin on the line, and where the line ends."""
    lengths: Sequence[int]
    """Tokens of each row after the pass."""
    rows: Tensor
    """The row of each token: (tokens,)."""
    places: Tensor
    """The position of each token in its row: (tokens,)."""
    last: Tensor
    """Where each row's last token is on the line: (rows,)."""
    _hidden: dict[int | None, list[Tensor]] = field(default_factory=dict)

    @classmethod
    def of(cls, cache: RowCache, new: Sequence[int], lengths: Sequence[int], *, device: torch.device) -> "Line":
        """Lay out rows that have so many new tokens, and so many altogether."""
        starts = [0]
        for count in new:
            starts.append(starts[-1] + count)
        rows = [row for row, count in enumerate(new) for _ in range(count)]
        places = [place for count, length in zip(new, lengths, strict=True) for place in range(length - count, length)]
        last = [start - 1 for start in starts[1:]]
        on_line, positions, ends = (torch.tensor(index, device=device) for index in (rows, places, last))
        return cls(cache, starts, lengths, on_line, positions, ends)

    def hidden(self, window: int | None) -> list[Tensor]:
        """Say what tokens must not look at, for the last of each row and for all but the last of each longer one.

        The first is (rows, 1, 1, 1, room), the others (new - 1, length); all layers of a pass share them.
        """
        if window not in self._hidden:
            columns = torch.arange(self.cache.room, device=self.places.device)
            last = _out_of_sight(self.places[self.last], columns, window)[:, None, None, None]
            longer = [
                _out_of_sight(self.places[start : end - 1], columns[:length], window)
                for (start, end), length in zip(pairwise(self.starts), self.lengths, strict=True)
                if end - start > 1
            ]
            self._hidden[window] = [last, *longer]
        return self._hidden[window]


def _out_of_sight(places: Tensor, columns: Tensor, window: int | None) -> Tensor:
    """Compare positions (tokens,) with columns (length,): (tokens, length)."""
    hidden = columns > places[:, None]
    return hidden if window is None else hidden | (columns <= places[:, None] - window)


def at_their_own_pace(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    line: Line,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Attend to what each token's own row holds. query: (1, heads, tokens, width); key, value: with key heads.

    The last tokens of all rows are one product; the tokens before them, of rows that read, are a product a row.
    """
    assert attention_mask is None
    heads, tokens, width = query.shape[1:]
    layer: int = module.layer_idx  # type: ignore[assignment]  # transformers numbers every attention
    keys, values = line.cache.write(layer, line, key[0], value[0])
    scale = width**-0.5 if scaling is None else scaling
    hidden = iter(line.hidden(sliding_window))
    attended = query.new_empty(tokens, heads, value.shape[-1])
    last = query[0, :, line.last].transpose(0, 1).unsqueeze(2)
    attended[line.last] = _attend(last, keys, values, next(hidden), scale, softcap)[:, :, 0]
    for row, ((start, end), length) in enumerate(zip(pairwise(line.starts), line.lengths, strict=True)):
        if end - start > 1:
            states = keys[row : row + 1, :, :length], values[row : row + 1, :, :length]
            read = _attend(query[:, :, start : end - 1], *states, next(hidden), scale, softcap)
            attended[start : end - 1] = read[0].transpose(0, 1)
    return attended.unsqueeze(0), None


def _attend(query: Tensor, keys: Tensor, values: Tensor, hidden: Tensor, scale: float, softcap: float | None) -> Tensor:
    """Attend with the query heads of one key head as rows of one product, which copies no key.

    query: (rows, heads, new, width); keys, values: (rows, key heads, length, width); hidden: true where a key must
    not be seen, in a shape that goes with (rows, key heads, group, new, length). Gives (rows, heads, new, width).
    """
    rows, heads, new, width = query.shape
    key_heads, length = keys.shape[1:3]
    group = heads // key_heads
    queries = query.reshape(rows * key_heads, group * new, width) * scale
    scores = torch.bmm(queries, keys.flatten(0, 1).transpose(1, 2)).view(rows, key_heads, group, new, length)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    scores.masked_fill_(hidden, torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, dim=-1).view(rows * key_heads, group * new, length)
    return torch.bmm(weights, values.flatten(0, 1)).view(rows, heads, new, values.shape[-1])


# No mask is registered with it, so transformers makes none.
AttentionInterface.register(NAME, at_their_own_pace)
