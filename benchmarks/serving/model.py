"""The model that is asked: a network of the task digits, for images of 28x28, with weights as they were made.

    python -m benchmarks.serving.model FOLDER [PRESET]

Writes FOLDER/digits/1, by the project's own signatures; give FOLDER/digits to any model server. Speed does not depend
on the weights.
"""

import os
import sys
from pathlib import Path

MODEL = "digits"
PRESET = "blog"
INPUT = "images"
SHAPE = (28, 28, 1)
OUTPUTS = ("class_id", "label", "probabilities")


def write_model(folder: Path, preset: str = PRESET) -> Path:
    """Write the SavedModel and return the folder of its versions."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    from keras.export import ExportArchive

    from nightshift.export.signatures import signatures
    from nightshift.models.networks import build
    from nightshift.problems.registry import problem_of
    from nightshift.tasks.registry import preset_of, task

    digits = task(MODEL)
    chosen = preset_of(digits, preset)
    keras.utils.set_random_seed(0)
    network = build(chosen.network, digits.image_shape, len(digits.classes), chosen.network_options)
    archive = ExportArchive()
    archive.track(network)
    for name, (function, spec) in signatures(network, problem_of(digits, digits.classes), digits).items():
        archive.add_endpoint(name, function, input_signature=[spec])
    archive.write_out(str(folder / MODEL / "1"), verbose=False)
    return folder / MODEL


if __name__ == "__main__":
    print(write_model(Path(sys.argv[1]), *sys.argv[2:]))
