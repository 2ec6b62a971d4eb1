"""The last training of a sweep: the best settings, on train and validation images together."""

from typing import Any

from nightshift.sweep.trials import Outcome
from nightshift.tasks.base import Preset


def refit_settings(preset: Preset, best: Outcome) -> dict[str, Any]:
    """Every setting of that training.

    No images are left to choose an epoch by, so their number is fixed beforehand and the last weights are kept. A
    learning rate that falls to 0 makes its best network at its end: where the trial came to it, all its epochs are
    trained. At a constant rate, or where patience ended the trial before, it is the trial's best epoch.

    Args:
        preset: with the settings of the trial.
        best: the trial.
    """
    annealed = preset.schedule != "constant" and best.epochs == preset.epochs
    epochs = preset.epochs if annealed else best.best_epoch
    return preset.with_settings({"epochs": epochs, "patience": 0, "keep": "last"}).settings()
