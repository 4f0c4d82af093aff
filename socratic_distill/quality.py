"""How good subquestions are, against gold ones: how many, how alike, and step by step where all before is gold.

BLEU runs from 0 to 100; an embedding score is BERTScore's F1, 1 at most. Neither says whether a question is useful.
"""

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from socratic_distill.errors import UserError
from socratic_distill.reasoning.answers import same_answer
from socratic_distill.reasoning.prompts import DONE, parse_plan
from socratic_distill.reasoning.strategies import decomposes
from socratic_distill.records import AnswerKind, Problem, Record, SolutionRow, Step, Turn

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Likeness = Callable[[Sequence[str], Sequence[str]], float]
"""Scores texts against gold ones, in pairs: the mean over pairs."""

_MOST_TOKENS = 512


class SubquestionQuality(Record):
    """The subquestions of a solve against gold ones, over the test problems that have gold steps."""

    problems: int
    asked: float
    """Mean number of subquestions that were asked and answered."""
    gold: float
    """Mean number of gold subquestions."""
    granularity: float
    """Mean over problems of 1 - |asked - gold| / asked: 1 where as many are asked, below 0 where gold has over twice
    as many; 0 where none is asked."""
    bleu: float
    """Corpus BLEU (sacrebleu) of each problem's subquestions, joined in order: those without a partner lower it."""
    embedding: float | None = None
    """BERTScore F1 of the same joined texts, mean over problems; None where no encoder is named."""
    encoder: str = ""
    """What the embedding score was computed with."""


class StepQuality(Record):
    """One place of the gold reasoning, where students were given all that is gold before it: counts of problems."""

    step: int
    """From 1. The place after the longest reasoning has no step of its own."""
    problems: int
    """Those with a gold step here."""
    asked_on: int | None = None
    """Of these: a subquestion was asked, rather than said to be done; None where nobody decomposes."""
    bleu: float | None = None
    """Corpus BLEU of the subquestions asked against the gold ones; None where none was asked."""
    answers: int = 0
    """Gold steps here with an answer that the solver's can be compared with."""
    solved: int | None = None
    """Of these: the solver's step has the same answer; None where no step was put to a solver."""
    ended: int = 0
    """Problems whose gold reasoning ended just before this place."""
    stopped: int | None = None
    """Of these: it was said to be done; None where nobody decomposes."""


def subquestion_quality(
    problems: Iterable[Problem], rows: Iterable[SolutionRow], *, likeness: Likeness | None = None, encoder: str = ""
) -> SubquestionQuality | None:
    """Compare a solve's subquestions with gold ones; None where no problem that was solved has gold steps."""
    gold = {problem.id: [step.subquestion for step in problem.steps] for problem in problems if problem.steps}
    asked = {row.problem: [step.subquestion for step in row.solution.steps] for row in rows if row.problem in gold}
    if not asked:
        return None
    pairs = [(own, gold[name]) for name, own in asked.items()]
    written, wanted = ([" ".join(texts) for texts in side] for side in zip(*pairs, strict=True))
    return SubquestionQuality(
        problems=len(pairs),
        asked=fmean(len(own) for own, _ in pairs),
        gold=fmean(len(theirs) for _, theirs in pairs),
        granularity=fmean(granularity(len(own), len(theirs)) for own, theirs in pairs),
        bleu=bleu(written, wanted),
        embedding=likeness(written, wanted) if likeness else None,
        encoder=encoder if likeness else "",
    )


def granularity(asked: int, gold: int) -> float:
    """Give 1 - |asked - gold| / asked; 0 where none is asked."""
    return 1 - abs(asked - gold) / asked if asked else 0.0


def bleu(written: Sequence[str], wanted: Sequence[str]) -> float:
    """Give corpus BLEU, 0 to 100, of texts against one reference each."""
    # Slow to import, and few runs need it.
    from sacrebleu.metrics.bleu import BLEU

    return float(BLEU(force=True).corpus_score(list(written), [list(wanted)]).score)


def step_qualities(
    problems: Iterable[Problem], rows: Iterable[SolutionRow], *, guided: bool = False
) -> tuple[StepQuality, ...]:
    """Judge each place of the gold reasoning by itself, from rows of a solve with `oracle = "history"`.

    A planner's whole plan is judged by what it asks at each place. `guided` decomposers write guidance first, which is
    passed over.
    """
    by_id = {problem.id: problem for problem in problems if problem.steps}
    tried = [_Tried(by_id[row.problem], row, guided=guided) for row in rows if row.problem in by_id]
    last = max((len(one.gold) for one in tried), default=-1)
    return tuple(_at_place(tried, place) for place in range(last + 1))


