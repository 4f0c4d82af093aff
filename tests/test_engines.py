"""What every engine must do; another one joins by a line of ENGINES."""

import functools
from collections.abc import Callable, Iterator

import pytest
from completing import GREEDY, ask, complete, one, strangers
from converted import openvino_engine
from scripted_server import ScriptedServer

from socratic_distill.engines import Engine
from socratic_distill.engines.allowance import Allowance
from socratic_distill.engines.openai import OpenAIEngine
from socratic_distill.engines.scripted import ScriptedEngine
from socratic_distill.engines.transformers import TransformersEngine
from socratic_distill.recipe import Server
from socratic_distill.records import Prompt, Sampling
from socratic_distill.students import LoadedStudent

pytestmark = pytest.mark.usefixtures("single_thread")

TinyStudent = Callable[[str], LoadedStudent]
Make = Callable[[TinyStudent, dict[str, str]], Engine]


def script(known: dict[str, str], prompt: Prompt) -> str:
    return known.get(prompt.pieces[-1], f"I am asked {prompt.pieces[-1]}").removeprefix(prompt.begun)


def scripted(students: TinyStudent, known: dict[str, str]) -> Engine:
    return ScriptedEngine(functools.partial(script, known), context=96)


def openai(students: TinyStudent, known: dict[str, str]) -> Engine:
    server = ScriptedServer(functools.partial(script, known), context=96).__enter__()  # until the tests are over
    address = Server(base_url=server.base_url, api="completions", concurrency=5)
    return OpenAIEngine(address, "student", allowance=Allowance())


# Each knows the fixture `known` by heart and has a context of 96 tokens; batches are smaller than some tests' requests.
ENGINES: dict[str, Make] = {
    "scripted": scripted,
    "openai, plain completions": openai,
    "transformers, GPT-2 without a pad token": lambda students, known: TransformersEngine(
        students("gpt2"), batch_size=5
    ),
    "transformers, Llama": lambda students, known: TransformersEngine(students("llama"), batch_size=5),
    "transformers, Llama with SentencePiece": lambda students, known: TransformersEngine(
        students("llama_sentencepiece"), batch_size=5
    ),
    "openvino, GPT-2 without a pad token": lambda students, known: openvino_engine(students("gpt2")),
    "openvino, Llama": lambda students, known: openvino_engine(students("llama")),
    "openvino, Llama with SentencePiece": lambda students, known: openvino_engine(students("llama_sentencepiece")),
}
SAMPLING_ENGINES = [name for name in ENGINES if name not in ("scripted", "openai, plain completions")]


@pytest.fixture(params=list(ENGINES))
def engine(request: pytest.FixtureRequest, tiny_student: TinyStudent, known: dict[str, str]) -> Iterator[Engine]:
    engine = ENGINES[request.param](tiny_student, known)
    yield engine
    if isinstance(engine, OpenAIEngine):
        engine.close()


@pytest.fixture(params=SAMPLING_ENGINES)
def sampling_engine(request: pytest.FixtureRequest, tiny_student: TinyStudent, known: dict[str, str]) -> Engine:
    return ENGINES[request.param](tiny_student, known)


def test_every_request_comes_back_once_under_its_own_key(engine: Engine, known: dict[str, str]) -> None:
    questions = [*known] * 4
    completions = complete(engine, *((ask(question), GREEDY) for question in questions))
    assert [completion.text for completion in completions] == [known[question] for question in questions]
    assert {completion.finish_reason for completion in completions} == {"end"}


def test_where_nothing_waits_nothing_comes(engine: Engine, known: dict[str, str]) -> None:
    assert engine.poll() == []
    one(engine, ask(next(iter(known))))
    assert engine.poll() == []


def test_the_tokens_of_a_text_are_counted_its_terminator_included(engine: Engine, known: dict[str, str]) -> None:
    for question, text in known.items():
        whole = one(engine, ask(question))
        assert 0 < whole.tokens <= len(text.encode()) + 1
        exactly = one(engine, ask(question), Sampling(max_tokens=whole.tokens))
        assert exactly == whole
        cut = one(engine, ask(question), Sampling(max_tokens=whole.tokens - 1))
        assert (cut.text, cut.finish_reason, cut.tokens) == (text, "length", whole.tokens - 1)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_text_is_cut_at_its_most_tokens(engine: Engine, known: dict[str, str], most: int) -> None:
    for question, text in known.items():
        cut = one(engine, ask(question), Sampling(max_tokens=most))
        assert (cut.finish_reason, cut.tokens) == ("length", most)
        assert text.startswith(cut.text) and cut.text != text


@pytest.mark.parametrize("stops", [(">>",), ("=",), ("20>>2", "apples"), ("nowhere", "20 "), ("ere ar", "There are 4")])
def test_a_text_ends_with_the_first_stop_string_that_it_meets(
    engine: Engine, known: dict[str, str], stops: tuple[str, ...]
) -> None:
    question, text = [*known.items()][1]
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    stopped = one(engine, ask(question), GREEDY.model_copy(update={"stop": stops}))
    assert (stopped.text, stopped.finish_reason) == (text[: min(ends)], "stop_string")
    assert stopped.text.endswith(stops)


