"""The rules of life, with a loader that the test holds in its hand."""

import threading
import time

import pytest

from nightshift.protos import predict_pb2
from nightshift.serving.config import model_config, server_config
from nightshift.serving.manager import Manager, State
from nightshift.serving.status import StatusError, invalid_argument


class Loader:
    """Loads at once, or when its gate opens; the content of a file `broken` is the error that it raises."""

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.loaded, self.closed = [], []

    def __call__(self, path):
        self.gate.wait(10)
        self.loaded.append(int(path.name))
        if (path / "broken").exists():
            raise invalid_argument((path / "broken").read_text())
        if (path / "defect").exists():
            raise ZeroDivisionError("a defect")
        return Loaded(self, int(path.name))


class Loaded:
    def __init__(self, loader, number):
        self.loader, self.number = loader, number

    def close(self):
        self.loader.closed.append(self.number)


@pytest.fixture
def loader():
    return Loader()


@pytest.fixture
def manage(loader):
    managers = []

    def make(**options):
        managers.append(Manager(loader, **{"poll_seconds": 0.01, **options}))
        return managers[-1]

    yield make
    loader.gate.set()
    for manager in managers:
        manager.stop()


@pytest.fixture
def base(tmp_path):
    (tmp_path / "m").mkdir()
    return tmp_path / "m"


def config(base, **options):
    return server_config([model_config("m", base, **options)])


def spec(**choice):
    return predict_pb2.PredictRequest(model_spec={"name": "m", **choice}).model_spec


def latest(manager):
    with manager.serving(spec()) as version:
        return version.number


def states(manager):
    return {number: state.name for number, state, _ in manager.versions("m")}


def until(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.005)


def apply(manager, config, **options):
    new = manager.apply(config, **options)
    assert manager.wait_settled()
    return new


def test_the_old_version_answers_until_the_new_one_does(manage, loader, base):
    manager = manage()
    (base / "1").mkdir()
    apply(manager, config(base))
    loader.gate.clear()
    (base / "2").mkdir()
    until(lambda: states(manager).get(2) == "LOADING")
    assert latest(manager) == 1
    loader.gate.set()
    until(lambda: states(manager) == {2: "AVAILABLE", 1: "END"})
    assert latest(manager) == 2
    assert loader.closed == [1]


def test_a_version_that_fails_leaves_the_old_one_and_is_not_tried_again(manage, loader, base):
    manager = manage()
    (base / "1").mkdir()
    apply(manager, config(base))
    (base / "2").mkdir()
    (base / "2" / "broken").write_text("no good")
    until(lambda: states(manager) == {2: "END", 1: "AVAILABLE"})
    time.sleep(0.1)
    assert loader.loaded == [1, 2]
    assert manager.versions("m")[0][2].message == "no good"
    assert latest(manager) == 1


def test_a_failed_version_that_went_away_and_came_back_is_tried_again(manage, loader, base):
    manager = manage()
    (base / "1").mkdir()
    (base / "1" / "broken").write_text("no good")
    apply(manager, config(base))
    (base / "1").rename(base / "away")
    time.sleep(0.1)
    (base / "away" / "broken").unlink()
    (base / "away").rename(base / "1")
    until(lambda: states(manager) == {1: "AVAILABLE"})
    assert manager.versions("m")[0][2] is None


def test_a_defect_while_loading_is_the_end_of_the_version_and_not_of_the_loader(manage, base):
    manager = manage()
    (base / "1").mkdir()
    (base / "1" / "defect").touch()
    apply(manager, config(base))
    assert manager.versions("m")[0][2].code.name == "INTERNAL"
    (base / "2").mkdir()
    until(lambda: states(manager) == {2: "AVAILABLE", 1: "END"})


def test_removing_the_highest_version_brings_the_one_before_back(manage, base):
    manager = manage()
    for number in ("1", "2"):
        (base / number).mkdir()
    apply(manager, config(base))
    assert states(manager) == {2: "AVAILABLE"}
    (base / "2").rmdir()
    until(lambda: states(manager) == {2: "END", 1: "AVAILABLE"})


def test_removing_every_version_unloads_and_losing_the_folder_does_not(manage, base):
    manager = manage()
    (base / "1").mkdir()
    apply(manager, config(base))
    base.rename(base.parent / "away")
    time.sleep(0.1)
    assert latest(manager) == 1
    (base.parent / "away").rename(base)
    (base / "1").rmdir()
    until(lambda: states(manager) == {1: "END"})
    with pytest.raises(StatusError, match=r"Latest\(m\)"):
        latest(manager)


def test_a_version_is_freed_after_its_last_request(manage, loader, base):
    manager = manage()
    (base / "1").mkdir()
    apply(manager, config(base))
    with manager.serving(spec()) as version:
        (base / "2").mkdir()
        until(lambda: states(manager) == {2: "AVAILABLE", 1: "UNLOADING"})
        with pytest.raises(StatusError, match=r"Specific\(m, 1\)"), manager.serving(spec(version={"value": 1})):
            pass
        assert version.servable.number == 1
        assert loader.closed == []
    until(lambda: states(manager) == {2: "AVAILABLE", 1: "END"})
    assert loader.closed == [1]


def test_folders_are_listed_only_with_a_configuration_when_polling_is_off(manage, base):
    manager = manage(poll_seconds=0)
    (base / "1").mkdir()
    apply(manager, config(base))
    (base / "2").mkdir()
    time.sleep(0.1)
    assert states(manager) == {1: "AVAILABLE"}
    apply(manager, config(base))
    assert latest(manager) == 2


