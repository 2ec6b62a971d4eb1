"""From `bundled:mtcnn` to a picture with boxes: steps, a real server process, the command."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from nightshift.cli import main
from nightshift.data.bundled import package_folder
from nightshift.errors import ConfigurationError, ReleaseError
from nightshift.serving.process import server_process
from nightshift.serving.store import open_store
from nightshift.steps.deploy import deploy
from nightshift.steps.import_model import import_model
from nightshift.steps.report import report
from nightshift.workspace import Workspace

ASTRONAUT = package_folder("skimage") / "data" / "astronaut.png"
CAT = package_folder("skimage") / "data" / "chelsea.png"
BOX = (0.12, 0.35, 0.33, 0.52)


class Place:
    def __init__(self, folder, server):
        self.workspace, self.server = Workspace(folder), server
        self.store = open_store(self.workspace.models)

    def import_model(self, run, **changes):
        arguments = {"task": "detection", "model": "detection", "source": "bundled:mtcnn", "server": self.server}
        return import_model(self.workspace.run(run), self.workspace, self.store, **arguments | changes)

    def deploy(self, run, saved_model):
        run = self.workspace.run(run)
        return deploy(run, self.store, model="detection", saved_model=saved_model, server=self.server)

    def detect(self, *arguments):
        return CliRunner().invoke(main, ["detect", *map(str, arguments), "--server", self.server])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A workspace, its server, and the face detector released to it."""
    folder = tmp_path_factory.mktemp("workspace")
    with server_process(["-m", "nightshift.cli", "serve", "--port", "0", "--workspace", str(folder)]) as server:
        place = Place(folder, server)
        imported = place.import_model("first")
        assert imported.due
        assert place.deploy("first", imported.saved_model).predecessor == 0
        yield place


def test_the_astronauts_face_is_found_and_drawn(place, tmp_path):
    result = place.detect(ASTRONAUT, "-o", tmp_path / "out.png", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    (face,) = told["detections"]
    assert face["name"] == "Human face"
    assert face["score"] > 0.99
    np.testing.assert_allclose(face["box"], BOX, atol=0.015)
    before, after = (np.asarray(Image.open(file).convert("RGB"), int) for file in (ASTRONAUT, tmp_path / "out.png"))
    assert before.shape == after.shape
    changed = np.argwhere((before != after).any(axis=2))
    assert len(changed) > 200
    (top, left), (bottom, right) = changed.min(axis=0), changed.max(axis=0)
    assert top < BOX[0] * 512  # the name stands above the box
    assert left == pytest.approx(BOX[1] * 512, abs=6)
    assert bottom == pytest.approx(BOX[2] * 512, abs=6)
    assert right >= BOX[3] * 512 - 6
    assert (before[100:160, 190:255] == after[100:160, 190:255]).all()  # the face itself is not painted over


def test_several_photographs_go_into_a_folder_and_one_that_is_none_is_told(place, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"nothing")
    result = place.detect(ASTRONAUT, CAT, tmp_path / "broken.png", "-o", tmp_path / "many")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{ASTRONAUT}: Human face (99.9%) at x 0.35 to 0.52")
    assert lines[1] == f"{CAT}: nothing with a score of 0.5 or more"
    assert "broken.png is neither a JPEG nor a PNG" in result.stderr
    assert {file.name for file in (tmp_path / "many").iterdir()} == {"astronaut-detected.png", "chelsea-detected.png"}


def test_the_highest_score_asked_for_leaves_nothing(place, tmp_path):
    result = place.detect(ASTRONAUT, "-o", tmp_path / "out.png", "--score", "1")
    assert result.stdout == f"{ASTRONAUT}: nothing with a score of 1 or more\n"
    assert (np.asarray(Image.open(tmp_path / "out.png")) == np.asarray(Image.open(ASTRONAUT).convert("RGB"))).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "out.jpg"], "expected a file that ends with .png"),
        (["-o", "out.png", "--model", "digits"], "model digits: INVALID_ARGUMENT"),
    ],
)
def test_mistakes_are_told_in_words(arguments, message, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = place.detect(ASTRONAUT, *arguments)
    assert result.exit_code != 0
    assert message in result.output
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())


def test_the_same_content_again_is_nothing_to_do(place):
    again = place.import_model("second")
    assert not again.due
    version = place.store.state("detection").stable
    assert again.reason == f"nothing to do: version {version} of detection serves, imported from the same content"
    assert again.saved_model == place.store.version_path("detection", version)
    assert place.workspace.run("second").statuses()["export"]["figures"]["release"] is False
    with pytest.raises(ReleaseError, match="evaluate the model first"):
        place.deploy("second", again.saved_model)


def test_the_report_shows_signatures_and_card(place):
    page = report(place.workspace.run("first")).read_text()
    for text in ("default, serve_bytes", "bundled:mtcnn", "detection_landmarks", "Released version"):
        assert text in page


def test_a_trained_task_or_a_bad_name_is_refused_before_anything_is_fetched(place):
    with pytest.raises(ConfigurationError, match="trained, not imported"):
        place.import_model("third", task="digits")
    with pytest.raises(Exception, match="expected letters, digits"):
        place.import_model("third", model="../digits")


def test_what_evaluate_refused_is_not_released_for_an_import_of_the_same_run(place):
    run = place.workspace.run("first").path
    (run / "evaluate").mkdir()
    (run / "evaluate" / "evaluation.json").write_text(json.dumps({"decision": {"blessed": False, "reason": "worse"}}))
    with pytest.raises(ReleaseError, match="since evaluate did not bless it: worse"):
        place.deploy("first", run)
