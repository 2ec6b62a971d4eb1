"""The components' own functions, one after the other as in the pipeline, with artifacts in a folder."""

import copy
import json
import re

import numpy as np
import pytest
import synthetic
from kfp import dsl

from components.deploy import deploy
from components.evaluate import evaluate
from components.export import export
from components.prepare_data import prepare_data
from components.report import report
from components.train import train
from nightshift.errors import ConfigurationError, NightshiftError, WorkspaceError
from nightshift.export.checks import Check, refusal
from nightshift.serving.embedded import server as embedded
from nightshift.serving.store import Store
from nightshift.tasks.registry import tasks
from nightshift.workspace import STEPS, Workspace


class Flow:
    """What a run of the pipeline hands from step to step."""

    def __init__(self, folder, server, data):
        self.folder, self.workspace = folder, Workspace(folder / "workspace")
        self.common = {"task": "corners", "workspace": str(self.workspace.root), "run_id": "run-1"}
        self.server, self.data = server, str(data)
        self.artifacts = {}

    def artifact(self, kind, name):
        """A new output artifact."""
        made = kind(name=name, uri=str(self.folder / "artifacts" / name), metadata={})
        self.artifacts[name] = made
        return made

    def text(self, name):
        with open(self.artifacts[name].path) as file:
            return file.read()

    def prepare(self, **changes):
        arguments = {"preset": "default", "settings": {"epochs": 3.0}, "seed": 0, "model": "", "data": self.data}
        arguments["beam_flags"] = []
        return prepare_data.python_func(
            **self.common,
            **arguments | changes,
            server=self.server,
            dataset=self.artifact(dsl.Dataset, "dataset"),
            samples=self.artifact(dsl.HTML, "data_pictures"),
            image_counts=self.artifact(dsl.Metrics, "data_figures"),
            training_seed=str(self.folder / "artifacts" / "training_seed"),
        )

    def train(self, nodes=1, **per_node):
        train.python_func(
            **self.common,
            preset="default",
            settings={"epochs": 3.0},
            seed=0,
            gpus="0",
            cpu="2",
            memory="4Gi",
            tolerations=[],
            node_selector={},
            nodes=nodes,
            per_node=per_node,
            dataset=self.artifacts["dataset"],
            model=self.artifact(dsl.Model, "model"),
            learning_curves=self.artifact(dsl.HTML, "curves"),
            training_metrics=self.artifact(dsl.Metrics, "training_figures"),
        )

    def evaluate(self):
        return evaluate.python_func(
            **self.common,
            model_name="",
            seed=0,
            server=self.server,
            dataset=self.artifacts["dataset"],
            model=self.artifacts["model"],
            evaluation=self.artifact(dsl.Artifact, "evaluation"),
            test_metrics=self.artifact(dsl.Metrics, "figures"),
            confusion_and_roc=self.artifact(dsl.ClassificationMetrics, "roc"),
            answers=self.artifact(dsl.HTML, "answers"),
            comparison=self.artifact(dsl.Markdown, "comparison"),
        )

    def export(self):
        export.python_func(
            **self.common,
            model_name="",
            seed=0,
            dataset=self.artifacts["dataset"],
            model=self.artifacts["model"],
            evaluation=self.artifacts["evaluation"],
            saved_model=self.artifact(dsl.Model, "saved_model"),
            card=self.artifact(dsl.Markdown, "card"),
            checks=self.artifact(dsl.HTML, "checks"),
        )

    def deploy(self):
        return deploy.python_func(
            **self.common,
            model_name="",
            server=self.server,
            saved_model=self.artifacts["saved_model"],
            released=self.artifact(dsl.Markdown, "released"),
        )

    def report(self, state="SUCCEEDED"):
        status = dsl.PipelineTaskFinalStatus(state, "job", "exit-handler-1", None, None)
        where = {name: self.common[name] for name in ("workspace", "run_id")}
        report.python_func(**where, status=status, report_page=self.artifact(dsl.HTML, "page"))


