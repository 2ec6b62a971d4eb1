"""What must not serve: each kind of it is refused by the step whose matter it is, with what was found and what was
expected, and the version that serves goes on serving.

worse      evaluate   trained on a twentieth of the data; or better on the whole and worse in a slice
skewed     export     the graph leaves out the scaling that the network was trained with
slow       export     the graph takes longer than the task's budget
greedy     export     the server takes more memory than the task's budget
truncated  deploy     a file was cut short after the export had proven it

Real trainings, on a small task; real servers, each in a process of its own. What a cluster refuses besides (crash
loops, images, quotas) is in tests/cluster/test_refused_releases.py; what a server refuses at a release, with a manifest
that fits, in tests/serving/test_release.py.
"""

import contextlib
import dataclasses
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import synthetic
import tensorflow as tf

from nightshift.data.sample import sample
from nightshift.errors import NightshiftError, ReleaseError, StoreError
from nightshift.evaluation.architecture import load_network
from nightshift.export import export as exporting
from nightshift.report.pages import comparison_markdown, evaluation_page, export_page, run_page
from nightshift.serving.client import Client
from nightshift.serving.process import server_process
from nightshift.serving.store import Store
from nightshift.steps.deploy import deploy
from nightshift.steps.evaluate import evaluate
from nightshift.steps.export import export
from nightshift.steps.prepare_data import prepare_data
from nightshift.steps.train import train
from nightshift.tasks.base import Latency
from nightshift.tasks.registry import tasks
from nightshift.workspace import Workspace

pytestmark = pytest.mark.slow

TASK = dataclasses.replace(synthetic.CORNERS, thresholds={"accuracy": 0.1}, class_floor=0.0)
"""Whatever gives an answer reaches its thresholds: what is refused here is refused by comparison."""

SETTINGS = {"epochs": 4, "batch_size": 20}
SIDE = 256


@dataclass(frozen=True)
class Trained:
    """A run up to its training."""

    run: object
    dataset: object
    model: object


class House:
    """A workspace, a server that shares its store, and the champion that serves there."""

    def __init__(self, folder, server):
        self.folder, self.workspace, self.server = folder, Workspace(folder / "workspace"), server
        self.store = Store(self.workspace.models)
        self.common = {"task": "corners", "model": "corners", "seed": 0}
        self.champion = 0

    def train(self, name, arrays):
        """Prepare the arrays and train on them."""
        data = self.folder / f"{name}.npz"
        np.savez(data, allow_pickle=False, **arrays)
        run, preset = self.workspace.run(name), {"preset": "default", "settings": SETTINGS}
        where = (run, self.workspace)
        dataset = prepare_data(
            *where, self.store, source=str(data), **preset, **self.common, server=self.server
        ).dataset
        trained = train(*where, task="corners", **preset, seed=0, dataset=dataset)
        return Trained(run, dataset, trained)

    def evaluate(self, candidate):
        return evaluate(
            candidate.run,
            self.store,
            **self.common,
            dataset=candidate.dataset,
            trained=candidate.model,
            server=self.server,
        )

    def export(self, candidate):
        return export(
            candidate.run,
            **self.common,
            dataset=candidate.dataset,
            trained=candidate.model,
            evaluation=candidate.run.path / "evaluate",
        )

    def deploy(self, candidate, saved_model):
        return deploy(candidate.run, self.store, model="corners", saved_model=saved_model, server=self.server)

    def again(self, name, candidate):
        """The same data and training, found again by a later run, which evaluate blessed as it did the first."""
        found = self.train(name, synthetic.corners(600, 200))
        assert found.model.path == candidate.model.path
        shutil.copytree(candidate.run.path / "evaluate", found.run.path / "evaluate")
        return found

    def answers(self):
        """The version that answers, and what it answers to some test images."""
        with Client(self.server) as client:
            images = np.arange(3 * 144, dtype=np.uint8).reshape(3, 12, 12, 1)
            found = client.predict("corners", {"images": images})
        return found.version, found.outputs["probabilities"].tolist()


