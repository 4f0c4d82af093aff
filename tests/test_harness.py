"""Students under lm-evaluation-harness: its own code grades them, resumes them, and disagrees with us for reasons."""

import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import KNOWN, one_thread
from converted import saved
from fakes import Quiet, forked, kill
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager

from socratic_distill.app.harness.__main__ import TASKS, main
from socratic_distill.app.harness.comparison import Ruled, compared, read_samples, read_solutions, told
from socratic_distill.app.harness.documents import problem_of
from socratic_distill.app.harness.model import SocraticLM
from socratic_distill.artifacts import manifest_path, read_manifest, read_rows
from socratic_distill.errors import UserError
from socratic_distill.records import Solution, SolutionRow
from socratic_distill.students import LoadedStudent

pytestmark = pytest.mark.usefixtures("single_thread")

RECIPE = """\
name = "known"
[problems]
dataset = "gsm8k"
train = "train.jsonl"
test = "test.jsonl"
[solve.cot]
strategy = "cot"
engine = "transformers"
precision = "fp32"
max_tokens = 60
[solve.untrained]
strategy = "cot"
trained = false
[solve.told]
strategy = "cot"
engine = "transformers"
oracle = "history"
"""
PENS, TOM, GOAT = KNOWN
PUBLISHED = {
    "gsm8k": [
        {"question": PENS, "answer": "How much? ** 3*2 = <<3*2=6>>6.\n#### 6"},
        {"question": TOM, "answer": "There are 4*5 = <<4*5=20>>20.\n20-2 = <<20-2=18>>18.\n#### 18"},
        {"question": PENS, "answer": "Wrongly 7.\n#### 7"},
    ],
    "svamp": [
        {
            "ID": f"chal-{number}",
            "Body": "A pen costs $2.",
            "Question": "How much do 3 pens cost?",
            "Equation": f"( 3.0 * {factor} )",
            "Answer": 3 * factor,
        }
        for number, factor in enumerate((2.0, 3.0))
    ],
    "strategyqa": [
        {"qid": "a", "question": GOAT, "answer": False, "facts": ["Goats cannot read."], "decomposition": ["Can it?"]},
        {"qid": "b", "question": GOAT, "answer": True, "facts": [], "decomposition": ["Can it?"]},
    ],
}
"""Rows of our own in the published formats; the last of each has a gold answer that the student will not give."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_student: Callable[[str], LoadedStudent]) -> Path:
    """A run folder whose cot student knows three answers by heart; it is not to be changed."""
    folder = tmp_path_factory.mktemp("harness") / "known"
    saved(tiny_student("llama"), folder / "students" / "cot")
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    return folder


@pytest.fixture
def own(run: Path, tmp_path: Path) -> Path:
    """A copy of it, to be solved in."""
    return shutil.copytree(run, tmp_path / "known")


def published(dataset: str, folder: Path) -> Path:
    """Write a data set's rows as it is published: GSM8K a row a line, the others a list."""
    rows = PUBLISHED[dataset]
    path = folder / f"{dataset}.{'jsonl' if dataset == 'gsm8k' else 'json'}"
    text = "".join(json.dumps(row) + "\n" for row in rows) if dataset == "gsm8k" else json.dumps(rows)
    path.write_text(text, encoding="utf-8")
    return path


def measured(model: LM, task: str, source: Path, **more: Any) -> Mapping[str, Any]:
    """Let the harness run one of our tasks over a local file."""
    metadata = {task.removeprefix("socratic_"): str(source)}
    manager = TaskManager(include_path=str(TASKS), include_defaults=False, metadata=metadata)
    results: Mapping[str, Any] = evaluate(model, manager.load([task]), bootstrap_iters=0, **more)
    return results


def student(run: Path, **settings: Any) -> SocraticLM:
    return SocraticLM(str(run), "cot", progress=Quiet(), **settings)


def instance(document: Mapping[str, Any], context: str = "") -> Instance:
    return Instance(request_type="generate_until", doc=dict(document), arguments=(context, {"until": ["6"]}), idx=0)


def rows_of(model: SocraticLM) -> list[SolutionRow]:
    return read_rows(model.path, SolutionRow)


