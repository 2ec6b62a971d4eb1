"""How Apache Beam is chosen, told and stopped; where its files lie; what its own failures look like."""

import _thread
import io
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata, FileSystem
from click.testing import CliRunner

from nightshift.cli import main
from nightshift.data.beam.job import job_of
from nightshift.data.prepare import prepare
from nightshift.errors import ConfigurationError, DataError
from nightshift.workspace import Workspace

LOCAL = ("--runner=direct",)


@pytest.fixture
def any_size(monkeypatch):
    monkeypatch.setattr("nightshift.data.prepare.BEAM_BYTES", 0)


class Elsewhere(FileSystem):
    """elsewhere://BUCKET/NAME: a file system that is no local path to anyone; its files lie below ELSEWHERE."""

    CHUNK = 2**16

    @classmethod
    def scheme(cls) -> str:
        return "elsewhere"

    @staticmethod
    def real(path: str) -> Path:
        return Path(os.environ["ELSEWHERE"]) / path.removeprefix("elsewhere://")

    def join(self, basepath: str, *paths: str) -> str:
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path: str) -> tuple[str, str]:
        head, _, tail = path.rpartition("/")
        return head, tail

    def mkdirs(self, path: str) -> None:
        """A bucket has no folders."""

    def has_dirs(self) -> bool:
        return False

    def _list(self, dir_or_prefix: str) -> Iterator[FileMetadata]:
        root = Path(os.environ["ELSEWHERE"])
        for file in sorted(root.rglob("*")):
            name = f"elsewhere://{file.relative_to(root).as_posix()}"
            if file.is_file() and name.startswith(dir_or_prefix):
                yield FileMetadata(name, file.stat().st_size, file.stat().st_mtime)

    def create(self, path, mime_type="", compression_type=CompressionTypes.AUTO):
        self.real(path).parent.mkdir(parents=True, exist_ok=True)
        return open(self.real(path), "wb")

    def open(self, path, mime_type="", compression_type=CompressionTypes.AUTO):
        return io.BufferedReader(io.BytesIO(self.real(path).read_bytes()))

    def copy(self, source_file_names, destination_file_names):
        for source, target in zip(source_file_names, destination_file_names, strict=True):
            self.real(target).write_bytes(self.real(source).read_bytes())

    def rename(self, source_file_names, destination_file_names):
        for source, target in zip(source_file_names, destination_file_names, strict=True):
            self.real(source).rename(self.real(target))

    def exists(self, path):
        return self.real(path).is_file()

    def size(self, path):
        return self.real(path).stat().st_size

    def last_updated(self, path):
        return self.real(path).stat().st_mtime

    def checksum(self, path):
        return str(self.size(path))

    def metadata(self, path):
        return FileMetadata(path, self.size(path), self.last_updated(path))

    def delete(self, paths):
        for path in paths:
            found = list(self._list(path) if path.endswith("/") else self.match([path])[0].metadata_list)
            if not found:
                raise BeamIOError("nothing to delete", {path: "not found"})
            for file in found:
                self.real(file.path).unlink()


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("ELSEWHERE", str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere"


@pytest.mark.usefixtures("any_size")
def test_a_bucket_between_the_stages_gives_the_same_dataset_and_is_left_empty(
    task, tmp_path, pictures, write_tree, elsewhere, monkeypatch
):
    monkeypatch.setattr("nightshift.data.beam.work.PACK_EXAMPLES", 11)
    source = str(write_tree(tmp_path / "tree", pictures))
    plain = prepare(task, source, Workspace(tmp_path / "plain"))
    flags = (*LOCAL, "--temp_location=elsewhere://bucket/temporary")
    beam = prepare(task, source, Workspace(tmp_path / "beam"), beam_flags=flags)
    assert {f.name: f.read_bytes() for f in plain.path.iterdir()} == {
        f.name: f.read_bytes() for f in beam.path.iterdir()
    }
    assert (elsewhere / "bucket").is_dir()
    assert [path for path in elsewhere.rglob("*") if path.is_file()] == []


@pytest.mark.usefixtures("any_size")
def test_a_folder_between_the_stages_is_used_and_left_empty(task, workspace, tmp_path, pictures, write_zip, leftovers):
    source = str(write_zip(tmp_path / "data.zip", pictures))
    seen: list[list[str]] = []

    def look(fraction: float, message: str) -> None:
        if (tmp_path / "temporary").exists():
            seen.append([path.name for path in (tmp_path / "temporary").iterdir()])

    flags = (*LOCAL, f"--temp_location={tmp_path / 'temporary'}")
    dataset = prepare(task, source, workspace, beam_flags=flags, progress=look)
    assert any(names and names[0].startswith(".beam-") for names in seen)
    assert list((tmp_path / "temporary").iterdir()) == []
    assert sorted(leftovers(workspace)) == sorted([dataset.path.name, "index"])


def test_a_small_source_is_prepared_without_beam_and_that_is_said(task, workspace, tmp_path, pictures, write_zip):
    source = write_zip(tmp_path / "data.zip", pictures)
    said: list[str] = []
    told: list[str] = []
    prepare(task, str(source), workspace, beam_flags=LOCAL, say=said.append, progress=lambda _, text: told.append(text))
    size = f"{source.stat().st_size:,}"
    assert said == [f"{source}: {size} bytes, prepared without Apache Beam, which pays from 1,073,741,824 bytes on"]
    assert not any("Beam" in message for message in told)


def test_without_flags_the_plain_path_is_taken_whatever_the_size(
    task, workspace, tmp_path, pictures, write_zip, monkeypatch, any_size
):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    said: list[str] = []
    assert not prepare(task, str(write_zip(tmp_path / "data.zip", pictures)), workspace, say=said.append).reused
    assert said == []


@pytest.mark.usefixtures("any_size")
def test_the_stages_and_the_totals_are_told(task, workspace, tmp_path, pictures, write_zip):
    source = str(write_zip(tmp_path / "data.zip", pictures))
    said: list[str] = []
    told: list[tuple[float, str]] = []
    prepare(task, source, workspace, beam_flags=LOCAL, say=said.append, progress=lambda *message: told.append(message))
    assert said[0].endswith("bytes, prepared by Apache Beam (direct)")
    messages = [message for _, message in told]
    assert "Apache Beam (direct): validating 50 images" in messages
    assert "Apache Beam (direct): ordering 50 images" in messages
    assert "writing shards: 50 of 50 images" in messages
    assert [fraction for fraction, _ in told] == sorted(fraction for fraction, _ in told)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["puzzle"], "Beam flags: found 'puzzle', expected --NAME=VALUE"),
        (["--direct_num_workers=two"], "Beam flags: argument --direct_num_workers: invalid"),
        (["--runner=FlinkRunner"], "Beam flags: --runner=FlinkRunner needs --temp_location, a bucket or a folder"),
        (["--runner=DataflowRunner", "--project=p"], "Beam flags: --runner=DataflowRunner needs --temp_location"),
        ([*LOCAL, "--temp_location=nowhere://bucket"], "Beam flags: --temp_location=nowhere://bucket: "),
        ([*LOCAL, "--direct_num_wrokers=2"], "Beam flags: found '--direct_num_wrokers=2', which the runner on this"),
        ([*LOCAL, "--direct_num_workers", "2", "more"], "Beam flags: found 'more', which the runner on this machine"),
        (["--runner=Sparkle", "--temp_location=/mnt/all"], "Beam flags: Unexpected pipeline runner: Sparkle. Valid"),
        (["--runner=no.such.Runner", "--temp_location=/mnt/all"], "Beam flags: No module named 'no'"),
        (["--runner=DataflowRunner", "--temp_location=gs://b/t"], "Beam flags: "),
    ],
)
@pytest.mark.usefixtures("any_size")
def test_a_wrong_flag_is_told_in_words(task, workspace, tmp_path, pictures, write_zip, leftovers, flags, message):
    source = str(write_zip(tmp_path / "data.zip", pictures))
    with pytest.raises(ConfigurationError) as refused:
        prepare(task, source, workspace, beam_flags=flags)
    assert str(refused.value).startswith(message)
    assert leftovers(workspace) == []


