"""The graph of a network as rows of plain data, which the report draws without Keras."""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

import nightshift.models

MOST_LAYERS = 500
LONGEST_TEXT = 60

SETTINGS = (
    "kernel_size",
    "pool_size",
    "size",
    "filters",
    "units",
    "strides",
    "padding",
    "dilation_rate",
    "groups",
    "activation",
    "rate",
    "scale",
    "offset",
    "cropping",
    "dims",
    "target_shape",
    "grid",
    "count",
)
"""What of a layer's configuration is told; what is left out is of no help to whoever looks at the whole."""

PLAIN = {
    "strides": "1",
    "dilation_rate": "1",
    "groups": "1",
    "activation": "linear",
    "offset": "0",
    "padding": "valid",
}
"""Values that go without saying."""


@dataclass(frozen=True)
class Call:
    """One use of a layer (or operation) in a network.

    Attributes:
        layer: the layer.
        inputs: the calls that its inputs come from, as places in the list of calls.
        arrives: its first input tensor, None for an input of the network.
        leaves: its first output tensor.
        again: whether an earlier call used the same layer, and so its weights.
    """

    layer: Any
    inputs: tuple[int, ...]
    arrives: Any
    leaves: Any
    again: bool


def load_network(path: Path) -> keras.Model:
    """A trained network from its .keras file."""
    for module in pkgutil.iter_modules(nightshift.models.__path__):  # our own layers, to be found by their names
        importlib.import_module(f"nightshift.models.{module.name}")
    return keras.models.load_model(path)


def calls(network: keras.Model) -> list[Call]:
    """Every call of a layer between a network's inputs and outputs, none before those whose outputs it uses.

    A network without a graph (a subclass of keras.Model with a `call` of its own) has none.
    """
    found: list[Call] = []
    places: dict[tuple[int, int], int] = {}
    used: set[int] = set()
    waiting = [_key(tensor) for tensor in reversed(getattr(network, "outputs", None) or [])]
    while waiting:
        layer, number = waiting[-1]
        node = layer._inbound_nodes[number]
        before = [_key(tensor) for tensor in node.input_tensors]
        missing = [key for key in before if (id(key[0]), key[1]) not in places]
        if missing:
            waiting += reversed(missing)
            continue
        waiting.pop()
        if (id(layer), number) in places:
            continue
        places[id(layer), number] = len(found)
        inputs = tuple(dict.fromkeys(places[id(one), index] for one, index in before))
        arrives = node.input_tensors[0] if node.input_tensors else None
        found.append(Call(layer, inputs, arrives, node.outputs[0], id(layer) in used))
        used.add(id(layer))
    return found


def architecture(network: keras.Model) -> dict[str, Any] | None:
    """A network as `nightshift.report.network.Network` reads it, at most MOST_LAYERS calls; None without a graph."""
    graph = calls(network)
    if not graph:
        return None
    outputs = {id(tensor) for tensor in network.outputs}
    return {
        "name": _short(network.name),
        "parameters": network.count_params(),
        "layers": [
            {
                "name": _short(call.layer.name),
                "type": _short(type(call.layer).__name__),
                "settings": _settings(call.layer),
                "output_shape": [size if size is None else int(size) for size in call.leaves.shape[1:]],
                "parameters": 0 if call.again else _parameters(call.layer),
                "inputs": list(call.inputs),
                "again": call.again,
                "output": id(call.leaves) in outputs,
            }
            for call in graph[:MOST_LAYERS]
        ],
        "left_out": max(0, len(graph) - MOST_LAYERS),
    }


def _key(tensor: Any) -> tuple[Any, int]:
    """The layer whose output a symbolic tensor is, and which of its calls: what keras.utils.plot_model goes by."""
    return tensor._keras_history.operation, tensor._keras_history.node_index


def _parameters(layer: Any) -> int:
    """0 for an operation: only layers have weights."""
    return layer.count_params() if isinstance(layer, keras.layers.Layer) else 0


def _settings(layer: Any) -> dict[str, str]:
    if not isinstance(layer, keras.layers.Layer) or isinstance(layer, keras.Model):
        return {}
    config: Mapping[str, Any] = layer.get_config()
    said = {name: config[name] for name in SETTINGS if config.get(name) is not None}
    if said.get("strides") == said.get("pool_size"):  # as pooling does unless told otherwise
        said.pop("strides", None)
    texts = {name: _text(name, value) for name, value in said.items() if not isinstance(value, bool | dict)}
    return {name: text for name, text in texts.items() if text != PLAIN.get(name)}


def _text(name: str, value: Any) -> str:
    """A setting in words: sizes as `3x3`, steps that are the same in both directions once."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if not isinstance(value, list | tuple):
        return _short(str(value))
    if any(isinstance(item, list | tuple) for item in value):
        return _short(", ".join("/".join(map(str, item)) for item in value))
    once = name in ("strides", "dilation_rate") and len(set(value)) == 1
    return _short("\u00d7".join(map(str, value[:1] if once else value)))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "\u2026"
