"""The model that every case asks: y = x / 2 + OFFSET, with a signature for each thing that servers do.

Its versions differ in the offset, so that an answer tells which one gave it.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nightshift.files import staged_directory
from nightshift.protos import example_pb2, prediction_log_pb2
from nightshift.serving.conformance.graph import (
    BOOL,
    CLASSIFY,
    DOUBLE,
    FLOAT,
    INT32,
    INT64,
    REGRESS,
    STRING,
    UINT8,
    Graph,
    Output,
    Signature,
    shape_proto,
)
from nightshift.serving.manifest import write_manifest
from nightshift.serving.records import framed
from nightshift.serving.tensors import to_proto

GRAPH = "saved_model.pb"
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
_ROWS = (-1,)


def half_plus(constant: float) -> bytes:
    """The model as saved_model.pb.

    Signatures, [N] unless said otherwise:
        serving_default: x float -> y; refuses any rank but 1.
        two_outputs: x float -> y, twice.
        add: a, b float -> sum.
        total: x float -> total [], which has no rows.
        matrix: m float [N, M] -> same.
        text: s string -> text, raw_bytes.
        kinds: i int64, u uint8, b bool, d double -> each again.
        slow: size int32 [] -> total []: the product of two matrices of that size.
        classify: tf.Examples with x -> classes [N, 2] 'half' and 'whole', scores [N, 2] y and x.
        regress: tf.Examples with x -> outputs.
    """
    graph = Graph()
    for add in (_numbers, _add, _matrix, _text, _kinds, _slow, _examples):
        add(graph, constant)
    return graph.saved_model()


def _float(value: float) -> np.ndarray[Any, Any]:
    return np.array(value, np.float32)


def _halved(graph: Graph, x: Output, constant: float) -> Output:
    half = graph.add("Mul", [x, graph.constant(_float(0.5))], x, T={"type": FLOAT})
    return graph.add("AddV2", [half, graph.constant(_float(constant))], x, T={"type": FLOAT})


def _numbers(graph: Graph, constant: float) -> None:
    x = graph.placeholder("x", FLOAT, None)
    row = Output("", FLOAT, _ROWS)
    checked = graph.add("EnsureShape", [x], row, T={"type": FLOAT}, shape={"shape": shape_proto(_ROWS)})
    y = _halved(graph, checked, constant)
    twice = graph.add("AddV2", [y, y], y, T={"type": FLOAT})
    graph.signatures["serving_default"] = Signature({"x": x}, {"y": y})
    graph.signatures["two_outputs"] = Signature({"x": x}, {"y": y, "twice": twice})
    graph.signatures["total"] = Signature({"x": x}, {"total": _sum(graph, checked, axes=[0])})


def _sum(graph: Graph, x: Output, axes: list[int]) -> Output:
    axis = graph.constant(np.array(axes, np.int32))
    return graph.add("Sum", [x, axis], Output("", FLOAT, ()), T={"type": FLOAT}, Tidx={"type": INT32})


def _add(graph: Graph, constant: float) -> None:
    a, b = graph.placeholder("a", FLOAT, _ROWS), graph.placeholder("b", FLOAT, _ROWS)
    graph.signatures["add"] = Signature({"a": a, "b": b}, {"sum": graph.add("AddV2", [a, b], a, T={"type": FLOAT})})


def _same(graph: Graph, x: Output) -> Output:
    return graph.add("Identity", [x], x, T={"type": x.dtype})


def _matrix(graph: Graph, constant: float) -> None:
    m = graph.placeholder("m", FLOAT, (-1, -1))
    graph.signatures["matrix"] = Signature({"m": m}, {"same": _same(graph, m)})


def _text(graph: Graph, constant: float) -> None:
    s = graph.placeholder("s", STRING, _ROWS)
    graph.signatures["text"] = Signature({"s": s}, {"text": _same(graph, s), "raw_bytes": _same(graph, s)})


def _kinds(graph: Graph, constant: float) -> None:
    kinds = {"i": INT64, "u": UINT8, "b": BOOL, "d": DOUBLE}
    inputs = {name: graph.placeholder(f"kind_{name}", dtype, _ROWS) for name, dtype in kinds.items()}
    graph.signatures["kinds"] = Signature(inputs, {f"{name}2": _same(graph, x) for name, x in inputs.items()})


def _slow(graph: Graph, constant: float) -> None:
    size = graph.placeholder("size", INT32, ())
    square = Output("", FLOAT, (-1, -1))
    both = graph.add("Pack", [size, size], Output("", INT32, (2,)), T={"type": INT32}, N={"i": 2}, axis={"i": 0})
    ones = graph.add("Fill", [both, graph.constant(_float(1))], square, T={"type": FLOAT}, index_type={"type": INT32})
    product = graph.add("MatMul", [ones, ones], square, T={"type": FLOAT})
    graph.signatures["slow"] = Signature({"size": size}, {"total": _sum(graph, product, axes=[0, 1])})


def _examples(graph: Graph, constant: float) -> None:
    examples = graph.placeholder("examples", STRING, _ROWS)
    x = _parsed(graph, examples)
    y = _halved(graph, x, constant)
    pair = Output("", FLOAT, (-1, 2))
    scores = graph.add("Pack", [y, x], pair, T={"type": FLOAT}, N={"i": 2}, axis={"i": 1})
    names = graph.constant(np.array([["half", "whole"]], object))
    count = graph.add("Size", [examples], Output("", INT32, ()), T={"type": STRING}, out_type={"type": INT32})
    times = [count, graph.constant(np.array(1, np.int32))]
    multiples = graph.add("Pack", times, Output("", INT32, (2,)), T={"type": INT32}, N={"i": 2}, axis={"i": 0})
    pairs = Output("", STRING, (-1, 2))
    classes = graph.add("Tile", [names, multiples], pairs, T={"type": STRING}, Tmultiples={"type": INT32})
    sent = {"inputs": examples}
    graph.signatures["classify"] = Signature(sent, {"classes": classes, "scores": scores}, CLASSIFY)
    graph.signatures["regress"] = Signature(sent, {"outputs": y}, REGRESS)


def _parsed(graph: Graph, examples: Output) -> Output:
    """The feature x, one float an example, without a default: tf.io.parse_example with a FixedLenFeature."""
    none = graph.constant(np.array([], object))
    keys = graph.constant(np.array(["x"], object))
    default = graph.constant(np.array([], np.float32))
    return graph.add(
        "ParseExampleV2",
        [examples, none, none, keys, none, default],
        Output("", FLOAT, _ROWS),
        Tdense={"list": {"type": [FLOAT]}},
        num_sparse={"i": 0},
        sparse_types={"list": {}},
        ragged_value_types={"list": {}},
        ragged_split_types={"list": {}},
        dense_shapes={"list": {"shape": [shape_proto(())]}},
    )


def write_version(folder: Path, model: bytes, extra: Mapping[str, bytes] | None = None) -> None:
    """Write a version, whole from the start: it is made under a name that is no number, and renamed.

    Args:
        folder: what is to hold it; another one that is there gives way.
        model: the content of saved_model.pb.
        extra: path in the folder -> content.
    """
    with staged_directory(folder, replace=True) as staged:
        for name, content in {GRAPH: model, **(extra or {})}.items():
            (staged / name).parent.mkdir(parents=True, exist_ok=True)
            (staged / name).write_bytes(content)
        write_manifest(staged)


def warmup(xs: Iterable[np.ndarray[Any, Any]]) -> bytes:
    """A warm-up file that sends each of these as x to serving_default."""
    return framed(_logged(x).SerializeToString() for x in xs)


def _logged(x: np.ndarray[Any, Any]) -> Any:
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.name = "half_plus_two"
    log.predict_log.request.inputs["x"].CopyFrom(to_proto(x))
    return log


def example(x: float) -> Any:
    """A tf.Example with the feature x."""
    message = example_pb2.Example()
    message.features.feature["x"].float_list.value.append(x)
    return message
