"""Runs in a Pod: asks a model all the time through one open channel, and prints what it was answered.

    python asking.py HOST:PORT MODEL RETRIES

A line, at the latest after a second, is a JSON object: a span of answers by one version, or a failure. Times are
seconds since 1970, by the Pod's clock. SIGTERM ends it.
"""

import json
import signal
import socket
import sys
import threading
import time

import numpy as np

from nightshift.errors import ServingError
from nightshift.serving.client import Client

PAUSE_SECONDS = 0.02
SPAN_SECONDS = 1.0
NAME = socket.gethostname()


def tell(**facts: object) -> None:
    print(json.dumps({"client": NAME} | facts), flush=True)


class Spans:
    """Puts answers of one version together."""

    def __init__(self) -> None:
        self.last = time.time()
        self.span: dict[str, float] = {}

    def add(self, version: int, factor: float, began: float) -> None:
        now = time.time()
        if self.span and ((self.span["version"], self.span["factor"]) != (version, factor) or self.over(began)):
            self.end()
        if not self.span:
            self.span = {"version": version, "factor": factor, "first": began, "answers": 0, "latency": 0, "gap": 0}
        self.span["answers"] += 1
        self.span["last"] = now
        self.span["latency"] = max(self.span["latency"], now - began)
        self.span["gap"] = max(self.span["gap"], now - self.last)
        self.last = now

    def over(self, now: float) -> bool:
        return bool(self.span) and now - self.span["first"] > SPAN_SECONDS

    def end(self) -> None:
        if self.span:
            tell(**self.span)
        self.span = {}


def main(target: str, model: str, retries: str) -> None:
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    spans = Spans()
    with Client(target, retries=int(retries)) as client:
        while not stopping.is_set():
            began = time.time()
            try:
                answer = client.predict(model, {"x": np.array([1.0], np.float32)})
                spans.add(answer.version, float(answer.outputs["y"][0]), began)
            except ServingError as error:
                spans.end()
                tell(failed=str(error), first=began, last=time.time())
            stopping.wait(PAUSE_SECONDS)
    spans.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
