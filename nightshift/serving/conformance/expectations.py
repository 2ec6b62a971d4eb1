"""What a case holds a server to, and how it says what it found instead."""

import re
import time
from collections.abc import Callable
from typing import Any

import grpc

PATIENCE_SECONDS = 60.0
"""For what a server does in its own time: it lists folders every second, loads, and frees."""


class DifferenceError(Exception):
    """The server does not do what TensorFlow Serving does; says what was expected and what was found."""


class LeftOutError(Exception):
    """The server says of itself that it does not have this call (UNIMPLEMENTED)."""


def equal(what: str, found: object, expected: object) -> None:
    """Hold a value to what it has to be.

    Raises:
        DifferenceError: it is not.
    """
    if found != expected:
        raise DifferenceError(f"{what}: found {found!r}, expected {expected!r}")


def contains(what: str, found: str, pattern: str) -> None:
    """Hold a text to a regular expression that stands somewhere in it.

    Raises:
        DifferenceError: it does not.
    """
    if not re.search(pattern, found):
        raise DifferenceError(f"{what}: found {found!r}, expected {pattern!r} in it")


def refused(code: str, pattern: str, call: Callable[..., object], *arguments: Any, **named: Any) -> str:
    """Hold a gRPC call to its refusal, by code and by the essential part of the text, and return the text.

    Args:
        code: gRPC's name of it.
        pattern: a regular expression.
        call: what to call, with
        arguments: these, and
        named: these.

    Raises:
        DifferenceError: there is an answer, or another refusal.
    """
    try:
        answer = call(*arguments, **named)
    except grpc.RpcError as error:
        details = error.details() or ""
        if error.code().name != code:
            raise DifferenceError(f"found {error.code().name} {details!r}, expected {code} {pattern!r}") from error
        contains(f"{code}'s text", details, pattern)
        return details
    raise DifferenceError(f"found an answer ({_short(answer)}), expected {code} {pattern!r}")


def answered_or_left_out(call: Callable[[], Any], method: str) -> Any:
    """The answer to a call that a server may do without, if it says so by UNIMPLEMENTED and the method's name.

    Raises:
        LeftOutError: it does without.
        grpc.RpcError: any other refusal.
    """
    try:
        return call()
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED and method in (error.details() or ""):
            raise LeftOutError(error.details()) from error
        raise


def eventually(what: str, look: Callable[[], object], expected: object) -> None:
    """Wait until a look finds what is expected.

    Raises:
        DifferenceError: it does not within PATIENCE_SECONDS.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := look()) != expected:
        if time.monotonic() > deadline:
            raise DifferenceError(f"{what}: found {found!r} for {PATIENCE_SECONDS:g} s, expected {expected!r}")
        time.sleep(0.05)


def _short(answer: object) -> str:
    text = " ".join(str(answer).split())
    return text if len(text) <= 120 else f"{text[:120]}..."
