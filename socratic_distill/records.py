"""The vocabulary: frozen records that every stage reads and writes as JSON rows.

A bad completion is data here (a recorded reason), never an exception.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

AnswerKind = Literal["number", "boolean", "choice", "text"]
Split = Literal["train", "validation", "test"]
FinishReason = Literal["end", "stop_string", "length", "prompt_too_long", "failed", "over_budget"]
"""`failed` and `over_budget` are requests that were never answered; for the last the ceiling had no room."""


class Record(BaseModel):
    """A frozen row; a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Step(Record):
    """One reasoning step: a subquestion, its solution and that step's answer."""

    subquestion: str
    solution: str
    answer: str = ""
    """Empty where the solution is itself the answer, as a fact is."""


class Problem(Record):
    """One task instance with its gold answer and, where humans wrote them, its reasoning."""

    id: str
    """Unique within a run, such as `gsm8k/socratic_train/17`."""
    split: Split
    question: str
    answer: str
    answer_kind: AnswerKind
    choices: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    rationale: str = ""
    """A human chain of thought, a line a step, without the final answer's marker."""
    steps: tuple[Step, ...] = ()
    """A human Socratic annotation; its last answer is the gold answer."""
    step_count: int | None = None
    """Steps that the gold reasoning takes; None where unknown."""
    remarks: tuple[str, ...] = ()
    """What a loader noticed, such as `rationale_disagrees`; counted in the report."""


class Transcript(Record):
    """What could be read from a teacher's text: a rationale, or steps, and an answer; else why not."""

    rationale: str = ""
    steps: tuple[Step, ...] = ()
    answer: str = ""
    """The final answer as the text states it."""
    unreadable: str = ""
    """The reason, such as `no_answer`; empty where the text was read."""


class Annotation(Record):
    """What a human or a teacher wrote for a problem."""

    problem: str
    """The problem's id."""
    source: str
    """`human`, or the teacher's name."""
    attempt: int = 0
    rationale: str = ""
    steps: tuple[Step, ...] = ()
    answer: str = ""
    """Empty where nothing could be read."""
    text: str = ""
    """A teacher's own text, raw; empty for a human's."""
    unreadable: str = ""
    """Why there is no reasoning: a `Transcript`'s reason, or the finish reason of a request that was not answered."""
    cut: bool = False
    """The text reached the limit of tokens."""
    guided: tuple[str, ...] = ()
    """What of the gold reasoning the teacher was shown, such as `rationale`."""


class Verdict(Record):
    """Whether an annotation is kept, and why not."""

    problem: str
    attempt: int
    kept: bool
    reason: str = ""
    """The check that rejected it, or why it was not chosen; empty where it is kept."""
    marks: tuple[str, ...] = ()
    """Checks that failed and do not reject."""
    consistent: bool | None = None
    """Its answer is the gold one, or the majority's where no gold is known; None where it could not be read."""
    majority: float | None = None
    """Without gold answers: the share of readable attempts that agree with the most frequent answer."""


class Prompt(Record):
    """What a student reads: whole pieces, each ended by the terminator, then the piece it has begun to write."""

    pieces: tuple[str, ...]
    begun: str = ""
    """The first part of the piece being written, without a terminator; the calculator resumes from it."""


class Sampling(Record):
    """How an engine chooses tokens. Temperature 0 is greedy."""

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    """Texts that end generation; the text kept ends with the one that was met."""


class Completion(Record):
    """What came back for one ask."""

    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    tokens: int
    """Generated tokens, the terminator included."""
    detail: str = ""
    """What a failure said of itself, such as `HTTP 400: too long`."""


class Example(Record):
    """One supervised pair for one student."""

    student: str
    prompt: Prompt
    completion: str


class Turn(Record):
    """One ask of a dialogue and what came back, kept raw so that it can be scored again."""

    student: str
    begun: str = ""
    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    tokens: int


class Solution(Record):
    """A student's steps and the raw text that holds its final answer."""

    text: str
    """The raw text from which the answer is read."""
    steps: tuple[Step, ...] = ()
    unfinished: str = ""
    """Why the dialogue stopped without an answer, such as `too_many_steps`."""
    marks: int = 0
    """Calculator marks that were checked while the student wrote."""
    marks_changed: int = 0
    """Those whose value the calculator replaced."""
    votes: tuple[str, ...] | None = None
    """The answer of every sampled solution, in order, empty where none could be read; None where one was enough."""
    retries: int | None = None
    """Asks made again, in all samples, for a step's arithmetic was wrong; None where none was to be."""


class SolutionRow(Record):
    """One solved problem, as a solve appends it."""

    key: str
    problem: str
    solution: Solution
    turns: tuple[Turn, ...]
    seconds: float
    """Wall time since the row before it: the mean over rows is seconds per problem."""

    def lacks(self, reason: Literal["over_budget", "failed"]) -> bool:
        """Tell whether a part was not asked for, for want of money, or was asked for in vain."""
        return any(turn.finish_reason == reason for turn in self.turns)


class Score(Record):
    """A solution read and graded by one version of the extractor."""

    problem: str
    correct: bool
    answer: str = ""
    unreadable: str = ""
    """Why no answer could be read; empty where one was."""
    step_count: int | None = None
    """Steps of the gold reasoning."""
    extractor: str
