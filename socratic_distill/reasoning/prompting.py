"""A model as it is in the place of students: the prompts of their dialogues, written few-shot for it to go on with.

Strategies stay as they are: position tells which pieces of a prompt the asked student wrote itself, as in training.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal, NamedTuple

from socratic_distill.errors import UserError
from socratic_distill.reasoning.dialogue import Ask, Dialogue, Result, answered, grown, replay
from socratic_distill.reasoning.exemplars import Exemplar, read_exemplars
from socratic_distill.reasoning.prompting_roles import GO_ON, Role, instruction, label_of, read_text, role_of
from socratic_distill.reasoning.strategies import MAX_STEPS, Strategy, decomposes, shown
from socratic_distill.recipe import Solve
from socratic_distill.records import Annotation, AnswerKind, Completion, Example, Problem, Prompt, Step

Api = Literal["chat", "completions"]


@dataclass(frozen=True)
class Prompting:
    """How a model is prompted to play students of a strategy."""

    strategy: Strategy
    students: tuple[str, ...]
    """Those whose part it plays."""
    exemplars: Mapping[AnswerKind, tuple[Exemplar, ...]]
    shots: int
    api: Api
    """`chat` takes turns of user and assistant, `completions` one text to go on with."""
    resumes: bool
    """It can go on with a reply that it has begun."""
    own: Mapping[str, frozenset[int]]
    """Places of the pieces that each student writes itself."""


def prompting_of(
    solve: Solve,
    strategy: Strategy,
    *,
    students: Sequence[str],
    dataset: str,
    kinds: Collection[AnswerKind],
    api: Api,
) -> Prompting:
    """Prepare to prompt `students` as a solve says, for problems of some answer kinds.

    Raises UserError where there are too few exemplars, or the model can't be interrupted as the solve wants it to be.
    """
    prompted = solve.prompted
    assert prompted is not None, "only a solve with a prompted model is prompted"
    resumes = api == "completions" or prompted.engine == "transformers"
    interrupts = "calculator" if solve.calculator else "retries" if solve.retries is not None else ""
    if interrupts and not resumes and (reckoning := [one for one in students if not decomposes(one)]):
        raise UserError(
            f"{interrupts} needs a {reckoning[0]} that goes on with a text it has begun, which a chat at a server "
            f'can\'t: leave {interrupts} out of that solve, or set prompted.server.api = "completions"'
        )
    exemplars = {
        kind: _suited(prompted.exemplars or dataset, strategy, kind=kind, shots=prompted.shots) for kind in kinds
    }
    return Prompting(strategy, tuple(students), exemplars, prompted.shots, api, resumes, _own_places(strategy))


def _suited(source: str, strategy: Strategy, *, kind: AnswerKind, shots: int) -> tuple[Exemplar, ...]:
    """Read the exemplars that a strategy can be shown on. Raises UserError where they are fewer than `shots`."""
    if not shots:
        return ()
    rationale = Annotation(problem="exemplar", source="exemplar", rationale="As said.", answer="1")
    style: Literal["cot", "socratic"] = "cot" if strategy.texts(rationale) is not None else "socratic"
    found = read_exemplars(source, kind=kind, style=style)
    suited = tuple(one for one in found if strategy.texts(_annotation(one)) is not None)
    if len(suited) < shots:
        raise UserError(
            f"prompted.shots = {shots}, but {strategy.name} can be shown on {len(suited)} exemplars of {source} "
            f"with a {kind} for an answer; lower it, or name a file of them in prompted.exemplars"
        )
    return suited


def _own_places(strategy: Strategy) -> Mapping[str, frozenset[int]]:
    """Replay the longest reasoning there can be and see at which places each student writes."""
    steps = tuple(Step(subquestion="What is 1+1?", solution="It is 1+1=2.", answer="2") for _ in range(MAX_STEPS))
    longest = Annotation(problem="longest", source="longest", rationale="It is 1+1=2.", steps=steps, answer="2")
    texts = strategy.texts(longest)
    if texts is None:
        return {}
    question = Problem(id="longest", split="train", question="What is 1+1?", answer="2", answer_kind="number")
    examples, _ = replay(strategy.dialogue(shown(question, "none")), texts)
    return {
        student: frozenset(len(example.prompt.pieces) for example in examples if example.student == student)
        for student in strategy.students
    }


def with_prompting(dialogue: Dialogue[Result], problem: Problem, *, prompting: Prompting) -> Dialogue[Result]:
    """Write the asks of the prompted students for the model that plays them, and read its replies as theirs.

    It goes around all else, for it must see what a calculator has begun; every ask must carry a sampling. `problem`
    is as students are shown it; an exemplar that asks its question is passed over.
    """
    parts = {student: _Part.of(student, problem, prompting) for student in prompting.students}

    def answer(asks: tuple[Ask, ...]) -> Dialogue[tuple[Completion, ...]]:
        played = [parts.get(ask.student) for ask in asks]
        replies: tuple[Completion, ...] = yield tuple(
            part.ask(ask) if part else ask for part, ask in zip(played, asks, strict=True)
        )
        return tuple(
            part.read(reply, ask) if part else reply for part, ask, reply in zip(played, asks, replies, strict=True)
        )

    return answered(dialogue, answer)


class _Said(NamedTuple):
    """One piece, with what a plain text calls it, and whether the asked student wrote it."""

    label: str
    text: str
    own: bool


@dataclass(frozen=True)
class _Part:
    """One student's part, for one problem."""

    student: str
    instruction: str
    examples: tuple[tuple[_Said, ...], ...]
    prompting: Prompting

    @classmethod
    def of(cls, student: str, problem: Problem, prompting: Prompting) -> "_Part":
        others = [
            one for one in prompting.exemplars[problem.answer_kind] if one.question.split() != problem.question.split()
        ]
        part = cls(student, instruction(student, problem.answer_kind), (), prompting)
        sequences = chain.from_iterable(
            grown(one for one in _examples(exemplar, problem, prompting.strategy) if one.student == student)
            for exemplar in others[: prompting.shots]
        )
        return replace(part, examples=tuple(tuple(part._said(pieces)) for pieces, _ in sequences))

    def _said(self, pieces: Sequence[str]) -> Iterator[_Said]:
        own = self.prompting.own.get(self.student, frozenset())
        for place, text in enumerate(pieces):
            yield _Said(label_of(self.student, place, own=place in own), text, place in own)

    def _role(self, ask: Ask) -> Role:
        return role_of(self.student, len(ask.prompt.pieces))

    def _stops(self, ask: Ask) -> tuple[str, ...]:
        return self._role(ask).stops if self.prompting.api == "completions" else ()

    def ask(self, ask: Ask) -> Ask:
        """Write an ask for the model."""
        assert ask.sampling is not None, "prompting goes around what gives asks their sampling"
        examples = (*self.examples, tuple(self._said(ask.prompt.pieces)))
        pieces: tuple[str, ...]
        if self.prompting.api == "chat":
            pieces = _chat(self.instruction, examples)
        else:
            label = label_of(self.student, len(ask.prompt.pieces), own=True)
            pieces = (_plain(self.instruction, examples, label) + (" " if ask.prompt.begun else ""),)
        # What can't go on with what it has begun is not to be interrupted either.
        stop = (*self._stops(ask), *ask.sampling.stop) if self.prompting.resumes else ()
        sampling = ask.sampling.model_copy(update={"stop": stop})
        return Ask(ask.student, Prompt(pieces=pieces, begun=ask.prompt.begun), sampling)

    def read(self, reply: Completion, ask: Ask) -> Completion:
        """Read a reply as the student's own: without what a student would not have written around it."""
        text, finish_reason = reply.text, reply.finish_reason
        met = next((stop for stop in self._stops(ask) if text.endswith(stop)), "")
        if finish_reason == "stop_string" and met:
            text, finish_reason = text.removesuffix(met), "end"
        if finish_reason not in ("end", "stop_string", "length"):
            return reply
        text, ended = read_text(text, self._role(ask), begun=ask.prompt.begun, last=finish_reason == "end")
        # Where all that was asked for is there, it does not matter what would have come next.
        return reply.model_copy(update={"text": text, "finish_reason": "end" if ended else finish_reason})


