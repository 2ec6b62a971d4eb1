"""TFRecord files in memory, without TensorFlow: length, its checksum, content, its checksum, little endian.

The checksum is CRC-32C (Castagnoli), masked as TensorFlow's lib/hash/crc32c.h does, since the checksum of something
that holds checksums is not safe.
"""

import struct
from collections.abc import Iterable, Iterator

import google_crc32c

from nightshift.errors import DataError

_LENGTH = struct.Struct("<Q")
_CHECKSUM = struct.Struct("<I")
_HEADER_BYTES = _LENGTH.size + _CHECKSUM.size
_MASK_DELTA = 0xA282EAD8


def framed(records: Iterable[bytes]) -> bytes:
    """A TFRecord file's content with these records."""
    return b"".join(part for record in records for part in _frame(record))


def _frame(record: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    length = _LENGTH.pack(len(record))
    return length, _checksum(length), record, _checksum(record)


def unframed(content: bytes, where: str) -> Iterator[bytes]:
    """The records of a TFRecord file's content.

    Args:
        content: the whole file.
        where: its name, for errors.

    Raises:
        DataError: it ends inside a record, or a checksum is not that of what it stands for.
    """
    start = 0
    while start < len(content):
        length = content[start : start + _LENGTH.size]
        if content[start + _LENGTH.size : start + _HEADER_BYTES] != _checksum(length):
            raise DataError(
                f"{where}: byte {start}: the record's length has another checksum, or the file is cut short"
            )
        start += _HEADER_BYTES
        end = start + _LENGTH.unpack(length)[0]
        record = content[start:end]
        if content[end : end + _CHECKSUM.size] != _checksum(record):
            raise DataError(f"{where}: byte {start}: the record has another checksum, or the file is cut short")
        yield record
        start = end + _CHECKSUM.size


def _checksum(content: bytes) -> bytes:
    value = google_crc32c.value(content)
    return _CHECKSUM.pack(((value >> 15 | value << 17) + _MASK_DELTA) & 0xFFFFFFFF)
