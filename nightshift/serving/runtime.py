"""The parts of TensorFlow that run a SavedModel.

A process that only serves loads them alone (nightshift.serving.light); in any other, these imports bring all of
TensorFlow.
"""

# First: it forgets every module of TensorFlow that is imported while it looks for its messages.
import nightshift.protos  # noqa: F401 isort:skip

from tensorflow.core.protobuf.config_pb2 import CallableOptions, ConfigProto
from tensorflow.python.client.session import Session
from tensorflow.python.framework.dtypes import as_dtype
from tensorflow.python.framework.errors_impl import OpError
from tensorflow.python.framework.ops import Graph
from tensorflow.python.lib.io.tf_record import tf_record_iterator
from tensorflow.python.saved_model.loader_impl import load
from tensorflow.python.saved_model.tag_constants import SERVING

__all__ = [
    "SERVING",
    "CallableOptions",
    "ConfigProto",
    "Graph",
    "OpError",
    "Session",
    "as_dtype",
    "load",
    "tf_record_iterator",
]
