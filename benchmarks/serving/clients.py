"""Clients in a process of their own, so that they do not share the server's interpreter.

    python -m benchmarks.serving.clients

Reads a line of JSON for every measurement, {"way": "grpc", "target": "HOST:PORT", "model": "digits", "batch": 1,
"clients": 8, "seconds": 2}, and answers as `benchmarks.serving.bare` does. Requests are built once and sent as bytes;
answers over gRPC are received and not parsed, those over REST are read to their end. Each client waits for its answer
before it asks again.
"""

import http.client
import json
import sys
import threading
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np

from benchmarks.serving.bare import loop
from benchmarks.serving.model import INPUT, SHAPE
from nightshift.protos import predict_pb2
from nightshift.serving.tensors import to_proto

SECONDS = 60.0
MESSAGE_BYTES = 64 * 2**20


class _Closing(http.client.HTTPConnection):
    """Closed when the thread ends that it belongs to."""

    def __del__(self) -> None:
        self.close()


class Failed(Exception):  # noqa: N818
    """An answer that is none."""


def asker(way: str, target: str, model: str, batch: int) -> Callable[[], object]:
    """What asks once, on whatever thread.

    Args:
        way: grpc or rest.
        target: HOST:PORT.
        model: its name.
        batch: images a request.
    """
    images = np.random.default_rng(0).integers(0, 256, (batch, *SHAPE), np.uint8)
    return _over_grpc(target, model, images) if way == "grpc" else _over_rest(target, model, images)


def _over_grpc(target: str, model: str, images: np.ndarray) -> Callable[[], object]:
    request = predict_pb2.PredictRequest(model_spec={"name": model}, inputs={INPUT: to_proto(images)})
    content = request.SerializeToString()
    channel = grpc.insecure_channel(target, options=[("grpc.max_receive_message_length", MESSAGE_BYTES)])
    predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    return lambda: predict(content, timeout=SECONDS, wait_for_ready=True)


def _over_rest(target: str, model: str, images: np.ndarray) -> Callable[[], object]:
    body = json.dumps({"instances": images.tolist()}).encode()
    path = f"/v1/models/{model}:predict"
    connections = threading.local()

    def ask() -> None:
        if not hasattr(connections, "own"):
            connections.own = _Closing(target, timeout=SECONDS)
        try:
            connections.own.request("POST", path, body, {"Content-Type": "application/json"})
            answer = connections.own.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            connections.own.close()
            raise
        if answer.status != http.client.OK:
            raise Failed(f"{answer.status} {content[:200]!r}")

    return ask


def main() -> None:
    print("ready", flush=True)
    askers: dict[tuple[Any, ...], Callable[[], object]] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        key = tuple(asked[name] for name in ("way", "target", "model", "batch"))
        if key not in askers:
            askers[key] = asker(*key)
        print(json.dumps(loop(askers[key], asked["clients"], asked["seconds"])), flush=True)


if __name__ == "__main__":
    main()
