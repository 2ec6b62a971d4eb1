"""A request to the API server: repeated while that is away or busy, its refusals in words."""

import json
import random
import time
from collections.abc import Callable
from typing import Any

from nightshift.errors import ServingError


class ClusterError(ServingError):
    """The API server refused a request or did not answer; `status` is HTTP's, 0 if it did not answer."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status

    @property
    def passing(self) -> bool:
        """Whether the same request may well succeed a little later."""
        return self.status in (0, 429) or self.status >= 500


def patiently(call: Callable[[], Any], subject: str, server: str, patience: float) -> Any:
    """Call until it succeeds, is refused, or the API server has been away for too long."""
    from kubernetes.client.exceptions import ApiException  # type: ignore[import-untyped]
    from urllib3.exceptions import HTTPError

    deadline, pause = time.monotonic() + patience, 0.2
    while True:
        try:
            return call()
        except ApiException as error:
            failure = ClusterError(f"{subject}: {_said(error)}", error.status or 0)
        except (HTTPError, OSError) as error:
            failure = ClusterError(f"{subject}: the API server {server} does not answer: {_why(error)}", 0)
        if not failure.passing or time.monotonic() + pause > deadline:
            raise failure
        time.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(2 * pause, 2.0)


def _why(error: BaseException) -> str:
    """What kept a request from being answered, in the words of the system below the client library."""
    from urllib3.exceptions import TimeoutError as NoAnswerError

    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.strerror:
            return found.strerror
        found = found.__cause__ or found.__context__
    return "nothing came in time" if isinstance(error, NoAnswerError) else str(error)


def _said(error: Any) -> str:
    """The message in a refusal: a Status object, unless something before the API server answered."""
    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else error.body or ""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return f"{error.status} {error.reason} {body[:200]}".strip()