class _Tried:
    """What students made of one problem's gold reasoning."""

    def __init__(self, problem: Problem, row: SolutionRow, *, guided: bool) -> None:
        self.kind = problem.answer_kind
        self.choices = problem.choices
        self.gold = problem.steps
        self.solved = row.solution.steps
        asking = [turn for turn in row.turns if decomposes(turn.student)][guided:]
        self.decomposed = bool(asking)
        self.asked = _plan(asking[0]) if asking and asking[0].student.startswith("planner") else [*map(_asked, asking)]

    def asked_at(self, place: int) -> str:
        """Return the subquestion asked at a place; empty where it was said to be done, or nothing could be read."""
        return self.asked[place] if place < len(self.asked) else ""

    def right_at(self, place: int) -> bool:
        """Tell whether the solver's step has the gold step's answer."""
        if place >= len(self.solved):
            return False
        kind: AnswerKind = self.kind if self.kind == "number" or place == len(self.gold) - 1 else "text"
        return same_answer(_stated(self.solved[place]), self.gold[place].answer, kind=kind, choices=self.choices)


def _at_place(tried: Sequence[_Tried], place: int) -> StepQuality:
    here = [one for one in tried if place < len(one.gold)]
    over = [one for one in tried if place == len(one.gold)]
    asked = [(one.asked_at(place), one.gold[place].subquestion) for one in here if one.asked_at(place)]
    decomposed = any(one.decomposed for one in tried)
    told = [one for one in here if one.gold[place].answer]
    return StepQuality(
        step=place + 1,
        problems=len(here),
        asked_on=len(asked) if decomposed else None,
        bleu=bleu(*zip(*asked, strict=True)) if asked else None,
        answers=len(told),
        solved=sum(one.right_at(place) for one in told) if any(one.solved for one in tried) else None,
        ended=len(over),
        stopped=sum(one.decomposed and not one.asked_at(place) for one in over) if decomposed else None,
    )


def _asked(turn: Turn) -> str:
    text = turn.text.strip()
    return "" if text == DONE or turn.finish_reason != "end" else text


def _plan(turn: Turn) -> list[str]:
    return list(parse_plan(turn.text)) if turn.finish_reason == "end" else []


def _stated(step: Step) -> str:
    return step.answer or step.solution


# --- an embedding score


def bert_likeness(encoder: str) -> Likeness:
    """Load BERTScore with an encoder: a local folder or hub name of a model of the BERT kind, such as `roberta-large`.

    Embeddings are those of its last layer, scores are not rescaled, and texts longer than the encoder takes are cut.
    Raises UserError where the encoder, or the extra that scores with it, is missing.
    Source: Zhang et al., BERTScore: Evaluating Text Generation with BERT, arXiv 1904.09675.
    """
    try:
        from torchmetrics.functional.text.bert import bert_score
    except ModuleNotFoundError as error:
        raise UserError(
            f"evaluate.encoder = {encoder!r} needs torchmetrics; run: pip install 'socratic-distill[quality]'"
        ) from error
    model, tokenizer = _load_encoder(encoder)
    longest = min(_MOST_TOKENS, tokenizer.model_max_length, model.config.max_position_embeddings)

    def pair(one: str, other: str) -> float:
        scores: Any = bert_score(
            [one], [other], model=model, user_tokenizer=tokenizer, max_length=longest, truncation=True, num_threads=0
        )
        return float(scores["f1"])

    def score(written: Sequence[str], wanted: Sequence[str]) -> float:
        # One pair at a time: torchmetrics 1.9 sorts both sides by length, and then pairs them wrongly.
        return fmean(pair(one, other) for one, other in zip(written, wanted, strict=True))

    return score


def _load_encoder(name: str) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        model = AutoModel.from_pretrained(name, use_safetensors=True, dtype="float32")
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"can't load evaluate.encoder = {name!r}: {reason}") from error
    # BERTScore leaves out the first and the last token, which must not be words.
    if tokenizer.cls_token is None or tokenizer.sep_token is None or tokenizer.pad_token is None:
        raise UserError(
            f"evaluate.encoder = {name!r} marks no beginning and end of texts; name one of the BERT kind, "
            "such as roberta-large"
        )
    return model, tokenizer
