"""Asks a model all the time, by several clients side by side, until the standard input closes.

    python asking_process.py HOST:PORT MODEL CLIENTS FILE

FILE becomes JSON: of each request when it began (time.monotonic), its seconds, the version that answered, its error.
"""

import json
import sys
import threading
import time

import numpy as np

from nightshift.errors import ServingError
from nightshift.serving.client import Client

IMAGE = np.random.default_rng(0).integers(0, 256, (1, 28, 28, 1), np.uint8)


def ask(target, model, done, rows):
    with Client(target, retries=0) as client:
        while not done.is_set():
            began, version, error = time.monotonic(), 0, ""
            try:
                version = client.predict(model, {"images": IMAGE}).version
            except ServingError as failure:
                error = str(failure)
            rows.append((began, time.monotonic() - began, version, error))


def main(target, model, clients, file):
    rows, done = [], threading.Event()
    threads = [threading.Thread(target=ask, args=(target, model, done, rows)) for _ in range(int(clients))]
    for thread in threads:
        thread.start()
    print("asking", flush=True)
    sys.stdin.read()
    done.set()
    for thread in threads:
        thread.join()
    with open(file, "w") as out:
        json.dump(rows, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
