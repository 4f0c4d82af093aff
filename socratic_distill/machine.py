"""What the machine offers a model: where it runs, in what it computes, its memory back, and room on its disk."""

import ctypes
import gc
import os
import sys
from pathlib import Path

import torch


def compute_dtype() -> torch.dtype:
    """Return bfloat16 where the machine computes in it natively, else float32."""
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    # oneDNN also emulates bf16, far slower than fp32, on processors that lack it.
    capabilities = torch.cpu.get_capabilities()
    native = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.bfloat16 if native and torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32


def device() -> torch.device:
    """Return the accelerator if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def release_memory() -> None:
    """Give back what a model that is done with has left; an optimizer is a cycle that holds gigabytes."""
    gc.collect()
    trim_heap()


def trim_heap() -> None:
    """Give freed pages back to the system.

    Batches of ever other shapes leave holes in glibc's heap: without this, one student after another grew a run by
    gigabytes.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # absent from other C libraries
        if trim is not None:
            trim(0)


def cache_folder() -> Path:
    """Return where converted weights are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "socratic-distill"
