"""The commands that a person runs by hand, against a server in this process."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import synthetic
from click.testing import CliRunner
from PIL import Image

from nightshift.cli import main
from nightshift.errors import ConfigurationError
from nightshift.serving.client import Client
from nightshift.serving.release import release
from nightshift.serving.store import Store
from nightshift.settings import settings
from nightshift.tasks.registry import preset_of
from nightshift.workspace import Workspace

NIGHTSHIFT = Path(sys.executable).parent / "nightshift"


@pytest.fixture(scope="module")
def workspace(corners, textures, tmp_path_factory):
    """A workspace with a server on its store: corners released twice, textures once."""
    from nightshift.export import export as module
    from nightshift.training.train import train

    place = Workspace(tmp_path_factory.mktemp("cli"))
    exported = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nightshift.export.complete.prove_equal", lambda *_: {})
        for task, preset, dataset, seed in (
            (synthetic.CORNERS, "plain", corners, 0),
            (synthetic.CORNERS, "plain", corners, 1),
            (synthetic.TEXTURES, "default", textures, 0),
        ):
            trained = train(task, preset, preset_of(task, preset, {"epochs": 1}), dataset, place, seed=seed)
            target = place.root / "exported" / f"{task.name}-{seed}"
            module.export(task, task.name, trained, dataset, {"accuracy": 0.5 + seed / 10}, target, seed=seed)
            exported[task.name, seed] = target
    return place, exported


@pytest.fixture(scope="module")
def server(workspace):
    from nightshift.serving.embedded import server as embedded

    place, exported = workspace
    store = Store(place.models)
    running = embedded.start(store.server_config(), options=embedded.ServerOptions(labels_for_unavailable=True))
    target = f"127.0.0.1:{running.port}"
    with Client(target) as client:
        for (name, _), folder in exported.items():
            release(store, name, folder, client, lambda line: None)
    yield target
    running.stop()


@pytest.fixture
def call(server, workspace):
    """Runs a command against the server; --server and --workspace are given in the environment's place."""

    def run(*arguments, server=server):
        arguments = [str(argument) for argument in arguments]
        if arguments[0] in ("predict", "solve", "rollback"):
            arguments += ["--server", server]
        if arguments[0] in ("releases", "rollback"):
            arguments += ["--workspace", str(workspace[0].root)]
        return CliRunner().invoke(main, arguments)

    return run


@pytest.fixture
def pictures(tmp_path):
    random = np.random.default_rng(0)
    paths = [tmp_path / "one.png", tmp_path / "zwei größer.jpg"]
    for path in paths:
        Image.fromarray(random.integers(0, 256, (41, 50, 3), np.uint8)).save(path)
    return paths


def rows(result):
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def refused(result, *messages):
    """Exit code 1 and one line, without a traceback."""
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    for message in ("Error: ", *messages):
        assert message in line


def test_predict_tells_label_probability_and_version(call, pictures):
    result = call("predict", "corners", *pictures)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == 2
    for path, line in zip(pictures, lines, strict=True):
        assert line.startswith(f"{path}: ")
        assert any(f"{name} (" in line for name in synthetic.CORNERS.classes)
        assert "corners version 20" in line


def test_predict_as_json(call, pictures):
    found = rows(call("predict", "corners", *pictures, "--json"))
    assert [row["image"] for row in found] == [str(path) for path in pictures]
    for row in found:
        assert row.keys() == {"image", "label", "probability", "version", "milliseconds"}
        assert row["label"] in synthetic.CORNERS.classes
        assert 0.25 <= row["probability"] <= 1
        assert row["milliseconds"] > 0


def test_solve_shuffles_tells_and_writes_the_pictures(call, pictures, tmp_path):
    folder = tmp_path / "new" / "out"
    arguments = ("solve", *pictures, "-o", folder, "--shuffle", "--seed", 3, "--model", "textures", "--json")
    found = rows(call(*arguments))
    assert [sorted(row["truth"]) for row in found] == [[0, 1, 2, 3]] * 2
    for row, path in zip(found, pictures, strict=True):
        assert row["solved"] == str(folder / f"{path.stem}-solved.png")
        original = np.asarray(Image.open(path).convert("RGB"))[:40, 5:45]
        shuffled = np.asarray(Image.open(folder / f"{path.stem}-shuffled.png"))
        solved = np.asarray(Image.open(row["solved"]))
        assert shuffled.shape == solved.shape == (40, 40, 3)
        for slot, tile in enumerate(row["truth"]):
            assert np.array_equal(part(shuffled, slot), part(original, tile))
        for slot, tile in enumerate(row["permutation"]):
            assert np.array_equal(part(shuffled, slot), part(solved, tile))
    again = rows(call(*arguments))
    assert [row["truth"] for row in again] == [row["truth"] for row in found]


