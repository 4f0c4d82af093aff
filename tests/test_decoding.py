"""The fast cache and attention give what transformers' own give."""

import pytest
import torch
from transformers import AutoModelForCausalLM, DynamicCache

from socratic_distill.engines import decoding
from socratic_distill.students import AutoConfig


def tiny(kind: str) -> torch.nn.Module:
    sizes = {
        "llama": {"num_attention_heads": 6, "num_key_value_heads": 2, "hidden_size": 48, "num_hidden_layers": 2},
        "gpt2": {"n_head": 4, "n_embd": 32, "n_layer": 2},
        "mistral": {"num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 32, "num_hidden_layers": 2},
    }[kind]
    extra = {"intermediate_size": 64} if kind != "gpt2" else {}
    extra |= {"sliding_window": 8} if kind == "mistral" else {}
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, vocab_size=97, attn_implementation="sdpa", **sizes, **extra)
    model: torch.nn.Module = AutoModelForCausalLM.from_config(config, dtype=torch.float64).eval()
    return model


@torch.inference_mode()
def logits_of_a_decode(model: torch.nn.Module, cache: DynamicCache, *, steps: int) -> torch.Tensor:
    """Decode left-padded rows, dropping one half way, and return all last logits."""
    ids = torch.arange(36).view(3, 12) % 97
    mask = torch.ones(3, 12, dtype=torch.long)
    mask[0, :5] = 0
    mask[2, :9] = 0
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    seen = []
    for step in range(steps):
        output = model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        )
        seen.append(output.logits[:, -1].flatten())
        ids = output.logits[:, -1].argmax(dim=-1, keepdim=True)
        positions = positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        if step == steps // 2:
            kept = torch.tensor([0, 2])
            cache.batch_select_indices(kept)
            ids, positions, mask = ids[kept], positions[kept], mask[kept]
    return torch.cat(seen)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mistral"])
def test_decoding_by_our_cache_and_attention_equals_transformers_own(kind: str) -> None:
    model = tiny(kind)
    steps = decoding.ROOM + 6  # past the room that a cache grows by
    own = logits_of_a_decode(model, DynamicCache(config=model.config), steps=steps)
    model.set_attn_implementation(decoding.NAME)
    ours = logits_of_a_decode(model, decoding.roomy_cache(model.config), steps=steps)
    assert torch.allclose(own, ours, rtol=0, atol=1e-10)


def test_a_cache_with_room_appends_in_place() -> None:
    layer = decoding.RoomyLayer()
    first = torch.ones(2, 3, 5, 4)
    layer.update(first, first)
    layer.update(first[:, :, :1], first[:, :, :1])
    storage = layer.keys.untyped_storage().data_ptr()
    for _ in range(decoding.ROOM - 10):
        layer.update(first[:, :, :1], first[:, :, :1])
    assert layer.keys.untyped_storage().data_ptr() == storage
    assert layer.get_seq_length() == 6 + decoding.ROOM - 10
