"""What a task of the harness is about: the documents of our tasks, and the problem that any document states.

Our documents carry the ids of a run's problems, so scores can be held beside ours.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from socratic_distill.artifacts import fingerprint
from socratic_distill.errors import UserError
from socratic_distill.problems import named_dataset
from socratic_distill.problems.sources import one_line, tidy
from socratic_distill.records import AnswerKind, Problem

if TYPE_CHECKING:
    from datasets import Dataset

Documents = dict[str, "Dataset"]
"""By split, as the harness wants them; ours have `test` alone."""

SHOWN = {"id", "question", "answer", "answer_kind", "choices", "facts"}
"""The fields of a problem that its document has."""


def gsm8k(*, gsm8k: str = "", **_: object) -> Documents:
    """Load GSM8K's documents from `--metadata gsm8k=PATH`, else from the hub; takes what else a task is told."""
    return documents("gsm8k", gsm8k)


def svamp(*, svamp: str = "", **_: object) -> Documents:
    """Load SVAMP's documents from `--metadata svamp=PATH`, else from the hub; takes what else a task is told."""
    return documents("svamp", svamp)


def strategyqa(*, strategyqa: str = "", **_: object) -> Documents:
    """Load StrategyQA's documents from `--metadata strategyqa=PATH`, else from the hub; takes what else it is told."""
    return documents("strategyqa", strategyqa)


def documents(dataset: str, source: str) -> Documents:
    """Load a data set's test problems as documents, from its own hub name where no source is given."""
    from datasets import Dataset

    chosen = named_dataset(dataset)
    problems = chosen.load(str(source) or chosen.test, split="test")
    return {"test": Dataset.from_list([problem.model_dump(mode="json", include=SHOWN) for problem in problems])}


def problem_of(document: Mapping[str, Any], *, answer_kind: AnswerKind, choices: Iterable[str] = ()) -> Problem:
    """Read the problem, without an answer, that a document states: one of ours, or one of another task with a question.

    A document's own kind of answer and choices win. Raises UserError where it has no question.
    """
    question = _question(document)
    if not question:
        raise UserError(
            f"a document of this task has no question, only {', '.join(map(str, document))[:200]}; "
            "choose a task whose documents have one, such as socratic_gsm8k"
        )
    ours = {name: document[name] for name in ("answer_kind", "choices", "facts") if document.keys() >= SHOWN}
    return Problem.model_validate(
        {
            "id": str(document.get("id") or f"document/{fingerprint([question])}"),
            "split": "test",
            "question": question,
            "answer": "",
            "answer_kind": answer_kind,
            "choices": tuple(choices),
            **ours,
        }
    )


def _question(document: Mapping[str, Any]) -> str:
    """Take the text of the question, tidied as our loaders do: a student was taught no other."""
    if isinstance(whole := document.get("question"), str):
        return tidy(whole)
    parts = [document.get(name) for name in ("Body", "Question")]  # SVAMP, as published
    return " ".join(one_line(part) for part in parts if isinstance(part, str))
