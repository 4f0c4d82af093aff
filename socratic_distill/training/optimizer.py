"""AdamW on fp32 master weights, whatever the model computes in."""

import math
from functools import partial

import torch
from transformers import PreTrainedModel

BETAS = (0.9, 0.95)


class MasterWeights:
    """Keeps an fp32 copy of every trained weight and steps on that; a weight that is fp32 or wider is its own master.

    Computing in bf16 with fp32 masters, not under autocast, spares the casts of every weight in every pass.
    """

    def __init__(self, model: PreTrainedModel, *, learning_rate: float, weight_decay: float) -> None:
        self.weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self.masters = {
            name: weight.detach().float().clone() if _is_narrow(weight) else weight
            for name, weight in self.weights.items()
        }
        decayed = [master for master in self.masters.values() if master.ndim >= 2]
        others = [master for master in self.masters.values() if master.ndim < 2]
        groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
        fused = all(master.dtype in (torch.float32, torch.float64) for master in self.masters.values())
        self.adamw = torch.optim.AdamW(
            [group for group in groups if group["params"]], lr=learning_rate, betas=BETAS, fused=fused
        )
        self.hooks = [
            weight.register_post_accumulate_grad_hook(partial(_add_up, self.masters[name]))
            for name, weight in self.weights.items()
            if self.masters[name] is not weight
        ]

    def release(self) -> None:
        """Leave the model as any other: gradients stay in its weights again."""
        for hook in self.hooks:
            hook.remove()

    def step(self, *, learning_rate: float, clip: float) -> float:
        """Clip the collected gradients to a norm, take a step, clear them, and return their norm before clipping."""
        norm = torch.nn.utils.clip_grad_norm_(list(self.masters.values()), clip)
        for group in self.adamw.param_groups:
            group["lr"] = learning_rate
        self.adamw.step()
        self.adamw.zero_grad(set_to_none=False)
        self._copy_down()
        return float(norm)

    def state(self) -> dict[str, torch.Tensor]:
        """Return masters, moments and step counts by name, to be saved."""
        tensors: dict[str, torch.Tensor] = {}
        for name, master in self.masters.items():
            tensors[f"master/{name}"] = master.detach()
            for key, value in self.adamw.state.get(master, {}).items():
                tensors[f"{key}/{name}"] = value
        return tensors

    @torch.no_grad()
    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take back what `state` returned."""
        for name, master in self.masters.items():
            master.copy_(tensors[f"master/{name}"])
            state = {
                key: tensors[f"{key}/{name}"].to(master.device, copy=True)
                for key in ("step", "exp_avg", "exp_avg_sq")
                if f"{key}/{name}" in tensors
            }
            if state:
                self.adamw.state[master] = state
        self._copy_down()

    @torch.no_grad()
    def _copy_down(self) -> None:
        narrow = [name for name, weight in self.weights.items() if self.masters[name] is not weight]
        if narrow:
            torch._foreach_copy_([self.weights[name] for name in narrow], [self.masters[name] for name in narrow])


def _add_up(master: torch.Tensor, weight: torch.Tensor) -> None:
    """Add a weight's gradient to its master's as soon as it is there: all are summed in fp32, and none is held."""
    assert weight.grad is not None
    if master.grad is None:
        master.grad = torch.zeros_like(master)
    master.grad += weight.grad
    weight.grad = None


def _is_narrow(weight: torch.Tensor) -> bool:
    return weight.dtype in (torch.bfloat16, torch.float16)


def learning_rate_at(step: int, *, total: int, peak: float, warmup: float) -> float:
    """Return the rate of a step (from 0): a linear rise over `warmup * total` steps, then a cosine to zero."""
    rising = max(1, round(warmup * total))
    if step < rising:
        return peak * (step + 1) / rising
    done = (step - rising) / max(1, total - rising)
    return peak * 0.5 * (1 + math.cos(math.pi * done))
