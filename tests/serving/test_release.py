"""Releases and rollbacks on a running server: whatever goes wrong, `stable` names a version that was proven."""

import contextlib
import itertools
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from version_folder import X, write_version

from nightshift.errors import ReleaseError, ServingError, StoreError
from nightshift.serving.client import Client
from nightshift.serving.config import model_config, server_config
from nightshift.serving.embedded import server as embedded
from nightshift.serving.ledger import Event
from nightshift.serving.manifest import check_manifest, write_manifest
from nightshift.serving.release import release, rollback, serving_version
from nightshift.serving.store import STABLE, Store

KILLED = Path(__file__).parent / "killed_release.py"


@pytest.fixture(scope="session")
def times(tmp_path_factory):
    """Gives the version folder of y = factor * x."""
    made = {}
    root = tmp_path_factory.mktemp("times")

    def make(factor):
        if factor not in made:
            made[factor] = write_version(root / f"times-{factor}", factor)
        return made[factor]

    return make


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_BAKE_SECONDS", "0.1")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def serve(store, launch):
    """Starts a server on what the store's ledgers say, as `nightshift serve` does."""
    return lambda: launch(store.server_config(), labels_for_unavailable=True)[1]


@pytest.fixture
def client(serve):
    return serve()


def answer(client, model="m"):
    """The factor that `stable` multiplies by."""
    return client.predict(model, {"x": X}).outputs["y"].tolist()[0]


def available(client, model="m"):
    return {status.version for status in client.status(model) if status.state == "AVAILABLE"}


def kinds(store, model="m"):
    return [event.kind for event in store.ledger(model).events()]


def consistent(store, client, model="m"):
    """The server's label and list are the ledger's, and every version on disk is whole."""
    state = store.state(model)
    assert state.pending is None
    assert serving_version(client, model) == state.stable
    for path in (store.root / model).iterdir():
        if path.name.isdigit():
            check_manifest(path)
        else:
            assert path.name == "ledger"
    client.predict(model, {"x": X}, version=state.stable)


@contextlib.contextmanager
def hammering(client, model="m"):
    """Asks `stable` all the time; gives the answers, each (version, factor), and fails if a request fails."""
    answers, failures, done = [], [], threading.Event()

    def ask():
        with Client(client.target, retries=0) as own:
            while not done.is_set():
                try:
                    prediction = own.predict(model, {"x": X})
                    answers.append((prediction.version, prediction.outputs["y"].tolist()[0]))
                except ServingError as error:
                    failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        done.set()
        thread.join()
    assert failures == []


def test_a_release_is_published_proven_and_named_stable(store, client, times):
    released = release(store, "m", times(2), client)
    assert (released.predecessor, released.unchanged) == (0, False)
    assert answer(client) == 2
    assert kinds(store) == ["published", "approved", "promoted"]
    facts = store.state("m").published[released.version]
    assert facts["metrics"] == {"accuracy": 0.5}
    assert facts["recipe"] == "times-2"
    consistent(store, client)


def test_the_label_moves_to_the_next_one_and_the_one_before_leaves_the_server(store, client, times):
    first = release(store, "m", times(2), client)
    second = release(store, "m", times(3), client)
    assert second.version > first.version
    assert second.predecessor == first.version
    assert answer(client) == 3
    assert available(client) <= {second.version, first.version}
    assert first.version not in {s.version for s in client.status("m") if s.state in ("START", "LOADING")}
    with pytest.raises(ServingError, match="Servable not found"):
        client.predict("m", {"x": X}, version=first.version)


def test_the_very_same_model_is_recognised(store, client, times, tmp_path):
    first = release(store, "m", times(2), client)
    copy = shutil.copytree(times(2), tmp_path / "copy")
    again = release(store, "m", copy, client)
    assert again.unchanged
    assert again.version == first.version
    assert kinds(store) == ["published", "approved", "promoted"]


def test_the_same_model_may_come_back_after_another(store, client, times):
    release(store, "m", times(2), client)
    release(store, "m", times(3), client)
    assert not release(store, "m", times(2), client).unchanged
    assert answer(client) == 2


