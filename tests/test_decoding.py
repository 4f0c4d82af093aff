"""Rows that read and write at their own pace get the logits that transformers' own attention gives each alone."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from socratic_distill.engines import decoding
from socratic_distill.engines.decoding import Line, RowCache

LLAMA = {"num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 32, "num_hidden_layers": 2}
KINDS = {
    "llama": LLAMA,
    "gpt2": {"n_head": 4, "n_embd": 32, "n_layer": 2},
    "mistral": {**LLAMA, "sliding_window": 8},
    "gemma2": {**LLAMA, "head_dim": 8, "sliding_window": 8, "attn_logit_softcapping": 2.0},
    "qwen3": {**LLAMA, "head_dim": 16},
}


def tiny(kind: str) -> PreTrainedModel:
    torch.manual_seed(0)
    sizes = {**KINDS[kind], "initializer_range": 0.5}  # so that far tokens matter
    config = AutoConfig.for_model(kind, vocab_size=97, attn_implementation="eager", **sizes)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float64).eval()
    return model


def forward(model: PreTrainedModel, cache: RowCache, new: list[list[int]], read: list[int]) -> torch.Tensor:
    lengths = [before + len(ids) for before, ids in zip(read, new, strict=True)]
    line = Line.of(cache, [len(ids) for ids in new], lengths, device=model.device)
    output = model(
        input_ids=torch.tensor([[token for ids in new for token in ids]]),
        position_ids=line.places[None],
        use_cache=False,
        logits_to_keep=line.last,
        line=line,
    )
    logits: torch.Tensor = output.logits[0]
    return logits


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_rows_on_one_line_get_the_logits_that_each_gets_alone(kind: str) -> None:
    model = tiny(kind)
    texts = [[(7 * row + 5 * place) % 97 for place in range(40)] for row in range(3)]
    alone = [model(input_ids=torch.tensor([ids]), use_cache=False).logits[0] for ids in texts]
    model.set_attn_implementation(decoding.NAME)
    cache, read = RowCache(2), [0, 0, 0]
    for counts in [(5, 17, 1), (1, 1, 1), (20, 1, 3), (1, 9, 1)]:
        new = [ids[have : have + count] for ids, have, count in zip(texts, read, counts, strict=True)]
        logits = forward(model, cache, new, read)
        read = [have + count for have, count in zip(read, counts, strict=True)]
        for row in range(3):
            assert torch.allclose(
                logits[row], alone[row][read[row] - 1], rtol=0, atol=1e-5
            )  # eager has an fp32 softmax


@torch.inference_mode()
def test_states_copied_to_another_row_of_another_cache_are_read_on_from() -> None:
    model = tiny("llama")
    ids = [(5 * place) % 97 for place in range(decoding.ROOM + 20)]
    expected = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
    model.set_attn_implementation(decoding.NAME)
    first, second = RowCache(2), RowCache(2)
    forward(model, first, [[1, 2], ids[:-10]], [0, 0])
    kept = first.of(1, ids[:-10]).copy()
    forward(model, first, [[3], [4] * 8], [2, 0])  # the copy is its own
    second.put(1, kept, len(ids) - 20)
    logits = forward(model, second, [[9], ids[-20:]], [0, len(ids) - 20])
    assert torch.allclose(logits[1], expected, rtol=0, atol=1e-5)


@torch.inference_mode()
def test_the_storage_grows_only_where_there_is_no_room() -> None:
    cache = RowCache(1)

    def write(count: int, have: int) -> int:
        states = torch.ones(2, count, 4)
        line = Line.of(cache, [count], [have + count], device=states.device)
        keys, values = cache.write(0, line, states, states)
        assert keys.shape[:2] == values.shape[:2] == (1, 2)
        assert bool((keys[0, :, : have + count] == 1).all())
        assert bool((keys[0, :, have + count :] == 0).all())
        return keys.data_ptr()

    place = write(5, 0)
    assert {write(1, have) for have in range(5, decoding.ROOM)} == {place}
    assert write(1, decoding.ROOM) != place
