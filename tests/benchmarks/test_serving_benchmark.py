"""The benchmark of the model server works; what it measures here means nothing."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.serving.bare import loop
from benchmarks.serving.measure import Case, Measured
from benchmarks.serving.page import MINIMAL, budget, ratios, table

ROOT = Path(__file__).parent.parent.parent
OURS, BATCHED = Case("nightshift", "grpc", 1, 8), Case("nightshift, batching", "grpc", 1, 64)


def measured(case, rates, **others):
    return Measured(case, rates, [1.0], [2.0], [300.0], [100.0], **others)


def test_ratios_are_the_medians_of_the_ratios_of_each_turn():
    results = [measured(MINIMAL, [100, 200, 400]), measured(OURS, [90, 100, 800]), measured(BATCHED, [200, 400, 100])]
    assert [(round(ratio, 3), least) for _, ratio, least in ratios(results)] == [(0.9, 0.9), (2.0, 1.5)]


def test_a_table_has_a_row_a_case():
    rows = table([measured(OURS, [100, 300, 200], errors=3)]).splitlines()
    assert rows[0].count("|") == rows[1].count("|") == rows[2].count("|") == 11
    assert rows[2] == "| nightshift | grpc | 1 | 8 | 200 | 200 | 1.00 | 2.00 | 300 | 3 |"


def test_there_is_no_budget_without_its_parts():
    assert budget([measured(OURS, [1])]) == ""


def test_a_loop_counts_what_succeeded_and_names_what_did_not():
    turns = iter(range(1_000_000))

    def ask():
        if next(turns) % 2:
            raise ValueError("odd")

    found = loop(ask, 3, 0.05)
    assert found["seconds"]
    assert set(found["errors"]) == {"ValueError: odd"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    command = [sys.executable, "-m", "benchmarks.serving.model", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder / "digits"


@pytest.mark.slow
@pytest.mark.parametrize("parameters", [{}, {"allowed_batch_sizes": (1, 4, 16), "max_batch_size": 16}])
def test_a_network_s_batched_answers_are_those_of_each_image_alone(model, parameters):
    from concurrent.futures import ThreadPoolExecutor

    from nightshift.serving.batch_scheduler import BatchScheduler
    from nightshift.serving.batching import BatchedServable
    from nightshift.serving.batching_parameters import BatchingParameters
    from nightshift.serving.servable import Servable

    servable = Servable(model / "1")
    scheduler = BatchScheduler(
        BatchingParameters(**{"num_batch_threads": 2, "max_enqueued_batches": 1000} | parameters)
    )
    batched = BatchedServable(servable, scheduler)
    outputs = ["probabilities", "class_id", "label"]
    random = np.random.default_rng(0)
    sizes = random.integers(1, 8, 120)
    requests = [{"images": random.integers(0, 256, (size, 28, 28, 1), np.uint8)} for size in sizes]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda inputs: batched.run("serving_default", inputs, outputs), requests))
    scheduler.close()
    for inputs, answer in zip(requests, answers, strict=True):
        alone = servable.run("serving_default", inputs, outputs)
        np.testing.assert_allclose(answer["probabilities"], alone["probabilities"], rtol=0, atol=1e-6)
        assert answer["class_id"].tolist() == alone["class_id"].tolist()
        assert answer["label"].tolist() == alone["label"].tolist()
    servable.close()


@pytest.mark.slow
def test_one_bad_picture_does_not_fail_its_neighbours(model):
    import io
    from concurrent.futures import ThreadPoolExecutor

    from PIL import Image

    from nightshift.serving.batch_scheduler import BatchScheduler
    from nightshift.serving.batching import BatchedServable
    from nightshift.serving.batching_parameters import BatchingParameters
    from nightshift.serving.servable import Servable
    from nightshift.serving.status import StatusError

    def ask(content):
        try:
            return batched.run("serve_bytes", {"image_bytes": np.array([content], object)}, ["class_id"])["class_id"]
        except StatusError as error:
            return error.code.name

    file = io.BytesIO()
    Image.new("L", (28, 28), 7).save(file, "PNG")
    servable = Servable(model / "1")
    scheduler = BatchScheduler(
        BatchingParameters(num_batch_threads=1, max_batch_size=8, batch_timeout_micros=20_000_000)
    )
    batched = BatchedServable(servable, scheduler)
    contents = [b"no picture" if index == 3 else file.getvalue() for index in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, contents))
    scheduler.close()
    servable.close()
    assert answers[3] == "INVALID_ARGUMENT"
    assert all(isinstance(answer, np.ndarray) for index, answer in enumerate(answers) if index != 3)


@pytest.mark.slow
def test_the_quick_benchmark_measures_every_case(tmp_path):
    files = {"--json": tmp_path / "a.json", "--markdown": tmp_path / "a.md"}
    command = [sys.executable, "-m", "benchmarks.serving", "--quick"]
    command += [f"{name}={file}" for name, file in files.items()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(files["--json"].read_text())
    assert {(row["case"]["server"], row["case"]["way"]) for row in told["measured"]} == {
        ("bare Session", "session"),
        ("null grpcio", "grpc"),
        ("minimal grpcio", "grpc"),
        ("nightshift", "grpc"),
        ("nightshift", "rest"),
        ("nightshift, batching", "grpc"),
        ("nightshift, batching", "rest"),
    }
    assert all(row["errors"] == 0 and row["rates"] for row in told["measured"])
    assert files["--markdown"].read_text().strip() == done.stdout.strip()


@pytest.mark.slow
def test_a_short_soak_fails_no_request(model):
    from benchmarks.serving.soak import soak

    soaked = soak(model, 12.0, version_seconds=3.0)
    assert soaked.errors == []
    assert soaked.versions >= 3
    assert soaked.requests > 100