def alter_graph(folder):
    (folder / "saved_model.pb").write_bytes(b"not a graph")


def truncate_shard(folder):
    shard = folder / "variables" / "variables.data-00000-of-00001"
    shard.write_bytes(shard.read_bytes()[:-1])


def drop_variables(folder):
    shutil.rmtree(folder / "variables")


def drop_golden(folder):
    (folder / "assets.extra" / "golden.npz").unlink()


def damage_warm_up(folder):
    (folder / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"not a record")


@pytest.mark.parametrize("damage", [alter_graph, truncate_shard, drop_variables, drop_golden, damage_warm_up])
def test_a_broken_version_with_a_fitting_manifest_is_refused(store, client, times, tmp_path, damage):
    first = release(store, "m", times(2), client)
    broken = shutil.copytree(times(3), tmp_path / "broken")
    damage(broken)
    write_manifest(broken)
    with hammering(client), pytest.raises(ReleaseError, match=rf"refused, version {first.version} still serves"):
        release(store, "m", broken, client)
    assert answer(client) == 2
    ((refused, reason),) = store.state("m").refused.items()
    assert reason
    assert refused not in available(client)
    consistent(store, client)


def test_wrong_answers_are_refused_and_the_ledger_says_why(store, client, times, tmp_path):
    release(store, "m", times(2), client)
    skewed = write_version(tmp_path / "skewed", 3, golden_factor=3.5)
    with hammering(client) as answers, pytest.raises(ReleaseError, match=r"'y': .* off by 1\.5 from"):
        release(store, "m", skewed, client)
    assert {factor for _, factor in answers} == {2.0}
    ((refused, reason),) = store.state("m").refused.items()
    assert "off by 1.5" in reason
    assert refused not in available(client)
    consistent(store, client)


def test_a_first_release_that_is_refused_leaves_nothing_served(store, client, tmp_path):
    skewed = write_version(tmp_path / "skewed", 3, golden_factor=3.5)
    with pytest.raises(ReleaseError, match="refused, nothing serves"):
        release(store, "m", skewed, client)
    assert serving_version(client, "m") == 0
    assert available(client) == set()


@pytest.mark.parametrize("damage", [alter_graph, truncate_shard, drop_variables, drop_golden])
def test_what_is_not_as_its_manifest_says_is_not_even_published(store, client, times, tmp_path, damage):
    release(store, "m", times(2), client)
    broken = shutil.copytree(times(3), tmp_path / "broken")
    damage(broken)
    before = kinds(store)
    with pytest.raises(StoreError, match=str(broken)):
        release(store, "m", broken, client)
    assert kinds(store) == before
    assert answer(client) == 2


def test_a_folder_that_is_no_version_is_named(store, client, tmp_path):
    with pytest.raises(StoreError, match=r"manifest\.json: not there"):
        release(store, "m", tmp_path, client)


@pytest.mark.parametrize("card", ["", "[]", "{}", '{"recipe": {}, "recipe_key": "", "metrics": {}}', '{"recipe": 3}'])
def test_a_version_without_a_usable_card_is_not_published(store, client, times, tmp_path, card):
    copy = shutil.copytree(times(2), tmp_path / "copy")
    (copy / "assets.extra" / "card.json").write_text(card)
    write_manifest(copy)
    with pytest.raises(StoreError, match=r"card\.json: no readable model card"):
        release(store, "m", copy, client)
    assert not [path for path in (store.root / "m").glob("*") if path.name.isdigit()]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../m", "a b", "a.b"])
def test_a_model_has_a_plain_name(store, client, times, name):
    with pytest.raises((StoreError, ServingError)):
        release(store, name, times(2), client)
    assert not store.root.exists() or [path.name for path in store.root.iterdir()] == [".lock"]


def test_nothing_is_published_when_no_server_answers(store, times):
    with Client("127.0.0.1:1", timeout=0.3) as nobody, pytest.raises(ServingError, match="no model server answers"):
        release(store, "m", times(2), nobody)
    assert store.models() == []


