"""TensorFlow's runtime without its Python API, for processes that only serve.

`import tensorflow` takes 4 s and 600 MB where Keras finds what it likes to import, and a server needs none of that: its
runtime loads in 0.8 s and 360 MB. While it is imported a bare package of that name stands in, as in
`nightshift.protos`.

Only for a process that never imports Keras: `import keras` after this finds TensorFlow half there, and fails.
"""

import importlib

from nightshift.protos import bare_tensorflow


def load_light_runtime() -> None:
    """Import `nightshift.serving.runtime`, and of TensorFlow just what that names; once, before anything else needs it.

    Raises:
        ModuleNotFoundError: TensorFlow is not installed.
    """
    with bare_tensorflow(forget=False):
        importlib.import_module("nightshift.serving.runtime")
