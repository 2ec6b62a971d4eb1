"""The parts of TensorFlow that run a SavedModel, without its Python API.

`import tensorflow` takes 4 s and 600 MB where Keras finds what it likes to import, and a server needs none of that: its
runtime loads in 0.8 s and 360 MB. While it is imported a bare package of that name stands in, as in
`nightshift.protos`. It is taken away again, and the parts stay: a later `import tensorflow` in the same process builds
on the very same ones.
"""

import contextlib
import importlib.machinery
import sys
import types
from collections.abc import Iterator

# First: it forgets every module of TensorFlow that is imported while it looks for its messages.
import nightshift.protos  # noqa: F401


@contextlib.contextmanager
def _bare_tensorflow() -> Iterator[None]:
    if "tensorflow" in sys.modules:
        yield
        return
    found = importlib.machinery.PathFinder.find_spec("tensorflow")
    if found is None or found.submodule_search_locations is None:
        raise ModuleNotFoundError("tensorflow is not installed; a model server needs it")
    bare = types.ModuleType("tensorflow")
    bare.__path__ = list(found.submodule_search_locations)
    sys.modules["tensorflow"] = bare
    try:
        yield
    finally:
        del sys.modules["tensorflow"]


with _bare_tensorflow():
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
