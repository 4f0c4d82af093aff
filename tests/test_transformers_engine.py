"""What the transformers engine does beyond the contract: rows that join and leave, and nothing read twice."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from completing import GREEDY, ask, complete, one, strangers
from transformers import AutoConfig, AutoModelForCausalLM

from socratic_distill.engines.transformers import TransformersEngine
from socratic_distill.errors import UserError
from socratic_distill.records import Prompt, Sampling
from socratic_distill.students import LoadedStudent

pytestmark = pytest.mark.usefixtures("single_thread")

TinyStudent = Callable[[str], LoadedStudent]


@contextmanager
def lines(student: LoadedStudent) -> Iterator[list[int]]:
    """Note how many tokens each forward pass takes."""
    taken: list[int] = []

    def note(_model: object, _arguments: object, named: dict[str, Any]) -> None:
        taken.append(named["input_ids"].numel())

    hook = student.model.register_forward_pre_hook(note, with_kwargs=True)
    yield taken
    hook.remove()


STUDENTS = ["gpt2", "llama", "llama_sentencepiece"]


@pytest.mark.parametrize("kind", STUDENTS)
def test_a_prompt_that_goes_on_from_what_was_read_and_written_is_read_from_there(
    kind: str, tiny_student: TinyStudent, known: dict[str, str]
) -> None:
    student = tiny_student(kind)
    question, text = next(iter(known.items()))
    engine = TransformersEngine(student)
    first = one(engine, ask(question))
    further = Prompt(pieces=(question, text, "And six?"))
    with lines(student) as taken:
        again = one(engine, further)
    new = again.prompt_tokens - first.prompt_tokens - (first.tokens - 1)  # its last token was never read
    assert taken == [new, *[1] * (again.tokens - 1)]
    assert again == one(TransformersEngine(student), further)


def test_what_no_longer_fits_the_cache_is_read_again(tiny_student: TinyStudent, known: dict[str, str]) -> None:
    student = tiny_student("llama")
    question, text = next(iter(known.items()))
    further = Prompt(pieces=(question, text, "And six?"))
    small, large = TransformersEngine(student, cache_bytes=0), TransformersEngine(student)
    for engine, cached in ((small, False), (large, True)):
        one(engine, ask(question))
        with lines(student) as taken:
            completion = one(engine, further)
        assert (taken[0] < completion.prompt_tokens) is cached


def test_what_dialogues_that_ended_leave_behind_goes(tiny_student: TinyStudent, known: dict[str, str]) -> None:
    student = tiny_student("llama")
    asked = list(known.items())[:3]
    few, many = TransformersEngine(student, dialogues=1), TransformersEngine(student, dialogues=2)
    for engine, cached in ((few, False), (many, True)):
        for question, _ in asked:
            one(engine, ask(question))
        question, text = asked[0]
        with lines(student) as taken:
            completion = one(engine, Prompt(pieces=(question, text, "And six?")))
        assert (taken[0] < completion.prompt_tokens - 16) is cached


def test_samples_of_one_prompt_read_it_once(tiny_student: TinyStudent) -> None:
    student = tiny_student("llama")
    prompt = ask("How many of the pens and pencils that they bought did they lose in the end?")
    requests = [(prompt, Sampling(max_tokens=8, temperature=1.0, seed=seed)) for seed in range(5)]
    with lines(student) as taken:
        completions = complete(TransformersEngine(student), *requests)
    assert sum(taken) <= len(student.encode(prompt)) + sum(completion.tokens for completion in completions)
    for (_, sampling), completion in zip(requests, completions, strict=True):
        assert one(TransformersEngine(student), prompt, sampling) == completion


def test_no_more_rows_are_written_at_once_than_the_batch_has(tiny_student: TinyStudent, known: dict[str, str]) -> None:
    student = tiny_student("llama")
    prompt_tokens = max(len(student.encode(ask(question))) for question in known)
    with lines(student) as taken:
        complete(TransformersEngine(student, batch_size=2), *((ask(question), GREEDY) for question in [*known] * 3))
    assert max(taken) <= 2 * prompt_tokens
    assert min(taken) <= 2


@pytest.mark.parametrize("kind", ["bloom", "mamba"])
def test_a_student_whose_attention_can_not_be_replaced_is_refused(kind: str, tiny_student: TinyStudent) -> None:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, vocab_size=97, hidden_size=32, num_hidden_layers=2)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with pytest.raises(UserError, match="does not compute"):
        TransformersEngine(LoadedStudent(model, tiny_student("llama").encoder, 64))


@pytest.mark.parametrize("kind", STUDENTS)
def test_a_prompts_tokens_are_those_of_its_encoding(
    kind: str, tiny_student: TinyStudent, known: dict[str, str]
) -> None:
    student = tiny_student(kind)
    for prompt in strangers(known):
        completion = one(TransformersEngine(student), prompt, Sampling(max_tokens=1))
        assert (completion.prompt_tokens, completion.tokens) == (len(student.encode(prompt)), 1)


@pytest.mark.parametrize("kind", STUDENTS)
def test_writing_ends_where_the_context_does_while_others_of_the_batch_go_on(
    kind: str, tiny_student: TinyStudent, known: dict[str, str]
) -> None:
    student = tiny_student(kind)
    question, text = [*known.items()][1]
    fits = [
        prompt for count in range(1, 96) if len(student.encode(prompt := Prompt(pieces=("1" * count, question)))) == 95
    ]
    assert fits, "some prompt leaves room for one token"
    # Few enough rows end that the batch is not shrunk at once: they ride along past the context.
    requests = [(fits[0], GREEDY), *((ask(question), GREEDY) for _ in range(7))]
    last, *others = complete(TransformersEngine(student, batch_size=8), *requests)
    assert (last.prompt_tokens, last.tokens) == (95, 1)
    assert last.finish_reason in ("length", "end")
    assert {(other.text, other.finish_reason) for other in others} == {(text, "end")}


@pytest.mark.parametrize("kind", STUDENTS)
def test_text_that_spells_the_terminator_does_not_end_a_piece(kind: str, tiny_student: TinyStudent) -> None:
    student = tiny_student(kind)
    spelled = str(student.encoder.tokenizer.eos_token)
    prompt = Prompt(pieces=(f"Tom {spelled} has 4",), begun=f"He {spelled}")
    assert student.encode(prompt).count(student.terminator) == 1
    assert one(TransformersEngine(student), prompt, Sampling(max_tokens=3)).prompt_tokens == len(student.encode(prompt))
