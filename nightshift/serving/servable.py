"""One loaded SavedModel, run in the runtime that TensorFlow Serving uses: a graph and a session."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import grpc
import numpy as np

from nightshift.protos import types_pb2
from nightshift.serving import runtime
from nightshift.serving.status import StatusError, invalid_argument, of_tensorflow
from nightshift.serving.versions import check_whole

_MAX_CALLABLES = 64
"""Prepared runs that are kept: one a signature and set of outputs, which is the caller's to choose."""

_INIT_OP = "__saved_model_init_op"


def always() -> bool:
    """Yes."""
    return True


Outcome = dict[str, np.ndarray[Any, Any]] | Exception
"""The outputs of a run, or what it was refused with."""


class Runnable(Protocol):
    """What requests are put to: a Servable, or what stands before one.

    Attributes:
        signatures: name to SignatureDef, as GetModelMetadata answers.
    """

    signatures: Mapping[str, Any]

    def signature(self, name: str) -> Any | None:
        """The SignatureDef of this name that can be run, if there is one."""

    def run(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray[Any, Any]],
        outputs: Sequence[str],
        wanted: Callable[[], bool] = always,
    ) -> dict[str, np.ndarray[Any, Any]]:
        """The named outputs of a signature. See Servable.run."""

    def start(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray[Any, Any]],
        outputs: Sequence[str],
        wanted: Callable[[], bool],
        done: Callable[[Outcome], None],
    ) -> None:
        """As `run`, for a caller that need not wait.

        Args:
            signature: as for `run`.
            inputs: as for `run`.
            outputs: as for `run`.
            wanted: as for `run`.
            done: is told the outcome, once, on this thread or on another, and must not raise anything.
        """

    def close(self) -> None:
        """Free it; nothing may be running."""


