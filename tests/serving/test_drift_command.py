"""`nightshift drift`, against a server in this process and requests that were sampled."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from version_folder import write_version

from nightshift.cli import main
from nightshift.drift.features import features
from nightshift.drift.reference import Reference
from nightshift.protos import predict_pb2
from nightshift.serving.client import Client
from nightshift.serving.embedded import server as embedded
from nightshift.serving.manifest import NAME as MANIFEST
from nightshift.serving.manifest import write_manifest
from nightshift.serving.release import release
from nightshift.serving.samples import Sampler
from nightshift.serving.store import Store
from nightshift.serving.tensors import to_proto

IMAGES = np.random.default_rng(0).integers(0, 200, (600, 8, 8, 1), np.uint8)
LABELS = np.arange(600) % 3


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    """A workspace, its server, and the versions that serve: `pets` with reference statistics, `found` without."""
    root = tmp_path_factory.mktemp("drift")
    store = Store(root / "models")
    server = embedded.start(store.server_config(), options=embedded.ServerOptions(labels_for_unavailable=True))
    target, versions = f"127.0.0.1:{server.port}", {}
    with Client(target) as client:
        for name in ("pets", "found"):
            folder = write_version(root / name, 2)
            if name == "pets":
                columns = features(IMAGES) | {"confidence": np.ones(600, np.float32)}
                Reference((8, 8, 1), "stretch", 1, ("a", "b", "c"), columns, LABELS, LABELS).save(folder)
                (folder / MANIFEST).unlink()
                write_manifest(folder)
            versions[name] = release(store, name, folder, client, lambda line: None).version
    yield root, target, versions
    server.stop()


@pytest.fixture
def ask(rig, tmp_path):
    """Keeps a request for some pictures and runs the command; returns its result."""
    root, target, versions = rig

    def run(pictures, *arguments, model="pets", samples=tmp_path / "samples"):
        request, response = predict_pb2.PredictRequest(), predict_pb2.PredictResponse()
        request.inputs["images"].CopyFrom(to_proto(pictures))
        response.outputs["class_id"].CopyFrom(to_proto(np.arange(len(pictures)) % 3))
        with Sampler(str(tmp_path / "samples"), 1.0) as sampler:
            sampler.offer(model, versions.get(model, 1), request, response)
        common = ["--workspace", str(root), "--server", target, "--samples", str(samples)]
        return CliRunner().invoke(main, ["drift", model, *common, *arguments])

    return run


def test_the_same_pictures_end_with_0_and_a_table(ask):
    result = ask(IMAGES[:250])
    assert result.exit_code == 0, result.output
    assert "no drift in 250 images" in result.output
    assert "brightness" in result.output
    assert "\ndrifted" not in result.output


def test_other_pictures_end_with_3_and_what_drifted(ask, tmp_path):
    result = ask(255 - IMAGES[:250], "-o", str(tmp_path / "page.html"))
    assert result.exit_code == 3, result.output
    assert "\ndrifted  brightness" in result.output
    assert "Drift of pets" in (tmp_path / "page.html").read_text()


def test_a_program_gets_an_object(ask, rig):
    result = ask(255 - IMAGES[:250], "--json")
    facts = json.loads(result.output)
    assert result.exit_code == 3
    assert (facts["model"], facts["version"], facts["drifted"]) == ("pets", rig[2]["pets"], True)
    assert facts["changes"][0].keys() >= {"name", "p", "effect", "limit", "drifted"}


def test_too_few_pictures_are_told_and_no_alarm(ask):
    result = ask(255 - IMAGES[:40])
    assert result.exit_code == 0
    assert "too few images to tell: the sample has 40, at least 100 are needed" in result.output


def test_no_samples_are_told_and_no_alarm(ask, tmp_path):
    result = ask(IMAGES, samples=tmp_path / "nowhere")
    assert result.exit_code == 0
    assert f"answered is in {tmp_path / 'nowhere'}" in result.output


def test_a_file_instead_of_samples_is_an_error(ask, tmp_path):
    (tmp_path / "file").write_text("no samples")
    result = ask(IMAGES, samples=tmp_path / "file")
    assert result.exit_code == 1
    assert f"samples: found a file at {tmp_path / 'file'}, expected a folder" in result.output


def test_a_version_without_a_reference_says_so(ask):
    result = ask(IMAGES, model="found")
    assert result.exit_code == 0
    assert "has no reference statistics: it was imported" in result.output


def test_a_name_that_nothing_serves_is_an_error(ask):
    result = ask(IMAGES, model="unknown")
    assert result.exit_code == 1
    assert "nothing serves by that name" in result.output


def test_help_says_what_the_exit_codes_mean():
    text = CliRunner().invoke(main, ["drift", "--help"]).output
    assert "3: drift" in " ".join(text.split())
