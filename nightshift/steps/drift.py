"""What prepare_data looks at beside the recipe: have the data changed, and live requests? No TensorFlow."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightshift.data.manifest import Dataset
from nightshift.drift.check import Drift, asker, data_drift, live_drift
from nightshift.errors import NightshiftError
from nightshift.files import write_json
from nightshift.serving.client import Client
from nightshift.serving.samples import samples_place
from nightshift.training.model import DESCRIPTION
from nightshift.workspace import Workspace

NAME = "drift.json"
"""The comparisons with all that is drawn of them, in the step's folder."""


@dataclass(frozen=True)
class Drifts:
    """Both comparisons with the version that serves."""

    data: Drift
    live: Drift

    def figures(self, *, plots: bool = False) -> dict[str, Any]:
        """For status.json, and with plots for drift.json."""
        return {"data": self.data.facts(plots=plots), "live": self.live.facts(plots=plots)}


def drifts_of(
    workspace: Workspace,
    model: str,
    version: int,
    saved_model: Path,
    card: Mapping[str, Any],
    dataset: Dataset,
    at: str,
) -> Drifts:
    """Compare the data, and the live requests that were sampled, with the reference of the version that serves.

    What cannot be compared does not stop the run: it is said instead.

    Args:
        workspace: has the samples, unless the environment names another place.
        model: its name.
        version: that serves.
        saved_model: its files.
        card: its facts.
        dataset: of this run.
        at: HOST:PORT that answers for the model.
    """

    def live() -> Drift:
        with Client(at) as client:
            place = samples_place(workspace.root)
            return live_drift(place, model, version, saved_model, ask=asker(client, model, version))

    trained_on = str(card["recipe"]["dataset"])
    return Drifts(
        _in_words("the data", version, lambda: data_drift(dataset, saved_model, version, trained_on)),
        _in_words("live requests", version, live),
    )


def _in_words(subject: str, version: int, compare: Callable[[], Drift]) -> Drift:
    try:
        return compare()
    except NightshiftError as error:
        return Drift(subject, version, None, f"not compared: {error}")


def write_drifts(folder: Path, drifts: Drifts) -> None:
    """Write drift.json into a step's folder, for its page."""
    write_json(folder / NAME, drifts.figures(plots=True))


def retraining(
    workspace: Workspace, live: Drift, serving_key: str, key: str, reason: str, seed: int
) -> tuple[bool, str]:
    """Whether drift of live requests calls for a training although there is nothing to do; at most once a recipe.

    The same recipe would make the same model again. So it is trained with another seed, and the gate says whether that
    model is better. If such a training was tried before, another would be one more draw, not an answer to the drift:
    that takes images like those that are asked about.

    Args:
        workspace: has the trainings of earlier runs.
        live: what came of the comparison.
        serving_key: of the recipe that made the serving version.
        key: of the recipe with the other seed.
        reason: why there would be nothing to do.
        seed: the other one.

    Returns:
        whether to train, and why or why not.
    """
    if not live.drifted:
        return False, reason
    if serving_key == key or (workspace.checkpoints / key / DESCRIPTION).exists():
        return False, (
            f"{reason}. Live requests have drifted ({live.words}), and a training with seed {seed} was tried for that: "
            "add images like those that are asked about to the data, with their labels"
        )
    return True, (
        f"live requests have drifted from what version {live.version} was validated on: {live.words}. Trained once "
        f"with seed {seed}, although data, settings and code are the same"
    )
