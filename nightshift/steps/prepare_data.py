"""prepare_data: the dataset, and whether there is anything to train."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nightshift.data.manifest import MANIFEST_NAME, Dataset
from nightshift.data.prepare import prepare
from nightshift.data.sample import sample
from nightshift.errors import ConfigurationError
from nightshift.files import write_npz
from nightshift.provenance import recipe
from nightshift.serving.card import check_task, read_card
from nightshift.serving.store import Store
from nightshift.serving.target import target
from nightshift.steps.drift import drifts_of, retraining, write_drifts
from nightshift.steps.place import check_place, part_of, place_of
from nightshift.tasks.registry import preset_of
from nightshift.tasks.registry import task as task_of
from nightshift.workspace import Run, Workspace

SAMPLE = 40
PREPARED, PUBLISHED = 0.8, 0.9
"""Shares of the step, for progress, when the dataset is there and when it is published."""


@dataclass(frozen=True)
class Prepared:
    """The dataset; whether a training is due, and why; the seed it has to have; where other steps read the data."""

    dataset: Dataset
    train: bool
    reason: str
    seed: int
    place: str


def prepare_data(
    run: Run,
    workspace: Workspace,
    store: Store,
    *,
    task: str,
    model: str,
    source: str,
    preset: str,
    settings: Mapping[str, Any],
    seed: int,
    server: str,
    beam_flags: Sequence[str] = (),
) -> Prepared:
    """Prepare the data, or find them prepared, and compare the recipe of a training with that of the serving model.

    With NIGHTSHIFT_DATASETS the dataset is published there, for nodes that do not share the workspace.

    Data and sampled live requests are compared with the reference statistics of what serves, too: live requests that
    have drifted are a reason to train, with the next seed, where there would be nothing to do.

    Args:
        run: where the record goes.
        workspace: where the dataset goes.
        store: what serves is of this store.
        task: name.
        model: name that the result is served by.
        source: of the data; '' is the task's own.
        preset: name.
        settings: changes to it.
        seed: of the run.
        server: where the models are served, HOST:PORT or kubernetes:NAMESPACE.
        beam_flags: for Apache Beam, which then prepares data that are large enough.

    Raises:
        NightshiftError: a name, a setting or the data cannot be used, the server does not answer, or what it serves
            is not in this workspace.
    """
    with run.step("prepare_data") as step:
        if not 0 <= seed < 1 << 32:
            raise ConfigurationError(f"seed: found {seed}, expected 0 to {(1 << 32) - 1}")
        chosen = task_of(task)
        changed = preset_of(chosen, preset, settings)
        check_place()
        with target(server, store) as serving:  # a server of another store is found out now, not after the training
            version = serving.champion(model)
            address = serving.address(model) if version else ""
        card: dict[str, Any] = {}
        if version:
            card = read_card(store.version_path(model, version))
            check_task(card, model, task)
        dataset = prepare(
            chosen,
            source,
            workspace,
            seed=seed,
            beam_flags=beam_flags,
            progress=part_of(step.progress, 0.0, PREPARED),
            say=step.say,
        )
        place = place_of(dataset, part_of(step.progress, PREPARED, PUBLISHED))
        key, other_key = (
            recipe(chosen, preset, changed, one, dataset.fingerprint).key for one in (seed, next_seed(seed))
        )
        due, reason = training_due(store, model, version, key, other_key)
        drifts = None
        if version:
            step.progress(PUBLISHED, "comparing with what the serving version was validated on")
            path = store.version_path(model, version)
            drifts = drifts_of(workspace, model, version, path, card, dataset, address)
            write_drifts(step.path, drifts)
        retrained = False
        if drifts and not due:
            retrained, reason = retraining(
                workspace, drifts.live, card["recipe_key"], other_key, reason, next_seed(seed)
            )
        step.figures = {
            "task": task,
            "model": model,
            "preset": preset,
            "settings": changed.settings(),
            "seed": seed,
            "source": source or chosen.source,
            "dataset": dataset.fingerprint,
            "dataset_path": str(dataset.path),
            "dataset_place": place,
            "reused": dataset.reused,
            "train": due or retrained,
            "reason": reason,
            "serving_version": version,
            "key": other_key if retrained else key,
            "drift": {**drifts.figures(), "retrain": retrained} if drifts else None,
        }
        shutil.copy(dataset.path / MANIFEST_NAME, step.path / MANIFEST_NAME)
        images, labels = sample(dataset, "train", SAMPLE)
        write_npz(step.path / "sample.npz", {"images": images, "labels": labels})
        step.say("; ".join([reason, *dataset.manifest.remarks()]))
    return Prepared(dataset, due or retrained, reason, next_seed(seed) if retrained else seed, place)


def next_seed(seed: int) -> int:
    """The seed of the one training that drift of live requests calls for."""
    return (seed + 1) % (1 << 32)


def training_due(store: Store, model: str, version: int, key: str, other_key: str = "") -> tuple[bool, str]:
    """Whether this recipe made neither the serving version nor one that was rolled back.

    Args:
        store: where the versions are.
        model: its name.
        version: that serves; 0: none does.
        key: of the recipe.
        other_key: of the same recipe with the next seed, by which drift had it trained.
    """
    state = store.state(model)
    for taken_back in sorted(state.rolled_back, reverse=True):
        if state.published[taken_back].get("recipe") == key:
            return False, (
                f"nothing to do: version {taken_back} of {model}, made from the same data, settings and code, was "
                "rolled back; other data or settings, or another seed, make another"
            )
    if not version:
        return True, f"nothing serves as {model} yet"
    if read_card(store.version_path(model, version))["recipe_key"] in (key, other_key):
        return False, f"nothing to do: version {version} of {model} serves, made from the same data, settings and code"
    return True, f"version {version} of {model} serves, made from other data, settings or code"