@pytest.fixture(scope="module", autouse=True)
def registered():
    """The synthetic task among the registered ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tasks(), "corners", TASK)
        yield


@pytest.fixture(scope="module")
def house(tmp_path_factory, registered):
    folder = tmp_path_factory.mktemp("house")
    serve = ["-m", "nightshift.cli", "serve", "--port", "0", "--workspace", str(folder / "workspace")]
    with server_process(serve, log=folder / "server.log") as server:
        yield House(folder, server)


@pytest.fixture(scope="module")
def champion(house):
    """Trained on everything, released by the same steps."""
    trained = house.train("champion", synthetic.corners(600, 200))
    assert house.evaluate(trained).decision.blessed
    released = house.deploy(trained, house.export(trained).path)
    house.champion = released.version
    return trained


@contextlib.contextmanager
def still_serving(house):
    """After the block the same version answers the same, and the ledger names no other."""
    before = house.answers()
    yield
    assert house.answers() == before
    assert before[0] == house.champion == house.store.state("corners").stable
    assert house.store.state("corners").pending is None


def refused_export(house, candidate, error=StoreError):
    """Export what must not be exported: the error's words, the checks on record, and the folder left as it was."""
    before = {path: path.stat().st_mtime_ns for path in (candidate.model.path / "saved_model").rglob("*")}
    with still_serving(house), pytest.raises(error) as refused:
        house.export(candidate)
    after = {path: path.stat().st_mtime_ns for path in (candidate.model.path / "saved_model").rglob("*")}
    changed = {path.name for path in after.keys() | before.keys() if before.get(path) != after.get(path)}
    assert changed <= {"corners.lock", "saved_model"}, "a refused export leaves what an earlier one made, and no more"
    status = candidate.run.statuses()["export"]
    assert (status["state"], status["error"]) == ("failed", str(refused.value))
    checks = json.loads((candidate.run.path / "export" / "checks.json").read_text())["checks"]
    failed = [check for check in checks if not check["passed"]]
    for page in (export_page(candidate.run.path / "export"), run_page(candidate.run)):
        assert "Failed at export" in page
        assert page.count('<td class="state failed">failed</td><td>') == len(failed)
    assert f"Version {house.champion} goes on serving." in run_page(candidate.run)
    return str(refused.value), failed


def test_worse_a_candidate_trained_on_a_twentieth_of_the_data(house, champion):
    arrays = synthetic.corners(600, 200)
    few = house.train("few", arrays | {"x_train": arrays["x_train"][:30], "y_train": arrays["y_train"][:30]})
    assert few.dataset.manifest.splits["test"].count == champion.dataset.manifest.splits["test"].count
    with still_serving(house):
        judged = house.evaluate(few)
        with pytest.raises(ReleaseError, match="not released, since evaluate did not bless it: kept version"):
            house.deploy(few, few.model.path)
    assert not judged.decision.blessed
    reason = judged.decision.reason
    assert reason.startswith(
        f"kept version {house.champion}: against version {house.champion} on the same 200 test images"
    )
    assert reason.endswith("not better, p = 1, expected below 0.05")
    serving = judged.evaluation["serving"]
    assert serving["version"] == house.champion
    assert serving["metrics"]["accuracy"] > judged.evaluation["metrics"]["accuracy"]
    assert reason in run_page(few.run)


def test_worse_a_candidate_that_is_below_a_threshold(house, champion, monkeypatch):
    monkeypatch.setitem(tasks(), "corners", dataclasses.replace(TASK, thresholds={"accuracy": 1.01}))
    candidate = house.again("below", champion)
    with still_serving(house):
        reason = house.evaluate(candidate).decision.reason
    accuracy = candidate.run.statuses()["evaluate"]["figures"]["metrics"]["accuracy"]
    assert reason == f"accuracy {accuracy:.4f} is below 1.01"


def test_worse_a_candidate_that_is_better_on_the_whole_and_worse_in_a_slice(house, champion, monkeypatch):
    """The serving model is made to fail in the bright pictures, the candidate in some of the dark ones."""
    from nightshift.steps import evaluate as step

    of_keras, of_saved_model = step.of_keras, step.of_saved_model
    images, _ = sample(champion.dataset, "test", 200)
    third = np.quantile(images.mean(axis=(1, 2, 3)), 1 / 3)

    def failing(answer, wrong):
        def answered(pictures):
            found = dict(answer(pictures))
            brightness = tf.reduce_mean(tf.cast(pictures, tf.float32), axis=(1, 2, 3))
            found["class_id"] = tf.where(wrong(brightness), (found["class_id"] + 1) % 4, found["class_id"])
            return found

        return answered

    monkeypatch.setattr(step, "of_keras", lambda *given: failing(of_keras(*given), lambda b: b < third))
    monkeypatch.setattr(step, "of_saved_model", lambda path: failing(of_saved_model(path), lambda b: b >= third))
    candidate = house.again("slice", champion)
    with still_serving(house):
        judged = house.evaluate(candidate)
    assert not judged.decision.blessed
    (worse,) = [row for row in judged.evaluation["slices"] if row["worse"] and row["trait"] == "brightness"]
    assert (
        worse["difference"]
        < 0
        < judged.evaluation["metrics"]["accuracy"] - judged.evaluation["serving"]["metrics"]["accuracy"]
    )
    assert "better, p = " in judged.decision.reason
    assert "but worse in" in judged.decision.reason
    assert f"brightness {worse['value']} ({worse['count']} images)" in judged.decision.reason
    assert f"**brightness {worse['value']}, worse**" in comparison_markdown(judged.evaluation)
    assert judged.decision.reason in evaluation_page(candidate.run.path / "evaluate")


