"""Makes version folders of a real network, as the export step does: the default one of digits, not trained."""

import json
import shutil

import keras
import numpy as np
import tensorflow as tf
from keras.export import ExportArchive
from version_folder import facts

from nightshift.export.signatures import signatures
from nightshift.export.warm_up import write_warm_up
from nightshift.models import compact_cnn
from nightshift.problems.registry import problem_of
from nightshift.serving.card import write_card
from nightshift.serving.golden import Golden
from nightshift.serving.manifest import write_manifest
from nightshift.tasks.registry import task

DIGITS = task("digits")
IMAGES = np.random.default_rng(0).integers(0, 256, (16, *DIGITS.image_shape), np.uint8)


def write_network(folder, seed):
    """A complete version with all its signatures, golden batch and warm-up requests."""
    keras.utils.set_random_seed(seed)
    network = compact_cnn.build(DIGITS.image_shape, 10, width=32, dropout=0.0)
    functions = signatures(network, problem_of(DIGITS, DIGITS.classes), DIGITS)
    archive = ExportArchive()
    archive.track(network)
    for name, (function, spec) in functions.items():
        archive.add_endpoint(name, function, input_signature=[spec])
    archive.write_out(str(folder), verbose=False)
    golden = _golden(functions)
    golden.save(folder)
    write_warm_up(folder, "digits", golden.requests)
    write_card(folder, DIGITS, facts(seed))
    write_manifest(folder)
    return folder


def _golden(functions):
    inputs = {
        "serving_default": IMAGES,
        "serve_bytes": np.array([tf.io.encode_png(image).numpy() for image in IMAGES], object),
    }
    answers = {
        name: {output: tensor.numpy() for output, tensor in functions[name][0](tf.constant(array)).items()}
        for name, array in inputs.items()
    }
    return Golden({name: {functions[name][1].name: array} for name, array in inputs.items()}, answers)


def renamed(source, folder, key):
    """A copy of a version that another recipe made, by its card: another model to whoever releases it."""
    shutil.copytree(source, folder)
    card = folder / "assets.extra" / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"recipe_key": key}))
    write_manifest(folder)
    return folder
