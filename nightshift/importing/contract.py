"""The published signature that does what a task declares."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from nightshift.errors import DataError
from nightshift.tasks.imported import ImportedTask, Shape, Tensor

IMAGE_DTYPES = ("float32", "uint8")
IMAGE = "one image, float32 (0 to 1) or uint8 [1 or None, H, W, 3]"
NUMBERS = ("float32", "int32", "int64")
BATCHED = "also with a batch of one around"
LISTED = 30


@dataclass(frozen=True)
class Contract:
    """A signature that fits.

    Attributes:
        signature: its name.
        input: the name of its one input.
        dtype: of the image, `float32` (0 to 1) or `uint8`.
        size: (height, width) of the image, None where any will do.
    """

    signature: str
    input: str
    dtype: str
    size: tuple[int | None, int | None]


def contract_of(task: ImportedTask, signatures: Mapping[str, Any], uri: str) -> Contract:
    """Choose among the signatures (SignatureDefs by name) the first that fits the task.

    Raises:
        DataError: none does; for every one that has the right name, what was found and what was expected.
    """
    faults: list[str] = []
    for name in task.signatures:
        if name in signatures:
            found = list(_faults(task, signatures[name]))
            if not found:
                return _contract(name, signatures[name])
            faults += [f"signature {name!r}: {fault}" for fault in found]
    if not faults:
        expected = " or ".join(map(repr, task.signatures))
        faults = [f"found the signatures {_listed(map(repr, signatures))}, expected {expected}"]
    raise DataError(f"{uri}: not for task {task.name!r}: {'; '.join(faults)}")


def described(signatures: Mapping[str, Any]) -> dict[str, dict[str, dict[str, str]]]:
    """Every signature: its `inputs` and `outputs` by name, each in words."""
    return {
        name: {
            kind: {key: str(_declared(info)) for key, info in sorted(getattr(signature, kind).items())}
            for kind in ("inputs", "outputs")
        }
        for name, signature in sorted(signatures.items())
    }


def published_names(task: ImportedTask, outputs: Iterable[str]) -> dict[str, str]:
    """The task's outputs -> those of the model that give them, where it has them."""
    there = set(outputs)
    names = {name: name if name in there else task.numbered.get(name, "") for name in task.outputs}
    return {name: published for name, published in names.items() if published in there}


def check_answers(task: ImportedTask, answers: Mapping[str, tf.Tensor], signature: str, uri: str) -> bool:
    """Compare what a signature really answered with the task; whether that has a batch of one around.

    Raises:
        DataError: an output is of another kind or shape than the signature says, or they are not equally many.
    """
    names = published_names(task, answers)
    found = {name: Tensor(answers[key].dtype.name, tuple(answers[key].shape)) for name, key in names.items()}
    for batch in ((), (1,)):
        fitting = (not _mismatch(task, name, names[name], tensor, batch) for name, tensor in found.items())
        if all(fitting) and len({tensor.shape[len(batch)] for tensor in found.values() if tensor.shape}) == 1:
            return bool(batch)
    listed = ", ".join(f"{names[name]} {tensor}" for name, tensor in found.items())
    expected = ", ".join(f"{name} {tensor}" for name, tensor in task.outputs.items())
    raise DataError(
        f"{uri}: signature {signature!r} answers a photograph with {listed}; expected {expected}, as many of each, "
        f"{BATCHED}"
    )


def _faults(task: ImportedTask, signature: Any) -> Iterator[str]:
    inputs = {name: _declared(info) for name, info in signature.inputs.items()}
    if len(inputs) != 1 or not _is_image(*inputs.values()):
        found = ", ".join(f"{name} {tensor}" for name, tensor in sorted(inputs.items())) or "none"
        yield f"found the input {found}, expected {IMAGE}"
    names = published_names(task, signature.outputs)
    for name, expected in task.outputs.items():
        if name not in names:
            yield f"found the outputs {_listed(signature.outputs)}, expected {name} {expected}"
            continue
        declared = _declared(signature.outputs[names[name]])
        if all(_mismatch(task, name, names[name], declared, batch) for batch in ((), (1,))):
            yield f"found the output {names[name]} {declared}, expected {expected}, {BATCHED}"


def _mismatch(task: ImportedTask, name: str, published: str, found: Tensor, batch: Shape) -> bool:
    """Whether a tensor cannot be the task's output of that name with those sizes in front."""
    expected = task.outputs[name]
    dtypes = (expected.dtype,) if published == name else NUMBERS
    return found.dtype not in dtypes or not found.fits((*batch, *(expected.shape or ())))


def _is_image(tensor: Tensor) -> bool:
    fits = tensor.shape is not None and tensor.fits((1, None, None, 3)) and tensor.shape[3] == 3
    return fits and tensor.dtype in IMAGE_DTYPES


def _contract(name: str, signature: Any) -> Contract:
    ((key, info),) = signature.inputs.items()
    image = _declared(info)
    assert image.shape is not None
    return Contract(name, key, image.dtype, (image.shape[1], image.shape[2]))


def _declared(info: Any) -> Tensor:
    """What a TensorInfo says."""
    dtype = tf.dtypes.as_dtype(info.dtype).name
    if info.tensor_shape.unknown_rank:
        return Tensor(dtype, None)
    return Tensor(dtype, tuple(None if dim.size < 0 else int(dim.size) for dim in info.tensor_shape.dim))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)[:LISTED]) or "none"
