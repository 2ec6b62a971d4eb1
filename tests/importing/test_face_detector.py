"""The face detector in one graph against the package that its weights come from."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from nightshift.data.bundled import package_folder
from nightshift.importing.face_detector import MOST_PIXELS, FaceDetector

LEAST_IOU = 0.9


@pytest.fixture(scope="module")
def detector():
    return FaceDetector()


@pytest.fixture(scope="module")
def package():
    from mtcnn import MTCNN

    return MTCNN()


def photograph(name="skimage/data/astronaut.png"):
    package, _, file = name.partition("/")
    return Image.open(package_folder(package) / file).convert("RGB")


def collage():
    """Four of her: small and large, mirrored, turned a little."""
    astronaut = photograph()
    canvas = Image.new("RGB", (900, 700), (90, 120, 60))
    canvas.paste(astronaut.resize((300, 300)), (0, 0))
    canvas.paste(astronaut.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (320, 100))
    canvas.paste(astronaut.resize((160, 160)), (30, 400))
    canvas.paste(astronaut.resize((220, 220)).rotate(8), (60, 480))
    return canvas


def ours(detector, picture):
    pixels = tf.image.convert_image_dtype(np.asarray(picture)[None], tf.float32)
    return {name: tensor.numpy() for name, tensor in detector.detect(pixels).items()}


def iou(one, other):
    """Of two boxes: left, top, right, bottom."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (one, other)]
    return shared / (sum(areas) - shared)


PICTURES = {
    "astronaut": (photograph, 1),
    "mirrored": (lambda: photograph().transpose(Image.Transpose.FLIP_LEFT_RIGHT), 1),
    "small": (lambda: photograph().resize((256, 256)), 1),
    "wide": (lambda: photograph().resize((733, 411)), 1),
    "double": (lambda: photograph().resize((1024, 1024)), 2),  # the package sees a second face there
    "collage": (collage, 4),
    "cat": (lambda: photograph("skimage/data/chelsea.png"), 0),
}


@pytest.mark.parametrize("name", PICTURES)
def test_it_finds_the_faces_that_the_package_finds(name, detector, package):
    make, faces = PICTURES[name]
    picture = make()
    expected = package.detect_faces(np.asarray(picture))
    found = ours(detector, picture)
    assert len(found["detection_boxes"]) == len(expected) == faces
    width, height = picture.size
    boxes = found["detection_boxes"][:, [1, 0, 3, 2]] * (width, height, width, height)
    points = found["detection_landmarks"] * (height, width)
    for face in expected:
        left, top, wide, high = face["box"]
        overlaps = [iou((left, top, left + wide, top + high), box) for box in boxes]
        best = int(np.argmax(overlaps))
        assert overlaps[best] >= LEAST_IOU
        assert found["detection_scores"][best] == pytest.approx(face["confidence"], abs=1e-3)
        names = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
        marked = np.array([face["keypoints"][name] for name in names])[:, ::-1]
        assert np.abs(points[best] - marked).max() < 2  # the package gives whole pixels
    assert set(found["detection_class_entities"]) <= {b"Human face"}


@pytest.mark.parametrize("size", [(1, 1), (10, 10), (24, 24), (300, 13)])
def test_a_picture_too_small_for_a_face_has_none(detector, size):
    found = ours(detector, photograph().resize(size))
    assert found["detection_boxes"].shape == (0, 4)
    assert found["detection_landmarks"].shape == (0, 5, 2)


def test_a_larger_picture_is_made_smaller_and_its_face_lies_where_it_did(detector):
    small = ours(detector, photograph())["detection_boxes"][0]
    side = round(MOST_PIXELS**0.5) + 400
    large = ours(detector, photograph().resize((side, side)))["detection_boxes"]
    assert max(iou(small, box) for box in large) > 0.85


def test_its_graph_is_of_tensorflow_alone_and_knows_any_size(tmp_path):
    from nightshift.importing.contract import contract_of
    from nightshift.importing.graph import check_ops, read_graph
    from nightshift.importing.source import fetch_saved_model
    from nightshift.tasks.registry import imported_task

    published = fetch_saved_model("bundled:mtcnn", tmp_path, tmp_path, print)
    graph = read_graph(published.path, published.uri)
    check_ops(graph, published.uri)
    contract = contract_of(imported_task("detection"), graph.signatures, published.uri)
    assert (contract.signature, contract.dtype, contract.size) == ("default", "float32", (None, None))
    assert published.sha256 == fetch_saved_model("bundled:mtcnn", tmp_path, tmp_path, print).sha256
