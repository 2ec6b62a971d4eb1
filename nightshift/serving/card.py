"""The model card: what made a model and how good it is, for people (Markdown) and for programs (JSON). No TensorFlow.

After Mitchell et al., "Model cards for model reporting", FAT* 2019.
"""

import json
from pathlib import Path
from typing import Any

from nightshift.errors import ConfigurationError, StoreError
from nightshift.files import write_atomic, write_json
from nightshift.tasks.base import Task
from nightshift.tasks.imported import ImportedTask

FACTS = "assets.extra/card.json"
TEXT = "assets.extra/card.md"
LIMITS = "## Limits\n"


def write_card(saved_model: Path, task: Task, facts: dict[str, Any]) -> str:
    """Write both forms into a SavedModel's folder; returns the Markdown.

    Args:
        saved_model: the folder.
        task: what the model does.
        facts: recipe, classes, parameters, epochs, dataset (source, counts), metrics, code_version.
    """
    return _write(saved_model, facts, _markdown(task, facts))


def write_imported_card(saved_model: Path, task: ImportedTask, facts: dict[str, Any]) -> str:
    """The same for a model that somebody else has trained; it has no metrics.

    Args:
        saved_model: the folder.
        task: what the model does.
        facts: recipe (task, source, dataset: SHA-256 of the source's content), recipe_key, imported (when), signature,
            signatures (name -> inputs and outputs in words), metrics, bytes, code_version, tensorflow.
    """
    return _write(saved_model, facts, _imported_markdown(task, facts))


def _write(saved_model: Path, facts: dict[str, Any], text: str) -> str:
    write_json(saved_model / FACTS, facts)
    write_atomic(saved_model / TEXT, text.encode())
    return text


def add_to_card(saved_model: Path, name: str, facts: Any, section: str) -> None:
    """Add what was found out after it was written: a fact by name, and a section, before that of the limits.

    Args:
        saved_model: the folder, with a card.
        name: of the fact.
        facts: as JSON holds it.
        section: Markdown, with its heading.
    """
    known = json.loads((saved_model / FACTS).read_text())
    text, heading, limits = (saved_model / TEXT).read_text().partition(LIMITS)
    _write(saved_model, known | {name: facts}, f"{text}{section}\n{heading}{limits}")


def read_card(saved_model: Path) -> dict[str, Any]:
    """The facts of a version.

    Raises:
        StoreError: the card is not there, not readable or lacks a fact that a release needs.
    """
    try:
        facts: dict[str, Any] = json.loads((saved_model / FACTS).read_text())
        missing = {"recipe", "recipe_key", "metrics", "code_version"} - facts.keys()
        missing |= {"recipe.dataset"} - {f"recipe.{name}" for name in facts.get("recipe", {})}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise StoreError(f"{saved_model / FACTS}: no readable model card: {error}") from error
    if missing:
        raise StoreError(f"{saved_model / FACTS}: no readable model card: {', '.join(sorted(missing))} is missing")
    return facts


def check_task(facts: dict[str, Any], model: str, task: str) -> None:
    """Refuse to put the answers of one task in the place of another's, which clients of the name do not expect.

    Args:
        facts: the card of the version that serves.
        model: its name.
        task: of what is to be released.

    Raises:
        ConfigurationError: that version is another task's.
    """
    served = facts["recipe"].get("task", task)
    if served != task:
        raise ConfigurationError(f"--model {model}: serves task {served!r}, found {task!r}; give another name")


def _markdown(task: Task, facts: dict[str, Any]) -> str:
    recipe, dataset = facts["recipe"], facts["dataset"]
    metrics = "\n".join(f"| {name} | {value:.4f} |" for name, value in facts["metrics"].items())
    settings = "\n".join(f"| {name} | {value} |" for name, value in recipe["settings"].items())
    counts = ", ".join(f"{count:,} {split}" for split, count in dataset["counts"].items())
    packages = ", ".join(f"{package} {version}" for package, version in recipe["versions"].items())
    height, width, channels = task.image_shape
    return f"""# {task.name}

{task.summary}. Answers images of {width} x {height} pixels and {channels} channel(s); JPEG and PNG files of any size
are brought to that.

## Judged on the test split

| metric | value |
| --- | --- |
{metrics}

## Data

{dataset["source"]}: {counts}; fingerprint `{recipe["dataset"]}`.

## Training

Preset `{recipe["preset"]}`, {facts["parameters"]:,} parameters, {facts["epochs"]} epochs (the best: \
{facts["best_epoch"]}), seed {recipe["seed"]}.

| setting | value |
| --- | --- |
{settings}

Nightshift {facts["code_version"]}, training sources `{recipe["sources"][:12]}`, {packages}.

## Limits

It always answers with one of the outcomes it knows, also for pictures of something else. Its figures hold for pictures
like those of its test split.
"""


def _imported_markdown(task: ImportedTask, facts: dict[str, Any]) -> str:
    recipe = facts["recipe"]
    signatures = "\n".join(
        f"| `{name}` | {_tensors(tensors['inputs'])} | {_tensors(tensors['outputs'])} |"
        for name, tensors in facts["signatures"].items()
    )
    return f"""# {task.name}

{task.summary}. Published by others and imported; not judged here.

## Source

`{recipe["source"]}`, imported {facts["imported"]}; SHA-256 of its content `{recipe["dataset"]}`.

## Signatures

| signature | inputs | outputs |
| --- | --- | --- |
{signatures}

`{facts["signature"]}` is the published one that does the task; `serve_bytes` was added, and decodes a JPEG or PNG for
it. A model server answered both as the published model does.

Nightshift {facts["code_version"]}, importing sources `{recipe["sources"][:12]}`, tensorflow {facts["tensorflow"]}.

## Limits

How good it is, what it was trained on and under which licence it may be used, its publisher says.
"""


def _tensors(tensors: dict[str, str]) -> str:
    return ", ".join(f"`{name}` {words}" for name, words in tensors.items())
