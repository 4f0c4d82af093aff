"""Asks an engine and waits for it: what the tests of engines share."""

from socratic_distill.engines import Engine
from socratic_distill.records import Completion, Prompt, Sampling

GREEDY = Sampling(max_tokens=60)


def ask(question: str, begun: str = "") -> Prompt:
    return Prompt(pieces=(question,), begun=begun)


def complete(engine: Engine, *requests: tuple[Prompt, Sampling]) -> list[Completion]:
    """Submit requests and poll until nothing comes; return completions in the order of the requests."""
    for place, (prompt, sampling) in enumerate(requests):
        engine.submit(f"key {place}", prompt, sampling)
    completions: dict[str, Completion] = {}
    while finished := engine.poll():
        for key, completion in finished:
            assert key not in completions, "each key comes back once"
            completions[key] = completion
    assert set(completions) == {f"key {place}" for place in range(len(requests))}
    return [completions[f"key {place}"] for place in range(len(requests))]


def one(engine: Engine, prompt: Prompt, sampling: Sampling = GREEDY) -> Completion:
    [completion] = complete(engine, (prompt, sampling))
    return completion


def strangers(known: dict[str, str]) -> list[Prompt]:
    """Prompts of one to some thirty tokens that no student has learned an answer to."""
    [first, second, *_] = [question.split() for question in known]
    words = [*first, *second]
    prompts = [Prompt(pieces=(" ".join(words[:count]),)) for count in range(1, len(words), 3)]
    return [*prompts, Prompt(pieces=("Tom", "has", "2")), Prompt(pieces=("A goat",), begun="There are")]