# --- what the harness makes of a student


@pytest.mark.parametrize("dataset", PUBLISHED)
def test_a_student_that_knows_all_but_one_answer_scores_that(dataset: str, own: Path, tmp_path: Path) -> None:
    task, rows = f"socratic_{dataset}", PUBLISHED[dataset]
    model = student(own)
    results = measured(model, task, published(dataset, tmp_path))
    share = pytest.approx((len(rows) - 1) / len(rows))
    assert results["results"][task]["exact_match,strict-match"] == share
    assert results["results"][task]["exact_match,flexible-extract"] == share
    samples = results["samples"][task]
    assert {sample["arguments"][0][0] for sample in samples} <= set(KNOWN), "the context is the question alone"
    ruled = compared(samples, read_solutions(model.path))
    assert [row.why for row in ruled] == [""] * 2 * len(rows)
    assert sum(row.ours for row in ruled) == 2 * (len(rows) - 1)


def test_a_document_has_the_id_of_the_runs_problem(own: Path, tmp_path: Path) -> None:
    model = student(own)
    measured(model, "socratic_svamp", published("svamp", tmp_path), limit=1)
    assert [row.problem for row in rows_of(model)] == ["svamp/svamp/chal-0"]


def test_the_question_is_the_documents_and_the_context_is_not_read(own: Path) -> None:
    asked = [instance({"question": f" {PENS}"}, "Question: 1+1?\nAnswer: 2"), instance({"question": GOAT}, "never")]
    assert student(own).generate_until(asked) == [KNOWN[PENS], KNOWN[GOAT]]


def test_documents_as_svamp_publishes_them_have_a_question_too(own: Path) -> None:
    assert student(own).generate_until([instance(PUBLISHED["svamp"][0])]) == [KNOWN[PENS]]


def test_a_document_without_a_question_is_told(own: Path) -> None:
    with pytest.raises(UserError, match="has no question, only goal, sol1"):
        student(own).generate_until([instance({"goal": "a", "sol1": "b"})])


def test_facts_of_a_document_are_shown_where_the_solve_says_so() -> None:
    ours = {"id": "a", "question": "b", "answer": "no", "answer_kind": "boolean", "choices": [], "facts": ["c"]}
    problem = problem_of(ours, answer_kind="number")
    assert (problem.facts, problem.answer_kind, problem.answer) == (("c",), "boolean", "")


@pytest.mark.parametrize("kind", ["loglikelihood", "loglikelihood_rolling"])
def test_likelihoods_are_refused(run: Path, kind: str) -> None:
    with pytest.raises(UserError, match="students write, they give no likelihood"):
        getattr(student(run), kind)([instance({"question": PENS})])


# --- settings


def test_settings_change_the_solve_and_where_it_is_kept(run: Path) -> None:
    plain, fewer = student(run), student(run, max_tokens=5, calculator=True, batch_size=1, device=None)
    assert (plain.settings.max_tokens, plain.settings.calculator, fewer.settings.max_tokens) == (60, False, 5)
    assert fewer.settings.calculator
    assert plain.path.parent == fewer.path.parent == run / "harness"
    assert plain.path != fewer.path
    assert plain.path == student(run, window=1).path, "the window changes no text"


