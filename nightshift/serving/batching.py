"""Requests computed together: joined along their first axis, and the answers split again.

As TensorFlow Serving's BatchingSession (tensorflow_serving/batching/batching_session.cc), but kinder to neighbours:
requests of unequal shapes never meet, an error reaches only those whose requests have it, and what has no common first
axis is computed alone rather than refused.
"""

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from queue import SimpleQueue
from typing import Any

import numpy as np

from nightshift.serving.batch_scheduler import BatchScheduler
from nightshift.serving.servable import Outcome, Servable, always, not_wanted
from nightshift.serving.status import StatusError, invalid_argument

Array = np.ndarray[Any, Any]

_MAX_PADDED_RANK = 6
"""TensorFlow Serving's."""


class BatchedServable:
    """A Servable whose requests are computed together where they can be.

    Attributes:
        signatures: name to SignatureDef, as GetModelMetadata answers.
    """

    def __init__(self, servable: Servable, scheduler: BatchScheduler) -> None:
        self.signatures = servable.signatures
        self._servable = servable
        self._scheduler = scheduler
        self._parameters = scheduler.parameters
        self._splittable = {name: _splittable(signature) for name, signature in self.signatures.items()}

    def signature(self, name: str) -> Any | None:
        """The SignatureDef of this name that can be run, if there is one."""
        return self._servable.signature(name)

    def run(
        self,
        signature: str,
        inputs: Mapping[str, Array],
        outputs: Sequence[str],
        wanted: Callable[[], bool] = always,
    ) -> dict[str, Array]:
        """The named outputs of a signature; waits until its batch has been computed. See Servable.run.

        Raises:
            StatusError: also UNAVAILABLE, too many wait already; INVALID_ARGUMENT, more rows than a request may have.
        """
        outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self.start(signature, inputs, outputs, wanted, outcomes.put)
        outcome = outcomes.get()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def start(
        self,
        signature: str,
        inputs: Mapping[str, Array],
        outputs: Sequence[str],
        wanted: Callable[[], bool],
        done: Callable[[Outcome], None],
    ) -> None:
        """As `run`, and tell the outcome on the batch's thread. See Runnable.start."""
        rows = _rows(inputs)
        if not rows or not self._joins(signature, outputs):
            self._servable.start(signature, inputs, outputs, wanted, done)
            return
        try:
            # What is not of the signature's dtypes would spoil the arrays of the others.
            self._servable.check_dtypes(signature, inputs)
            self._scheduler.check_size(rows)
            names = tuple(sorted(outputs))
            parts = _parts(inputs, rows, self._parameters.rows)
            requests = [_Request(parts[0], wanted, done)]
            if len(parts) > 1:
                whole = _Whole(len(parts), names, done)
                requests = [_Request(part, wanted, partial(whole.part, index)) for index, part in enumerate(parts)]
            kind = (self, signature, names, self._shapes(inputs))
            self._scheduler.schedule(kind, partial(self._process, signature, names), requests)
        except StatusError as error:
            done(error)

    def close(self) -> None:
        """Free it; nothing may be running or queued."""
        self._servable.close()

    def _joins(self, signature: str, outputs: Sequence[str]) -> bool:
        """Whether requests for these outputs can be joined, as far as is known."""
        return self._splittable[signature].issuperset(outputs)

    def _shapes(self, inputs: Mapping[str, Array]) -> Hashable:
        """What has to be equal for inputs to be joined."""
        padded = self._parameters.pad_variable_length_inputs
        return tuple(
            (name, array.ndim if padded and array.ndim <= _MAX_PADDED_RANK else array.shape[1:])
            for name, array in sorted(inputs.items())
        )

    def _process(self, signature: str, outputs: Sequence[str], requests: "list[_Request]") -> None:
        self._compute(signature, outputs, [request for request in requests if request.still_wanted()])

    def _compute(self, signature: str, outputs: Sequence[str], requests: "list[_Request]") -> None:
        """Answer each request; when they fail together, in halves, down to those that fail alone."""
        if not requests:
            return
        try:
            answers = self._joined(signature, outputs, requests)
        except Exception as error:
            if len(requests) == 1:
                requests[0].fail(error)
                return
            middle = len(requests) // 2
            self._compute(signature, outputs, requests[:middle])
            self._compute(signature, outputs, requests[middle:])
            return
        for request, answer in zip(requests, answers, strict=True):
            request.succeed(answer)

    def _joined(self, signature: str, outputs: Sequence[str], requests: "list[_Request]") -> list[dict[str, Array]]:
        """Compute requests in one run.

        Raises:
            StatusError: the runtime's refusal.
        """
        sizes = [request.size for request in requests]
        filling = self._filling(sum(sizes))
        if len(requests) == 1 and not filling:
            return [self._servable.run(signature, requests[0].inputs, outputs)]
        inputs = _concatenated([request.inputs for request in requests], filling)
        answers = self._servable.run(signature, inputs, outputs)
        whole = [name for name in outputs if answers[name].shape[:1] != (sum(sizes) + filling,)]
        if whole:
            self._splittable[signature].difference_update(whole)
            return [self._servable.run(signature, request.inputs, outputs) for request in requests]
        ends = np.cumsum(sizes)
        return [
            {name: answers[name][end - size : end] for name in outputs} for size, end in zip(sizes, ends, strict=True)
        ]

    def _filling(self, rows: int) -> int:
        """The rows that are missing up to the next allowed size."""
        return next((size - rows for size in self._parameters.allowed_batch_sizes if size >= rows), 0)


