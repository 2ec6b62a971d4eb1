"""SavedModels of TensorFlow 2: callable objects, which are loaded, called and saved again."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf

from nightshift.importing.adapt import (
    BYTES_INPUT,
    BYTES_SIGNATURE,
    Answers,
    Rebuilt,
    declared_answers,
    golden_of,
    image_for,
)
from nightshift.importing.contract import Contract, check_answers
from nightshift.importing.graph import Graph
from nightshift.importing.source import Published
from nightshift.tasks.imported import ImportedTask


@contextmanager
def rebuilt_objects(
    task: ImportedTask, published: Published, graph: Graph, contract: Contract, contents: bytes
) -> Iterator[Rebuilt]:
    """Load the model, add the bytes signature, ask it about a photograph (the contents of its file).

    Raises:
        DataError: the model answers otherwise than its signature says.
    """
    loaded = tf.saved_model.load(str(published.path), tags=sorted(graph.tags))
    functions = {name: _guarded(loaded.signatures[name]) for name in graph.signatures}
    function = functions[contract.signature]
    image = image_for(contract, tf.constant([contents]))
    answers = function(**{contract.input: image})
    batched = check_answers(task, answers, contract.signature, published.uri)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, BYTES_INPUT)])
    def serve_bytes(image_bytes: tf.Tensor) -> Answers:
        answers = function(**{contract.input: image_for(contract, image_bytes)})
        return declared_answers(task, answers, batched)

    added = serve_bytes(tf.constant([contents]))
    golden = golden_of(task, contract, image.numpy(), contents, _arrays(answers), _arrays(added))
    module = tf.Module()
    module.published = loaded  # its variables and tables have to be kept

    def save(folder: Path) -> None:
        tf.saved_model.save(module, str(folder), signatures=functions | {BYTES_SIGNATURE: serve_bytes})

    yield Rebuilt(golden, save)


def _guarded(function: Any) -> Any:
    """A signature under its own names, every input held to its shape: a wrong one is an error of the request."""
    specs = function.structured_input_signature[1]

    def call(**inputs: tf.Tensor) -> Answers:
        answers: Answers = function(**{name: tf.ensure_shape(inputs[name], specs[name].shape) for name in inputs})
        return answers

    return tf.function(call).get_concrete_function(
        **{name: tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in specs.items()}
    )


def _arrays(answers: Answers) -> Mapping[str, Any]:
    return {name: tensor.numpy() for name, tensor in answers.items()}