@pytest.mark.parametrize(
    "act",
    [
        lambda store, folder, client: release(store, "m", folder, client),
        lambda store, folder, client: rollback(store, "m", client),
    ],
    ids=["release", "rollback"],
)
def test_the_server_of_another_store_is_left_alone(store, client, times, tmp_path, act):
    release(store, "m", times(2), client)
    other = Store(tmp_path / "other")
    with hammering(client), pytest.raises(StoreError, match="is not there; is the server another store's"):
        act(other, times(3), client)
    with hammering(client), pytest.raises(ReleaseError, match="earlier versions: none"):
        rollback(other, "unknown", client)
    assert other.models() == []


# Rolling back


@pytest.fixture
def three(store, client, times):
    return [release(store, "m", times(factor), client).version for factor in (2, 3, 4)]


def test_rolling_back_gives_the_one_before_and_then_the_one_before_that(store, client, three):
    assert rollback(store, "m", client).version == three[1]
    assert answer(client) == 3
    assert rollback(store, "m", client).version == three[0]
    assert answer(client) == 2
    assert available(client) <= {three[0], three[1]}
    consistent(store, client)


def test_rolling_back_to_an_older_one(store, client, three):
    with hammering(client) as answers:
        assert rollback(store, "m", client, three[0]).predecessor == three[2]
    assert answer(client) == 2
    assert answers == sorted(answers, reverse=True), "once changed, never back"
    assert store.state("m").refused.keys() == {three[1], three[2]}
    with pytest.raises(ReleaseError, match="earlier versions: none; rolled back, and can be named: "):
        rollback(store, "m", client)


def test_rolling_forward_again_to_what_was_rolled_back(store, client, three):
    rollback(store, "m", client, three[1])
    with hammering(client):
        assert rollback(store, "m", client, three[2]).predecessor == three[1]
    assert answer(client) == 4
    state = store.state("m")
    assert (state.serving, state.refused, state.rolled_back) == (tuple(three), {}, frozenset())
    assert rollback(store, "m", client).version == three[1]
    consistent(store, client)


def test_what_was_refused_or_is_gone_does_not_serve_by_being_named(store, client, three, tmp_path):
    with pytest.raises(ReleaseError):
        release(store, "m", write_version(tmp_path / "skewed", 5, golden_factor=6), client)
    (refused,) = store.state("m").refused
    with pytest.raises(ReleaseError, match=f"cannot roll back to version {refused}; "):
        rollback(store, "m", client, refused)
    rollback(store, "m", client)
    store.ledger("m").append(Event("removed", three[2], "no room"))
    with pytest.raises(ReleaseError, match=f"to version {three[2]}, which was removed, .*no room; earlier versions: "):
        rollback(store, "m", client, three[2])
    assert answer(client) == 3


