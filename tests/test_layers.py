"""Who may import whom, and what stays free of TensorFlow."""

import ast
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ORDER = (
    {"nightshift", "nightshift.errors"},
    {"nightshift.files", "nightshift.objects", "nightshift.settings", "nightshift.protos", "nightshift.tasks"},
    {"nightshift.workspace", "nightshift.provenance", "nightshift.kubernetes"},
    {"nightshift.data"},
    {"nightshift.problems"},
    {"nightshift.models"},
    {"nightshift.sweep"},
    {"nightshift.training", "nightshift.evaluation", "nightshift.serving", "nightshift.report"},
    {"nightshift.drift", "nightshift.benchmark"},
    {"nightshift.export"},
    {"nightshift.importing"},
    {"nightshift.steps"},
    {"nightshift.options"},
    {"nightshift.cli_steps", "nightshift.cli_serving"},
    {
        "nightshift.cli_benchmark",
        "nightshift.cli_conformance",
        "nightshift.cli_detect",
        "nightshift.cli_drift",
        "nightshift.cli_solve",
        "nightshift.cli_worker",
    },
    {"nightshift.cli"},
    {"components"},
    {"pipelines"},
)
"""Lowest first; what stands together does not know of each other."""

LEVEL = {part: level for level, parts in enumerate(ORDER) for part in parts}
SOURCES = [file for root in ("nightshift", "components", "pipelines") for file in sorted((ROOT / root).rglob("*.py"))]

BY_HAND = [
    "nightshift.cli",
    "nightshift.drift.check",
    "nightshift.importing.source",
    "nightshift.serving.ask",
    "nightshift.serving.client",
    "nightshift.serving.conformance.embedded",
    "nightshift.serving.conformance.suite",
    "nightshift.serving.conformance.table",
    "nightshift.serving.detect",
    "nightshift.serving.drawing",
    "nightshift.serving.examples",
    "nightshift.serving.kubernetes",
    "nightshift.serving.overview",
    "nightshift.serving.pictures",
    "nightshift.serving.process",
    "nightshift.serving.release",
    "nightshift.serving.store",
    "nightshift.serving.target",
    "nightshift.report.pages",
    "nightshift.steps.context",
    "nightshift.steps.deploy",
    "nightshift.steps.import_model",
    "nightshift.steps.prepare_data",
    "nightshift.steps.report",
    "nightshift.steps.sweep_choice",
    "nightshift.steps.sweep_plan",
    "pipelines.import_model",
    "pipelines.run",
    "pipelines.schedule",
    "pipelines.submit",
    "pipelines.sweep",
]


def imports(file: Path) -> Iterator[str]:
    """Every module and name that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(module: str) -> str:
    """The entry of ORDER that a dotted name belongs to."""
    names = module.split(".")
    if names[0] != "nightshift":
        return names[0]
    return next((part for part in (".".join(names[:2]), "nightshift") if part in LEVEL), "nightshift")


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_imports_go_downwards_only(file):
    own = part_of(".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    for name in imports(file):
        top = name.split(".")[0]
        if top in ("nightshift", "components", "pipelines"):
            other = part_of(name)
            assert other == own or LEVEL[other] < LEVEL[own], f"{own} imports {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "nightshift").iterdir()), ids=lambda path: path.name)
def test_every_part_of_the_library_has_its_place_in_the_order(path):
    if path.name not in ("__init__.py", "__pycache__", "py.typed"):
        assert f"nightshift.{path.stem}" in LEVEL


def test_the_library_knows_nothing_of_kubeflow():
    for file in SOURCES:
        if file.is_relative_to(ROOT / "nightshift"):
            assert not [name for name in imports(file) if name.split(".")[0] in ("kfp", "kfp_kubernetes")], file


def loaded(program: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after a program."""
    program += "\nimport sys; print('\\n'.join(name for name in sys.modules if '.' not in name))"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_what_a_person_runs_by_hand_starts_without_tensorflow_and_without_kubeflow():
    found = loaded("import importlib\n" + "\n".join(f"importlib.import_module({name!r})" for name in BY_HAND))
    assert "numpy" in found
    assert not found & {"tensorflow", "keras", "kfp", "kubernetes", "sklearn"}


def test_help_takes_nothing():
    program = "from nightshift.cli import main; main(['--help'], standalone_mode=False)"
    assert not loaded(program) & {"tensorflow", "keras", "numpy", "grpc", "PIL", "pydantic"}
    started = time.monotonic()
    result = subprocess.run([Path(sys.executable).parent / "nightshift", "--help"], capture_output=True, text=True)
    assert time.monotonic() - started < 1
    assert result.returncode == 0
    assert "rollback" in result.stdout