def test_skewed_scaling_left_out_of_the_exported_graph(house, champion, monkeypatch):
    """The golden answers are the network's; what is written sees pixels of 0 to 255 where it learnt from 0 to 1."""
    signatures, problem_of = exporting.signatures, exporting.problem_of
    golden = exporting._golden

    def then_unscaled(functions, images):
        answers = golden(functions, images)
        network = load_network(champion.model.weights)
        unscaled = tf.keras.Sequential([tf.keras.Input(TASK.image_shape), tf.keras.layers.Rescaling(255.0), network])
        functions.update(signatures(unscaled, problem_of(TASK, tuple(TASK.classes)), TASK))
        return answers

    monkeypatch.setattr(exporting, "_golden", then_unscaled)
    said, failed = refused_export(house, house.again("skewed", champion))
    assert {check["signature"] for check in failed} == {"serving_default", "serve_bytes", "classify"}
    assert {check["kind"] for check in failed} == {"answers"}
    for check in failed:
        assert re.search(r"'(probabilities|scores)' off by 0\.\d+", check["found"])
        assert check["expected"] == "at most 0.001 from the trained network's answers"
        assert re.match(r"golden image \d+, '\w+': the network answers .+, the server .+", check["example"])
        assert f"answers of {check['signature']}: found {check['found']}, expected {check['expected']}" in said


def slow(function, steps=200):
    """The same answers after `steps` products of large matrices, which the graph cannot do without."""

    def slowed(tensor):
        matrix = tf.fill((SIDE, SIDE), tf.cast(tf.shape(tensor)[0], tf.float32))
        one_more = lambda step, product: (step + 1, tf.matmul(product, product) / SIDE)  # noqa: E731
        _, product = tf.while_loop(lambda step, _: step < steps, one_more, (0, matrix))
        with tf.control_dependencies([product]):
            return {name: tf.identity(answer) for name, answer in function(tensor).items()}

    return slowed


def test_slow_a_graph_that_takes_longer_than_the_budget(house, champion, monkeypatch):
    made = exporting.signatures
    monkeypatch.setattr(
        exporting,
        "signatures",
        lambda *given: {name: (slow(function), spec) for name, (function, spec) in made(*given).items()},
    )
    monkeypatch.setitem(tasks(), "corners", dataclasses.replace(TASK, latency=Latency(p50=4, p99=20)))
    said, failed = refused_export(house, house.again("slow", champion))
    assert [(check["kind"], check["signature"]) for check in failed] == [
        ("latency", "serving_default"),
        ("latency", "serve_bytes"),
    ]
    for check in failed:
        assert check["expected"] == "p50 of at most 4 ms and p99 of at most 20 ms"
        assert f"latency of {check['signature']}: found {check['found']}, expected {check['expected']}" in said
        assert check["figures"]["p50"] > 4
        assert check["figures"]["rounds"] == 3


def test_greedy_a_server_that_takes_more_memory_than_the_budget(house, champion, monkeypatch):
    monkeypatch.setitem(tasks(), "corners", dataclasses.replace(TASK, memory_mib=50))
    said, (failed,) = refused_export(house, house.again("greedy", champion))
    assert (failed["kind"], failed["expected"]) == ("memory", "at most 50 MiB")
    assert failed["figures"]["bytes"] > 50 << 20
    assert f"memory: found {failed['found']}, expected at most 50 MiB" in said


def test_truncated_a_shard_of_variables_cut_short_after_the_export(house, champion, tmp_path):
    candidate = house.again("truncated", champion)
    exported = shutil.copytree(champion.model.path / "saved_model" / "corners", tmp_path / "corners")
    shard = exported / "variables" / "variables.data-00000-of-00001"
    whole = shard.stat().st_size
    shard.write_bytes(shard.read_bytes()[: whole // 2])
    before = house.store.ledger("corners").events()
    with (
        still_serving(house),
        pytest.raises(NightshiftError, match=f"{shard.name}: .* found {whole // 2} bytes, expected {whole}") as refused,
    ):
        house.deploy(candidate, exported)
    assert house.store.ledger("corners").events() == before, "it is not even published"
    assert candidate.run.statuses()["deploy"]["error"] == str(refused.value)
    assert str(Path("variables") / shard.name) in run_page(candidate.run)


def test_none_of_it_a_sound_candidate_is_exported_with_its_figures_on_record_and_card(house, champion):
    """So that the refusals above are of what was done to it."""
    status = champion.run.statuses()["export"]
    figures = status["figures"]
    assert status["state"] == "succeeded"
    assert figures["latency"].keys() == {"serving_default", "serve_bytes"}
    for measured in figures["latency"].values():
        assert 0 < measured["p50"] <= measured["p99"] <= measured["p99_budget"] == TASK.latency.p99
        assert measured["requests"] == 300
    assert 100 << 20 < figures["memory"]["bytes"] <= figures["memory"]["budget"] == TASK.memory_mib << 20
    assert figures["machine"]["cores"] >= 1
    folder = house.store.version_path("corners", house.champion)
    card = json.loads((folder / "assets.extra" / "card.json").read_text())
    assert card["served"]["latency"] == figures["latency"]
    text = (folder / "assets.extra" / "card.md").read_text()
    assert text.index("## Served") < text.index("## Limits")
    assert "| latency of serving_default | p50 " in text
    assert '"state failed"' not in export_page(champion.run.path / "export")
