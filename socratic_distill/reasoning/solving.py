"""What a solve of a recipe means: its strategy, which trained students it asks, and its dialogue with all around it."""

from collections.abc import Sequence

from socratic_distill.errors import UserError
from socratic_distill.reasoning.dialogue import Combinator, Dialogue, reseeded, with_calculator, with_sampling
from socratic_distill.reasoning.gold import behind_gold, gold_texts, with_gold, without_gold
from socratic_distill.reasoning.guidance import guided
from socratic_distill.reasoning.prompting import Prompting, with_prompting
from socratic_distill.reasoning.strategies import Facts, Strategy, decomposes, named_strategy, shown
from socratic_distill.reasoning.verified import with_verified_steps
from socratic_distill.reasoning.voting import best_decomposition, self_consistent
from socratic_distill.recipe import Solve
from socratic_distill.records import Problem, Sampling


def sampling_of(solve: Solve) -> Sampling:
    """Return the sampling of a solve's asks."""
    return Sampling(max_tokens=solve.max_tokens, temperature=solve.temperature, top_p=solve.top_p, seed=solve.seed)


def strategy_of(solve: Solve) -> Strategy:
    """Look up a solve's strategy. Raises UserError where it is unknown or can't be solved with as the solve says."""
    strategy = named_strategy(solve.strategy)
    if solve.guidance is not None:
        strategy = guided(strategy, solve.guidance)
    pair = any(map(decomposes, strategy.students))
    for setting, value in (("decompositions", solve.decompositions), ("oracle", solve.oracle)):
        if value is not None and value != "history" and not pair:
            raise UserError(
                f"{setting} = {value!r} needs a strategy that asks a decomposer or a planner, "
                f"and {solve.strategy!r} asks none; such is 'socratic_iterative'"
            )
    if solve.prompted and (unknown := set(solve.prompted.students) - set(strategy.students)):
        raise UserError(f"prompted.students names {unknown.pop()!r}; {solve.strategy!r} asks {_listed(strategy)}")
    return strategy


def asked_students(solve: Solve) -> tuple[str, ...]:
    """Return the students that a solve asks: all of its strategy but those whose texts an oracle gives."""
    students = strategy_of(solve).students
    return tuple(one for one in students if not (solve.oracle == "subquestions" and decomposes(one)))


def prompted_students(solve: Solve) -> tuple[str, ...]:
    """Return those of a solve's students whose part a prompted model plays."""
    if solve.prompted is None:
        return ()
    return tuple(one for one in asked_students(solve) if one in (solve.prompted.students or asked_students(solve)))


def own_students(solve: Solve) -> tuple[str, ...]:
    """Return the students that a solve asks themselves, trained or as they are."""
    prompted = prompted_students(solve)
    return tuple(one for one in asked_students(solve) if one not in prompted)


def trained_students(solve: Solve) -> tuple[str, ...]:
    """Return the students that must have been trained for a solve."""
    return own_students(solve) if solve.trained else ()


def dialogue_of(
    problem: Problem, strategy: Strategy, solve: Solve, facts: Facts, *, prompting: Prompting | None = None
) -> Dialogue:
    """Open a problem's dialogue as a solve says; `prompting` is how its prompted students are asked, if it has some.

    From within: the strategy, what keeps or replays a decomposition, the oracle, verified steps, the calculator, the
    vote, the prompting. So each sample has steps and a calculator of its own, and what the calculator puts right is not
    asked again.
    """
    gold = gold_texts(problem, strategy) if solve.oracle is not None else {}
    if gold is None:
        return without_gold()
    problem = shown(problem, facts)

    def opened(sampling: Sampling, around: Combinator = lambda dialogue: dialogue) -> Dialogue:
        dialogue = around(strategy.dialogue(problem))
        if solve.oracle == "history":
            dialogue = behind_gold(dialogue, gold)
        elif solve.oracle is not None:
            dialogue = with_gold(
                dialogue, {name: _played(own, solve) for name, own in gold.items() if decomposes(name)}
            )
        if solve.retries is not None:
            dialogue = with_verified_steps(
                dialogue, sampling, retries=solve.retries, temperature=solve.retry_temperature
            )
        return with_calculator(dialogue, sampling) if solve.calculator else with_sampling(dialogue, sampling)

    sampling = sampling_of(solve)
    if solve.samples is None:
        dialogue = opened(sampling)
    elif solve.decompositions is None:
        dialogue = self_consistent(problem, [opened(reseeded(sampling, sample)) for sample in range(solve.samples)])
    else:
        dialogue = best_decomposition(
            problem, opened, decompositions=solve.decompositions, samples=solve.samples, sampling=sampling
        )
    return with_prompting(dialogue, problem, prompting=prompting) if prompting else dialogue


def _played(texts: Sequence[str], solve: Solve) -> Sequence[str]:
    """Of what a decomposer should write, take what the oracle writes for it."""
    return texts[:1] if solve.oracle == "guidance" else texts


def _listed(strategy: Strategy) -> str:
    return ", ".join(strategy.students)
