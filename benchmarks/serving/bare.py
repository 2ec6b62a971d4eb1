"""The Session alone, in a loop: the rate that no server can reach.

    python -m benchmarks.serving.bare VERSION_FOLDER

Reads a line of JSON for every measurement, {"batch": 1, "clients": 8, "seconds": 2}, clients being threads, and answers
with one: seconds of every run, and processor seconds of all.
"""

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from nightshift.serving.light import load_light_runtime

WARM_UP = 0.2


def main() -> None:
    load_light_runtime()
    import numpy as np

    from benchmarks.serving.minimal import session_callable
    from benchmarks.serving.model import SHAPE

    run = session_callable(Path(sys.argv[1]))
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        images = np.random.default_rng(0).integers(0, 256, (asked["batch"], *SHAPE), np.uint8)
        print(json.dumps(loop(lambda images=images: run(images), asked["clients"], asked["seconds"])), flush=True)


def loop(ask: Any, clients: int, seconds: float) -> dict[str, Any]:
    """Ask again and again on so many threads; nothing counts that began within WARM_UP.

    Returns:
        seconds: of each; cpu: processor seconds a request; errors: their names.
    """
    latencies: list[float] = []
    errors: list[str] = []
    asked = [0] * clients
    begin = time.perf_counter() + WARM_UP
    end = begin + seconds

    def client(index: int) -> None:
        while (started := time.perf_counter()) < end:
            try:
                ask()
            except Exception as error:
                errors.append(f"{type(error).__name__}: {error}"[:200])
            else:
                asked[index] += 1
                if started >= begin:
                    latencies.append(time.perf_counter() - started)

    threads = [threading.Thread(target=client, args=(index,)) for index in range(clients)]
    cpu = time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"seconds": latencies, "cpu": (time.process_time() - cpu) / max(sum(asked), 1), "errors": errors}


if __name__ == "__main__":
    main()
