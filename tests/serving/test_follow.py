"""A model configuration file that changes while the server runs."""

import threading
import time

import pytest

from nightshift.serving.config import model_config, read_config, server_config
from nightshift.serving.embedded.follow import follow
from nightshift.serving.status import failed_precondition


def config(*versions):
    return server_config([model_config("m", "/models/m", versions=versions)])


@pytest.fixture
def following(tmp_path):
    """The file, and the configurations applied since; an entry of `refusals` is raised instead."""
    file, applied, refusals, stopping = tmp_path / "models.config", [], [], threading.Event()
    file.write_text(str(config(1)))

    def apply(found):
        if refusals:
            raise refusals.pop()
        applied.append(found)

    thread = threading.Thread(target=follow, args=(file, read_config(file), 0.01, apply, stopping))
    thread.start()
    yield file, applied, refusals
    stopping.set()
    thread.join()


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.005)


def test_a_change_is_applied_once(following):
    file, applied, _ = following
    time.sleep(0.1)
    assert applied == []
    file.write_text(str(config(1, 2)))
    until(lambda: applied)
    time.sleep(0.1)
    assert applied == [config(1, 2)]


def test_one_that_cannot_be_read_is_logged_once_and_waited_for(following, caplog):
    file, applied, _ = following
    file.write_text("half wri")
    until(lambda: "not applied" in caplog.text)
    time.sleep(0.1)
    assert caplog.text.count("not applied") == 1
    file.unlink()
    until(lambda: caplog.text.count("not applied") == 2)
    file.write_text(str(config(2)))
    until(lambda: applied == [config(2)])


def test_one_that_is_refused_is_tried_again(following, caplog):
    file, applied, refusals = following
    refusals += [failed_precondition("version 2 is not available")] * 2
    file.write_text(str(config(2)))
    until(lambda: applied == [config(2)])
    assert caplog.text.count("version 2 is not available") == 1
