"""What a detector's answers are taken for; the endpoint is played here, tests/importing has real ones."""

import numpy as np
import pytest

from nightshift.errors import ServingError
from nightshift.serving.ask import PictureRefusedError
from nightshift.serving.client import Metadata, Prediction, ServerRefusedError, Signature, TensorSpec
from nightshift.serving.detect import detect

OUTPUTS = ("detection_boxes", "detection_scores", "detection_class_entities")


class Endpoint:
    def __init__(self, boxes=(), scores=(), names=(), outputs=OUTPUTS, signature="serve_bytes", refusal=None):
        arrays = (np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(names, object))
        self.answer = dict(zip(OUTPUTS, arrays, strict=True))
        tensors = {name: TensorSpec("float32", None) for name in outputs}
        self.signatures = {signature: Signature({"image_bytes": TensorSpec("string", (None,))}, tensors)}
        self.refusal = refusal

    def metadata(self, model):
        return Metadata(7, self.signatures)

    def predict(self, model, inputs, *, signature, outputs):
        assert (signature, outputs) == ("serve_bytes", OUTPUTS)
        assert inputs["image_bytes"].tolist() == [b"photo"]
        if self.refusal:
            raise self.refusal
        return Prediction(self.answer, 7, 0.25)


def test_detections_are_sorted_and_what_is_no_box_is_left_out():
    boxes = [(0, 0, 1, 1), (0.1, 0.1, 0.2, 0.2), (0, 0, 0, 0), (0.5, 0.5, 0.4, 0.6), (0, 0, np.nan, 1), (0, 0, 1, 1)]
    endpoint = Endpoint(boxes, [0.2, 0.9, 0.8, 0.7, 0.6, np.nan], [b"room", "사람".encode(), b"", b"", b"", b""])
    found = detect(endpoint, "model", b"photo")
    assert [(each.name, round(each.score, 2)) for each in found.detections] == [("사람", 0.9), ("room", 0.2)]
    assert (found.version, found.milliseconds) == (7, 250)
    assert [each.name for each in found.at_least(0.5, 15)] == ["사람"]
    assert [each.name for each in found.at_least(0, 1)] == ["사람"]


def test_a_name_that_is_not_utf8_is_shown_as_far_as_it_is():
    found = detect(Endpoint([(0, 0, 1, 1)], [0.5], [b"caf\xe9"]), "model", b"photo")
    assert str(found.detections[0]) == "caf\ufffd (50.0%) at x 0.00 to 1.00, y 0.00 to 1.00"


def test_nothing_found_is_an_answer():
    assert detect(Endpoint(), "model", b"photo").detections == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outputs": ("label", "probabilities")}, "'model' answers label, probabilities: not a detector"),
        ({"signature": "default"}, "'model' has no signature 'serve_bytes': not a detector"),
        ({"scores": [0.5], "names": [b"a", b"b"]}, r"found boxes \(0, 4\), scores \(1,\) and names \(2,\)"),
    ],
)
def test_what_is_no_detector_is_told(options, message):
    with pytest.raises(ServingError, match=message):
        detect(Endpoint(**options), "model", b"photo")


def test_a_refused_picture_is_told_from_a_refused_request():
    with pytest.raises(PictureRefusedError, match=r"^neither a JPEG nor a PNG$"):
        detect(
            Endpoint(refusal=ServerRefusedError("neither a JPEG nor a PNG\nin node x", "INVALID_ARGUMENT")),
            "m",
            b"photo",
        )
    with pytest.raises(ServerRefusedError, match="gone"):
        detect(Endpoint(refusal=ServerRefusedError("gone", "NOT_FOUND")), "m", b"photo")
