"""A temporary SQLite database between a source, which has any order, and the shards, which have a fixed one.

Memory stays the same however large the data are: pixels go to disk as they come and are read back in order.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, Self

from nightshift.data.hashes import content_hash, cut_hash, place_hash

BATCH_BYTES = 2**22

SCHEMA = """
CREATE TABLE pixels (number INTEGER PRIMARY KEY, image BLOB NOT NULL);
CREATE TABLE examples (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    split TEXT NOT NULL,
    label,               -- as the source has it: a name, a number or NULL; a number after `set_labels`
    content BLOB NOT NULL,    -- hash of the pixels: finds duplicates
    cut BLOB NOT NULL,        -- hash of the key: decides which images are held out
    place BLOB                -- hash of seed, split and key: decides shard and order
);
"""


class Placed(NamedTuple):
    """An example at its place: `place` is the first 8 bytes of its order hash."""

    key: str
    label: int
    place: bytes
    image: bytes


class Spool:
    """The database, open; `connection` is for `cut`, `labels` and `duplicates`, which query it."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        # Nothing here outlives the preparation, so nothing is made durable.
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", "cache_size=-16384"):
            self.connection.execute(f"PRAGMA {pragma}").fetchall()
        self.connection.executescript(SCHEMA)
        self._waiting: list[tuple[str, str, str | int | None, bytes]] = []
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def add(self, key: str, split: str, label: str | int | None, image: bytes) -> None:
        """Take one example; `image` is its raw pixels."""
        self._waiting.append((key, split, label, image))
        if len(self._waiting) * len(image) >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what `add` still holds."""
        numbered = list(enumerate(self._waiting, self._number))
        self._number += len(numbered)
        self._waiting.clear()
        rows = [
            (number, key, split, label, content_hash(image), cut_hash(key))
            for number, (key, split, label, image) in numbered
        ]
        self.connection.execute("BEGIN")
        self.connection.executemany("INSERT INTO pixels VALUES (?, ?)", ((number, e[3]) for number, e in numbered))
        self.connection.executemany("INSERT INTO examples VALUES (?, ?, ?, ?, ?, ?, NULL)", rows)
        self.connection.execute("COMMIT")

    def repeated_key(self) -> str | None:
        """A key that two examples share, or None."""
        row = self.connection.execute(
            "SELECT key FROM examples GROUP BY key HAVING COUNT(*) > 1 ORDER BY key LIMIT 1"
        ).fetchone()
        return None if row is None else str(row[0])

    def set_places(self, seed: int) -> None:
        """Fix shard and order of every example; to be called when splits are final."""
        self.connection.create_function(
            "place_of", 2, lambda split, key: place_hash(seed, split, key), deterministic=True
        )
        self.connection.execute("UPDATE examples SET place = place_of(split, key)")
        self.connection.execute("CREATE INDEX places ON examples (split, place, key)")

    def class_counts(self, classes: int) -> dict[str, list[int]]:
        """Examples a split and a class; labels have to be set."""
        counts: dict[str, list[int]] = {}
        query = "SELECT split, label, COUNT(*) FROM examples GROUP BY split, label"
        for split, label, count in self.connection.execute(query):
            counts.setdefault(split, [0] * classes)
            if label >= 0:
                counts[split][label] = count
        return counts

    def counts(self) -> dict[str, int]:
        """Examples a split."""
        return dict(self.connection.execute("SELECT split, COUNT(*) FROM examples GROUP BY split"))

    def in_order(self, split: str) -> Iterator[Placed]:
        """The examples of a split by their places."""
        query = (
            "SELECT key, label, place, image FROM examples JOIN pixels USING (number) "
            "WHERE split = ? ORDER BY place, key"
        )
        with closing(self.connection.cursor()) as cursor:
            for row in cursor.execute(query, (split,)):
                yield Placed(*row)