@pytest.mark.parametrize("flag", ["--direct_num_wrokers=2", "--direct_num_workers=two"])
def test_a_wrong_flag_is_told_before_the_source_is_read(task, workspace, flag):
    with pytest.raises(ConfigurationError, match="Beam flags: "):
        prepare(task, "/no/such/source", workspace, beam_flags=(*LOCAL, flag))


def test_a_flag_is_looked_at_without_leaving_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    job_of(LOCAL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("any_size", "elsewhere")
def test_what_cannot_be_removed_from_a_bucket_is_told_and_nothing_else_is_lost(
    task, workspace, tmp_path, pictures, write_zip, monkeypatch
):
    def refuse(self, paths):
        if any(path.endswith("/") for path in paths):
            raise BeamIOError("deleting is not permitted", dict.fromkeys(paths, "not permitted"))

    monkeypatch.setattr(Elsewhere, "delete", refuse)
    flags = (*LOCAL, "--temp_location=elsewhere://bucket/temporary")
    source = str(write_zip(tmp_path / "data.zip", pictures))
    said: list[str] = []
    prepare(task, source, workspace, beam_flags=flags, say=said.append).verify()
    assert said[-1].startswith("elsewhere://bucket/temporary/nightshift-")
    assert "could not be removed and can be deleted by hand (deleting is not permitted" in said[-1]
    (tmp_path / "damaged.zip").write_bytes(Path(source).read_bytes()[:-30])
    with pytest.raises(DataError, match="the archive is damaged or cut short"):
        prepare(task, str(tmp_path / "damaged.zip"), workspace, beam_flags=flags, say=said.append)


@pytest.mark.usefixtures("any_size", "elsewhere")
def test_a_preparation_elsewhere_goes_on_though_its_own_folder_was_taken_for_an_old_one(
    task, workspace, tmp_path, pictures, write_zip
):
    def clean(fraction: float, message: str) -> None:
        if "ordering" in message:
            for partial in workspace.datasets.glob(".*.partial"):
                shutil.rmtree(partial)

    flags = (*LOCAL, "--temp_location=elsewhere://bucket/temporary")
    source = str(write_zip(tmp_path / "data.zip", pictures))
    prepare(task, source, workspace, beam_flags=flags, progress=clean).verify()


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.usefixtures("any_size", "elsewhere")
def test_a_spool_file_that_was_cut_short_is_named(task, workspace, tmp_path, pictures, write_zip, local):
    temporary = str(tmp_path / "temporary") if local else "elsewhere://bucket/temporary"

    def cut(fraction: float, message: str) -> None:
        if "ordering" in message:
            (spool,) = tmp_path.rglob("*.pixels")
            os.truncate(spool, spool.stat().st_size - 1)

    flags = (*LOCAL, f"--temp_location={temporary}")
    source = str(write_zip(tmp_path / "data.zip", pictures))
    with pytest.raises(DataError, match=r"the spool file .*\.pixels: found 191 bytes of an image, expected 192"):
        prepare(task, source, workspace, beam_flags=flags, progress=cut)


def test_a_machine_without_beam_is_told_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("apache_beam.options")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(ConfigurationError, match="apache-beam is not installed; it is the extra `beam`"):
        job_of(LOCAL)


def test_another_runner_gets_the_flags_untouched():
    flags = ["--runner=FlinkRunner", "--flink_master=host:8081", "--temp_location=/mnt/all", "--parallelism", "8"]
    job = job_of(flags)
    assert not job.local
    assert job.pipeline().runner.__class__.__name__ == "FlinkRunner"
    assert (job.flags, job.temporary) == (tuple(flags), "/mnt/all")


@pytest.mark.usefixtures("any_size")
def test_what_fails_in_a_worker_is_told_in_a_line(
    task, workspace, tmp_path, pictures, write_zip, leftovers, monkeypatch
):
    def full(self: object, image: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nightshift.data.ingest.Decoder.pixels", full)
    source = str(write_zip(tmp_path / "data.zip", pictures))
    with pytest.raises(DataError, match=r"Apache Beam \(direct\) failed: .*No space left on device") as failed:
        prepare(task, source, workspace, beam_flags=LOCAL)
    assert "\n" not in str(failed.value)
    assert leftovers(workspace) == []


@pytest.mark.usefixtures("any_size")
def test_a_preparation_that_is_interrupted_leaves_nothing(
    task, workspace, tmp_path, pictures, write_zip, leftovers, monkeypatch
):
    blocked = threading.Event()

    def interrupt(self: object, image: object) -> bytes:
        if not blocked.is_set():
            _thread.interrupt_main()
            blocked.wait(60)
        raise ValueError("nobody needs it any more")

    monkeypatch.setattr("nightshift.data.ingest.Decoder.pixels", interrupt)
    flags = (*LOCAL, f"--temp_location={tmp_path / 'temporary'}")
    try:
        with pytest.raises(KeyboardInterrupt):
            prepare(task, str(write_zip(tmp_path / "data.zip", pictures)), workspace, beam_flags=flags)
    finally:
        blocked.set()
    assert leftovers(workspace) == []
    assert list((tmp_path / "temporary").iterdir()) == []


def test_what_follows_two_dashes_goes_to_beam(monkeypatch, tmp_path):
    asked: dict[str, object] = {}

    def prepare_data(*_: object, **given: object) -> None:
        asked.update(given)
        raise ConfigurationError("seen")

    monkeypatch.setattr("nightshift.steps.prepare_data.prepare_data", prepare_data)
    command = ["step", "prepare-data", "digits", "--run", "r", "--workspace", str(tmp_path), "--seed", "4"]
    result = CliRunner().invoke(main, [*command, "--", "--runner=FlinkRunner", "--parallelism", "8"])
    assert "Error: seen" in result.output
    assert (asked["task"], asked["seed"]) == ("digits", 4)
    assert asked["beam_flags"] == ("--runner=FlinkRunner", "--parallelism", "8")
