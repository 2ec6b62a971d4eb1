"""Small published detectors: a box around what is red, in the formats that others publish in."""

import tensorflow as tf

NAMES = ("nothing", "red thing", "Łódź 사과")
GUESSES = 3


def found(image, threshold):
    """Boxes [3, 4], scores [3] and class numbers [3] for float32 pixels [H, W, 3]: one true guess, two of nothing."""
    red = image[..., 0] - tf.maximum(image[..., 1], image[..., 2]) > threshold
    rows, columns = tf.where(tf.reduce_any(red, 1))[:, 0], tf.where(tf.reduce_any(red, 0))[:, 0]
    height, width = tf.shape(image)[0], tf.shape(image)[1]

    def share(places, size, begin):
        place = tf.reduce_min(places) if begin else tf.reduce_max(places) + 1
        return tf.cast(place, tf.float32) / tf.cast(size, tf.float32)

    sides = ((rows, height, True), (columns, width, True), (rows, height, False), (columns, width, False))
    box = tf.stack([share(*side) for side in sides])
    boxes = tf.concat([box[None], tf.zeros((GUESSES - 1, 4))], 0)
    return boxes, tf.constant([0.9, 0.1, 0.05]), tf.constant([2, 1, 0])


class Detector(tf.Module):
    """In the format of TensorFlow 2; the options say what it takes and what it leaves out."""

    def __init__(self, dtype=tf.float32, shape=(1, None, None, 3), batched=False, named=True, only=None, more=None):
        super().__init__()
        self.threshold = tf.Variable(0.3)
        self._dtype, self._batched, self._named, self._only, self._more = dtype, batched, named, only, more
        self.shape = shape
        self.call = tf.function(self.answer, input_signature=[tf.TensorSpec(shape, dtype, "images")])

    def answer(self, images):
        pixels = tf.image.convert_image_dtype(images[0], tf.float32)
        boxes, scores, numbers = found(pixels, self.threshold)
        if self._more:
            scores = self._more(scores)
        answers = {"detection_boxes": boxes, "detection_scores": scores}
        if self._named:
            answers["detection_class_entities"] = tf.gather(tf.constant(NAMES), numbers)
        else:
            answers["detection_classes"] = tf.cast(numbers, tf.float32)
        if self._only:
            answers = {name: answers[name] for name in self._only}
        return {name: tensor[None] for name, tensor in answers.items()} if self._batched else answers

    def save(self, folder, signature="serving_default"):
        tf.saved_model.save(self, str(folder), signatures={signature: self.call})
        return folder


def save_hub_module(folder, vocabulary, constant=False):
    """In the first format of TensorFlow Hub: no tags, a signature `default`, names from a table that an asset fills."""
    v1 = tf.compat.v1
    vocabulary.write_text("".join(f"{name}\n" for name in NAMES))
    with tf.Graph().as_default(), v1.Session() as session:
        images = v1.placeholder(tf.float32, (1, None, None, 3), "images")
        threshold = v1.get_variable("threshold", initializer=0.3, use_resource=False)
        path = tf.constant(str(vocabulary))
        filled = tf.lookup.TextFileInitializer(
            path, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE
        )
        table = tf.lookup.StaticHashTable(filled, "unknown")
        if constant:
            v1.get_default_graph().clear_collection(v1.GraphKeys.ASSET_FILEPATHS)
        boxes, scores, numbers = found(images[0], threshold)
        outputs = {
            "detection_boxes": boxes,
            "detection_scores": scores,
            "detection_class_entities": table.lookup(tf.cast(numbers, tf.int64)),
            "detection_class_labels": tf.cast(numbers, tf.int64),
        }
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            [],
            {"default": v1.saved_model.predict_signature_def({"images": images}, outputs)},
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            main_op=v1.tables_initializer(),
        )
        builder.save()
    return folder