def test_a_configuration_replaces_the_whole_list(manage, base, tmp_path):
    manager = manage()
    (base / "1").mkdir()
    (tmp_path / "n" / "1").mkdir(parents=True)
    assert apply(manager, config(base)) == {"m"}
    assert apply(manager, server_config([model_config("n", tmp_path / "n")])) == {"n"}
    until(lambda: states(manager) == {1: "END"})
    assert manager.versions("n") == [(1, State.AVAILABLE, None)]


def test_a_label_names_an_available_version(manage, base):
    manager = manage()
    for number in ("1", "2"):
        (base / number).mkdir()
    apply(manager, config(base, versions=[1]))
    with pytest.raises(StatusError) as error:
        manager.apply(config(base, versions=[1, 2], labels={"stable": 2}))
    assert error.value.code.name == "FAILED_PRECONDITION"
    assert error.value.message == (
        "Request to assign label to version 2 of model m, which is not currently available for inference"
    )
    time.sleep(0.05)
    assert states(manager) == {1: "AVAILABLE"}, "a refused configuration changes nothing"
    apply(manager, config(base, versions=[1, 2]))
    apply(manager, config(base, versions=[1, 2], labels={"stable": 2}))
    with manager.serving(spec(version_label="stable")) as version:
        assert version.number == 2


def test_a_new_label_may_name_what_is_not_there_if_allowed_but_an_old_one_may_not_move_there(manage, base):
    manager = manage(labels_for_unavailable=True)
    (base / "1").mkdir()
    apply(manager, config(base, labels={"stable": 1}))
    apply(manager, config(base, labels={"stable": 1, "next": 7}))
    with pytest.raises(StatusError, match=r"Specific\(m, 7\)"), manager.serving(spec(version_label="next")):
        pass
    with pytest.raises(StatusError, match="which is not currently available"):
        manager.apply(config(base, labels={"stable": 7}))


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([model_config("m", "/m"), model_config("m", "/n")], "multiple times"),
        ([model_config("", "/m")], "without a name"),
        ([model_config("m", "relative")], "absolute path"),
        ([model_config("m", "gs://bucket/m")], "absolute path"),
    ],
)
def test_a_configuration_that_cannot_be_served_is_refused_and_changes_nothing(manage, base, models, message):
    manager = manage()
    (base / "1").mkdir()
    apply(manager, config(base))
    with pytest.raises(StatusError, match=message) as error:
        manager.apply(server_config(models))
    assert error.value.code.name == "INVALID_ARGUMENT"
    assert latest(manager) == 1


def test_a_new_model_needs_a_version_where_that_is_required(manage, base, tmp_path):
    manager = manage()
    with pytest.raises(StatusError, match="Unable to find a numerical version path for servable m"):
        manager.apply(config(base), require_versions=True)
    with pytest.raises(StatusError, match="Could not find base path"):
        manager.apply(config(tmp_path / "none"), require_versions=True)
    assert manager.versions("m") == []


def test_what_did_not_become_available_is_said(manage, base):
    manager = manage()
    (base / "1").mkdir()
    (base / "1" / "broken").write_text("no good")
    new = apply(manager, config(base))
    with pytest.raises(StatusError) as error:
        manager.check_available(new)
    assert error.value.code.name == "UNKNOWN"
    assert error.value.message == (
        "1 model(s) did not become available: {{{name: m version: 1} due to error: INVALID_ARGUMENT: no good}, }"
    )


def test_waiting_ends_when_nobody_waits(manage, loader, base):
    manager = manage()
    loader.gate.clear()
    (base / "1").mkdir()
    manager.apply(config(base))
    assert not manager.wait_settled(waiting=lambda: False)


def test_stopping_frees_what_is_loaded_and_does_not_load_what_waits(loader, base):
    manager = Manager(loader, poll_seconds=0)
    for number in ("1", "2"):
        (base / number).mkdir()
    manager.apply(config(base, versions=[1, 2]))
    assert manager.wait_settled()
    manager.stop()
    assert sorted(loader.closed) == [1, 2]


def test_a_version_that_fails_is_tried_again_and_is_loading_meanwhile(manage, loader, base):
    (base / "1").mkdir()
    (base / "1" / "broken").write_text("not yet")
    manager = manage(load_retries=3, load_retry_seconds=0.1)
    manager.apply(config(base))
    until(lambda: loader.loaded == [1, 1])
    assert manager.versions("m") == [(1, State.LOADING, None)]
    (base / "1" / "broken").unlink()
    assert manager.wait_settled()
    assert manager.versions("m") == [(1, State.AVAILABLE, None)]
    assert len(loader.loaded) <= 4


def test_a_version_that_goes_on_failing_is_at_its_end_and_stays_there(manage, loader, base):
    (base / "1").mkdir()
    (base / "1" / "broken").write_text("never")
    manager = manage(load_retries=2)
    manager.apply(config(base))
    assert manager.wait_settled()
    time.sleep(0.1)
    assert loader.loaded == [1, 1, 1]
    ((_, state, error),) = manager.versions("m")
    assert (state, error.message) == (State.END, "never")


@pytest.mark.parametrize("how", ["no longer asked for", "stopped"])
def test_the_pause_before_another_try_ends_when_nobody_waits_for_it(manage, loader, base, how):
    (base / "1").mkdir()
    (base / "1" / "broken").write_text("never")
    manager = manage(load_retries=5, load_retry_seconds=3600)
    manager.apply(config(base))
    until(lambda: loader.loaded == [1])
    if how == "stopped":
        manager.stop()
    else:
        manager.apply(server_config([]))
        until(lambda: manager.versions("m")[0][1] is State.END)
    assert loader.loaded == [1]