def test_a_stop_string_that_is_not_met_changes_nothing(engine: Engine, known: dict[str, str]) -> None:
    for question in known:
        assert one(engine, ask(question), GREEDY.model_copy(update={"stop": ("~", "\n\n")})) == one(
            engine, ask(question)
        )


def test_a_stop_string_in_what_is_begun_does_not_stop(engine: Engine, known: dict[str, str]) -> None:
    question, text = [*known.items()][1]
    stop = GREEDY.model_copy(update={"stop": (">>",)})
    begun = ""
    for _ in range(2):
        begun += one(engine, ask(question, begun), stop).text
        assert begun.endswith(">>")
    last = one(engine, ask(question, begun), stop)
    assert (begun + last.text, last.finish_reason) == (text, "end")


def test_a_begun_text_is_gone_on_with(engine: Engine, known: dict[str, str]) -> None:
    for question, text in known.items():
        words = text.split(" ")
        for count in (1, len(words) // 2, len(words) - 1):
            begun = " ".join(words[:count])
            rest = one(engine, ask(question, begun))
            assert (begun + rest.text, rest.finish_reason) == (text, "end")
            assert rest.prompt_tokens > one(engine, ask(question)).prompt_tokens


def test_a_wholly_begun_text_is_ended(engine: Engine, known: dict[str, str]) -> None:
    for question, text in known.items():
        rest = one(engine, ask(question, text))
        assert (rest.text, rest.finish_reason, rest.tokens) == ("", "end", 1)


def test_too_long_a_prompt_is_a_recorded_reason_and_the_others_are_answered(
    engine: Engine, known: dict[str, str]
) -> None:
    question, text = next(iter(known.items()))
    long = Prompt(pieces=(question, "word " * 120))
    short, refused, begun = complete(
        engine, (ask(question), GREEDY), (long, GREEDY), (ask(question, "pens " * 120), GREEDY)
    )
    assert short.text == text
    for completion in (refused, begun):
        assert (completion.text, completion.finish_reason, completion.tokens) == ("", "prompt_too_long", 0)
        assert completion.prompt_tokens > 96


def test_greedy_texts_are_the_same_alone_and_in_a_batch(engine: Engine, known: dict[str, str]) -> None:
    prompts = [*(ask(question) for question in known), *strangers(known)]
    together = complete(engine, *((prompt, GREEDY) for prompt in prompts))
    for prompt, completion in zip(prompts, together, strict=True):
        assert one(engine, prompt) == completion


def test_sampled_texts_are_the_same_alone_and_in_a_batch(sampling_engine: Engine, known: dict[str, str]) -> None:
    requests = [
        (prompt, Sampling(max_tokens=20, temperature=1.0, top_p=top_p, seed=seed))
        for seed, prompt in enumerate(strangers(known))
        for top_p in (0.9, 1.0)
    ]
    together = complete(sampling_engine, *requests)
    for (prompt, sampling), completion in zip(requests, together, strict=True):
        assert one(sampling_engine, prompt, sampling) == completion


def test_a_request_joins_while_others_are_written_and_a_short_one_ends_before_them(
    sampling_engine: Engine, known: dict[str, str]
) -> None:
    long, short = list(known)[1], list(known)[2]
    sampling_engine.submit("long", ask(long), GREEDY)
    assert sampling_engine.poll(0) == sampling_engine.poll(0) == []
    sampling_engine.submit("short", ask(short), GREEDY.model_copy(update={"max_tokens": 2}))
    [(key, _)] = sampling_engine.poll()
    assert key == "short"
    [(key, completion)] = sampling_engine.poll()
    assert (key, completion.text) == ("long", known[long])


def test_another_seed_draws_another_text(sampling_engine: Engine, known: dict[str, str]) -> None:
    prompt = strangers(known)[2]
    texts = {
        one(sampling_engine, prompt, Sampling(max_tokens=20, temperature=1.5, seed=seed)).text for seed in range(4)
    }
    assert len(texts) > 1


def test_a_narrow_nucleus_is_greedy(sampling_engine: Engine, known: dict[str, str]) -> None:
    for question, text in known.items():
        narrow = Sampling(max_tokens=60, temperature=1.0, top_p=1e-6, seed=3)
        assert one(sampling_engine, ask(question), narrow).text == text


def test_requests_of_different_samplings_share_a_batch(sampling_engine: Engine, known: dict[str, str]) -> None:
    [first, second, third] = known
    requests = [
        (ask(first), GREEDY),
        (ask(second), GREEDY.model_copy(update={"stop": (">>",)})),
        (ask(third), Sampling(max_tokens=2)),
        (ask(second), Sampling(max_tokens=20, temperature=1.2, seed=5)),
    ]
    together = complete(sampling_engine, *requests)
    assert [completion.finish_reason for completion in together[:3]] == ["end", "stop_string", "length"]
    for (prompt, sampling), completion in zip(requests, together, strict=True):
        assert one(sampling_engine, prompt, sampling) == completion
