"""A candidate beside the champion and in its bake, on a running server: refused with the reason, or it serves."""

import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from version_folder import Times, X, facts, write_version

from nightshift.errors import ReleaseError
from nightshift.protos import predict_pb2
from nightshift.serving import bake as bake_module
from nightshift.serving import folder as folder_module
from nightshift.serving.card import write_card
from nightshift.serving.client import Client
from nightshift.serving.golden import Golden
from nightshift.serving.ledger import Event
from nightshift.serving.manifest import write_manifest
from nightshift.serving.release import release, rollback, serving_version
from nightshift.serving.rules import Rules
from nightshift.serving.samples import Sampler, recent
from nightshift.serving.store import Store
from nightshift.serving.tensors import to_proto
from nightshift.tasks.registry import task

VECTOR = [tf.TensorSpec([None], tf.float32, name="x")]


class Slow(Times):
    """Multiplies matrices for a while first."""

    @tf.function(input_signature=VECTOR)
    def predict(self, x):
        matrix = tf.random.stateless_uniform([400, 400], [1, 2]) / 400
        busy = tf.while_loop(lambda i, m: i < 200, lambda i, m: (i + 1, matrix @ m), (0, matrix))[1]
        return {"y": x * self.factor + 0 * tf.reduce_sum(busy)}


class Bounded(Times):
    """Refuses numbers above ten, as a model of another contract would."""

    @tf.function(input_signature=VECTOR)
    def predict(self, x):
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(x <= 10), ["numbers above ten"])]):
            return {"y": x * self.factor}