class _Request:
    """What one caller waits for, or a part of it."""

    def __init__(
        self, inputs: Mapping[str, Array], wanted: Callable[[], bool], done: Callable[[Outcome], None]
    ) -> None:
        self.inputs = inputs
        self.size = len(next(iter(inputs.values())))
        self._wanted = wanted
        self._done = done
        self._told = False

    def still_wanted(self) -> bool:
        """Whether somebody waits for the answer; if not, it is failed here."""
        if self._wanted():
            return True
        self.fail(not_wanted())
        return False

    def succeed(self, answer: dict[str, Array]) -> None:
        """Give the caller its answer."""
        self._told = True
        self._done(answer)

    def fail(self, error: Exception) -> None:
        """Give the caller an error, unless it has been told something."""
        if not self._told:
            self._told = True
            self._done(error)


class _Whole:
    """Puts the parts of a large request together again."""

    def __init__(self, parts: int, outputs: Sequence[str], done: Callable[[Outcome], None]) -> None:
        self._outcomes: list[Outcome | None] = [None] * parts
        self._missing = parts
        self._outputs = outputs
        self._done = done
        self._lock = threading.Lock()

    def part(self, index: int, outcome: Outcome) -> None:
        """Be told what came of a part; the first error is that of the whole."""
        with self._lock:
            self._outcomes[index] = outcome
            self._missing -= 1
            if self._missing:
                return
        self._done(self._joined([outcome for outcome in self._outcomes if outcome is not None]))

    def _joined(self, outcomes: Sequence[Outcome]) -> Outcome:
        answers = []
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                return outcome
            answers.append(outcome)
        return {name: np.concatenate([answer[name] for answer in answers]) for name in self._outputs}


def _rows(inputs: Mapping[str, Array]) -> int:
    """The size of the first axis that all inputs share; 0 if they do not."""
    sizes = {array.shape[0] if array.ndim else 0 for array in inputs.values()}
    return sizes.pop() if len(sizes) == 1 else 0


def _splittable(signature: Any) -> set[str]:
    """The outputs that may have a row for each of the inputs'; none if an input has no rows."""
    if not all(_may_grow(tensor.tensor_shape) for tensor in signature.inputs.values()):
        return set()
    return {name for name, tensor in signature.outputs.items() if _may_grow(tensor.tensor_shape)}


def _may_grow(shape: Any) -> bool:
    """Whether a declared shape leaves its first axis open."""
    return shape.unknown_rank or (len(shape.dim) > 0 and shape.dim[0].size == -1)


def _parts(inputs: Mapping[str, Array], rows: int, most: int) -> list[Mapping[str, Array]]:
    """The inputs in parts of at most so many rows."""
    if rows <= most:
        return [inputs]
    return [{name: array[start : start + most] for name, array in inputs.items()} for start in range(0, rows, most)]


def _concatenated(requests: Sequence[Mapping[str, Array]], filling: int) -> dict[str, Array]:
    """The inputs of all requests one after the other, and then the last one's first row so many times.

    Raises:
        StatusError: INVALID_ARGUMENT, an empty array has nothing to be filled up with.
    """
    joined = {}
    for name in requests[0]:
        arrays = _padded([request[name] for request in requests])
        if filling:
            arrays.append(np.repeat(arrays[-1][:1], filling, axis=0))
        joined[name] = np.concatenate(arrays)
    return joined


def _padded(arrays: list[Array]) -> list[Array]:
    """Arrays of one rank made equal in every axis but the first; each is filled up with its own first element."""
    tails = [array.shape[1:] for array in arrays]
    if len(set(tails)) == 1:
        return arrays
    largest = tuple(max(sizes) for sizes in zip(*tails, strict=True))
    return [_grown(array, largest) for array in arrays]


def _grown(array: Array, tail: tuple[int, ...]) -> Array:
    if array.shape[1:] == tail:
        return array
    if array.size == 0:
        raise invalid_argument("Got empty tensor in batch of non-empty tensors.")
    grown = np.full((len(array), *tail), array.flat[0], dtype=array.dtype)
    grown[tuple(slice(size) for size in array.shape)] = array
    return grown