def part(picture, index):
    row, column = divmod(index, 2)
    return picture[20 * row : 20 * row + 20, 20 * column : 20 * column + 20]


def test_solve_says_whether_it_was_right(call, pictures, tmp_path):
    shuffled = call("solve", pictures[0], "-o", tmp_path, "--shuffle", "--model", "textures")
    assert ", right)" in shuffled.stdout or ", wrong)" in shuffled.stdout
    plain = call("solve", pictures[0], "-o", tmp_path, "--model", "textures")
    assert "right" not in plain.stdout
    assert "wrong" not in plain.stdout
    assert "slots hold tiles [" in plain.stdout


@pytest.mark.parametrize("command", [["predict", "corners"], ["solve", "-o", "out"]])
def test_no_server(call, pictures, command):
    result = call(*command, pictures[0], "--timeout", "0.5", server="127.0.0.1:1")
    refused(result, "no model server answers at 127.0.0.1:1", "start one with `nightshift serve`")


def test_an_unknown_model(call, pictures, tmp_path):
    refused(call("predict", "nobody", pictures[0]), "model nobody", "nobody")
    refused(call("solve", pictures[0], "-o", tmp_path, "--model", "nobody"), "model nobody")


def test_the_wrong_kind_of_model(call, pictures, tmp_path):
    refused(call("predict", "textures", pictures[0]), "'textures'", "not a classifier")
    refused(
        call("solve", pictures[0], "-o", tmp_path / "out", "--model", "corners"), "'corners'", "not a puzzle solver"
    )
    assert not (tmp_path / "out").exists()


def test_what_is_no_picture(call, tmp_path):
    path = tmp_path / "text.png"
    path.write_text("not a picture")
    refused(call("solve", path, "-o", tmp_path, "--model", "textures"), "text.png: expected a JPEG or PNG picture")
    refused(call("predict", "corners", path), "text.png: ", "the image is neither a JPEG nor a PNG")


