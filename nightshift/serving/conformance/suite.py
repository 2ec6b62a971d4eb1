"""All cases, and running them."""

import http.client
import time
from collections.abc import Iterable, Iterator

import grpc

from nightshift.serving.conformance import life_cases, predict_cases, rest_cases, service_cases
from nightshift.serving.conformance.case import Case, Need, Outcome, Status
from nightshift.serving.conformance.expectations import DifferenceError, LeftOutError
from nightshift.serving.conformance.server import Server

CASES: tuple[Case, ...] = tuple(
    sorted(
        [*predict_cases.case.all, *service_cases.case.all, *life_cases.case.all, *rest_cases.case.all],
        key=lambda case: case.number,
    )
)


def run(server: Server, cases: Iterable[Case] = CASES) -> Iterator[Outcome]:
    """Run cases one after the other, and say of each what came of it as soon as it is known."""
    for case in cases:
        yield run_case(server, case)


def run_case(server: Server, case: Case) -> Outcome:
    """Run one case, unless something that it needs is missing."""
    missing = [need.value for need in case.needs if not _there(server, need)]
    if missing:
        return Outcome(case, Status.SKIPPED, "; ".join(missing), 0.0)
    started = time.monotonic()
    status, detail = _attempt(server, case)
    return Outcome(case, status, detail, time.monotonic() - started)


def _attempt(server: Server, case: Case) -> tuple[Status, str]:
    try:
        case.run(server)
    except LeftOutError as error:
        return Status.LEFT_OUT, str(error)
    except DifferenceError as error:
        return Status.DIFFERS, str(error)
    except grpc.RpcError as error:
        return Status.DIFFERS, f"found {error.code().name} {error.details()!r}, expected an answer"
    except (OSError, http.client.HTTPException) as error:
        return Status.DIFFERS, f"found no answer: {type(error).__name__}: {error}"
    return Status.PASSED, ""


def _there(server: Server, need: Need) -> bool:
    return {
        Need.REST: server.rest is not None,
        Need.FOLDER: server.folder is not None,
        Need.POLLING: server.polling is not None,
        Need.EMBEDDED: server.embedded,
    }[need]
