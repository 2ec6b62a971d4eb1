"""Images in one .npz file, in Keras's layout: x_train, y_train, x_test, y_test. Read in blocks, never unpickled."""

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from nightshift.data.examples import Example
from nightshift.data.limits import MAX_MEMBERS, MAX_PIXELS, MAX_TOTAL_BYTES
from nightshift.errors import DataError
from nightshift.files import sha256_of

BLOCK_BYTES = 4 * 2**20
LEAST_PART_BYTES = 16 * BLOCK_BYTES
MAX_PARTS = 8
DAMAGED = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error)
SPLITS = ("train", "test")


class ArrayFile:
    """The examples of an .npz file.

    x_*: uint8 [images, height, width] or [images, height, width, channels]; y_*: integers [images] or [images, 1],
    not needed when the task is unlabelled.
    """

    test_share = 0.1

    def __init__(self, path: Path, labelled: bool) -> None:
        self._path = path
        self._labelled = labelled

    def identity(self) -> str:
        """SHA-256 of the file."""
        return f"npz sha256:{sha256_of(self._path)}"

    def count(self) -> int:
        """Images of both splits."""
        with ExitStack() as stack:
            archive = stack.enter_context(_opened(self._path))
            return sum(stack.enter_context(Member(self._path, archive, f"x_{split}")).shape[0] for split in SPLITS)

    def size(self) -> int:
        """Bytes of the file."""
        return self._path.stat().st_size

    def examples(self) -> Iterator[Example]:
        """All images, in the order of the file.

        Raises:
            DataError: not an .npz file, or an array is missing, damaged, or of another type or shape.
        """
        for split in SPLITS:
            yield from self.examples_of((split, 0, None))

    def parts(self) -> Iterator[tuple[str, int, int]]:
        """A split, the first row of a part and that of the next.

        Finding a row takes reading all before it: a split has at most MAX_PARTS. All is read here once, since a
        checksum is that of a whole array.

        Raises:
            DataError: as `examples`.
        """
        parts = []
        for split in SPLITS:
            rows = size = 0
            for images, _ in self._blocks(split, 0, None):
                rows, size = rows + len(images), size + images.nbytes
            step = -(-rows // max(1, min(MAX_PARTS, size // LEAST_PART_BYTES)))
            parts += [(split, start, start + step) for start in range(0, rows, step)]
        return iter(parts)

    def examples_of(self, part: tuple[str, int, int | None]) -> Iterator[Example]:
        """The images of one part. Raises as `examples`."""
        split, number, _ = part
        for images, labels in self._blocks(*part):
            for image, label in zip(images, labels, strict=True):
                yield Example(f"x_{split}/{number:05d}", split, label, image)
                number += 1

    def _blocks(
        self, split: str, start: int, stop: int | None
    ) -> Iterator[tuple[npt.NDArray[np.generic], list[int] | list[None]]]:
        """Images [block, height, width, channels] and labels of the rows from `start` to before `stop`."""
        with ExitStack() as stack:
            archive = stack.enter_context(_opened(self._path))
            images = stack.enter_context(Member(self._path, archive, f"x_{split}"))
            _check_images(images)
            labels = stack.enter_context(Member(self._path, archive, f"y_{split}")) if self._labelled else None
            if labels:
                _check_labels(labels, images)
                labels.skip(start)
            images.skip(start)
            rows = max(1, BLOCK_BYTES // max(1, images.row_bytes))
            stop = images.shape[0] if stop is None else min(stop, images.shape[0])
            for first in range(start, stop, rows):
                block = images.read(min(rows, stop - first))
                if block.ndim == 3:
                    block = block[..., np.newaxis]
                yield block, labels.read(len(block)).reshape(-1).tolist() if labels else [None] * len(block)


class Member:
    """One array of an .npz file, read from its beginning in blocks of rows.

    Raises:
        DataError: it is not there, not an array, or its size is not what its header says.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile, name: str) -> None:
        self.where = f"{path}: {name}"
        try:
            info = archive.getinfo(f"{name}.npy")
        except KeyError:
            found = ", ".join(sorted(entry.removesuffix(".npy") for entry in archive.namelist())[:20])
            raise DataError(f"{self.where}: no such array; the file has {found}") from None
        try:
            self._file: IO[bytes] = archive.open(info)
            self.shape, self.dtype = _header(self._file)
        except (ValueError, OSError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
            raise DataError(f"{self.where}: {error}") from None
        if not self.shape:
            raise DataError(f"{self.where}: found a single number, expected an array")
        self._left = self.shape[0]
        values = 1
        for length in self.shape[1:]:
            values *= length
        self.row_bytes = values * self.dtype.itemsize
        found_bytes = info.file_size - self._file.tell()
        if found_bytes != self.row_bytes * self.shape[0]:
            raise DataError(
                f"{self.where}: found {found_bytes} bytes, expected {self.row_bytes * self.shape[0]} "
                f"for {self.dtype} {list(self.shape)}"
            )

    def __enter__(self) -> "Member":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def skip(self, rows: int) -> None:
        """Leave out the next rows."""
        self._left -= rows
        try:
            self._file.seek(rows * self.row_bytes, io.SEEK_CUR)
        except DAMAGED as error:
            raise DataError(f"{self.where}: damaged ({error})") from None

    def read(self, rows: int) -> npt.NDArray[np.generic]:
        """The next rows, at most as many as asked for."""
        rows = min(rows, self._left)
        self._left -= rows
        try:
            content = self._file.read(rows * self.row_bytes)
        except DAMAGED as error:
            raise DataError(f"{self.where}: damaged ({error})") from None
        if len(content) != rows * self.row_bytes:
            raise DataError(f"{self.where}: cut short")
        return np.frombuffer(content, self.dtype).reshape(rows, *self.shape[1:])


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise DataError(f"{path}: not a whole .npz file ({error})") from None
    total = sum(info.file_size for info in archive.infolist())
    if total > MAX_TOTAL_BYTES:
        archive.close()
        raise DataError(f"{path}: declares {total} bytes, expected at most {MAX_TOTAL_BYTES}")
    return archive


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    """Shape and type of an .npy stream, which is left where its data begin. Raises ValueError."""
    major, _ = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    if major > 2:
        raise ValueError(f"found .npy format {major}, expected 1 or 2")
    shape, fortran_order, dtype = read(file)
    if fortran_order:
        raise ValueError("found Fortran order, expected C order (numpy.ascontiguousarray)")
    return shape, dtype


def _check_images(images: Member) -> None:
    if images.dtype != np.uint8:
        raise DataError(f"{images.where}: found {images.dtype}, expected uint8 from 0 to 255")
    if len(images.shape) not in (3, 4) or (len(images.shape) == 4 and images.shape[3] not in (1, 3)):
        raise DataError(
            f"{images.where}: found the shape {list(images.shape)}, "
            "expected [images, height, width] or [images, height, width, 1 or 3]"
        )
    if not 0 < images.shape[1] * images.shape[2] <= MAX_PIXELS:
        raise DataError(f"{images.where}: found {list(images.shape)}, expected 1 to {MAX_PIXELS} pixels an image")
    if not 0 < images.shape[0] <= MAX_MEMBERS:
        raise DataError(f"{images.where}: found {images.shape[0]} images, expected 1 to {MAX_MEMBERS}")


def _check_labels(labels: Member, images: Member) -> None:
    if labels.dtype.kind not in "iu":
        raise DataError(f"{labels.where}: found {labels.dtype}, expected integers")
    if labels.shape not in ((images.shape[0],), (images.shape[0], 1)):
        raise DataError(
            f"{labels.where}: found the shape {list(labels.shape)}, expected [{images.shape[0]}] "
            f"as {images.where.rpartition(' ')[2]} has so many images"
        )
