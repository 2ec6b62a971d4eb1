"""SavedModels of TensorFlow 1, as TensorFlow Hub's first format: one graph, which stays one.

TensorFlow 2 runs such a model, but does not save the variables of most again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef

from nightshift.importing.adapt import (
    BYTES_INPUT,
    BYTES_SIGNATURE,
    Rebuilt,
    declared_answers,
    golden_of,
    image_for,
)
from nightshift.importing.contract import Contract, check_answers
from nightshift.importing.graph import (
    ASSETS_COLLECTION,
    INIT_COLLECTIONS,
    INIT_SIGNATURE,
    Graph,
    assets_of,
    collection,
)
from nightshift.importing.source import Published
from nightshift.tasks.imported import ImportedTask

v1 = tf.compat.v1

VARIABLES = "variables/variables"
ASSETS = "assets"
SCOPE = "nightshift_bytes"


@contextmanager
def rebuilt_graph(
    task: ImportedTask, published: Published, graph: Graph, contract: Contract, contents: bytes
) -> Iterator[Rebuilt]:
    """Load the graph behind a decoder, ask it about a photograph (the contents of its file).

    The image that the published signature is fed takes the place of a decoded one: a placeholder with that as default.

    Raises:
        DataError: the model answers otherwise than its signature says.
    """
    definition = _with_assets(graph, published.path)
    signature = definition.signature_def[contract.signature]
    with tf.Graph().as_default(), v1.Session() as session:
        with tf.name_scope(SCOPE):
            image_bytes = v1.placeholder(tf.string, (None,), BYTES_INPUT)
            shape = (1, *contract.size, 3)
            image = v1.placeholder_with_default(image_for(contract, image_bytes), shape, "image")
            guarded = tf.ensure_shape(image, shape)
        fed = signature.inputs[contract.input].name
        saver = v1.train.import_meta_graph(definition, clear_devices=True, input_map={fed: guarded})
        if saver is not None:
            saver.restore(session, str(published.path / VARIABLES))
        start = _initialiser(definition)
        if start is not None:
            session.run(start)
        outputs = {name: _tensor(info) for name, info in signature.outputs.items()}
        pixels, answers = session.run((image, outputs), {image_bytes: [contents]})
        found = {name: tf.constant(array, outputs[name].dtype) for name, array in answers.items()}
        batched = check_answers(task, found, contract.signature, published.uri)
        added = declared_answers(task, outputs, batched)
        golden = golden_of(task, contract, pixels, contents, answers, session.run(added, {image_bytes: [contents]}))
        signatures = _signatures(definition, fed, image) | {
            BYTES_SIGNATURE: v1.saved_model.predict_signature_def({BYTES_INPUT: image_bytes}, added)
        }

        def save(folder: Path) -> None:
            _save(folder, session, definition, signatures, start)

        yield Rebuilt(golden, save)


def _with_assets(graph: Graph, saved_model: Path) -> Any:
    """A copy of the graph whose nodes for assets have the paths that these have now."""
    definition = MetaGraphDef()
    definition.CopyFrom(graph.definition)
    nodes = {node.name: node for node in definition.graph_def.node}
    for asset in assets_of(definition):
        path = str(saved_model / ASSETS / asset.filename)
        nodes[asset.tensor_info.name.split(":")[0]].attr["value"].tensor.string_val[:] = [path.encode()]
    return definition


def _initialiser(definition: Any) -> Any | None:
    """The operation that fills tables, None if there is none."""
    names = [name for key in INIT_COLLECTIONS for name in collection(definition, key).node_list.value]
    if INIT_SIGNATURE in definition.signature_def:
        names += [info.name for info in definition.signature_def[INIT_SIGNATURE].outputs.values()]
    return tf.group(*(v1.get_default_graph().as_graph_element(name) for name in names)) if names else None


def _signatures(definition: Any, fed: str, image: tf.Tensor) -> dict[str, Any]:
    """The published signatures, of which all that took the image are fed the new placeholder."""
    found = {name: each for name, each in definition.signature_def.items() if not name.startswith("__")}
    for signature in found.values():
        for info in signature.inputs.values():
            if info.name == fed:
                info.name = image.name
    return found


def _save(folder: Path, session: Any, definition: Any, signatures: dict[str, Any], start: Any | None) -> None:
    graph = v1.get_default_graph()
    assets = [graph.get_tensor_by_name(asset.tensor_info.name) for asset in assets_of(definition)]
    for key in (*INIT_COLLECTIONS, ASSETS_COLLECTION, "saved_model_train_op"):
        graph.clear_collection(key)  # they are written anew
    for tensor in assets:
        graph.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, tensor)
    folder.rmdir()  # the builder insists on making it
    builder = v1.saved_model.Builder(str(folder))
    builder.add_meta_graph_and_variables(session, ["serve"], signatures, assets_collection=assets, main_op=start)
    builder.save()


def _tensor(info: Any) -> tf.Tensor:
    return v1.get_default_graph().get_tensor_by_name(info.name)
