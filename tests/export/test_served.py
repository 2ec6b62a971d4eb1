"""The exported signatures in a real server process: what they take, what they answer, what they refuse."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from nightshift.problems.registry import problem_of
from nightshift.protos import example_pb2
from nightshift.serving.client import ServerRefusedError

INPUTS = {"serving_default": "images", "serve_bytes": "image_bytes", "classify": "inputs"}


def picture(mode, size, kind, **options):
    pixels = np.random.default_rng(5).integers(0, 256, (size[1], size[0], len(Image.new(mode, (1, 1)).getbands())))
    image = Image.fromarray(pixels.astype(np.uint8).squeeze(), mode=None)
    if image.mode != mode:
        image = image.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def strings(*contents):
    array = np.empty(len(contents), object)
    array[:] = contents
    return array


def example(content, name="image_bytes"):
    message = example_pb2.Example()
    message.features.feature[name].bytes_list.value.append(content)
    return message.SerializeToString()


def some_images(case):
    """Six test images, uint8."""
    from nightshift.data.sample import sample

    return sample(case.dataset, "test", 6)[0]


def keras_answers(case, images):
    """What the trained network answers through its problem."""
    import nightshift.models.seamnet  # noqa: F401  its layers are needed to load it

    network = tf.keras.models.load_model(case.trained.weights)
    problem = problem_of(case.task, tuple(case.dataset.manifest.classes))
    images = tf.constant(images)
    return {name: tensor.numpy() for name, tensor in problem.answers(images, network(images, training=False)).items()}


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        if array.dtype.kind == "f":
            np.testing.assert_allclose(found[name], array, atol=1e-5)
        else:
            assert found[name].tolist() == array.tolist()


def test_the_classifiers_signatures(classifier, client):
    signatures = client.metadata("corners", label=None).signatures
    assert signatures.keys() == INPUTS.keys()
    specs = {name: {key: (s.dtype, s.shape) for key, s in signatures[name].outputs.items()} for name in signatures}
    answers = {"probabilities": ("float32", (None, 4)), "class_id": ("int64", (None,)), "label": ("string", (None,))}
    assert specs["serving_default"] == answers
    assert specs["serve_bytes"] == answers
    assert specs["classify"] == {"classes": ("string", (None, 4)), "scores": ("float32", (None, 4))}
    inputs = {name: {key: (s.dtype, s.shape) for key, s in signatures[name].inputs.items()} for name in signatures}
    assert inputs == {
        "serving_default": {"images": ("uint8", (None, 12, 12, 1))},
        "serve_bytes": {"image_bytes": ("string", (None,))},
        "classify": {"inputs": ("string", (None,))},
    }


def test_the_solvers_signatures(solver, client):
    signatures = client.metadata("textures", label=None).signatures
    assert signatures.keys() == INPUTS.keys()
    specs = {name: {key: (s.dtype, s.shape) for key, s in signatures[name].outputs.items()} for name in signatures}
    answers = {
        "permutation": ("int32", (None, 4)),
        "solved": ("uint8", (None, 16, 16, 3)),
        "probability": ("float32", (None,)),
        "shuffled_probability": ("float32", (None,)),
        "position_probabilities": ("float32", (None, 4, 4)),
    }
    assert specs["serving_default"] == answers
    assert specs["serve_bytes"] == answers | {"solved_png_bytes": ("string", (None,))}
    assert specs["classify"] == {"classes": ("string", (None, 2)), "scores": ("float32", (None, 2))}


@pytest.mark.parametrize("count", [1, 6])
def test_the_server_answers_as_the_network_does(case, client, count):
    images = some_images(case)[:count]
    found = client.predict(case.name, {"images": images}, label=None).outputs
    same(found, keras_answers(case, images))


def test_an_empty_batch_is_refused_and_the_server_lives_on(case, client):
    with pytest.raises(ServerRefusedError) as refused:
        client.predict(case.name, {"images": some_images(case)[:0]}, label=None)
    assert refused.value.code == "INVALID_ARGUMENT"
    assert client.predict(case.name, {"images": some_images(case)}, label=None).outputs


def test_png_bytes_are_answered_as_their_pixels(case, client):
    images = some_images(case)
    encoded = strings(*(tf.io.encode_png(image).numpy() for image in images))
    found = client.predict(case.name, {"image_bytes": encoded}, signature="serve_bytes", label=None).outputs
    drawn = found.pop("solved_png_bytes", None)
    same(found, keras_answers(case, images))
    if drawn is not None:
        assert np.stack([np.asarray(Image.open(io.BytesIO(png))) for png in drawn]).tolist() == found["solved"].tolist()


def test_classify_ranks_what_serve_bytes_answers(classifier, client):
    encoded = [tf.io.encode_png(image).numpy() for image in some_images(classifier)]
    answers = client.predict("corners", {"image_bytes": strings(*encoded)}, signature="serve_bytes", label=None).outputs
    ranked = client.classify("corners", [example(content) for content in encoded], label=None)
    for row, probabilities, label in zip(ranked, answers["probabilities"], answers["label"], strict=True):
        assert row[0][0] == label.decode()
        assert [score for _, score in row] == sorted((score for _, score in row), reverse=True)
        found = dict(row)
        expected = dict(zip(classifier.dataset.manifest.classes, probabilities.tolist(), strict=True))
        assert found == pytest.approx(expected, abs=1e-6)


def test_classify_tells_shuffled_from_in_order(solver, client):
    encoded = [tf.io.encode_png(image).numpy() for image in some_images(solver)]
    answers = client.predict(
        "textures", {"image_bytes": strings(*encoded)}, signature="serve_bytes", label=None
    ).outputs
    for row, shuffled in zip(
        client.classify("textures", [example(content) for content in encoded], label=None),
        answers["shuffled_probability"].tolist(),
        strict=True,
    ):
        assert dict(row) == pytest.approx({"shuffled": shuffled, "in order": 1 - shuffled}, abs=1e-6)


PICTURES = {
    "JPEG": picture("RGB", (31, 17), "JPEG"),
    "progressive JPEG": picture("RGB", (31, 17), "JPEG", progressive=True),
    "grey JPEG": picture("L", (31, 17), "JPEG"),
    "PNG": picture("RGB", (40, 40), "PNG"),
    "grey PNG": picture("L", (5, 7), "PNG"),
    "PNG with transparency": picture("RGBA", (20, 20), "PNG"),
    "one pixel": picture("RGB", (1, 1), "PNG"),
}


@pytest.mark.parametrize("content", PICTURES.values(), ids=PICTURES)
def test_pictures_of_every_size_are_answered(case, client, content):
    found = client.predict(case.name, {"image_bytes": strings(content)}, signature="serve_bytes", label=None).outputs
    assert {len(array) for array in found.values()} == {1}
    assert len(client.classify(case.name, [example(content)], label=None)) == 1


def giant_png():
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + bytes(20)


NO_PICTURES = {
    "CMYK JPEG": picture("CMYK", (20, 20), "JPEG"),
    "truncated JPEG": picture("RGB", (64, 64), "JPEG")[:-300],
    "truncated PNG": picture("RGB", (64, 64), "PNG")[:-300],
    "GIF": picture("L", (20, 20), "GIF"),
    "BMP": picture("RGB", (20, 20), "BMP"),
    "WebP": picture("RGB", (20, 20), "WEBP"),
    "giant PNG": giant_png(),
    "signature of JPEG alone": b"\xff\xd8\xff",
    "signature of PNG alone": b"\x89PNG\r\n\x1a\n",
    "nothing": b"",
    "text": b"a picture of a cat",
}


@pytest.mark.parametrize("content", NO_PICTURES.values(), ids=NO_PICTURES)
def test_what_is_no_picture_is_refused_and_the_server_lives_on(case, client, content):
    good = PICTURES["PNG"]
    for contents in ([content], [good, content]):
        with pytest.raises(ServerRefusedError) as refused:
            client.predict(case.name, {"image_bytes": strings(*contents)}, signature="serve_bytes", label=None)
        assert refused.value.code == "INVALID_ARGUMENT"
    with pytest.raises(ServerRefusedError) as refused:
        client.classify(case.name, [example(content)], label=None)
    assert refused.value.code == "INVALID_ARGUMENT"
    assert client.predict(case.name, {"image_bytes": strings(good)}, signature="serve_bytes", label=None).outputs


WRONG = {
    "a scalar": np.uint8(3)[...],
    "one axis": np.zeros(3, np.uint8),
    "one image without its batch": np.zeros((12, 12, 1), np.uint8),
    "no channel": np.zeros((1, 12, 12), np.uint8),
    "an axis too many": np.zeros((1, 1, 12, 12, 1), np.uint8),
    "another size": np.zeros((1, 13, 12, 1), np.uint8),
    "other channels": np.zeros((1, 12, 12, 2), np.uint8),
    "no pixels": np.zeros((1, 0, 0, 1), np.uint8),
    "floats": np.zeros((1, 12, 12, 1), np.float32),
    "int32": np.zeros((1, 12, 12, 1), np.int32),
    "strings": strings(b"x"),
}


@pytest.mark.parametrize("images", WRONG.values(), ids=WRONG)
def test_images_of_another_rank_shape_or_dtype_are_refused_and_the_server_lives_on(case, client, images):
    with pytest.raises(ServerRefusedError) as refused:
        client.predict(case.name, {"images": images}, label=None)
    assert refused.value.code == "INVALID_ARGUMENT"
    assert client.predict(case.name, {"images": some_images(case)}, label=None).outputs


@pytest.mark.parametrize("signature", ["serve_bytes", "classify"])
@pytest.mark.parametrize("shape", [(), (1, 1), (2, 1, 1)])
def test_strings_of_another_rank_are_refused(case, client, signature, shape):
    content = PICTURES["PNG"] if signature == "serve_bytes" else example(PICTURES["PNG"])
    array = np.full(shape, content, object)
    with pytest.raises(ServerRefusedError) as refused:
        client.predict(case.name, {INPUTS[signature]: array}, signature=signature, label=None)
    assert refused.value.code == "INVALID_ARGUMENT"


@pytest.mark.parametrize("content", [b"", example(b"x", "other"), b"\xff\xff"])
def test_an_example_without_a_picture_is_refused(case, client, content):
    with pytest.raises(ServerRefusedError) as refused:
        client.predict(case.name, {"inputs": strings(content)}, signature="classify", label=None)
    assert refused.value.code == "INVALID_ARGUMENT"


def test_the_warm_up_file_is_replayed_when_a_version_is_loaded(case, client):
    (status,) = client.status(case.name)
    assert (status.state, status.error) == ("AVAILABLE", "")
