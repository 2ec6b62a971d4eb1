"""The records of what was measured: docs/results.json. The tables of docs/results.md follow from it."""

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from benchmarks.results.page import with_tables
from benchmarks.results.record import RECORDS, Record
from nightshift.errors import WorkspaceError
from nightshift.files import exclusive_lock, write_atomic, write_json
from nightshift.provenance import recipe
from nightshift.tasks.registry import preset_of, tasks

DOCS = Path(__file__).parent.parent.parent / "docs"


class Records:
    """The records of a folder of documents, and the page beside them that is kept in step.

    Args:
        docs: the folder, with results.md in it.
        lock: a file that all who write at the same time have in common.
    """

    def __init__(self, docs: Path, lock: Path) -> None:
        self.file, self.page, self.lock = docs / "results.json", docs / "results.md", lock

    def read(self) -> list[Record]:
        """All of them; none where there is no file.

        Raises:
            WorkspaceError: the file is not a list of records.
        """
        try:
            return RECORDS.validate_json(self.file.read_bytes())
        except FileNotFoundError:
            return []
        except ValidationError as error:
            raise WorkspaceError(f"{self.file}: expected a list of records: {error}") from None

    def find(self, name: str, seed: int) -> Record | None:
        """The record of TASK.PRESET with that seed."""
        return next((record for record in self.read() if (record.name, record.seed) == (name, seed)), None)

    def put(self, record: Record) -> None:
        """Write a record in the place of the one of the same task, preset and seed, and the page anew."""
        place = record.name, record.seed
        self._change(lambda records: [*(r for r in records if (r.name, r.seed) != place), record])

    def mark_stale(self) -> None:
        """Mark those that today's code and settings would not give, and write the page anew."""
        self._change(lambda records: [marked(r) if is_outdated(r) else r for r in records])

    def _change(self, change: Callable[[list[Record]], list[Record]]) -> None:
        """Change records and page. The page is made first: without its markers nothing is written."""
        with exclusive_lock(self.lock):
            before = self.read()
            records = sorted(change(before), key=lambda record: (record.name, record.seed))
            found = self.page.read_text()
            wanted = with_tables(found, records, self.page)
            if records != before:
                write_json(self.file, RECORDS.dump_python(records))
            if wanted != found:
                write_atomic(self.page, wanted.encode())


def marked(record: Record) -> Record:
    """The same record, stale."""
    return record.model_copy(update={"stale": True})


def is_outdated(record: Record) -> bool:
    """Whether today's code and settings would train something else on the same data.

    Of what is no longer in the registry that cannot be said, and the record stays as it is.
    """
    task = tasks().get(record.task)
    if task is None or record.preset not in task.presets:
        return False
    return record.key != recipe(task, record.preset, preset_of(task, record.preset), record.seed, record.dataset).key
