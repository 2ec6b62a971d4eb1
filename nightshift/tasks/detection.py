"""Which things a photograph shows, and where: the detectors that TensorFlow Hub publishes."""

from nightshift.tasks.imported import ImportedTask, Tensor

TASK = ImportedTask(
    name="detection",
    summary="Find things in a photograph: a box, a name and a score each",
    # `default` is what the tutorial's Faster R-CNN on Open Images has; `serving_default` what newer ones have.
    signatures=("default", "serving_default"),
    outputs={
        # Shares of the image's height and width: ymin, xmin, ymax, xmax.
        "detection_boxes": Tensor("float32", (None, 4)),
        "detection_scores": Tensor("float32", (None,)),
        "detection_class_entities": Tensor("string", (None,)),
    },
    # Models of the TensorFlow Object Detection API know their classes by number only.
    numbered={"detection_class_entities": "detection_classes"},
    examples=("bundled:mtcnn",),
)
