"""Bytes that are no message, refused by this server rather than by gRPC.

gRPC for Python keeps the call of a request that it cannot parse for ever: 19 KiB each, measured with 1.85, so that
whoever sends garbage takes all the memory there is. Parsed here, and refused as any other request, it is freed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError


@dataclass(frozen=True)
class _Unreadable:
    """What stands for a request that could not be parsed, and why."""

    reason: str


class RefuseUnreadable(grpc.ServerInterceptor):
    """Answers INTERNAL, as gRPC does, with the reason."""

    def __init__(self) -> None:
        self._handlers: dict[str, Any] = {}

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """The handler of a call; one that there is none of is left to gRPC."""
        method = handler_call_details.method
        if method not in self._handlers:
            handler = continuation(handler_call_details)
            if handler is None:
                return None
            self._handlers[method] = _refusing(handler, method)
        return self._handlers[method]


def _refusing(handler: Any, method: str) -> Any:
    """The handler of a method that takes one request and answers once or often."""
    kind = "unary_stream" if handler.response_streaming else "unary_unary"
    return handler._replace(
        request_deserializer=_lenient(handler.request_deserializer, method), **{kind: _checked(getattr(handler, kind))}
    )


def _lenient(parse: Callable[[bytes], Any], method: str) -> Callable[[bytes], Any]:
    def parsed(content: bytes) -> Any:
        try:
            return parse(content)
        except DecodeError as error:
            return _Unreadable(f"the {len(content)} bytes sent to {method} are not its request: {error}")

    return parsed


def _checked(answer: Callable[..., Any]) -> Callable[..., Any]:
    def checked(request: Any, context: Any, *callback: Any) -> Any:
        if isinstance(request, _Unreadable):
            context.abort(grpc.StatusCode.INTERNAL, request.reason)
        return answer(request, context, *callback)

    # gRPC looks here for whether the method takes a callback.
    if getattr(answer, "experimental_non_blocking", False):
        checked.experimental_non_blocking = True  # type: ignore[attr-defined]
    return checked
