"""Runs in a Pod: follows a TrainJob as the train step does, with an image, nodes or patience of the test's choice.

    python on_nodes.py '{"work": {...}, "nodes": {...}, "image": "...", "limits": {...}}'

The last line is a JSON object: model, or error; and seconds.
"""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

from nightshift.errors import NightshiftError
from nightshift.training.kubernetes import Nodes, train, train_on_nodes
from nightshift.training.kubernetes.job import Work
from nightshift.training.kubernetes.patience import Limits
from nightshift.training.preemption import Preemption


def main(text: str) -> None:
    asked = json.loads(text)
    own_pod = train.own_pod
    if image := asked.get("image"):
        train.own_pod = lambda cluster: replace(own_pod(cluster), image=image)
    workspace = Path(asked["work"]["workspace"])
    began = time.monotonic()
    try:
        with Preemption() as preemption:
            model = train_on_nodes(
                Work(**{**asked["work"], "workspace": workspace}),
                Nodes(**asked["nodes"]),
                asked=lambda: preemption.asked,
                progress=lambda fraction, message: None,
                say=lambda message: print(message, flush=True),
                limits=Limits(**asked.get("limits", {})),
            )
        found = {"model": str(model.path)}
    except NightshiftError as error:
        found = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(found | {"seconds": time.monotonic() - began}))


if __name__ == "__main__":
    main(*sys.argv[1:])