@pytest.mark.parametrize("act", ["release", "rollback"])
def test_a_server_that_names_a_version_the_ledger_does_not_is_brought_back(store, launch, times, three, act):
    folder = store.root / "m"
    other = server_config([model_config("m", folder, versions=[three[0]], labels={STABLE: three[0]})])
    client = launch(other, labels_for_unavailable=True)[1]
    deadline = time.monotonic() + 20
    while not serving_version(client, "m"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert answer(client) == 2
    with hammering(client):
        if act == "release":
            assert release(store, "m", times(5), client).predecessor == three[2]
        else:
            assert rollback(store, "m", client).version == three[1]
    assert answer(client) == (5 if act == "release" else 3)
    consistent(store, client)


@pytest.mark.parametrize("wanted", [1, -1, "present"])
def test_a_version_that_never_served_cannot_serve_again(store, client, three, wanted):
    version = three[2] if wanted == "present" else wanted
    with pytest.raises(
        ReleaseError, match=f"cannot roll back to version {version}; .*earlier versions: {three[1]}, {three[0]}"
    ):
        rollback(store, "m", client, version)
    assert answer(client) == 4


def test_rolling_back_an_unknown_model_or_a_first_release(store, client, times):
    with pytest.raises(ReleaseError, match="an earlier version; earlier versions: none"):
        rollback(store, "m", client)
    release(store, "m", times(2), client)
    with pytest.raises(ReleaseError, match="earlier versions: none"):
        rollback(store, "m", client)


@pytest.mark.parametrize("damage", [truncate_shard, shutil.rmtree])
def test_a_damaged_version_does_not_serve_again(store, client, three, damage):
    damage(store.root / "m" / str(three[1]))
    with hammering(client), pytest.raises(ReleaseError, match=f"{three[1]} cannot serve, {three[2]} still does"):
        rollback(store, "m", client)
    assert answer(client) == 4
    assert rollback(store, "m", client, three[0]).version == three[0]


def test_rolling_back_at_once_to_a_version_that_is_still_being_unloaded(store, client, times):
    first = release(store, "m", times(2), client).version
    with hammering(client):
        for _ in range(4):
            release(store, "m", times(3), client)
            assert rollback(store, "m", client).version == first


# More than one at a time


def test_no_request_fails_and_none_is_answered_by_something_unproven(store, client, times):
    release(store, "m", times(2), client)
    with hammering(client) as answers:
        for factor in (3, 4, 5):
            release(store, "m", times(factor), client)
        rollback(store, "m", client)
    factors = [factor for _, factor in answers]
    assert set(factors) <= {2, 3, 4, 5}
    assert len(set(answers)) == len({version for version, _ in answers}), "a version answers one way only"
    changes = [factors[0]] + [b for a, b in itertools.pairwise(factors) if a != b]
    assert changes == [f for f in (2, 3, 4, 5, 4) if f in changes] or changes == [2, 3, 4, 5, 4]


def test_two_models_in_one_store_leave_each_other_alone(store, client, times, tmp_path):
    release(store, "one", times(2), client)
    release(store, "two", times(3), client)
    with hammering(client, "one") as answers:
        release(store, "two", times(4), client)
        with pytest.raises(ReleaseError):
            release(store, "two", write_version(tmp_path / "skewed", 5, golden_factor=6), client)
        rollback(store, "two", client)
    assert {factor for _, factor in answers} == {2.0}
    assert answer(client, "two") == 3
    consistent(store, client, "one")


def test_two_processes_release_one_after_the_other(store, client, times):
    release(store, "m", times(2), client)
    command = [sys.executable, KILLED, store.root, "m", client.target, "never", "0"]
    with hammering(client):
        processes = [
            subprocess.Popen([*command, times(factor)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for factor in (3, 4)
        ]
        said = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert kinds(store) == ["published", "approved", "promoted"] * 3
    assert len(set(store.state("m").serving)) == 3
    assert answer(client) == {"times-3": 3, "times-4": 4}[store.state("m").published[store.state("m").stable]["recipe"]]
    consistent(store, client)


def test_a_server_started_anew_serves_what_the_ledger_says(store, serve, times):
    client = serve()
    release(store, "one", times(2), client)
    release(store, "one", times(3), client)
    release(store, "two", times(4), client)
    rollback(store, "one", client)
    new = serve()
    assert (answer(new, "one"), answer(new, "two")) == (2, 4)
    assert available(new, "one") == {store.state("one").stable}


# Killed


def killed(store, target, when, number, saved_model=""):
    """Whether the process got as far as that step."""
    command = [sys.executable, KILLED, store.root, "m", target, when, str(number), str(saved_model)]
    code = subprocess.run(command, stdout=subprocess.DEVNULL, timeout=60).returncode
    assert code in (0, -signal.SIGKILL)
    return code != 0


# settle: reload; rename, published, load, approved, label, promoted, reload
RELEASE_STEPS = range(1, 9)
# settle: reload; load, label, rolled_back, reload
ROLLBACK_STEPS = range(1, 6)


@pytest.mark.parametrize("number", RELEASE_STEPS)
def test_a_killed_release_is_finished_or_undone_by_the_next(store, serve, client, times, number):
    first = release(store, "m", times(2), client).version
    with hammering(client) as answers:
        assert killed(store, client.target, "after", number, times(3))
        assert release(store, "m", times(4), client).predecessor >= first
    assert answer(client) == 4
    factors = [factor for _, factor in answers]
    assert factors == sorted(factors), "never back to an older one"
    consistent(store, client)
    assert available(serve()) == {store.state("m").stable}


@pytest.mark.parametrize("number", RELEASE_STEPS)
def test_a_killed_release_is_settled_on_a_server_that_was_started_since(store, serve, launch, times, number):
    release(store, "m", times(2), serve())
    assert killed(store, serve().target, "after", number, times(3))
    client = serve()
    assert answer(client) in (2, 3)
    with hammering(client):
        release(store, "m", times(4), client)
    assert answer(client) == 4
    consistent(store, client)


@pytest.mark.parametrize("number", RELEASE_STEPS[:-1])  # with nothing released there is nothing to settle
def test_a_killed_first_release_too(store, client, times, number):
    assert killed(store, client.target, "after", number, times(2))
    release(store, "m", times(3), client)
    assert answer(client) == 3
    consistent(store, client)


@pytest.mark.parametrize("number", ROLLBACK_STEPS)
def test_a_killed_rollback_has_happened_or_not(store, client, times, number):
    versions = [release(store, "m", times(factor), client).version for factor in (2, 3)]
    with hammering(client):
        assert killed(store, client.target, "after", number)
        stable = store.state("m").stable
        assert stable in versions
        assert release(store, "m", times(4), client).predecessor == stable
    assert answer(client) == 4
    consistent(store, client)


def test_there_are_no_further_steps_to_be_killed_at(store, client, times):
    release(store, "m", times(2), client)
    assert not killed(store, client.target, "after", len(RELEASE_STEPS) + 1, times(3))
    assert not killed(store, client.target, "after", len(ROLLBACK_STEPS) + 1)


def test_an_approved_version_that_no_longer_loads_is_given_up_and_the_new_one_released(store, serve, client, times):
    release(store, "m", times(2), client)
    assert killed(store, client.target, "after", 5, times(3))
    assert kinds(store)[-1] == "approved"
    version = store.state("m").pending[0]
    truncate_shard(store.root / "m" / str(version))
    client = serve()
    with hammering(client):
        release(store, "m", times(4), client)
    assert version in store.state("m").refused
    assert answer(client) == 4


def test_a_version_too_many_leaves_the_server_even_if_nothing_is_released(store, client, times):
    first = release(store, "m", times(2), client).version
    assert killed(store, client.target, "after", 4, times(3))
    deadline = time.monotonic() + 20
    while len(available(client)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert release(store, "m", times(2), client).unchanged
    assert available(client) == {first}


def test_what_a_killed_copy_left_goes_with_the_next_release(store, client, times):
    release(store, "m", times(2), client)
    assert killed(store, client.target, "before", 2, times(3))
    assert list((store.root / "m").glob(".*.partial"))
    release(store, "m", times(3), client)
    assert not list((store.root / "m").glob(".*.partial"))


def test_the_ledger_is_readable_by_itself(store, client, times):
    version = release(store, "m", times(2), client).version
    files = sorted((store.root / "m" / "ledger").iterdir())
    assert [json.loads(file.read_text())["kind"] for file in files] == ["published", "approved", "promoted"]
    assert client.predict("m", {"x": np.float32([5])}, label=STABLE).version == version


def test_releases_need_no_poll_of_the_folders(store, times):
    options = embedded.ServerOptions(poll_seconds=0, labels_for_unavailable=True)
    server = embedded.start(store.server_config(), options=options)
    try:
        with Client(f"127.0.0.1:{server.port}") as client:
            release(store, "m", times(2), client)
            release(store, "m", times(3), client)
            assert answer(client) == 3
    finally:
        server.stop()