def test_a_bad_picture_does_not_keep_the_others_from_being_solved(call, pictures, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_text("not a picture")
    alone = call("solve", pictures[1], "-o", tmp_path / "alone", "--model", "textures", "--json")
    found = call("solve", bad, pictures[1], "-o", tmp_path / "out", "--model", "textures", "--json")
    assert found.exit_code == 1
    assert "bad.png: expected a JPEG or PNG picture" in found.stderr
    (row,) = map(json.loads, found.stdout.splitlines())
    assert row["permutation"] == json.loads(alone.stdout)["permutation"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"{pictures[1].stem}-solved.png"]


def test_a_huge_or_missing_file(call, tmp_path):
    huge = tmp_path / "huge.png"
    with open(huge, "wb") as file:
        file.truncate(33 << 20)
    refused(call("predict", "corners", huge), "huge.png: 34,603,008 bytes, at most")
    refused(call("solve", huge, "-o", tmp_path, "--model", "textures"), "huge.png: 34,603,008 bytes, at most")
    refused(call("predict", "corners", tmp_path / "none.png"), "none.png: cannot be read: No such file")


@pytest.mark.parametrize("arguments", [["predict"], ["predict", "corners"], ["solve", "x.png"], ["solve", "-o", "out"]])
def test_a_missing_argument_is_exit_code_2(call, arguments):
    result = call(*arguments)
    assert result.exit_code == 2
    assert "Missing" in result.stderr


def test_releases_lists_what_serves_first(call, server):
    found = rows(call("releases", "corners", "--json"))
    assert [row["status"] for row in found] == ["serving", "earlier"]
    assert found[0]["version"] > found[1]["version"]
    assert [row["metrics"] for row in found] == [{"accuracy": 0.6}, {"accuracy": 0.5}]
    everything = call("releases")
    assert [line.split()[0] for line in everything.stdout.splitlines()] == ["corners", "corners", "textures"]
    assert "accuracy 0.6000" in everything.stdout


def test_releases_of_nothing(call, tmp_path):
    refused(call("releases", "nobody"), "nothing has been released as nobody there")
    refused(CliRunner().invoke(main, ["releases", "--workspace", str(tmp_path)]), "nothing has been released there")


def test_a_workspace_is_a_folder(call):
    refused(CliRunner().invoke(main, ["releases", "--workspace", "gs://bucket/x"]), "workspace: found 'gs://bucket/x'")


def test_rolling_back_and_no_further(call, pictures):
    newest, older = (row["version"] for row in rows(call("releases", "corners", "--json")))
    refused(call("rollback", "corners", "7"), f"cannot roll back to version 7; earlier versions: {older}")
    result = call("rollback", "corners")
    assert result.exit_code == 0, result.output
    assert f"corners: version {older} serves again" in result.stdout
    assert rows(call("predict", "corners", pictures[0], "--json"))[0]["version"] == older
    found = rows(call("releases", "corners", "--json"))
    assert [(row["version"], row["status"]) for row in found] == [(newest, "rolled back"), (older, "serving")]
    assert "rolled back" in found[0]["reason"]
    refused(call("rollback", "corners"), "earlier versions: none")
    refused(call("rollback", "nobody"), "nobody: cannot roll back to an earlier version")


def test_version_and_help():
    assert "0." in CliRunner().invoke(main, ["--version"]).stdout
    listed = CliRunner().invoke(main, ["--help"]).stdout
    for command in ("predict", "solve", "serve", "releases", "rollback", "step"):
        assert command in listed


@pytest.mark.parametrize("step", ["train", "evaluate", "export", "deploy"])
def test_a_step_by_hand_says_which_comes_first(tmp_path, step):
    result = CliRunner().invoke(main, ["step", step, "--run", "r", "--workspace", str(tmp_path)])
    refused(result, "prepare_data has not been done; run `nightshift step prepare-data` first")


@pytest.mark.parametrize("name", ["../x", ".", "a/b", ""])
def test_a_run_has_a_plain_name(tmp_path, name):
    result = CliRunner().invoke(main, ["step", "report", "--run", name, "--workspace", str(tmp_path)])
    refused(result, f"run id {name!r}")


def test_as_processes_a_server_and_a_question(workspace, server, pictures):
    """`nightshift serve` on the store, asked by `nightshift predict`."""
    place, _ = workspace
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [NIGHTSHIFT, "serve", "--port", "0", "--workspace", place.root]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        try:
            target = process.stdout.readline().split()[-1]
            asked = subprocess.run(
                [NIGHTSHIFT, "predict", "corners", *pictures, "--server", target, "--json"],
                capture_output=True,
                text=True,
            )
            assert asked.returncode == 0, asked.stderr
            assert asked.stderr == ""
            versions = {json.loads(line)["version"] for line in asked.stdout.splitlines()}
            assert versions == {Store(place.models).state("corners").stable}
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("NIGHTSHIFT_SAMPLE_RATE", "banana"),
        ("NIGHTSHIFT_KEEP", "1"),
        ("NIGHTSHIFT_BAKE_SECONDS", "-1"),
        ("NIGHTSHIFT_SERVER", "nowhere"),
        ("NIGHTSHIFT_WORKSPACE", "gs://bucket"),
    ],
)
def test_nonsense_in_the_environment_keeps_nobody_from_the_help(variable, value, tmp_path):
    for command in ("predict", "rollback", "drift"):
        told = subprocess.run(
            [sys.executable, "-m", "nightshift.cli", command, "--help"],
            cwd=tmp_path,
            env=os.environ | {variable: value},
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.returncode == 0, told.stderr


@pytest.mark.parametrize(
    ("variable", "value", "field"),
    [
        ("NIGHTSHIFT_SAMPLE_RATE", "nan", "sample_rate"),
        ("NIGHTSHIFT_SAMPLE_RATE", "1.5", "sample_rate"),
        ("NIGHTSHIFT_KEEP", "1", "keep"),
        ("NIGHTSHIFT_BAKE_SECONDS", "-1", "bake_seconds"),
    ],
)
def test_a_wrong_number_in_the_environment_is_told_by_its_name_where_it_is_needed(variable, value, field, monkeypatch):
    monkeypatch.setenv(variable, value)
    found = settings()
    with pytest.raises(ConfigurationError, match=f"{variable}: found '{value}', expected"):
        getattr(found, field)
