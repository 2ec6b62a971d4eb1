"""From sampled requests to figures: every way to ask, and what nobody should have kept."""

import io
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from nightshift.drift.comparison import Limits, Sample, compare
from nightshift.drift.features import features, seams
from nightshift.drift.live import live_of
from nightshift.drift.reference import Reference
from nightshift.protos import classification_pb2, example_pb2, prediction_log_pb2
from nightshift.serving.pictures import rearrange
from nightshift.serving.tensors import to_proto

SHAPE = (12, 12, 1)
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (5, *SHAPE), np.uint8)
CHANCES = RANDOM.dirichlet(np.ones(3), 5).astype(np.float32)
CLASSES = ("a", "b", "c")


def reference(grid=1, shape=SHAPE):
    return Reference(shape, "stretch", grid, CLASSES, features(np.zeros((1, *shape), np.uint8)))


def predicted(inputs, outputs):
    log = prediction_log_pb2.PredictionLog()
    for name, array in inputs.items():
        log.predict_log.request.inputs[name].CopyFrom(to_proto(array))
    for name, array in outputs.items():
        log.predict_log.response.outputs[name].CopyFrom(to_proto(array))
    return log


def png(image):
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0]).save(buffer, "PNG")
    return buffer.getvalue()


def files():
    return np.array([png(image) for image in IMAGES], object)


def classified():
    request, response = classification_pb2.ClassificationRequest(), classification_pb2.ClassificationResponse()
    for content, chances in zip(files(), CHANCES, strict=True):
        example = request.input.example_list.examples.add()
        example.features.feature["image_bytes"].bytes_list.value.append(content)
        row = response.result.classifications.add()
        for name, chance in zip(CLASSES, chances, strict=True):
            row.classes.add(label=name, score=chance)
    log = prediction_log_pb2.ClassifyLog(request=request, response=response)
    return prediction_log_pb2.PredictionLog(classify_log=log)


