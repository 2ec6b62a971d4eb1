"""From a source URI to a prepared dataset in the workspace; at once, and without TensorFlow, if it is known.

With flags of Apache Beam, data that are large enough are prepared by it; the dataset is the same, byte for byte.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nightshift.data.examples import Source
from nightshift.data.manifest import Dataset, Origin
from nightshift.data.sources import open_source
from nightshift.errors import DataError
from nightshift.files import exclusive_lock, remove_stale_partials, write_json
from nightshift.provenance import versions
from nightshift.tasks.base import Task
from nightshift.tasks.registry import source_of
from nightshift.workspace import Workspace

if TYPE_CHECKING:
    from nightshift.data.beam.job import Job

DECODERS = ("tensorflow", "pillow", "numpy")
"""Packages whose version may change a pixel."""

BEAM_BYTES = 2**30
"""Of a source, from which on Apache Beam, if there are flags for it, does the work: below, starting it takes longer."""


def prepare(
    task: Task,
    source: str,
    workspace: Workspace,
    *,
    seed: int = 0,
    beam_flags: Sequence[str] = (),
    progress: Callable[[float, str], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Dataset:
    """Prepare a dataset for a task, or return the one that the same preparation gave before (`reused`).

    Args:
        task: shape, fit, classes and shares.
        source: see `nightshift.data.sources`; '' is the task's own.
        workspace: where the dataset and downloads go.
        seed: of the order of examples, and of the training crops of `bundled:photographs`.
        beam_flags: for Apache Beam, untouched; none: without it.
        progress: told now and then the share done (0 to 1) and what is being done.
        say: told, where there are such flags, whether Beam does the work, and what could not be removed after it.

    Raises:
        ConfigurationError: no source is given, and the task has none; or a flag is wrong.
        DataError: the source cannot be read or used; nothing is left in the workspace.
    """
    report = progress or _silent
    uri = source_of(task, source)
    job = _job(beam_flags)
    opened = open_source(uri, task, seed, workspace.cache, lambda message: report(0.0, message))
    origin = Origin(uri=uri, identity=_identity(opened, uri))
    key = _key(task, origin, seed)
    datasets = workspace.datasets
    index = datasets / "index" / f"{key}.json"
    with exclusive_lock(datasets / f".{key}.lock", lambda message: report(0.0, message)):
        known = _known(index, datasets, lambda message: report(0.0, message))
        if known:
            report(1.0, f"{uri} is prepared already: dataset {known.fingerprint}")
            return known
        _remove_leftovers(datasets, key)
        build = _build(opened, uri, job, say or _unsaid)
        folder = Path(tempfile.mkdtemp(prefix=f".{key}.", suffix=".partial", dir=datasets))
        try:
            dataset = build(opened, task, origin, seed, folder, datasets, report)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        write_json(index, {"fingerprint": dataset.fingerprint})
    return dataset


def _job(beam_flags: Sequence[str]) -> "Job | None":
    """What the flags say, if there are any; a wrong one is found before the source is read.

    Raises:
        ConfigurationError: a flag is wrong.
    """
    if not beam_flags:
        return None
    from nightshift.data.beam.job import job_of  # Beam, seconds to import

    return job_of(beam_flags)


def _build(source: Source, uri: str, job: "Job | None", say: Callable[[str], None]) -> Callable[..., Dataset]:
    """What prepares the data: Beam if there are flags for it and the source is large enough.

    TensorFlow, seconds to import, is needed from here on only.
    """
    if job:
        size = source.size()
        if size >= BEAM_BYTES:
            from nightshift.data.beam.build import build_with_beam

            say(f"{uri}: {size:,} bytes, prepared by Apache Beam ({job})")
            return partial(build_with_beam, job, say)
        say(f"{uri}: {size:,} bytes, prepared without Apache Beam, which pays from {BEAM_BYTES:,} bytes on")
    from nightshift.data.build import build

    return build


def _key(task: Task, origin: Origin, seed: int) -> str:
    """Hash of all that determines a preparation: source, task, seed, and the code and packages that do it."""
    digest = hashlib.sha256()
    settings = [task.name, task.image_shape, task.fit, task.labelled, task.classes, task.validation_share, seed]
    digest.update(json.dumps([origin.identity, *settings]).encode())
    for package, version in versions(DECODERS).items():
        digest.update(f"\0{package} {version}".encode())
    folder = Path(__file__).parent
    for file in sorted(folder.rglob("*.py")):
        digest.update(f"\0{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:32]


def _identity(source: Source, uri: str) -> str:
    try:
        return source.identity()
    except OSError as error:
        raise DataError(f"{uri}: cannot be read ({error})") from None


def _known(index: Path, datasets: Path, say: Callable[[str], None]) -> Dataset | None:
    """The dataset that an index entry names, if every byte of it is as it was written."""
    try:
        path = datasets / str(json.loads(index.read_text())["fingerprint"])
    except (FileNotFoundError, ValueError, KeyError):
        return None
    if not path.exists():
        return None
    try:
        dataset = Dataset.open(path, reused=True)
        dataset.verify()
    except DataError as error:
        say(f"dataset {path.name} is damaged and is prepared again ({error})")
        return None
    return dataset


def _remove_leftovers(datasets: Path, key: str) -> None:
    """Delete what killed preparations left: this one's at once, since its lock is ours; others' when old."""
    for leftover in datasets.glob(f".{key}.*.partial"):
        shutil.rmtree(leftover, ignore_errors=True)
    remove_stale_partials(datasets)


def _silent(fraction: float, message: str) -> None:
    """For callers that do not watch."""


def _unsaid(message: str) -> None:
    """For callers that do not listen."""
