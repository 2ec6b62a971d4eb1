"""Trains on one and on two logical devices of one processor and prints the losses, training and validation, as JSON."""

import json
import sys
import tempfile
from pathlib import Path

import synthetic
import tensorflow as tf

from nightshift.data.manifest import Dataset
from nightshift.tasks.registry import preset_of
from nightshift.training.devices import strategy
from nightshift.training.kept import InFolder
from nightshift.training.loop import fit

PRESETS = {
    "plain": preset_of(synthetic.CORNERS, "plain", {"jit_compile": True}),
    "batch normalisation": preset_of(synthetic.CORNERS, "default", {"dropout": 0, "epochs": 1, "learning_rate": 1e-3}),
}


def main(path: Path) -> None:
    dataset = Dataset.open(path)
    found = {}
    for name, preset in PRESETS.items():
        found[name] = []
        for devices in (["CPU:0"], ["CPU:0", "CPU:1"]):
            on = strategy(devices=devices)
            assert on.num_replicas_in_sync == len(devices)
            with tempfile.TemporaryDirectory() as folder:
                trained = fit(synthetic.CORNERS, preset, dataset, seed=0, kept=InFolder(Path(folder)), strategy=on)
            rows = trained.progress.history
            found[name].append([row["loss"] for row in rows] + [row["validation_loss"] for row in rows])
    print(json.dumps(found))


if __name__ == "__main__":
    processor = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
    main(Path(sys.argv[1]))
