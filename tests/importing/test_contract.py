"""A published signature against what the task declares."""

import detectors
import pytest
import tensorflow as tf

from nightshift.errors import DataError
from nightshift.importing.contract import contract_of, described
from nightshift.importing.graph import read_graph


def contract(task, folder):
    return contract_of(task, read_graph(folder, "here").signatures, "here")


@pytest.mark.parametrize(
    ("options", "dtype", "size"),
    [
        ({}, "float32", (None, None)),
        ({"dtype": tf.uint8, "shape": (None, None, None, 3)}, "uint8", (None, None)),
        ({"shape": (1, 40, 60, 3), "batched": True}, "float32", (40, 60)),
        ({"batched": True, "named": False}, "float32", (None, None)),
    ],
)
def test_the_forms_that_detectors_are_published_in_are_taken(options, dtype, size, task, tmp_path):
    found = contract(task, detectors.Detector(**options).save(tmp_path / "model"))
    assert (found.signature, found.input, found.dtype, found.size) == ("serving_default", "images", dtype, size)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"dtype": tf.float64},
            r"signature 'serving_default': found the input images float64 \[1, None, None, 3\], expected one image, "
            r"float32 \(0 to 1\) or uint8 \[1 or None, H, W, 3\]",
        ),
        ({"shape": (4, None, None, 3)}, r"found the input images float32 \[4, None, None, 3\]"),
        (
            {"only": ("detection_boxes", "detection_class_entities")},
            r"found the outputs detection_boxes, detection_class_entities, expected detection_scores float32 \[None\]",
        ),
        (
            {"more": lambda scores: tf.stack([scores, scores], 1)},
            r"found the output detection_scores float32 \[3, 2\], expected float32 \[None\], also with a batch of one",
        ),
        ({"more": lambda scores: tf.cast(scores, tf.int32)}, r"found the output detection_scores int32 \[3\]"),
    ],
)
def test_another_form_is_refused_with_what_was_found_and_expected(options, message, task, tmp_path):
    with pytest.raises(DataError, match=message):
        contract(task, detectors.Detector(**options).save(tmp_path / "model"))


def test_other_signatures_are_listed(task, tmp_path):
    folder = detectors.Detector().save(tmp_path / "model", signature="embed")
    with pytest.raises(DataError, match="found the signatures 'embed', expected 'default' or 'serving_default'"):
        contract(task, folder)
    assert described(read_graph(folder, "here").signatures)["embed"] == {
        "inputs": {"images": "float32 [1, None, None, 3]"},
        "outputs": {
            "detection_boxes": "float32 [3, 4]",
            "detection_class_entities": "string [3]",
            "detection_scores": "float32 [3]",
        },
    }
