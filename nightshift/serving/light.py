"""TensorFlow's runtime without its Python API, for processes that only serve.

`import tensorflow` takes 4 s and 600 MB where Keras finds what it likes to import, and a server needs none of that: its
runtime loads in 0.8 s and 360 MB. While it is imported a bare package of that name stands in, as in
`nightshift.protos`.

Only for a process that never imports Keras: `import keras` after this finds TensorFlow half there, and fails.
"""

import contextlib
import importlib
import importlib.machinery
import sys
import types
from collections.abc import Iterator


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


def load_light_runtime() -> None:
    """Import `nightshift.serving.runtime`, and of TensorFlow just what that names; once, before anything else needs it.

    Raises:
        ModuleNotFoundError: TensorFlow is not installed.
    """
    importlib.import_module("nightshift.protos")  # it forgets the modules of TensorFlow that it imports
    with _bare_tensorflow():
        importlib.import_module("nightshift.serving.runtime")