@pytest.fixture(scope="module", autouse=True)
def registered():
    """The synthetic task among the registered ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tasks(), "corners", synthetic.CORNERS)
        patch.delenv("NIGHTSHIFT_RUN_ID", raising=False)
        yield


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """The first four steps done."""
    folder = tmp_path_factory.mktemp("flow")
    np.savez(folder / "corners.npz", allow_pickle=False, **synthetic.corners(600, 200))
    store = Store(folder / "workspace" / "models")
    options = embedded.ServerOptions(labels_for_unavailable=True)
    running = embedded.start(store.server_config(), options=options)
    flow = Flow(folder, f"127.0.0.1:{running.port}", folder / "corners.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nightshift.export.complete.prove_equal", lambda *_: {"serving_default": {"probabilities": 0.0}})
        flow.due = flow.prepare()
        flow.train()
        flow.blessed = flow.evaluate()
        flow.export()
        flow.version = flow.deploy()
        flow.report()
    yield flow
    running.stop()


def test_the_plain_outputs_that_the_pipeline_branches_on(flow):
    assert flow.due is True
    assert flow.blessed is True
    assert flow.version == Store(flow.workspace.models).state("corners").stable


@pytest.mark.parametrize("name", ["dataset", "model", "evaluation", "saved_model"])
def test_large_things_stay_in_the_workspace_and_artifacts_name_them(flow, name):
    link = json.loads(flow.text(name))
    assert flow.artifacts[name].metadata == link
    assert link["path"].startswith(str(flow.workspace.root))
    assert len(flow.text(name)) < 500


def test_links_carry_what_identifies_their_target(flow):
    dataset, model = (json.loads(flow.text(name)) for name in ("dataset", "model"))
    assert dataset["path"].endswith(dataset["fingerprint"])
    assert model["path"].endswith(model["recipe"])


def test_figures_are_finite_numbers(flow):
    assert flow.artifacts["data_figures"].metadata == {
        "train_images": 540.0,
        "validation_images": 60.0,
        "test_images": 200.0,
    }
    assert flow.artifacts["training_figures"].metadata["epochs"] == 3
    for name in ("data_figures", "training_figures", "figures"):
        assert flow.artifacts[name].metadata
        assert all(np.isfinite(value) for value in flow.artifacts[name].metadata.values())
    assert flow.artifacts["figures"].metadata["accuracy"] >= 0.9


def test_confusion_matrix_and_roc_are_as_the_interface_takes_them(flow):
    shown = flow.artifacts["roc"].metadata
    json.dumps(shown, allow_nan=False)
    rows = shown["confusionMatrix"]["rows"]
    assert sum(sum(row["row"]) for row in rows) == 200
    assert [entry["displayName"] for entry in shown["confusionMatrix"]["annotationSpecs"]] == list(
        synthetic.CORNERS.classes
    )
    assert len(shown["confidenceMetrics"]) > 1


@pytest.mark.parametrize("name", ["data_pictures", "curves", "answers", "checks", "page"])
def test_pages_are_whole_documents(flow, name):
    text = flow.text(name).strip().lower()
    assert text.startswith("<!doctype html>")
    assert text.endswith("</html>")


def test_markdown_says_what_became_of_it(flow):
    assert f"**corners** serves version **{flow.version}**; before: none." in flow.text("released")
    assert "# corners" in flow.text("card")
    assert "accuracy" in flow.text("comparison")


def test_every_step_is_on_record(flow):
    statuses = flow.workspace.run("run-1").statuses()
    assert list(statuses) == list(STEPS)
    assert {status["state"] for status in statuses.values()} == {"succeeded"}
    assert {status["error"] for status in statuses.values()} == {""}
    assert statuses["deploy"]["figures"]["version"] == flow.version


def test_the_same_again_finds_nothing_to_do_and_another_seed_does(flow, tmp_path):
    again = Flow(tmp_path, flow.server, flow.data)
    again.common["workspace"], again.common["run_id"] = flow.common["workspace"], "run-2"
    assert again.prepare() is False
    reason = flow.workspace.run("run-2").statuses()["prepare_data"]["figures"]["reason"]
    assert reason.startswith(f"nothing to do: version {flow.version} of corners serves")
    assert again.prepare(settings={"epochs": 4}) is True
    assert again.prepare(seed=1) is True
    assert again.prepare(model="another") is True
    again.report()
    assert "nothing to do" not in flow.workspace.run("run-2").statuses()["prepare_data"]["figures"]["reason"]


def test_the_environment_names_the_run_on_a_laptop(flow, tmp_path, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_RUN_ID", "mine")
    again = Flow(tmp_path, flow.server, flow.data)
    again.common["workspace"] = flow.common["workspace"]
    again.prepare()
    assert (flow.workspace.root / "runs" / "mine" / "prepare_data" / "status.json").exists()


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"path": 3}', "not json"])
def test_an_artifact_that_names_no_folder_is_named(flow, tmp_path, content):
    broken = Flow(tmp_path, flow.server, flow.data)
    dataset = broken.artifact(dsl.Dataset, "dataset")
    if content is not None:
        (tmp_path / "artifacts").mkdir(exist_ok=True)
        (tmp_path / "artifacts" / "dataset").write_text(content)
    with pytest.raises(WorkspaceError, match="artifacts/dataset: expected an artifact that names a folder"):
        broken.train()
    assert dataset.metadata == {}


@pytest.mark.parametrize(
    ("nodes", "per_node", "message"),
    [
        (
            2,
            {},
            "nodes: training on several nodes needs a cluster, and this process is not in a Pod",
        ),
        (5, {}, "nodes: found 5, expected one of 1, 2, 3, 4, 6, 8, 12, 24"),
        (2, {"gpu": "1"}, "per_node: found 'gpu', expected only gpus, cpu, memory, tolerations, node_selector"),
    ],
)
def test_several_nodes_are_refused_in_words_on_a_machine_without_a_cluster(flow, tmp_path, nodes, per_node, message):
    again = Flow(tmp_path, flow.server, flow.data)
    again.common["workspace"], again.common["run_id"] = flow.common["workspace"], f"run-on-{nodes}"
    again.artifacts = dict(flow.artifacts)
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        again.train(nodes, **per_node)


def test_flags_of_beam_reach_the_step(flow, tmp_path):
    again = Flow(tmp_path, flow.server, flow.data)
    again.common["workspace"], again.common["run_id"] = flow.common["workspace"], "run-with-flags"
    with pytest.raises(ConfigurationError, match="Beam flags: found 'puzzle', expected --NAME=VALUE"):
        again.prepare(beam_flags=["puzzle"])


def test_an_export_that_is_refused_has_its_page_all_the_same(flow, monkeypatch):
    def refuse(saved_model, model, golden, task, checked):
        checks = [Check("memory", "", "60 MiB", "at most 50 MiB", passed=False)]
        checked(checks[0])
        raise refusal(model, checks)

    monkeypatch.setattr("nightshift.export.complete.prove_equal", refuse)
    refused = copy.copy(flow)
    refused.common, refused.artifacts = flow.common | {"run_id": "run-refused"}, dict(flow.artifacts)
    with pytest.raises(NightshiftError, match="memory: found 60 MiB, expected at most 50 MiB"):
        refused.export()
    page = refused.text("checks")
    assert "Failed at export" in page
    assert "<td>60 MiB</td><td>at most 50 MiB</td>" in page
    with open(flow.artifacts["saved_model"].path) as file:
        assert json.load(file)["path"], "what the run before it named is left as it was"


def test_a_failed_step_raises_and_the_report_still_tells(flow, tmp_path):
    failing = Flow(tmp_path, flow.server, tmp_path / "missing.npz")
    failing.common["workspace"], failing.common["run_id"] = flow.common["workspace"], "run-3"
    with pytest.raises(NightshiftError, match=r"missing\.npz"):
        failing.prepare()
    failing.report("FAILED")
    statuses = flow.workspace.run("run-3").statuses()
    assert (statuses["prepare_data"]["state"], statuses["report"]["state"]) == ("failed", "succeeded")
    assert "missing.npz" in failing.text("page")
