"""The loss on target tokens alone: the vocabulary's head is computed at those positions only.

The short cut (own attention, trunk and head apart) is taken for a model only where it gives the model's own loss.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from socratic_distill.training import attention
from socratic_distill.training.sequences import TokenSequence

Loss = Callable[[Sequence[TokenSequence]], Tensor]
"""Sums the loss over the targets of sequences, in nats."""

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 1e-2}
"""Relative difference of the loss that rounding explains."""

ROWS = 8
"""Targets whose probabilities are computed at once."""


def loss_of(model: PreTrainedModel, probe: TokenSequence) -> tuple[Loss, bool]:
    """Return a model's loss function, and whether it is the fast one.

    `probe` should be the longest sequence: on it the fast loss must equal the model's own, which catches sliding
    windows, scaled or capped logits and whatever else a kind of model does between trunk and loss.
    """
    own = str(model.config._attn_implementation)
    plain, fast = plain_loss(model), fast_loss(model)
    training = model.training
    model.eval()
    with torch.no_grad():
        expected = float(plain([probe]))
        try:
            if next(model.parameters()).device.type == "cpu":
                model.set_attn_implementation(attention.NAME)
            difference = abs(float(fast([probe])) - expected)
        except (AttributeError, AssertionError, TypeError, ValueError, RuntimeError):
            difference = float("inf")  # not the kind of model that the short cut is for
    model.train(training)
    if difference <= TOLERANCE[model.dtype] * abs(expected):
        return fast, True
    model.set_attn_implementation(own)
    return plain, False


def fast_loss(model: PreTrainedModel) -> Loss:
    """Compute the trunk on all tokens and the head on targets only."""
    head = model.get_output_embeddings()

    def loss(sequences: Sequence[TokenSequence]) -> Tensor:
        ids, rows, places = _padded(sequences, model.device)
        # No mask is given: right-padded rows need none.
        hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state  # (rows, length, width)
        learned, predicted = hidden[rows, places - 1], ids[rows, places]
        if type(head) is nn.Linear and head.bias is None:
            total: Tensor = _HeadLoss.apply(learned, head.weight, predicted)
            return total
        return functional.cross_entropy(_wide(head(learned)), predicted, reduction="sum")

    return loss


class _HeadLoss(torch.autograd.Function):
    """The cross entropy after a head without bias, summed; the logits are turned into its gradient where they lie.

    A few rows at a time stay in the processor's cache, and no second (targets, vocabulary) is ever held.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, ids: Tensor) -> Tensor:
        """Return the loss. hidden: (targets, width); weight: (vocabulary, width); ids: (targets,)."""
        slopes = hidden @ weight.T  # logits as yet
        losses = []
        for rows, targets in zip(slopes.split(ROWS), ids.split(ROWS), strict=True):
            logits, targets = _wide(rows), targets[:, None]
            likely = torch.softmax(logits, dim=-1)
            # The logarithm of the sum of exponentials, from the row's largest logit and that one's probability.
            total = logits.amax(-1, keepdim=True) - likely.amax(-1, keepdim=True).log()
            losses.append((total - logits.gather(-1, targets)).sum())
            rows.copy_(likely.scatter_add_(-1, targets, likely.new_full(targets.shape, -1.0)))
        ctx.save_for_backward(hidden, weight, slopes)
        return torch.stack(losses).sum()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor | None, None]:
        """Return the gradient by hidden and by weight."""
        hidden, weight, slopes = ctx.saved_tensors
        by_weight = slopes.T @ (hidden * upstream.to(hidden.dtype)) if ctx.needs_input_grad[1] else None
        return (slopes @ weight).mul_(upstream), by_weight, None


def plain_loss(model: PreTrainedModel) -> Loss:
    """Compute what the model itself gives at every position, and the loss at targets only."""

    def loss(sequences: Sequence[TokenSequence]) -> Tensor:
        ids, rows, places = _padded(sequences, model.device)
        logits = model(input_ids=ids, use_cache=False).logits
        return functional.cross_entropy(_wide(logits[rows, places - 1]), ids[rows, places], reduction="sum")

    return loss


def _padded(sequences: Sequence[TokenSequence], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return ids padded on the right (rows, length), and the row and place of every target."""
    longest = max(len(sequence.ids) for sequence in sequences)
    ids = torch.tensor([sequence.ids + [0] * (longest - len(sequence.ids)) for sequence in sequences], device=device)
    rows = [row for row, sequence in enumerate(sequences) for _ in sequence.targets]
    places = [place for sequence in sequences for place in sequence.targets]
    return ids, torch.tensor(rows, device=device), torch.tensor(places, device=device)


def _wide(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
