"""A compressed stream as the file that tarfile expects, read forwards only and never much at once."""

import tarfile
from typing import IO

from nightshift.data.limits import MAX_ENCODED_BYTES

CHUNK_BYTES = 2**20


class ForwardFile:
    """Wraps a stream for tarfile.TarFile in mode `r`.

    tarfile reads the extended header of a member into memory whatever size it declares, and steps one byte back at
    the end of a member: reads are bounded here, and the last byte is kept, since a real step back would decompress
    everything again.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._position = 0
        self._target = 0
        self._last = b""
        self._read = b""

    def tell(self) -> int:
        """The position of the next read."""
        return self._target

    def seek(self, position: int) -> None:
        """Set the position of the next read."""
        self._target = position

    def read(self, size: int) -> bytes:
        """The next bytes; fewer at the end.

        Raises:
            tarfile.ReadError: more bytes than an image may have, or a step back.
        """
        if size > MAX_ENCODED_BYTES + tarfile.BLOCKSIZE:
            raise tarfile.ReadError(f"a header declares {size} bytes, expected at most {MAX_ENCODED_BYTES}")
        repeated = b""
        if self._target == self._position - 1 and size:
            repeated = self._last
            self._target += 1
        if self._target < self._position:
            raise tarfile.ReadError("its members are out of order")
        while self._position < self._target:
            if not self._advance(min(CHUNK_BYTES, self._target - self._position)):
                return b""
        content = self._advance(size - len(repeated))
        self._target = self._position
        self._read = repeated + content
        return self._read

    def check_end(self) -> None:
        """Read on to the end, so that a compressed stream compares its checksum.

        Raises:
            tarfile.ReadError: what tarfile took for the end is none: it stops without a word at a damaged header, or
                when the file was cut short between two members.
        """
        if self._read != tarfile.NUL * tarfile.BLOCKSIZE:
            raise tarfile.ReadError("it has no end marker")
        rest = 0
        while content := self._advance(CHUNK_BYTES):
            rest += len(content)
            if rest > MAX_ENCODED_BYTES:
                raise tarfile.ReadError(f"more than {MAX_ENCODED_BYTES} bytes follow its end")

    def _advance(self, size: int) -> bytes:
        content = self._stream.read(size)
        self._position += len(content)
        self._last = content[-1:] or self._last
        return content
