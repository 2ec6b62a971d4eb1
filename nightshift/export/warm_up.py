"""Requests that a model server replays when it loads a version, before it answers with it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from nightshift.protos import classification_pb2, predict_pb2, prediction_log_pb2

NAME = "assets.extra/tf_serving_warmup_requests"


def write_warm_up(saved_model: Path, model: str, requests: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Write one request a signature, as TensorFlow Serving reads them: a TFRecord file of PredictionLog.

    Args:
        saved_model: the version's folder.
        model: the name it is served by.
        requests: signature -> input name -> array; that of `classify` becomes a Classify request.
    """
    path = saved_model / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as records:
        for signature, inputs in requests.items():
            log = _classify(model, inputs) if signature == "classify" else _predict(model, signature, inputs)
            records.write(log.SerializeToString(deterministic=True))


def _predict(model: str, signature: str, inputs: Mapping[str, np.ndarray]) -> prediction_log_pb2.PredictionLog:
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    return prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))


def _classify(model: str, inputs: Mapping[str, np.ndarray]) -> prediction_log_pb2.PredictionLog:
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name, request.model_spec.signature_name = model, "classify"
    for serialized in inputs["inputs"]:
        request.input.example_list.examples.add().ParseFromString(serialized)
    return prediction_log_pb2.PredictionLog(classify_log=prediction_log_pb2.ClassifyLog(request=request))
