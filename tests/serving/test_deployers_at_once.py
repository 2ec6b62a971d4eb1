"""Two processes at once, with the store on disk and in a bucket: one after the other, and no event is lost."""

import subprocess
import sys
from pathlib import Path

import pytest
from bucket_reader import client_of
from emulator import emulated
from release_process import QUICK, RULES
from version_folder import X, write_version

from nightshift.errors import StoreError
from nightshift.serving import object_lock
from nightshift.serving.config import server_config
from nightshift.serving.release import release, serving_version
from nightshift.serving.releasing import Releasing
from nightshift.serving.store import open_store

PROGRAM = Path(__file__).parent / "release_process.py"
QUIET = lambda text: None  # noqa: E731


@pytest.fixture(scope="module")
def bucket():
    with emulated("data") as found:
        yield found


@pytest.fixture(params=["disk", "bucket"])
def store(request, tmp_path, monkeypatch):
    url = str(tmp_path / "store")
    if request.param == "bucket":
        request.getfixturevalue("bucket")
        url = f"gs://data/{tmp_path.name}"
        for name, value in QUICK.items():
            monkeypatch.setattr(object_lock, name, value)
    monkeypatch.setenv("NIGHTSHIFT_STORE", url)
    return open_store(tmp_path / "here")


@pytest.fixture
def target(launch):
    return f"127.0.0.1:{launch(server_config([]), labels_for_unavailable=True)[0].port}"


def test_two_processes_release_one_after_the_other(store, target, tmp_path):
    folders = [write_version(tmp_path / str(factor), factor) for factor in (2, 3, 4)]
    with client_of(store, target, tmp_path / "copies") as client:
        release(store, "m", folders[0], client, QUIET, RULES)
        processes = [
            subprocess.Popen(
                [sys.executable, str(PROGRAM), target, str(tmp_path / "copies"), "m", str(folder)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for folder in folders[1:]
        ]
        said = [process.communicate(timeout=120) for process in processes]
        assert [process.returncode for process in processes] == [0, 0], said
        assert any("waiting for process" in output for output, _ in said)
        events = store.ledger("m").events()
        assert [event.kind for event in events] == ["published", "approved", "promoted"] * 3
        assert [event.version for event in events] == sorted(event.version for event in events)
        state = store.state("m")
        factor = float(state.published[state.stable]["recipe"].removeprefix("times-"))
        assert serving_version(client, "m") == state.stable
        assert client.predict("m", {"x": X}).outputs["y"].tolist()[0] == factor


@pytest.mark.parametrize("store", ["bucket"], indirect=True)
def test_a_deployer_that_stood_still_for_too_long_changes_nothing_more(store, target, tmp_path, monkeypatch):
    folders = [write_version(tmp_path / str(factor), factor) for factor in (2, 3, 4)]
    copies = tmp_path / "copies"
    with client_of(store, target, copies) as client, client_of(store, target, copies) as other:
        release(store, "m", folders[0], client, QUIET, RULES)
        shadow = Releasing._shadow

        def stands_still(self, version, probes):
            """Nothing of this process runs for a while, the renewal of its lock included; others take over."""
            monkeypatch.setattr(Releasing, "_shadow", shadow)
            self.hold._kept = False
            monkeypatch.setattr(object_lock, "HOLD_SECONDS", 0.0)
            release(open_store(tmp_path / "other"), "m", folders[2], other, QUIET, RULES)
            return shadow(self, version, probes)

        monkeypatch.setattr(Releasing, "_shadow", stands_still)
        with pytest.raises(StoreError, match=r"another process took the lock over, for this one stood still too long"):
            release(store, "m", folders[1], client, QUIET, RULES)
        kinds = [event.kind for event in store.ledger("m").events()]
        # The second one published; the third gave that up, and began to serve.
        assert kinds == [*("published", "approved", "promoted"), *("published", "refused"), *kinds[-3:]]
        assert kinds[-3:] == ["published", "approved", "promoted"]
        assert client.predict("m", {"x": X}).outputs["y"].tolist()[0] == 4
        assert serving_version(client, "m") == store.state("m").stable