def _annotation(exemplar: Exemplar) -> Annotation:
    return Annotation(
        problem="exemplar",
        source="exemplar",
        rationale=exemplar.rationale.strip(),
        steps=exemplar.steps,
        answer=exemplar.answer,
    )


def _examples(exemplar: Exemplar, problem: Problem, strategy: Strategy) -> list[Example]:
    """Replay a strategy on an exemplar, which is shown with facts where the problem is."""
    texts = strategy.texts(_annotation(exemplar))
    assert texts is not None, "only what suits was kept"
    example = Problem(
        id="exemplar",
        split="train",
        question=exemplar.question,
        answer="",
        answer_kind=problem.answer_kind,
        choices=exemplar.choices,
        facts=exemplar.facts if problem.facts else (),
    )
    return replay(strategy.dialogue(example), texts)[0]


def _chat(told: str, examples: Sequence[Sequence[_Said]]) -> tuple[str, ...]:
    """Write examples as turns of user and assistant, a user's first and last; the assistant says what is its own."""
    turns: list[str] = []
    for one in chain.from_iterable(examples):
        mine = len(turns) % 2 == 1
        if one.own:
            turns += [one.text] if mine else [GO_ON, one.text]
        elif mine:  # the user goes on
            turns[-1] += f"\n\n{one.label} {one.text}"
        else:
            turns.append(f"{one.label} {one.text}")
    if len(turns) % 2 == 0:
        turns.append(GO_ON)
    return (f"{told}\n\n{turns[0]}", *turns[1:])


def _plain(told: str, examples: Sequence[Sequence[_Said]], label: str) -> str:
    """Write examples as one text that a label ends, for the model to go on with."""
    blocks = ["\n".join(f"{one.label} {one.text}" for one in example) for example in examples]
    return "\n\n".join([told, *blocks]) + f"\n{label}"