def test_without_a_solve_students_are_asked_as_by_the_ask_command(run: Path) -> None:
    model = SocraticLM(str(run / "students"), progress=Quiet(), engine="transformers")
    assert (model.settings.strategy, model.settings.calculator) == ("cot", True)
    assert model.path.parent == run / "harness"
    assert model.path.name.startswith("cot-")


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "no run": ({"run": ""}, "name a run folder and a solve"),
    "no such run": ({"run": "./nowhere"}, "no recipe 'nowhere/recipe.toml'"),
    "no such solve": ({"solve": "cott"}, "has no solve 'cott'; choose one of cot, untrained, told"),
    "an unknown setting": ({"sample": 3}, "--model_args: unknown key 'sample'"),
    "samples that are all alike": ({"samples": 3}, "--model_args: samples needs a temperature"),
    "a strategy without its students": ({"strategy": "socratic_planned"}, "choose with --model_args strategy=NAME"),
    "an untrained solve": ({"solve": "untrained"}, "asks untrained students"),
    "a solve that needs gold": ({"solve": "told"}, "oracle can't be had here"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_says_what_to_do(mistake: str, run: Path) -> None:
    changed, words = MISTAKES[mistake]
    with pytest.raises(UserError) as told_of:
        SocraticLM(**{"run": str(run), "solve": "cot", "progress": Quiet(), **changed})
    assert words in str(told_of.value)


# --- going on


def test_what_was_solved_is_never_solved_again(own: Path, tmp_path: Path) -> None:
    source = published("gsm8k", tmp_path)
    first = student(own)
    measured(first, "socratic_gsm8k", source, limit=1)
    [row] = rows_of(first)
    results = measured(student(own), "socratic_gsm8k", source)
    assert rows_of(first)[0] == row
    assert len(rows_of(first)) == 3
    manifest = read_manifest(first.path)
    assert manifest is not None
    assert (manifest["rows"], manifest["settings"]["strategy"]) == (3, "cot")
    manifest_path(first.path).unlink()  # as if it was killed just before it wrote that
    (own / "students" / "cot" / "model.safetensors").unlink()
    again = measured(student(own), "socratic_gsm8k", source)
    assert again["results"] == results["results"], "no student is loaded where all is solved"
    assert read_manifest(first.path) is not None


def test_other_weights_are_solved_anew(own: Path) -> None:
    before = student(own).path
    manifest = own / "students" / "cot" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"weights": "', '"weights": "0'), encoding="utf-8")
    assert student(own).path != before


def many(count: int) -> list[Instance]:
    return [instance({"question": f"{number} and {PENS}"}) for number in range(count)]


def solve_slowly(run: str, count: int) -> None:
    with one_thread():
        student(Path(run), window=1).generate_until(many(count))


@pytest.mark.slow
def test_a_killed_evaluation_goes_on_where_it_was(own: Path, tmp_path: Path) -> None:
    count, model = 40, student(own)
    whole = student(shutil.copytree(own, tmp_path / "whole" / "known")).generate_until(many(count))
    process = forked(solve_slowly, str(own), count)
    while not model.path.exists() or model.path.read_bytes().count(b"\n") < 5:
        assert process.is_alive(), "it was over before it could be killed"
        time.sleep(0.005)
    kill(process)
    kept = rows_of(model)
    assert 5 <= len(kept) < count
    assert read_manifest(model.path) is None
    assert student(own).generate_until(many(count)) == whole
    assert rows_of(model)[: len(kept)] == kept
    assert len(rows_of(model)) == count


# --- two rulers


class Written(LM):
    """Writes a given text for each document."""

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__()
        self._texts = texts

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        return [self._texts[request.doc_id] for request in requests]

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        raise NotImplementedError

    def loglikelihood_rolling(self, requests: Sequence[Instance]) -> list[float]:
        raise NotImplementedError


def ruled(dataset: str, texts: Sequence[tuple[str, str]], folder: Path, unfinished: str = "") -> list[Ruled]:
    """Let both rulers grade (text, gold) pairs."""
    path = folder / "own.jsonl"
    rows = [
        {"question": f"{number}?", "answer": gold == "yes", "qid": number, "facts": []}
        if dataset == "strategyqa"
        else {"question": f"{number}?", "answer": f"#### {gold}"}
        for number, (_, gold) in enumerate(texts, 1)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    results = measured(Written([text for text, _ in texts]), f"socratic_{dataset}", path)
    solutions = {
        f"{dataset}/own/{number}": Solution(text=text, unfinished=unfinished)
        for number, (text, _) in enumerate(texts, 1)
    }
    return compared(results["samples"][f"socratic_{dataset}"], solutions)


def test_both_rulers_read_a_plain_marked_answer(tmp_path: Path) -> None:
    texts = [("a #### 18", "18"), ("#### $1,200", "1200"), ("#### -3.", "-3"), ("#### 4\n#### 5", "5"), ("2", "3")]
    found = [row for row in ruled("gsm8k", texts, tmp_path) if row.filter == "strict-match"]
    assert [(row.ours, row.harness, row.why) for row in found] == [(True, True, "")] * 3 + [(False, False, "")] * 2


DIFFERENCES = {
    "18 #### 18.0": (True, "the harness compares texts: '18.0' is not '18', though the answers are equal"),
    "#### 10 + 8 = 18": (True, "the harness reads '10', ours '18'"),
    "#### about 18": (True, "the harness finds nothing, ours reads '18' after ####"),
    "The answer is 18": (True, "the harness finds nothing, ours reads '18' though there is no ####"),
    "#### 18 or 19": (False, "ours reads no answer (ambiguous), the harness '18'"),
    "#### 18 - 1": (False, "ours reads no answer (not computed), the harness '18'"),
}


def test_every_difference_has_its_reason(tmp_path: Path) -> None:
    found = ruled("gsm8k", [(text, "18") for text in DIFFERENCES], tmp_path)
    strict = [row for row in found if row.filter == "strict-match"]
    assert [(row.ours, row.why) for row in strict] == list(DIFFERENCES.values())
    assert [row.harness for row in strict] == [not ours for ours, _ in DIFFERENCES.values()]
    said = list(told(found))
    assert said[0] == "strict-match: ours 4/6, harness 2/6, 6 differ"
    assert said[1] == f"  gsm8k/own/1: right by ours; {DIFFERENCES['18 #### 18.0'][1]}"


def test_what_was_cut_short_is_read_by_the_harness_alone(tmp_path: Path) -> None:
    found = ruled("gsm8k", [("so 18", "18")], tmp_path, unfinished="cot_length")
    assert [(row.filter, row.ours, row.harness) for row in found] == [
        ("strict-match", False, False),
        ("flexible-extract", False, True),
    ]
    assert found[1].why == "ours reads no answer (cot length), the harness '18'"


def test_true_and_false_are_yes_and_no_by_ours_alone(tmp_path: Path) -> None:
    texts = [("#### Yes", "yes"), ("#### true", "yes"), ("a no? #### no.", "no")]
    found = [row for row in ruled("strategyqa", texts, tmp_path) if row.filter == "strict-match"]
    assert [(row.ours, row.harness) for row in found] == [(True, True), (True, False), (True, True)]
    assert found[1].why == "the harness finds nothing, ours reads 'yes' after ####"


def test_samples_of_another_run_are_refused(tmp_path: Path) -> None:
    sample = {"doc": {"id": "a", "question": "b"}, "target": "1", "resps": [["#### 1"]], "filter": "x"}
    graded = {**sample, "filtered_resps": ["1"], "exact_match": 1.0}
    with pytest.raises(UserError, match="the sample has another text"):
        compared([graded], {"a": Solution(text="#### 2")})


# --- the command


def test_help_needs_no_harness(capsys: pytest.CaptureFixture[str]) -> None:
    assert (main([]), main(["--help"]), main(["compare", "one"])) == (2, 0, 2)
    assert capsys.readouterr().out.count("usage: python -m socratic_distill.app.harness") == 3


@pytest.mark.parametrize(
    ("content", "words"), [(None, "can't read"), ("{", ":1: not JSON"), ('{"doc": {}}', ":1: not a sample")]
)
def test_samples_that_are_none_are_told_in_one_line(
    content: str | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "samples.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=words):
        list(read_samples(tmp_path / "samples.jsonl"))
    assert main(["compare", str(tmp_path / "samples.jsonl"), str(tmp_path / "none.jsonl")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_the_harness_own_command_line_measures_a_student(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, source = list(sys.argv), published("svamp", tmp_path)
    arguments = ["--model_args", f"run={own},solve=cot", "--tasks", "socratic_svamp", "--metadata", f"svamp={source}"]
    assert main([*arguments, "--output_path", str(tmp_path / "out"), "--log_samples"]) == 0
    assert sys.argv == before
    assert "|socratic_svamp|" in capsys.readouterr().out.replace(" ", "")
    [samples] = (tmp_path / "out").rglob("samples_*.jsonl")
    [solutions] = (own / "harness").glob("cot-*.jsonl")
    assert main(["compare", str(samples), str(solutions)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "strict-match: ours 1/2, harness 1/2, 0 differ",
        "flexible-extract: ours 1/2, harness 1/2, 0 differ",
    ]
