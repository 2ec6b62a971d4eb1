"""SavedModels of constants and a few operations, written as the messages they are: no TensorFlow is imported.

A model without variables is one file, saved_model.pb, and TensorFlow Serving loads it as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nightshift.protos import bare_tensorflow, tensor_pb2, types_pb2
from nightshift.serving.tensors import to_proto

with bare_tensorflow(forget=True):
    from tensorflow.core.framework import graph_pb2
    from tensorflow.core.protobuf import saved_model_pb2

PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"

BOOL, FLOAT, DOUBLE, INT32, INT64, UINT8, STRING = (
    types_pb2.DataType.Value(f"DT_{name}") for name in ("BOOL", "FLOAT", "DOUBLE", "INT32", "INT64", "UINT8", "STRING")
)

Shape = tuple[int, ...] | None
"""Sizes, -1 where any will do; None for any rank."""

_PRODUCER = 1087
"""The version of graphs that these are: newer than any change of an operation used here."""


@dataclass(frozen=True)
class Output:
    """What an operation gives first: NODE:0, the number of a DataType, and a shape."""

    name: str
    dtype: int
    shape: Shape


@dataclass(frozen=True)
class Signature:
    """Named inputs and outputs, and the call that they are meant for."""

    inputs: Mapping[str, Output]
    outputs: Mapping[str, Output]
    method: str = PREDICT


@dataclass
class Graph:
    """A graph under construction.

    Attributes:
        definition: the GraphDef.
        signatures: what requests may name.
    """

    definition: Any = field(default_factory=lambda: graph_pb2.GraphDef(versions={"producer": _PRODUCER}))
    signatures: dict[str, Signature] = field(default_factory=dict)

    def placeholder(self, name: str, dtype: int, shape: Shape) -> Output:
        """What a request sends."""
        kind = Output(f"{name}:0", dtype, shape)
        return self.add("Placeholder", [], kind, node=name, dtype={"type": dtype}, shape={"shape": shape_proto(shape)})

    def constant(self, array: np.ndarray[Any, Any]) -> Output:
        """An array that is the same in every run."""
        value = to_proto(array)
        kind = Output("", value.dtype, array.shape)
        return self.add("Const", [], kind, dtype={"type": value.dtype}, value={"tensor": value})

    def add(
        self,
        operation: str,
        inputs: Sequence[Output],
        kind: Output,
        *,
        node: str = "",
        index: int = 0,
        **attributes: Any,
    ) -> Output:
        """Add an operation and return its first output.

        Args:
            operation: its name in TensorFlow.
            inputs: what it takes.
            kind: of the same dtype and shape as its first output.
            node: its name in the graph; '' for one of its own.
            attributes: the fields of an AttrValue each.
        """
        node = node or f"{operation}_{len(self.definition.node)}"
        self.definition.node.add(name=node, op=operation, input=[one.name for one in inputs], attr=attributes)
        return Output(f"{node}:0", kind.dtype, kind.shape)

    def saved_model(self) -> bytes:
        """The content of saved_model.pb."""
        model = saved_model_pb2.SavedModel(saved_model_schema_version=1)
        meta_graph = model.meta_graphs.add()
        meta_graph.meta_info_def.tags.append("serve")
        meta_graph.graph_def.CopyFrom(self.definition)
        for name, signature in self.signatures.items():
            definition = meta_graph.signature_def[name]
            definition.method_name = signature.method
            _describe(definition.inputs, signature.inputs)
            _describe(definition.outputs, signature.outputs)
        return bytes(model.SerializeToString(deterministic=True))


def shape_proto(shape: Shape) -> Any:
    """A TensorShapeProto."""
    proto = tensor_pb2.TensorProto().tensor_shape
    proto.unknown_rank = shape is None
    for size in shape or ():
        proto.dim.add().size = size
    return proto


def _describe(described: Any, outputs: Mapping[str, Output]) -> None:
    for alias, output in outputs.items():
        described[alias].name = output.name
        described[alias].dtype = output.dtype
        described[alias].tensor_shape.CopyFrom(shape_proto(output.shape))