class Servable:
    """A SavedModel in memory.

    Attributes:
        signatures: name to SignatureDef, as GetModelMetadata answers.
    """

    def __init__(self, path: Path, *, intra_op_threads: int = 0, inter_op_threads: int = 0) -> None:
        """Load it.

        Args:
            path: the version's folder.
            intra_op_threads: threads an operation, 0 for one a core.
            inter_op_threads: threads for operations side by side, 0 for one a core.

        Raises:
            StatusError: it is half written, damaged or no SavedModel with the tag `serve`.
        """
        check_whole(path)
        options = runtime.ConfigProto(
            intra_op_parallelism_threads=intra_op_threads, inter_op_parallelism_threads=inter_op_threads
        )
        self._session = runtime.Session(graph=runtime.Graph(), config=options)
        try:
            meta_graph = _load(self._session, path)
        except BaseException:
            self._session.close()
            raise
        self.signatures: Mapping[str, Any] = dict(meta_graph.signature_def)
        self._dtypes = {name: _dtypes_of(signature) for name, signature in self.signatures.items()}
        self._callables: OrderedDict[tuple[str, tuple[str, ...]], Callable[..., Any]] = OrderedDict()
        self._lock = threading.Lock()

    def signature(self, name: str) -> Any | None:
        """The SignatureDef of this name that can be run, if there is one."""
        return None if name == _INIT_OP else self.signatures.get(name)

    def run(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray[Any, Any]],
        outputs: Sequence[str],
        wanted: Callable[[], bool] = always,
    ) -> dict[str, np.ndarray[Any, Any]]:
        """The named outputs of a signature.

        Args:
            signature: one of `signatures`.
            inputs: an array for each of its inputs.
            outputs: names of its outputs, each once.
            wanted: whether somebody still waits for the answer; asked right before it is computed.

        Raises:
            StatusError: the runtime's own refusal, such as INVALID_ARGUMENT for a wrong dtype; CANCELLED if it is not
                wanted.
        """
        names = tuple(sorted(outputs))
        self.check_dtypes(signature, inputs)
        if not wanted():
            raise not_wanted()
        run = self._callable(signature, names)
        try:
            answers = run(*(inputs[name] for name in sorted(inputs)))
        except runtime.OpError as error:
            raise of_tensorflow(error) from error
        except UnicodeDecodeError as error:
            # The runtime's own message, which quotes what was sent to it and so is not always text; its code is lost.
            raise invalid_argument(error.object.decode(errors="replace")) from error
        return {name: _array(answer) for name, answer in zip(names, answers, strict=True)}

    def start(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray[Any, Any]],
        outputs: Sequence[str],
        wanted: Callable[[], bool],
        done: Callable[[Outcome], None],
    ) -> None:
        """Run at once, and tell the outcome. See Runnable.start."""
        outcome: Outcome
        try:
            outcome = self.run(signature, inputs, outputs, wanted)
        except Exception as error:
            outcome = error
        done(outcome)

    def check_dtypes(self, signature: str, inputs: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Refuse inputs that are not of the signature's dtypes.

        Raises:
            StatusError: INVALID_ARGUMENT.
        """
        dtypes = self._dtypes[signature]
        if any(dtypes.get(name) != array.dtype for name, array in inputs.items()):
            _check_dtypes(self.signatures[signature], inputs)

    def _callable(self, signature: str, outputs: tuple[str, ...]) -> Callable[..., Any]:
        key = (signature, outputs)
        with self._lock:
            if key in self._callables:
                self._callables.move_to_end(key)
                return self._callables[key]
            definition = self.signatures[signature]
            options = runtime.CallableOptions(
                feed=[definition.inputs[name].name for name in sorted(definition.inputs)],
                fetch=[definition.outputs[name].name for name in outputs],
            )
            # Session.make_callable converts dtypes and refuses shapes in Python; with this one the graph decides, as
            # it does in the model server.
            prepared: Callable[..., Any] = self._session._make_callable_from_options(options)
            self._callables[key] = prepared
            if len(self._callables) > _MAX_CALLABLES:
                self._callables.popitem(last=False)
            return prepared

    def close(self) -> None:
        """Free it; nothing may be running."""
        self._callables.clear()
        self._session.close()


def not_wanted() -> StatusError:
    """CANCELLED: nobody waits for the answer any more."""
    return StatusError(grpc.StatusCode.CANCELLED, "the caller left before the request was computed")


def _load(session: Any, path: Path) -> Any:
    try:
        with session.graph.as_default():
            return runtime.load(session, [runtime.SERVING], str(path))
    except runtime.OpError as error:
        raise of_tensorflow(error) from error
    except Exception as error:  # The folder's content decides what is raised: KeyError, ValueError, RuntimeError, ...
        raise invalid_argument(f"{path}: cannot be loaded: {type(error).__name__}: {error}") from error


def _dtypes_of(signature: Any) -> dict[str, Any]:
    """NumPy's dtypes of the inputs that are tensors, by name."""
    known = {name: info.dtype for name, info in signature.inputs.items() if info.dtype}
    return {name: np.dtype(runtime.as_dtype(dtype).as_numpy_dtype) for name, dtype in known.items()}


def _check_dtypes(signature: Any, inputs: Mapping[str, np.ndarray[Any, Any]]) -> None:
    by_tensor = sorted(signature.inputs, key=lambda name: str(signature.inputs[name].name))
    for index, name in enumerate(by_tensor):
        expected, found = signature.inputs[name].dtype, runtime.as_dtype(inputs[name].dtype).as_datatype_enum
        if found != expected:
            raise invalid_argument(
                f"Expects arg[{index}] to be {_runtime_name(expected)} but {_runtime_name(found)} is provided"
            )


def _runtime_name(dtype: int) -> str:
    return str(types_pb2.DataType.Name(dtype)).removeprefix("DT_").lower()


def _array(answer: Any) -> np.ndarray[Any, Any]:
    # NumPy would make a fixed-width array of a single string, and lose zeros at its end.
    return np.array(answer, dtype=object) if isinstance(answer, bytes) else np.asarray(answer)