class Wearing(Times):
    """Answers sixty requests, and refuses the rest."""

    def __init__(self, factor):
        super().__init__(factor)
        self.asked = tf.Variable(0)

    @tf.function(input_signature=VECTOR)
    def predict(self, x):
        asked = self.asked.assign_add(1)
        with tf.control_dependencies([tf.debugging.Assert(asked < 60, ["worn out"])]):
            return {"y": x * self.factor}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The version folder of a kind of model and a factor."""
    root, known = tmp_path_factory.mktemp("made"), {}

    def make(kind, factor):
        folder = root / f"{kind.__name__}-{factor}"
        if folder not in known:
            known[folder] = write_version(folder, factor) if kind is Times else write(kind(factor), folder, factor)
        return known[folder]

    return make


def write(module, folder, factor):
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.predict})
    Golden({"serving_default": {"x": X}}, {"serving_default": {"y": X * np.float32(factor)}}).save(folder)
    write_card(folder, task("digits"), facts(factor))
    write_manifest(folder)
    return folder


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "models")


@pytest.fixture
def client(store, launch):
    return launch(store.server_config(), labels_for_unavailable=True)[1]


@pytest.fixture
def samples(tmp_path):
    """Where fifteen live requests have been sampled, of numbers up to a hundred."""
    with Sampler(str(tmp_path / "samples"), 1.0) as sampler:
        for value in range(15):
            request = predict_pb2.PredictRequest()
            request.model_spec.name, request.model_spec.version_label = "m", "stable"
            request.inputs["x"].CopyFrom(to_proto(np.float32([value, 100 - value])))
            sampler.offer("m", 1, request, predict_pb2.PredictResponse())
    return str(tmp_path / "samples")


def answer(client, model="m"):
    return client.predict(model, {"x": X}).outputs["y"].tolist()[0]


def rules(samples="", bake_seconds=0.2, **changes):
    return Rules(samples=samples, bake_seconds=bake_seconds, **changes)


def test_what_was_compared_is_told(store, client, made, samples):
    told = []
    release(store, "m", made(Times, 2), client, told.append, rules(samples))
    assert not any("asked of it" in line or "watching" in line for line in told), "a first version has no champion"
    version = release(store, "m", made(Times, 3), client, told.append, rules(samples)).version
    (compared,) = (line for line in told if "asked of it" in line)
    assert compared.startswith(f"m version {version}: 15 requests asked of it and of what serves: 0.0% with the same")
    assert f"m: 'stable' names version {version}; watching it serve for 0.2 s" in told
    told.clear()
    release(store, "m", made(Times, 4), client, told.append, rules())
    assert "m: no live requests were sampled; candidate and champion are compared on the golden batch alone" in told


def test_live_requests_that_only_the_candidate_refuses_keep_it_from_serving(store, client, made, samples):
    first = release(store, "m", made(Times, 2), client, rules=rules(samples)).version
    with pytest.raises(ReleaseError, match=rf"version {first} still serves: it fails 15 of 15 requests .*above ten"):
        release(store, "m", made(Bounded, 3), client, rules=rules(samples))
    assert answer(client) == 2
    assert [event.kind for event in store.ledger("m").events()][-2:] == ["published", "refused"]


def test_a_slow_candidate_is_refused_before_it_serves(store, client, made):
    release(store, "m", made(Times, 2), client, rules=rules())
    with pytest.raises(ReleaseError, match=r"too slow: p99 .* ms on 1 requests, what serves takes .* at most 3 times"):
        release(store, "m", made(Slow, 3), client, rules=rules())
    assert answer(client) == 2
    assert store.state("m").pending is None


def test_a_version_that_fails_once_it_serves_is_taken_back_by_itself(store, client, made):
    first = release(store, "m", made(Times, 2), client, rules=rules()).version
    with pytest.raises(ReleaseError, match=rf"version {first} still serves: while it served, \d+ of .*worn out"):
        release(store, "m", made(Wearing, 3), client, rules=rules(bake_seconds=120.0, errors=0.0))
    assert answer(client) == 2
    assert [event.kind for event in store.ledger("m").events()][-3:] == ["published", "approved", "refused"]
    (reason,) = store.state("m").refused.values()
    assert "worn out" in reason
    assert {one.version for one in client.status("m") if one.state == "AVAILABLE"} == {first}


def test_requests_of_the_watch_are_not_sampled_as_live_ones(store, launch, made, tmp_path):
    place = str(tmp_path / "kept")
    with Sampler(place, 1.0) as sampler:
        _, client = launch(store.server_config(), labels_for_unavailable=True, sampler=sampler)
        for factor in (2, 3):
            release(store, "m", made(Times, factor), client, rules=rules(bake_seconds=0.3))
        assert answer(client) == 3
    (only,) = recent(place, "m", 100)
    assert only.predict_log.request.model_spec.version_label == "stable"


# Rolling back in a hurry


@pytest.fixture
def background():
    """Does something in a thread; gives what it told, and a function that waits for what it raised or returned."""
    threads = []

    def run(work):
        told, ends = [], []

        def do():
            try:
                ends.append(work(told.append))
            except ReleaseError as error:
                ends.append(error)

        thread = threading.Thread(target=do)
        thread.start()
        threads.append(thread)

        def end():
            thread.join(120)
            (found,) = ends
            return found

        return told, end

    yield run
    for thread in threads:
        thread.join(120)


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(bake_module, "BEFORE_SECONDS", 0.2)


def long_bake(store, client, made, background, model="m"):
    """A release that watches its version for an hour; comes back when that serves."""

    def work(tell):
        with Client(client.target) as own:
            return release(store, model, made(Times, 9), own, tell, rules(bake_seconds=3600.0))

    before = serving_version(client, model)
    told, end = background(work)
    wait_until(lambda: serving_version(client, model) not in (0, before))
    return told, end


def test_who_rolls_back_while_a_new_version_is_watched_gets_what_served_before(store, client, made, background):
    versions = [release(store, "m", made(Times, factor), client, rules=rules()).version for factor in (2, 3)]
    _, end = long_bake(store, client, made, background)
    assert answer(client) == 9
    told = []
    released = rollback(store, "m", client, tell=told.append, rules=rules())
    assert (released.version, answer(client)) == (versions[1], 3)
    assert any(line.startswith("waiting for process") for line in told)
    assert told[-1] == f"m: version {versions[1]} serves again; version {released.predecessor} has just been taken back"
    error = end()
    assert isinstance(error, ReleaseError)
    assert str(error).endswith("somebody rolls back m, and this release gave way")
    assert store.state("m").refused[released.predecessor] == "somebody rolls back m, and this release gave way"
    assert store.state("m").pending is None


def test_who_rolls_back_to_an_older_version_gets_that(store, client, made, background):
    versions = [release(store, "m", made(Times, factor), client, rules=rules()).version for factor in (2, 3)]
    _, end = long_bake(store, client, made, background)
    assert rollback(store, "m", client, versions[0], rules=rules()).version == versions[0]
    assert answer(client) == 2
    assert isinstance(end(), ReleaseError)


def test_a_release_of_another_model_gives_way_and_is_done_again(store, client, made, background):
    for model in ("m", "other"):
        for factor in (2, 3):
            release(store, model, made(Times, factor), client, rules=rules())

    def work(tell):
        with Client(client.target) as own:
            return release(store, "other", made(Times, 9), own, tell, rules(bake_seconds=3600.0))

    before = serving_version(client, "other")
    told, end = background(work)
    wait_until(lambda: serving_version(client, "other") != before)
    assert rollback(store, "m", client, rules=rules()).version
    assert answer(client, "m") == 2
    wait_until(lambda: any(line.endswith("this release gave way; trying again") for line in told))
    wait_until(lambda: serving_version(client, "other") not in (0, before))
    assert answer(client, "other") == 9
    rollback(store, "other", client, rules=rules())
    assert answer(client, "other") == 3
    assert isinstance(end(), ReleaseError)


def test_a_mistyped_rollback_costs_no_release(store, client, made, background):
    versions = [release(store, "m", made(Times, factor), client, rules=rules()).version for factor in (2, 3)]
    _, end = long_bake(store, client, made, background)
    serves = serving_version(client, "m")
    known = f"earlier versions: {versions[1]}, {versions[0]}"
    with pytest.raises(ReleaseError, match=f"m: cannot roll back to version 99; {known}"):
        rollback(store, "m", client, 99, rules=rules())
    with pytest.raises(ReleaseError, match="mm: cannot roll back to an earlier version; earlier versions: none"):
        rollback(store, "mm", client, rules=rules())
    assert not (store.root / folder_module.KNOCK).exists(), "nobody was told to give way"
    assert store.state("m").pending == (serves, "approved")
    assert answer(client) == 9
    assert rollback(store, "m", client, versions[1], rules=rules()).version == versions[1], (
        "the present one's predecessor"
    )
    assert isinstance(end(), ReleaseError)
    assert answer(client) == 3


def test_what_a_killed_release_left_is_given_up_by_who_rolls_back(store, client, made):
    versions = [release(store, "m", made(Times, factor), client, rules=rules()).version for factor in (2, 3)]
    pending = store.publish("m", made(Times, 9))
    store.ledger("m").append(Event("approved", pending))
    moved = ("m", pending)
    client.reload(store.server_config(candidate=moved))
    wait_until(lambda: (pending, "AVAILABLE") in {(one.version, one.state) for one in client.status("m")})
    client.reload(store.server_config(candidate=moved, label=moved))
    assert answer(client) == 9
    assert rollback(store, "m", client, rules=rules()).version == versions[1]
    assert answer(client) == 3
    assert rollback(store, "m", client, rules=rules()).version == versions[0]
    with pytest.raises(ReleaseError, match="cannot roll back"):
        rollback(store, "m", client, rules=rules())


def test_a_release_that_has_only_begun_to_publish_gives_way_and_leaves_nothing(store, client, made, monkeypatch):
    first = release(store, "m", made(Times, 2), client, rules=rules()).version
    with monkeypatch.context() as patch:
        patch.setattr(folder_module._Hold, "wanted", lambda self: "m")
        with pytest.raises(ReleaseError, match="somebody rolls back m, and this release gave way"):
            release(store, "m", made(Times, 3), client, rules=rules())
    assert store.folders("m") == [first]
    assert list(store.state("m").published) == [first]
    assert answer(client) == 2


def test_a_release_that_waits_for_loading_gives_way(store, client, made, monkeypatch):
    first = release(store, "m", made(Times, 2), client, rules=rules()).version
    status, seen = Client.status, []

    def loading(self, model):
        """The server never comes to an end with it."""
        seen.append(model)
        return []

    with monkeypatch.context() as patch:
        patch.setattr(Client, "status", loading)
        patch.setattr(folder_module._Hold, "wanted", lambda self: "m" if len(seen) > 3 else "")
        with pytest.raises(ReleaseError, match=f"version {first} still serves: somebody rolls back m"):
            release(store, "m", made(Times, 3), client, rules=rules())
    assert Client.status is status
    assert answer(client) == 2
    assert store.state("m").pending is None


def test_who_was_in_a_hurry_once_does_not_hold_up_later_releases(store, client, made):
    release(store, "m", made(Times, 2), client, rules=rules())
    (store.root / folder_module.KNOCK).write_text("m from-one-who-is-dead")
    release(store, "m", made(Times, 3), client, rules=rules())
    assert answer(client) == 3
