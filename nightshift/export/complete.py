"""From a SavedModel that TensorFlow wrote to a folder that can be released: with proof, there whole or not at all."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from nightshift.export.checks import Check, Checked, measured
from nightshift.export.parity import prove_equal
from nightshift.export.warm_up import write_warm_up
from nightshift.files import exclusive_lock, staged_directory
from nightshift.serving.card import add_to_card
from nightshift.serving.golden import Golden
from nightshift.serving.manifest import check_manifest, write_manifest
from nightshift.serving.smoke import Differences
from nightshift.tasks.base import Task

Progress = Callable[[float, str], None]


@contextmanager
def new_saved_model(target: Path, progress: Progress) -> Iterator[Path]:
    """Give an empty folder that takes the place of `target`, and of what stands there, when the block succeeds.

    Raises:
        StoreError: the block did not `complete` it.
    """
    with exclusive_lock(target.parent / f"{target.name}.lock", waiting=lambda words: progress(0, words)):
        for leftover in target.parent.glob(f".{target.name}.*.partial"):  # its writer is dead: the lock is ours
            shutil.rmtree(leftover)
        with staged_directory(target, replace=True) as staging:
            yield staging
        check_manifest(target)


def complete(
    saved_model: Path,
    model: str,
    golden: Golden,
    progress: Progress,
    task: Task | None = None,
    checked: Checked = lambda check: None,
) -> Differences:
    """Add golden batch and warm-up requests, have a model server prove it, and add what was measured and the manifest.

    Args:
        saved_model: the folder, with everything else that belongs there.
        model: the name it will be served by.
        golden: requests, and the answers that they have to get.
        progress: told (share done, words).
        task: has budgets of latency and memory; None: nothing is measured.
        checked: told of every check.

    Returns:
        signature -> output -> the largest absolute difference.

    Raises:
        ExportRefusedError: the server does not load it, answers otherwise, or breaks a budget.
    """
    golden.save(saved_model)
    write_warm_up(saved_model, model, golden.requests)
    progress(0.5, "asking a model server the golden batch")
    checks: list[Check] = []

    def done(check: Check) -> None:
        checks.append(check)
        checked(check)

    differences = prove_equal(saved_model, model, golden, task, done)
    if figures := measured(checks):
        add_to_card(saved_model, "served", figures, _section(checks, figures["machine"]))
    write_manifest(saved_model)
    return differences


def _section(checks: Sequence[Check], machine: Mapping[str, float]) -> str:
    """What was measured, as a part of the model card."""
    rows = [check for check in checks if check.figures]
    table = "\n".join(f"| {check.subject} | {check.found} | {check.expected} |" for check in rows)
    cores, load = machine["cores"], machine["load"]
    return f"""## Served

| | found | budget |
| --- | --- | --- |
{table}

By one client, over gRPC on loopback, of a fresh server process that was warm; {cores} cores, and in the minute before
{load} processes at work on average.
"""
