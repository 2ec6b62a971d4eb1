"""Releases or rolls back in a process of its own, which says `begun` when it does and `done` when it has.

    NIGHTSHIFT_STORE=... python release_process.py HOST:PORT COPIES MODEL [SAVED_MODEL]

A folder is released; without one the model is rolled back. COPIES is the server's folder for copies from a bucket.
"""

import sys
from pathlib import Path

from bucket_reader import client_of

from nightshift.serving import object_lock
from nightshift.serving.release import release, rollback
from nightshift.serving.rules import Rules
from nightshift.serving.store import open_store

QUICK = {"HOLD_SECONDS": 2.0, "RENEW_SECONDS": 0.4, "POLL_SECONDS": 0.05, "LOST_SECONDS": 1.5}
"""A dead holder's lock in a bucket is free after seconds, not a minute."""

RULES = Rules(bake_seconds=0.4, keep=5)


def main(target, copies, model, saved_model=""):
    for name, value in QUICK.items():
        setattr(object_lock, name, value)
    store = open_store(Path(copies) / "unused")
    with client_of(store, target, copies) as client:
        print("begun", flush=True)
        if saved_model:
            release(store, model, Path(saved_model), client, rules=RULES)
        else:
            rollback(store, model, client, rules=RULES)
        print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
