"""The house: who may import whom, who owns the heavy packages, and how things are named."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from socratic_distill.pipeline import STAGES

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "socratic_distill"
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
"""Path by name within the package; `__init__` is the package itself."""

LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "machine"),
    ("records", "settings"),
    ("recipe", "artifacts"),
    ("run", "reasoning", "adapters", "scratch", "smollm2"),
    ("problems", "students", "statistics", "quality"),
    ("merging",),
    ("engines", "reporting"),
    ("scale",),
    ("training",),
    ("stages", "shelf"),
    ("pipeline",),
    ("study",),
    ("app",),
    ("__init__",),
)
"""From the ground up. A part imports from lower layers and from itself, never from beside it or above."""

HEAVY: dict[str, tuple[str, ...]] = {
    "torch": (
        "machine",
        "scratch",
        "smollm2",
        "students",
        "merging",
        "engines.transformers",
        "engines.decoding",
        "engines.casting",
        "engines.conversion",
        "engines.openvino",
        "training",
        "stages.train",
        "stages.solve",
        "study.plan",
        "study.runner",
    ),
    "transformers": (
        "adapters",
        "scratch",
        "smollm2",
        "students",
        "engines.conversion",
        "engines.decoding",
        "quality",
        "training",
        "stages.train",
    ),
    "tokenizers": ("scratch", "smollm2"),
    "gguf": ("smollm2",),
    "accelerate": ("training.loop",),
    "safetensors": ("adapters", "students", "training.checkpoint"),
    "peft": ("adapters",),
    "datasets": ("problems.sources", "stages.export", "app.harness.documents"),
    "numpy": ("statistics", "engines.conversion", "engines.openvino"),
    "scipy": ("statistics",),
    "statsmodels": ("statistics",),
    "matplotlib": ("reporting.drawing", "reporting.charts", "reporting.study_charts"),
    "jinja2": ("reporting.templates",),
    "rich": ("app", "reporting.page", "reporting.study_page"),
    "tomli_w": ("recipe",),
    "openvino": ("engines.conversion", "engines.openvino"),
    "openvino_genai": ("engines.openvino",),
    "aiohttp": ("engines.openai",),
    "ray": ("scale",),
    "sacrebleu": ("quality",),
    "torchmetrics": ("quality",),
    "lm_eval": ("app.harness",),
    "fastapi": (),
    "openai": (),
    "vllm": (),
    "trl": (),
}
"""The modules that own each package; a part's name stands for all of its modules."""

BANNED = {"utils", "util", "helper", "helpers", "manager", "handler", "process", "data", "info", "base"}
LONGEST = 400


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(module: str) -> Iterator[str]:
    """Yield the full name of all that a module imports, anywhere in it."""
    for node in ast.walk(tree(MODULES[module])):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import, at line {node.lineno}"
            assert node.module is not None
            below = [f"{node.module}.{alias.name}" for alias in node.names]
            own = f"{PACKAGE.name}."
            modules = [name for name in below if name.removeprefix(own) in MODULES]
            yield from modules
            if len(modules) < len(below):
                yield node.module


def own_imports(module: str) -> set[str]:
    """Return the modules of the package that a module imports."""
    names = {name for name in imported(module) if name.split(".")[0] == PACKAGE.name}
    return {name.partition(".")[2] or "__init__" for name in names}


def layer(module: str) -> int:
    (place,) = [place for place, parts in enumerate(LAYERS) if module.partition(".")[0] in parts]
    return place


def test_every_module_stands_in_one_layer() -> None:
    for module in MODULES:
        layer(module)
    parts = {module.partition(".")[0] for module in MODULES}
    assert parts == {part for layer_parts in LAYERS for part in layer_parts}


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_up_the_layers_only(module: str) -> None:
    part = module.partition(".")[0]
    for name in own_imports(module):
        if name.partition(".")[0] != part:
            assert layer(name) < layer(module), f"{module} imports {name}, which is not below it"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_no_other_stage(stage: str) -> None:
    seen: set[str] = set()
    waiting = own_imports(f"stages.{stage}")
    while waiting:  # not by way of a shared module either
        seen |= waiting
        waiting = {name for module in waiting if module.startswith("stages.") for name in own_imports(module)} - seen
    assert not seen & {f"stages.{other}" for other in STAGES}


@pytest.mark.parametrize("module", MODULES)
def test_heavy_packages_are_imported_by_their_owners_alone(module: str) -> None:
    for name in imported(module):
        owners = HEAVY.get(name.split(".")[0])
        if owners is not None:
            assert any(f"{module}.".startswith(f"{owner}.") for owner in owners), f"{module} imports {name}"


def test_every_owner_exists_and_owns() -> None:
    for package, owners in HEAVY.items():
        for owner in owners:
            inside = [module for module in MODULES if f"{module}.".startswith(f"{owner}.")]
            assert any(name.split(".")[0] == package for module in inside for name in imported(module)), (
                package,
                owner,
            )


@pytest.mark.parametrize("module", MODULES)
def test_every_module_imports(module: str) -> None:
    importlib.import_module(PACKAGE.name if module == "__init__" else f"{PACKAGE.name}.{module}")


def definitions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node


@pytest.mark.parametrize("module", MODULES)
def test_no_name_is_empty_of_meaning(module: str) -> None:
    names = [*module.split("."), *(node.name for node in definitions(MODULES[module]))]
    assert not [name for name in names if name.strip("_").lower() in BANNED]
    assert not [name for name in names if name.endswith(("Manager", "Handler", "Helper", "Utils", "_utils", "_helper"))]


def public(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Yield public functions and classes, and the public methods of those."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


@pytest.mark.parametrize("module", MODULES)
def test_what_is_public_says_what_it_does(module: str) -> None:
    parsed = tree(MODULES[module])
    if parsed.body:
        assert ast.get_docstring(parsed), f"{module} has no docstring"
        assert len((ast.get_docstring(parsed) or "").splitlines()) <= 4
    for node in public(parsed.body):
        assert ast.get_docstring(node), f"{module}.{node.name}, line {node.lineno}, has no docstring"


@pytest.mark.parametrize("folder", ["socratic_distill", "tests", "benchmarks"])
def test_no_file_is_longer_than_can_be_read_at_once(folder: str) -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sorted((ROOT / folder).rglob("*.py"))
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST
    }
    assert not long
