"""A recipe: TOML read into frozen settings. An unknown key is an error with its path; nothing else sets a default."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import tomli_w
from pydantic import Field, JsonValue, model_validator

from socratic_distill.errors import UserError
from socratic_distill.settings import Name, Settings, read_tables, settings_of


class Problems(Settings):
    """`[problems]`: which problems to learn from and to be tested on."""

    dataset: str
    train: str
    """A path, a hub name, or a procedural spec such as `count=800 steps=1-4`."""
    test: str
    train_limit: int | None = Field(None, ge=1)
    test_limit: int | None = Field(None, ge=1)
    validation: float = Field(0.1, ge=0, lt=1)
    """Share of train that picks the best checkpoint; never taken from test."""
    seed: int = 0


class Server(Settings):
    """`[annotate.server]`, `[solve.<name>.server]`: an OpenAI-compatible server, and how gently to treat it."""

    base_url: str
    """Up to and with the version, such as `http://localhost:8000/v1`."""
    key_env: str = ""
    """The environment variable that holds the key; the key itself never stands in a recipe."""
    api: Literal["chat", "completions"] = "chat"
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the server calls the most tokens it may write; newer hosted models want the second."""
    body: dict[str, JsonValue] = Field(default_factory=dict)
    """Further fields of every request, such as `reasoning_effort`."""
    timeout: float = Field(120.0, gt=0)
    """Seconds for a whole request."""
    tries: int = Field(6, ge=1)
    """How often a request is sent before it has failed."""
    concurrency: int = Field(64, ge=1)
    """Requests in flight at once."""
    requests_per_minute: float | None = Field(None, gt=0)
    tokens_per_minute: float | None = Field(None, gt=0)


GENTLENESS = {"timeout", "tries", "concurrency", "requests_per_minute", "tokens_per_minute", "key_env"}
"""Settings of a server that change how it is asked, and no answer."""


