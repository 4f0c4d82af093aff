"""What is taken from the gold reasoning: human annotations, and oracles that play a part of a dialogue from them."""

from collections.abc import Iterator, Mapping, Sequence

from socratic_distill.reasoning.dialogue import Ask, Dialogue, replay, with_replies
from socratic_distill.reasoning.prompts import parse_step
from socratic_distill.reasoning.strategies import Strategy, decomposes
from socratic_distill.records import Annotation, Completion, Problem, Solution, Step

NO_GOLD_STEPS = "no_gold_steps"
"""Why an oracle could not play: the problem has no gold steps, or none that the strategy can use."""


def human_annotation(problem: Problem) -> Annotation:
    """Take a problem's annotation from its own rationale and steps; either may be missing."""
    steps = problem.steps
    answer = steps[-1].answer if steps else problem.answer
    return Annotation(problem=problem.id, source="human", rationale=problem.rationale, steps=steps, answer=answer)


def gold_texts(problem: Problem, strategy: Strategy) -> Mapping[str, Sequence[str]] | None:
    """Return what each student of a strategy should write for a problem; None without the gold reasoning for it."""
    return strategy.texts(human_annotation(problem)) if problem.steps or problem.rationale else None


def without_gold() -> Dialogue:
    """Ask nothing, for the problem has no gold reasoning to take from."""
    return Solution(text="", unfinished=NO_GOLD_STEPS)
    yield  # a dialogue is a generator


def with_gold(dialogue: Dialogue, texts: Mapping[str, Sequence[str]]) -> Dialogue:
    """Answer the first asks of each student by the texts given for it; once they have run out it is asked itself."""
    remaining: dict[str, Iterator[str]] = {student: iter(own) for student, own in texts.items()}

    def reply_to(ask: Ask) -> Completion | None:
        text = next(remaining.get(ask.student, iter(())), None)
        return None if text is None else Completion(text=text, finish_reason="end", prompt_tokens=0, tokens=0)

    return with_replies(dialogue, reply_to)


def behind_gold(dialogue: Dialogue, texts: Mapping[str, Sequence[str]]) -> Dialogue:
    """Ask every student for each of its texts with all that is gold before it: teacher forcing, on whole texts.

    The asks are made together, in the order of the dialogue. The solution holds what the solver makes of each gold
    subquestion, and the text that ends the gold reasoning as the last student wrote it.
    """
    examples, _ = replay(dialogue, texts)
    replies: tuple[Completion, ...] = yield tuple(Ask(example.student, example.prompt) for example in examples)
    solved = [
        (example, reply) for example, reply in zip(examples, replies, strict=True) if not decomposes(example.student)
    ]
    last, reply = solved[-1]
    steps: tuple[Step, ...] = ()
    if len(texts) > 1:  # one student alone has no subquestion put to it
        steps = tuple(parse_step(example.prompt.pieces[-1], reply.text.strip()) for example, reply in solved)
    unfinished = "" if reply.finish_reason == "end" else f"{last.student}_{reply.finish_reason}"
    return Solution(text=reply.text.strip(), steps=steps, unfinished=unfinished)
