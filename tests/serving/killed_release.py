"""Releases or rolls back in a process that kills itself on the way.

    python killed_release.py STORE MODEL HOST:PORT WHEN NUMBER [SAVED_MODEL]

WHEN is before or after, NUMBER which of its steps it is, counted from 1: an event in the ledger, a change of the
server's list, a version renamed into its place. A folder is released; without one the model is rolled back.
"""

import os
import signal
import sys
from pathlib import Path

from nightshift.serving.client import Client
from nightshift.serving.ledger import Ledger
from nightshift.serving.release import release, rollback
from nightshift.serving.store import Store


def killing(when, number):
    """A decorator that counts the calls of all functions it decorates."""
    calls = 0

    def decorate(function):
        def counted(*arguments, **options):
            nonlocal calls
            calls += 1
            mine = calls == number
            if mine and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = function(*arguments, **options)
            if mine:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return counted

    return decorate


def main(root, model, target, when, number, saved_model=""):
    decorate = killing(when, int(number))
    Ledger.append = decorate(Ledger.append)
    Client.reload = decorate(Client.reload)
    os.rename = decorate(os.rename)
    store = Store(Path(root))
    with Client(target) as client:
        if saved_model:
            release(store, model, Path(saved_model), client)
        else:
            rollback(store, model, client)


if __name__ == "__main__":
    main(*sys.argv[1:])