class Prices(Settings):
    """`[annotate.prices]`: US dollars per million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    """Reasoning tokens are output."""
    cached: float | None = Field(None, ge=0)
    """Input that the server had cached; the price of input where not given."""


Guide = Literal["rationale", "equations", "facts", "decomposition", "answer", "steps"]
"""What a teacher may be shown of the gold reasoning; `steps` is the number of subquestions to ask."""


class Annotate(Settings):
    """`[annotate]`: where the reasoning comes from."""

    source: Literal["human", "teacher", "import"] = "human"
    style: Literal["cot", "socratic"] = "socratic"
    """What a teacher is asked for, and what an imported text is read as."""
    # A teacher's own settings.
    engine: Literal["openai", "transformers"] = "openai"
    model: str = ""
    """The teacher's name at the server; a folder or hub name for `transformers`."""
    server: Server | None = None
    attempts: int = Field(1, ge=1)
    """Annotations asked for each problem."""
    temperature: float = Field(0.7, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(1024, ge=1)
    seed: int = 0
    exemplars: str = ""
    """A file of worked examples; those of the data set where not given."""
    shots: int = Field(4, ge=0)
    """Worked examples shown."""
    guide: tuple[Guide, ...] = ()
    structured: bool = False
    """Ask the server for JSON by a schema (`response_format`), where it has that."""
    retry: tuple[Literal["unreadable", "failed"], ...] = ()
    """What to ask for anew though it has been paid for."""
    prices: Prices | None = None
    max_usd: float | None = Field(None, ge=0)
    """A hard ceiling on what is spent, in flight or unknown; what it leaves no room for is not asked."""
    executor: Literal["local", "ray"] = "local"
    actors: int = Field(2, ge=1)
    """Ray actors, each with a share of the requests in flight."""
    # An import's own settings.
    file: str = ""
    """Teachers' raw texts: JSONL or a JSON list."""
    question_field: str = ""
    """Where a row has its problem's question; found by itself where not given."""
    text_field: str = ""
    """Where a row has the teacher's text; found by itself where not given."""


CheckName = Literal[
    "answer",
    "arithmetic",
    "unused_answer",
    "step_count",
    "repeated_subquestion",
    "gives_away",
    "not_a_question",
    "off_question",
    "cut",
]


class Verify(Settings):
    """`[verify]`: which annotations are kept."""

    reject: tuple[CheckName, ...] = ("answer",)
    """Checks that reject; all others only mark."""
    min_steps: int = Field(1, ge=1)
    max_steps: int = Field(16, ge=1)
    gold: Literal["given", "majority"] = "given"
    """What the answer must equal: the data set's, or that of most attempts, which a tie has not."""
    keep: Literal["first", "distinct", "most_verified"] = "distinct"
    """Which consistent attempts at a problem: the first, all that differ, or by their right equations."""
    at_most: int | None = Field(None, ge=1)
    """Annotations kept of one problem."""
    near_duplicate: float = Field(0.9, gt=0, le=1)
    """Word trigram overlap (Jaccard) from which a later attempt at the same problem is a duplicate."""


class Export(Settings):
    """`[export]`: how `socratic export` writes what the students would learn."""

    format: Literal["jsonl", "datasets"] = "jsonl"
    """JSON lines, or a folder that `datasets.load_from_disk` reads."""


class Scratch(Settings):
    """`[train.scratch]`: the size of a student made from nothing."""

    hidden: int = Field(128, ge=8)
    layers: int = Field(4, ge=1)
    heads: int = Field(4, ge=1)
    vocabulary: int = Field(1024, ge=300)
    context: int = Field(1024, ge=64)


class Lora(Settings):
    """`[train.lora]`: low-rank adapters instead of full fine-tuning; a student is saved as its adapter alone."""

    rank: int = Field(16, ge=1)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: tuple[str, ...] | Literal["all-linear"] = "all-linear"


class Train(Settings):
    """`[train]`: the students and how they are trained."""

    student: str = "smollm2-135m"
    """`smollm2-135m`, `scratch`, a model folder, or a hub name."""
    facts: Literal["none", "gold"] = "none"
    rows: Literal["shared", "all"] = "shared"
    """`shared`: every student learns from the problems that all strategies can use; `all`: from all that it can use."""
    epochs: int = Field(3, ge=1)
    learning_rate: float = Field(2e-4, gt=0)
    batch_problems: int = Field(16, ge=1)
    """Problems an optimizer step."""
    micro_batch_tokens: int = Field(1024, ge=1)
    """Tokens a forward pass may hold, padding included; bounds memory, not the result."""
    max_tokens: int = Field(1024, ge=16)
    """A longer sequence is left out, and counted."""
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of the steps over which the learning rate rises; it then decays to zero by a cosine."""
    weight_decay: float = Field(0.01, ge=0)
    clip: float = Field(1.0, gt=0)
    dropout: float | None = Field(None, ge=0, lt=1)
    """Replaces every dropout of the base where given."""
    seed: int = Field(0, ge=0, lt=2**31)
    checkpoint_minutes: float = Field(5.0, gt=0)
    scratch: Scratch = Scratch()
    lora: Lora | None = None


class Prompted(Settings):
    """`[solve.<name>.prompted]`: a model as it is, shown worked examples, in the place of trained students."""

    model: str = Field(min_length=1)
    """Its name at the server; a folder or hub name for `transformers`."""
    students: tuple[str, ...] = ()
    """Whose part it plays, such as `solver`; that of all where none is named."""
    engine: Literal["openai", "transformers"] = "openai"
    server: Server | None = None
    shots: int = Field(4, ge=0)
    """Worked examples shown."""
    exemplars: str = ""
    """A file of worked examples; those of the data set where not given."""
    prices: Prices | None = None
    max_usd: float | None = Field(None, ge=0)
    """A hard ceiling on what is spent, in flight or unknown; what it leaves no room for is not asked."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if self.engine == "openai" and self.server is None:
            raise ValueError(
                "the model has no server: write [solve.<name>.prompted.server] base_url = ..., "
                'or engine = "transformers" for one that runs here'
            )
        if self.max_usd is not None and self.prices is None:
            raise ValueError("max_usd needs prices, what a million input and output tokens cost")
        return self


class Solve(Settings):
    """`[solve.<name>]`: a named way of solving."""

    strategy: str
    calculator: bool = False
    facts: Literal["none", "gold"] | None = None
    """What the students are shown; that which they were trained with where not given."""
    guidance: Literal["steps", "equations"] | None = None
    """What the decomposer or planner writes down before it asks: how many steps there will be, or their equations."""
    oracle: Literal["guidance", "subquestions", "history"] | None = None
    """What is taken from the gold reasoning: the guidance; every subquestion; or all that goes before each step."""
    prompted: Prompted | None = None
    trained: bool = True
    """False asks the base student as it is, before training."""
    engine: Literal["auto", "transformers", "openvino", "openai"] = "auto"
    """`auto` is openvino where that is installed, there is no GPU and it can take the students, else transformers."""
    server: Server | None = None
    """Where `openai` finds the students: plain completions that take token ids, as vLLM and llama.cpp have them."""
    models: dict[str, str] | None = None
    """The server's name for each student; the student's own where not given."""
    executor: Literal["local", "ray"] = "local"
    actors: int = Field(2, ge=1)
    """Ray actors, each with engines of its own; a window of problems is a block of theirs."""
    window: int = Field(64, ge=1)
    """Problems under way at once."""
    max_tokens: int = Field(320, ge=1)
    """Tokens a completion may have."""
    temperature: float = Field(0.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    seed: int = 0
    samples: int | None = Field(None, ge=2)
    """Solutions sampled of a problem, whose most frequent answer is taken; with `decompositions`, of each of those."""
    decompositions: int | None = Field(None, ge=2)
    """Decompositions sampled of a problem; the one is taken whose `samples` solutions agree most."""
    retries: int | None = Field(None, ge=1)
    """How often a completion with a step of wrong arithmetic is asked again from that step."""
    retry_temperature: float | None = Field(None, gt=0)
    """Temperature of what is asked again; that of the solve where not given, or 0.7 where that is 0."""
    precision: Literal["auto", "int8", "bf16", "fp32"] = "auto"
    """Of weights, arithmetic and cache. `auto` is `int8` with openvino, which alone has it, and with transformers bf16
    where the machine computes in it; `fp32` gives the same text whatever the window."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        for name in ("samples", "decompositions"):
            if getattr(self, name) is not None and self.temperature == 0:
                raise ValueError(f"{name} needs a temperature above 0, such as 0.7, or all would be alike")
        if self.decompositions is not None and self.samples is None:
            raise ValueError("decompositions needs samples, the number of times that each is solved, such as 3")
        if self.retry_temperature is not None and self.retries is None:
            raise ValueError("retry_temperature needs retries, such as 3")
        if self.oracle == "guidance" and self.guidance is None:
            raise ValueError('oracle = "guidance" needs guidance, such as "steps"')
        if self.prompted is not None and self.prompted.engine == "openai" and self.executor == "ray":
            raise ValueError('a prompted model behind a server is asked from one process: set executor = "local"')
        return self


SOLVE_WITHOUT_EFFECT: Any = {"window": True, "trained": True, "executor": True, "actors": True, "server": GENTLENESS}
"""Settings of a solve that change no answer, or that its inputs say; the window is the order of work alone, and at bf16
rounding, as the documentation says."""


class Evaluate(Settings):
    """`[evaluate]`: how answers are compared."""

    bootstrap: int = Field(10_000, ge=100)
    seed: int = Field(0, ge=0)
    encoder: str = ""
    """Scores how like gold ones subquestions are: a folder or hub name of the BERT kind; not computed without."""


class Report(Settings):
    """`[report]`: what the report shows."""

    problems: int = Field(300, ge=0)
    """Solved problems that report.html lets one read."""


class Recipe(Settings):
    """A whole recipe."""

    name: Name
    problems: Problems
    annotate: Annotate = Annotate()
    verify: Verify = Verify()
    export: Export = Export()
    train: Train = Train()
    solve: dict[Name, Solve]
    evaluate: Evaluate = Evaluate()
    report: Report = Report()


def load_recipe(path: Path | str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe, with `table.key=value` overrides. Raises UserError naming the file and the key."""
    return recipe_of(read_tables(path, overrides), place=str(path))


def recipe_of(tables: Mapping[str, Any], *, place: str) -> Recipe:
    """Make a recipe of its tables. Raises UserError that names the place they are from and the key."""
    recipe = settings_of(Recipe, tables, place=place)
    if not recipe.solve:
        raise UserError(f"{place}: it has no [solve.<name>] table, so there is nothing to solve with")
    return recipe


def dump_recipe(recipe: Recipe) -> str:
    """Write a recipe, every setting resolved, as TOML that `load_recipe` reads back equal."""
    return tomli_w.dumps(recipe.model_dump(exclude_none=True))
