"""Divides a source into units of work, a file each: what a worker is to read, or what it would have found."""

import pickle
from collections.abc import Iterator

from nightshift.data.beam.staging import Staging
from nightshift.data.examples import Divisible, Example, Rejected, Source

PACK_BYTES = 32 * 2**20
PACK_EXAMPLES = 4096


def divided(source: Source, staging: Staging) -> Divisible | None:
    """The source itself if workers can read it, part by part: where they reach this machine's disks."""
    return source if staging.local and isinstance(source, Divisible) else None


def write_work(source: Source, staging: Staging) -> int:
    """Write the units of a source in the order of reading; returns how many there are.

    A unit is a part of a source that workers can read, or else some of its examples, encoded as they are.

    Raises:
        DataError: the source is damaged.
    """
    readable = divided(source, staging)
    count = 0
    for count, unit in enumerate(readable.parts() if readable else _packs(source.examples()), 1):
        with staging.create("work", _name(count - 1)) as file:
            pickle.dump(unit, file)
    return count


def read_work(number: int, staging: Staging, source: Divisible | None) -> Iterator[Example | Rejected]:
    """The examples of a unit; `source` is what `divided` gave.

    Raises:
        DataError: the source is damaged.
    """
    with staging.open("work", _name(number)) as file:
        unit = pickle.load(file)
    yield from source.examples_of(unit) if source else unit


def _packs(examples: Iterator[Example | Rejected]) -> Iterator[list[Example | Rejected]]:
    """Bounded lists of examples."""
    pack: list[Example | Rejected] = []
    size = 0
    for item in examples:
        pack.append(item)
        if isinstance(item, Example):
            size += len(item.image) if isinstance(item.image, bytes) else item.image.nbytes
        if size >= PACK_BYTES or len(pack) >= PACK_EXAMPLES:
            yield pack
            pack, size = [], 0
    if pack:
        yield pack


def _name(number: int) -> str:
    return f"{number:08d}"
