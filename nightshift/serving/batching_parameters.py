"""How requests are joined: TensorFlow Serving's BatchingParameters, read from its text form and checked.

The wheel of TensorFlow Serving's API does not hold that message, so its fields stand here, as in
tensorflow_serving/servables/tensorflow/session_bundle_config.proto. Defaults are those of its SharedBatchScheduler.
"""

import itertools
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2

from nightshift.errors import ConfigurationError

_MAX_THREADS = 256
_MAX_SIZE = 2**31 - 1

_Field = descriptor_pb2.FieldDescriptorProto
_WRAPPED = {
    "max_batch_size": (1, "Int64Value"),
    "batch_timeout_micros": (2, "Int64Value"),
    "max_enqueued_batches": (3, "Int64Value"),
    "num_batch_threads": (4, "Int64Value"),
    "thread_pool_name": (5, "StringValue"),
    "enable_large_batch_splitting": (8, "BoolValue"),
    "max_execution_batch_size": (9, "Int64Value"),
}


@dataclass(frozen=True)
class BatchingParameters:
    """When a batch is complete and how many may wait.

    Attributes:
        max_batch_size: rows of the largest request; also of the largest batch, unless large requests are split.
        batch_timeout_micros: how long the first request of a batch waits for others once a thread is free.
        max_enqueued_batches: batches that wait in one queue; a request beyond them is UNAVAILABLE.
        num_batch_threads: batches that are computed side by side; 0: as many as there are cores.
        thread_pool_name: what the threads' names begin with.
        enable_large_batch_splitting: whether a request of more than max_execution_batch_size rows is computed in parts.
        max_execution_batch_size: rows of the largest batch if large requests are split; 0: max_batch_size.
        allowed_batch_sizes: batches are filled up to the next of these by repeating a row; none: any size will do.
        pad_variable_length_inputs: whether requests of unequal shapes are joined, the smaller filled up at the end of
            every axis with their own first element.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = 0
    thread_pool_name: str = "batch_threads"
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 0
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False

    @property
    def rows(self) -> int:
        """The rows of the largest batch that is computed."""
        return (self.max_execution_batch_size or self.max_batch_size) if self._splits else self.max_batch_size

    @property
    def _splits(self) -> bool:
        return self.enable_large_batch_splitting


def read_batching_parameters(path: Path) -> BatchingParameters:
    """The parameters in a file, in text form: `max_batch_size { value: 32 }` and so on.

    Raises:
        ConfigurationError: the file cannot be read, a field is not known, or its value cannot be used.
    """
    message = _message_class()()
    try:
        text_format.Parse(path.read_text(), message)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise ConfigurationError(f"{path}: expected BatchingParameters in text form: {error}") from error
    given = {name: getattr(message, name).value for name in _WRAPPED if message.HasField(name)}
    parameters = BatchingParameters(
        **given,
        allowed_batch_sizes=tuple(message.allowed_batch_sizes),
        pad_variable_length_inputs=message.pad_variable_length_inputs,
    )
    try:
        _check(parameters, given)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    return parameters


def _check(parameters: BatchingParameters, given: dict[str, Any]) -> None:
    ranges = {
        "max_batch_size": (1, _MAX_SIZE),
        "batch_timeout_micros": (0, _MAX_SIZE),
        "max_enqueued_batches": (1 if parameters.enable_large_batch_splitting else 0, _MAX_SIZE),
        "num_batch_threads": (1, _MAX_THREADS),
        "max_execution_batch_size": (1, _MAX_SIZE),
    }
    for name, (least, most) in ranges.items():
        if name in given and not least <= given[name] <= most:
            raise ConfigurationError(f"{name}: found {given[name]}, expected {least} to {most}")
    if "max_execution_batch_size" in given:
        _check_execution_size(parameters)
    _check_allowed_sizes(parameters)


def _check_execution_size(parameters: BatchingParameters) -> None:
    if not parameters.enable_large_batch_splitting:
        raise ConfigurationError("max_execution_batch_size: it needs enable_large_batch_splitting { value: true }")
    if parameters.max_execution_batch_size > parameters.max_batch_size:
        raise ConfigurationError(
            f"max_execution_batch_size: found {parameters.max_execution_batch_size}, "
            f"expected at most max_batch_size, {parameters.max_batch_size}"
        )


def _check_allowed_sizes(parameters: BatchingParameters) -> None:
    sizes = parameters.allowed_batch_sizes
    if not sizes:
        return
    if sizes[0] < 1 or any(second <= first for first, second in itertools.pairwise(sizes)):
        raise ConfigurationError(f"allowed_batch_sizes: found {list(sizes)}, expected numbers that increase from 1 on")
    if sizes[-1] != parameters.rows:
        largest = "max_execution_batch_size" if parameters.enable_large_batch_splitting else "max_batch_size"
        raise ConfigurationError(
            f"allowed_batch_sizes: found {sizes[-1]} as the last one, expected {largest}, {parameters.rows}"
        )


@cache
def _message_class() -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="batching_parameters.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    message = file.message_type.add(name="BatchingParameters")
    optional, repeated = _Field.LABEL_OPTIONAL, _Field.LABEL_REPEATED
    for name, (number, wrapper) in _WRAPPED.items():
        type_name = f".google.protobuf.{wrapper}"
        message.field.add(name=name, number=number, label=optional, type=_Field.TYPE_MESSAGE, type_name=type_name)
    message.field.add(name="allowed_batch_sizes", number=6, label=repeated, type=_Field.TYPE_INT64)
    message.field.add(name="pad_variable_length_inputs", number=7, label=optional, type=_Field.TYPE_BOOL)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.serving.BatchingParameters"))
