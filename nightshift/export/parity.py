"""Proof by question and answer: a model server, in a process of its own, against the trained network. No TensorFlow."""

import contextlib
import itertools
import math
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from nightshift.errors import NightshiftError, ServingError
from nightshift.export.checks import Check, Checked, refusal
from nightshift.export.latency import measure
from nightshift.serving.client import Client
from nightshift.serving.golden import TOLERANCE, Golden, differences
from nightshift.serving.probes import CLASSIFY, Probe, ask
from nightshift.serving.process import ServerProcess, running_server
from nightshift.serving.smoke import Differences, smoke_test
from nightshift.tasks.base import Task

MIB = 1 << 20
SHOWN, SHOWN_CHARACTERS = 6, 40
"""Numbers or strings of an answer that an example shows, and characters of each."""


def prove_equal(
    saved_model: Path,
    model: str,
    golden: Golden,
    task: Task | None = None,
    checked: Checked = lambda check: None,
) -> Differences:
    """Serve a SavedModel on a free port of loopback, ask it the golden batch and compare; then measure it.

    Args:
        saved_model: the folder.
        model: the name it is served by.
        golden: requests, and the answers that they have to get.
        task: has budgets of latency and memory; None: nothing is measured.
        checked: told of every check.

    Returns:
        signature -> output -> the largest absolute difference.

    Raises:
        ExportRefusedError: the server does not load it, answers otherwise than the trained network, or breaks a budget;
            names all that was found and expected.
    """
    checks: list[Check] = []

    def done(check: Check) -> None:
        checks.append(check)
        checked(check)

    found: Differences = {}
    try:
        with _served(saved_model, model) as server, Client(server.target, timeout=60, tls=None) as client:
            done(_loaded(client, model))
            if all(check.passed for check in checks):
                for signature in golden.requests:
                    check, found[signature] = _answers(client, model, golden, signature)
                    done(check)
            if task and all(check.passed for check in checks):
                for signature in golden.requests:
                    if signature != CLASSIFY:  # the work of serve_bytes, and a ranking
                        done(_latency(client, model, golden, signature, task))
                done(_memory(server.pid, task))
    except ServingError as error:  # it did not start, or is gone
        done(Check("server", "", str(error), "one that starts and answers", passed=False))
    if not all(check.passed for check in checks):
        raise refusal(model, checks)
    return found


@contextlib.contextmanager
def _served(saved_model: Path, model: str) -> Iterator[ServerProcess]:
    """A server with this model as its version 1."""
    with tempfile.TemporaryDirectory(prefix="nightshift-parity-") as folder:
        base = Path(folder) / model
        base.mkdir()
        (base / "1").symlink_to(saved_model.resolve(), target_is_directory=True)
        arguments = [
            "-m",
            "nightshift.serving.embedded",
            "--port=0",
            f"--model_name={model}",
            f"--model_base_path={base}",
        ]
        with running_server(arguments) as server:
            yield server


def _loaded(client: Client, model: str) -> Check:
    """Whether the server could load it; the errors of those that could not are TensorFlow's."""
    ended = [status.error for status in client.status(model) if status.state == "END"]
    found = f"a model server cannot load it: {ended[0]}" if ended else "loaded"
    return Check("load", "", found, "a server that loads it", passed=not ended)


def _answers(client: Client, model: str, golden: Golden, signature: str) -> tuple[Check, dict[str, float]]:
    """One signature's golden batch, and how far each output is off."""
    expected = f"at most {TOLERANCE:g} from the trained network's answers"
    only = Golden({signature: golden.requests[signature]}, {signature: golden.answers[signature]})
    try:
        off = smoke_test(client, model, 1, only)[signature]
    except NightshiftError as error:
        found, example = _difference(client, model, golden, signature, error)
        return Check("answers", signature, found, expected, passed=False, example=example), {}
    found = f"off by {max(off.values(), default=0.0):.1e}"
    return Check("answers", signature, found, expected, passed=True), off


def _difference(client: Client, model: str, golden: Golden, signature: str, error: NightshiftError) -> tuple[str, str]:
    """The outputs that are off; and a golden request with both answers to it, empty where the server gives none."""
    ours = golden.answers[signature]
    try:
        theirs = ask(client, model, Probe(signature, golden.requests[signature]), version=1)
    except NightshiftError:
        return str(error), ""
    off = {name: by for name, by in differences(ours, theirs).items() if not by <= TOLERANCE}
    if not off:
        return str(error), ""
    found = ", ".join(f"{name!r} {f'off by {by:.3g}' if by < math.inf else 'not the same'}" for name, by in off.items())
    name = min(off, key=lambda output: off[output])  # a number says more than that something is not the same
    if name not in theirs or theirs[name].shape != ours[name].shape:
        return found, f"{name!r}: the network answers shape {ours[name].shape}, the server {_shape(theirs.get(name))}"
    row = int(np.argmax([_distance(a, b) for a, b in zip(ours[name], theirs[name], strict=True)]))
    both = f"the network answers {_words(ours[name][row])}, the server {_words(theirs[name][row])}"
    return found, f"golden image {row}, {name!r}: {both}"


def _shape(array: np.ndarray | None) -> str:
    return "nothing" if array is None else f"shape {array.shape}"


def _distance(expected: np.ndarray, found: np.ndarray) -> float:
    off = differences({"": np.asarray(expected)}, {"": np.asarray(found)})[""]
    return off if np.asarray(expected).dtype.kind == "f" else float(off > 0)


def _words(answer: np.ndarray) -> str:
    """The first numbers or strings of an answer."""
    items = np.asarray(answer).reshape(-1)
    texts = [item.decode(errors="replace") if isinstance(item, bytes) else f"{item:.4g}" for item in items[:SHOWN]]
    return " ".join(text[:SHOWN_CHARACTERS] for text in texts) + (" ..." if len(items) > SHOWN else "")


def _latency(client: Client, model: str, golden: Golden, signature: str, task: Task) -> Check:
    """One image after the other, those of the golden batch in turn, by one client."""
    requests = itertools.cycle(_singles(golden.requests[signature]))

    def seconds() -> float:
        return client.predict(model, next(requests), signature=signature, version=1).seconds

    measured, budget = measure(seconds, task.latency), task.latency
    expected = f"p50 of at most {budget.p50:g} ms and p99 of at most {budget.p99:g} ms"
    figures = vars(measured) | {"p50_budget": budget.p50, "p99_budget": budget.p99}
    return Check("latency", signature, measured.in_words(), expected, measured.keeps(budget), figures=figures)


def _singles(inputs: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Requests of one example each."""
    count = min(len(array) for array in inputs.values())
    return [{name: array[row : row + 1] for name, array in inputs.items()} for row in range(count)]


def _memory(pid: int, task: Task) -> Check:
    """What the server took at its highest: a container is ended for its highest, not for what it takes at rest."""
    expected, taken = f"at most {task.memory_mib:,} MiB", peak_memory(pid)
    if taken is None:
        return Check("memory", "", "not measured: this system has no /proc", expected, passed=True)
    figures = {"bytes": taken, "budget": task.memory_mib * MIB}
    found = f"{taken / MIB:,.0f} MiB resident at its highest"
    return Check("memory", "", found, expected, taken <= task.memory_mib * MIB, figures=figures)


def peak_memory(pid: int) -> int | None:
    """The highest resident memory of a process so far, in bytes, libraries included; None where Linux does not tell."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return None
