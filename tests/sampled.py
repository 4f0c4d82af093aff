"""A scripted engine whose text may depend on the sampling, and dialogues run over it; for tests of what samples."""

from collections.abc import Callable, Mapping

from socratic_distill.engines.driver import Finished, drive
from socratic_distill.engines.scripted import ScriptedEngine
from socratic_distill.reasoning.dialogue import Dialogue
from socratic_distill.records import Completion, Problem, Prompt, Sampling

Script = Callable[[Prompt, Sampling], str]

PENS = Problem(id="pens", split="test", question="How many pens?", answer="6", answer_kind="number")


class SampledEngine:
    """Answers as a scripted engine does, by a function of the prompt and the sampling; keeps what it was asked."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._waiting: list[tuple[str, Prompt, Sampling]] = []
        self.asked: list[tuple[Prompt, Sampling]] = []
        self.tokens = 0

    def submit(self, key: str, prompt: Prompt, sampling: Sampling) -> None:
        self._waiting.append((key, prompt, sampling))

    def poll(self, timeout: float | None = None) -> list[tuple[str, Completion]]:
        waiting, self._waiting = self._waiting, []
        ended = []
        for key, prompt, sampling in waiting:
            text = self._script(prompt, sampling)
            one = ScriptedEngine(lambda _, text=text: text)
            one.submit(key, prompt, sampling)
            ended += one.poll()
            self.asked.append((prompt, sampling))
        self.tokens += sum(completion.tokens for _, completion in ended)
        return ended


def solved(dialogue: Dialogue, scripts: Mapping[str, Script]) -> tuple[Finished, dict[str, SampledEngine]]:
    """Run one dialogue and check that its turns are all that was asked and written."""
    engines = {student: SampledEngine(script) for student, script in scripts.items()}
    [finished] = drive([("1", dialogue)], engines, sampling=Sampling())
    assert len(finished.turns) == sum(len(engine.asked) for engine in engines.values())
    assert sum(turn.tokens for turn in finished.turns) == sum(engine.tokens for engine in engines.values())
    return finished, engines
