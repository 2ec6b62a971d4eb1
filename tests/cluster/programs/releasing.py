"""Runs in a Pod: releases a SavedModel from a folder, as the deploy step does.

    python releasing.py MODEL SAVED_MODEL [truncate]

Store and place come from NIGHTSHIFT_STORE and NIGHTSHIFT_SERVER. The last line is a JSON object: version,
predecessor, unchanged, or error; and began and ended, seconds since 1970. With `truncate` the variables lose their
end as soon as they are published, as on a disk that is full or broken.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from nightshift.errors import NightshiftError
from nightshift.serving.store import Store, open_store
from nightshift.serving.target import target
from nightshift.settings import settings


def truncate_what_is_published() -> None:
    publish = Store.publish

    def published(store: Store, model: str, saved_model: Path, proceed: Callable[[], None]) -> int:
        version = publish(store, model, saved_model, proceed)
        shard = store.version_path(model, version) / "variables" / "variables.data-00000-of-00001"
        shard.write_bytes(shard.read_bytes()[:-1])
        return version

    Store.publish = published  # type: ignore[method-assign]


def main(model: str, saved_model: str, fault: str = "") -> None:
    began = time.time()
    if fault:
        truncate_what_is_published()
    try:
        with target(settings().server, open_store(Path("/nonexistent"))) as serving:
            result = vars(serving.release(model, Path(saved_model)))
    except NightshiftError as error:
        result = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(result | {"began": began, "ended": time.time()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