ANSWERS = {"probabilities": CHANCES, "class_id": CHANCES.argmax(axis=1)}
WAYS = {
    "serving_default": lambda: predicted({"images": IMAGES}, ANSWERS),
    "serve_bytes": lambda: predicted({"image_bytes": files()}, ANSWERS),
    "classify": classified,
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_ask_gives_the_same_figures(way):
    live = live_of([WAYS[way]()], reference())
    np.testing.assert_array_equal(live.pictures, IMAGES)
    np.testing.assert_array_equal(live.sample.classes, CHANCES.argmax(axis=1))
    np.testing.assert_allclose(live.sample.columns["confidence"], CHANCES.max(axis=1))
    for name, column in features(IMAGES).items():
        np.testing.assert_array_equal(live.sample.columns[name], column)
    assert (live.repeated, live.unreadable) == (0, 0)


@pytest.mark.parametrize(
    ("outputs", "known"),
    [({}, False), ({"class_id": np.arange(5) % 3}, True), ({"label": np.array(list("abcab"), object)}, True)],
)
def test_what_was_not_answered_is_unknown_and_no_figure(outputs, known):
    live = live_of([predicted({"images": IMAGES}, outputs)], reference())
    assert live.sample.classes.tolist() == ([0, 1, 2, 0, 1] if known else [-1] * 5)
    assert np.isnan(live.sample.columns["confidence"]).all()


def test_repeated_images_count_once():
    log = predicted({"images": IMAGES}, ANSWERS)
    live = live_of([log, log, log], reference())
    assert (live.sample.count, live.repeated) == (5, 10)


def test_of_a_puzzle_the_solved_picture_is_looked_at():
    pictures = RANDOM.integers(0, 256, (6, 16, 16, 3), np.uint8)
    orders = np.stack([RANDOM.permutation(4) for _ in pictures])
    shuffled = np.stack([rearrange(*pair) for pair in zip(pictures, orders, strict=True)])
    outputs = {"permutation": orders.astype(np.int32), "probability": np.linspace(0, 1, 6, dtype=np.float32)}
    live = live_of([predicted({"images": shuffled}, outputs)], reference(2, (16, 16, 3)))
    np.testing.assert_array_equal(live.pictures, pictures)
    np.testing.assert_array_equal(live.sample.columns["seams"], seams(pictures, 2))
    np.testing.assert_array_equal(live.sample.columns["confidence"], outputs["probability"])
    assert live.sample.classes is None
    outputs = {"permutation": np.zeros((6, 4), np.int32)}
    broken = live_of([predicted({"images": shuffled}, outputs)], reference(2, (16, 16, 3)))
    assert np.isnan(broken.sample.columns["seams"]).all()
    assert len(broken.pictures) == 0


ODD = {
    "another shape": {"images": IMAGES[:, :8]},
    "another dtype": {"images": IMAGES.astype(np.float32)},
    "no image": {"image_bytes": np.array([b"no image"] * 5, object)},
    "numbers for files": {"image_bytes": np.arange(5)},
}


@pytest.mark.parametrize("odd", ODD)
def test_what_is_no_image_of_the_model_is_left_out_and_counted(odd):
    live = live_of([predicted(ODD[odd], ANSWERS), predicted({"images": IMAGES}, ANSWERS)], reference())
    assert (live.sample.count, live.unreadable) == (5, 5)


def test_broken_tensors_and_empty_logs_do_no_harm():
    broken = prediction_log_pb2.PredictionLog()
    broken.predict_log.request.inputs["images"].dtype = 4
    broken.predict_log.request.inputs["images"].tensor_shape.dim.add(size=1 << 40)
    scalar = predicted({"images": np.uint8(3).reshape(())}, {})
    example = prediction_log_pb2.PredictionLog()
    example.classify_log.request.input.example_list.examples.append(example_pb2.Example())
    example.classify_log.response.result.classifications.add()
    live = live_of([broken, scalar, example, prediction_log_pb2.PredictionLog()], reference())
    assert (live.sample.count, live.unreadable) == (0, 1)


def test_the_work_is_bounded(monkeypatch):
    monkeypatch.setattr("nightshift.drift.live.MAX_IMAGES", 3)
    assert live_of([predicted({"images": IMAGES}, ANSWERS)], reference()).sample.count == 3
    monkeypatch.undo()
    monkeypatch.setattr("nightshift.drift.live.MAX_DECODED_PIXELS", 2 * 144)
    live = live_of([predicted({"image_bytes": files()}, ANSWERS)], reference())
    assert (live.sample.count, live.unreadable) == (2, 3)


FIVE = np.arange(5)
HOSTILE = {
    "probabilities of text": {"probabilities": np.array([[b"a", b"b"]] * 5, object)},
    "probabilities of one rank": {"probabilities": CHANCES[:, 0]},
    "integers for probabilities": {"probabilities": np.ones((5, 3), np.int64)},
    "impossible probabilities": {"probabilities": np.full((5, 3), 1e300)},
    "infinite probabilities": {"probabilities": np.full((5, 3), np.inf, np.float32)},
    "more classes than there are": {"probabilities": np.eye(9, dtype=np.float32)[4:]},
    "text for class_id": {"class_id": np.array([b"1"] * 5, object)},
    "floats for class_id": {"class_id": np.full(5, np.nan)},
    "a class beyond int64": {"class_id": np.full(5, 2**64 - 1, np.uint64)},
    "a class that would take all memory to count to": {"class_id": np.full(5, 2**62)},
    "a negative class": {"class_id": -2 - FIVE},
    "numbers for labels": {"label": FIVE},
    "nested labels": {"label": np.array([[b"a"]] * 5, object)},
    "text for probability": {"probability": np.array([b"much"] * 5, object)},
    "a negative probability": {"probability": np.full(5, -1.0)},
    "text for permutation": {"permutation": np.array([[b"0"]] * 5, object)},
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_answers_of_another_making_are_left_out_and_counted(hostile):
    live = live_of(
        [predicted({"images": IMAGES}, HOSTILE[hostile]), predicted({"images": IMAGES[:2]}, {})], reference()
    )
    assert (live.sample.count, live.unreadable) == (2, 5)
    columns = {name: np.full(200, 0.5, np.float32) for name in live.sample.columns}
    compare(Sample(columns, np.zeros(200, np.int64)), live.sample, CLASSES, Limits(least=2))


KINDS = ["float16", "float32", "float64", "int8", "uint8", "int32", "int64", "uint64", "bool", "complex64"]
ARRAYS = st.sampled_from(KINDS).flatmap(
    lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, max_dims=3, max_side=5))
)
TEXTS = hnp.arrays(object, hnp.array_shapes(max_dims=3, max_side=5), elements=st.binary(max_size=3), fill=st.nothing())
NAMES = st.sampled_from(["probabilities", "class_id", "label", "probability", "permutation", "other"])


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["images", "image_bytes"]), ARRAYS | TEXTS | st.just(IMAGES)),
    st.dictionaries(NAMES, ARRAYS | TEXTS),
    st.sampled_from([1, 2]),
)
def test_whatever_is_in_a_log_is_read_or_left_out(inputs, outputs, grid):
    live = live_of([predicted(inputs, outputs)], reference(grid))
    assert len(live.sample.columns["brightness"]) <= 5
    assert live.sample.classes is None or (live.sample.classes < len(CLASSES)).all()


def test_very_many_images_of_no_pixels_are_not_looked_at_one_by_one():
    log = predicted({}, {})
    log.predict_log.request.inputs["images"].CopyFrom(to_proto(np.zeros((50_000_000, 0), np.uint8)))
    started = time.process_time()
    assert live_of([log], reference()).unreadable == 50_000_000
    assert time.process_time() - started < 5
