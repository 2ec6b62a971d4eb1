"""The messages and stubs of TensorFlow Serving's API, without importing TensorFlow.

`tensorflow_serving.apis` imports `tensorflow` only to reach the messages in `tensorflow.core`, at a cost of 6 to 10
seconds. While the stubs are imported a bare package of that name stands in: it has the path of the real one, so that
`tensorflow.core.*` is found, and runs nothing. It is taken away again at once; a later `import tensorflow` in the same
process works as ever and finds the same message classes, because protobuf keeps one pool of them.
"""

import contextlib
import importlib.machinery
import sys
import types
from collections.abc import Iterator


def _named_tensorflow() -> list[str]:
    return [name for name in sys.modules if name == "tensorflow" or name.startswith("tensorflow.")]


@contextlib.contextmanager
def bare_tensorflow(*, forget: bool) -> Iterator[None]:
    """Within the block, a package `tensorflow` that runs nothing, unless the real one is imported already.

    Args:
        forget: whether the modules of TensorFlow that the block imported are taken away again, too.

    Raises:
        ModuleNotFoundError: TensorFlow is not installed.
    """
    if "tensorflow" in sys.modules:
        yield
        return
    found = importlib.machinery.PathFinder.find_spec("tensorflow")
    if found is None or found.submodule_search_locations is None:
        raise ModuleNotFoundError("tensorflow is not installed: its wheel holds the messages of the serving API")
    bare = types.ModuleType("tensorflow")
    bare.__path__ = list(found.submodule_search_locations)
    sys.modules["tensorflow"] = bare
    try:
        yield
    finally:
        for name in _named_tensorflow() if forget else ["tensorflow"]:
            del sys.modules[name]


with bare_tensorflow(forget=True):
    from tensorflow.core.example import example_pb2
    from tensorflow.core.framework import tensor_pb2, types_pb2
    from tensorflow_serving.apis import (
        classification_pb2,
        get_model_metadata_pb2,
        get_model_status_pb2,
        inference_pb2,
        model_management_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_log_pb2,
        prediction_service_pb2_grpc,
        regression_pb2,
    )
    from tensorflow_serving.config import model_server_config_pb2

__all__ = [
    "classification_pb2",
    "example_pb2",
    "get_model_metadata_pb2",
    "get_model_status_pb2",
    "inference_pb2",
    "model_management_pb2",
    "model_server_config_pb2",
    "model_service_pb2_grpc",
    "predict_pb2",
    "prediction_log_pb2",
    "prediction_service_pb2_grpc",
    "regression_pb2",
    "tensor_pb2",
    "types_pb2",
]
