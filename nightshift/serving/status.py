"""What the model server refuses and why, in gRPC's terms."""

from typing import Any

import grpc

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class StatusError(Exception):
    """A request, a configuration or a version cannot be served; carries the status to answer."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def number(self) -> int:
        """The code as the integer that gRPC, absl and TensorFlow share."""
        return int(self.code.value[0])


def invalid_argument(message: str) -> StatusError:
    """INVALID_ARGUMENT with this message."""
    return StatusError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> StatusError:
    """NOT_FOUND with this message."""
    return StatusError(grpc.StatusCode.NOT_FOUND, message)


def failed_precondition(message: str) -> StatusError:
    """FAILED_PRECONDITION with this message."""
    return StatusError(grpc.StatusCode.FAILED_PRECONDITION, message)


def unavailable(message: str) -> StatusError:
    """UNAVAILABLE with this message."""
    return StatusError(grpc.StatusCode.UNAVAILABLE, message)


def resource_exhausted(message: str) -> StatusError:
    """RESOURCE_EXHAUSTED with this message."""
    return StatusError(grpc.StatusCode.RESOURCE_EXHAUSTED, message)


def unimplemented(message: str) -> StatusError:
    """UNIMPLEMENTED with this message."""
    return StatusError(grpc.StatusCode.UNIMPLEMENTED, message)


def of_tensorflow(error: Any) -> StatusError:
    """The status of a `tf.errors.OpError`: its codes are gRPC's."""
    code = _CODES.get(error.error_code, grpc.StatusCode.UNKNOWN)
    return StatusError(code, error.message or type(error).__name__)
