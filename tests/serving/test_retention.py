"""What leaves the store, what never does, and what is said of a version that is gone; on disk and in a bucket."""

import shutil

import pytest
from emulator import emulated, store_at
from hypothesis import given
from hypothesis import strategies as st
from version_folder import write_version

from nightshift.errors import ReleaseError, StoreError
from nightshift.objects import Objects
from nightshift.serving import retention
from nightshift.serving.ledger import Event, fold
from nightshift.serving.overview import store_records
from nightshift.serving.release import release, rollback, serving_version
from nightshift.serving.retention import surplus, tidy
from nightshift.serving.rules import Rules
from nightshift.serving.store import Store

QUIET = lambda text: None  # noqa: E731


@pytest.fixture(scope="module")
def bucket():
    with emulated("data") as found:
        yield found


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    return write_version(tmp_path_factory.mktemp("store") / "times-2", 2)


@pytest.fixture(params=["disk", "bucket"])
def store(request, tmp_path):
    if request.param == "disk":
        return Store(tmp_path / "store")
    request.getfixturevalue("bucket")
    return store_at(f"gs://data/{tmp_path.name}", tmp_path / "copies")


def published(store, saved_model, count, *, promoted=True):
    versions = []
    for _ in range(count):
        versions.append(store.publish("m", saved_model))
        for kind in ("approved", "promoted") if promoted else ():
            store.ledger("m").append(Event(kind, versions[-1]))
    return versions


def tidied(store, keep, standing=(), tell=QUIET):
    tidy(store, "m", keep, store.ledger("m").append, tell, standing)


def test_the_last_ones_stay_and_the_ledger_says_what_became_of_the_others(store, saved_model):
    versions, told = published(store, saved_model, 5), []
    tidied(store, 3, tell=told.append)
    assert store.folders("m") == versions[2:]
    assert store.state("m").serving == tuple(versions[2:])
    assert [event.version for event in store.ledger("m").events() if event.kind == "removed"] == versions[:2]
    assert told == [f"removed m version {version} from the store" for version in versions[:2]]
    with pytest.raises(StoreError, match=rf"version {versions[0]} .* was removed, .*: the last 3 versions are kept"):
        store.version_path("m", versions[0])
    records = {record.version: record for record in store_records(store, "m")}
    assert [records[version].status for version in versions] == ["removed", "removed", "earlier", "earlier", "serving"]
    assert records[versions[0]].reason.endswith("the last 3 versions are kept")
    events = len(store.ledger("m").events())
    tidied(store, 3)
    assert len(store.ledger("m").events()) == events


def test_what_serves_and_its_predecessor_stay_however_old_they_are(store, saved_model):
    versions = published(store, saved_model, 3)
    refused = published(store, saved_model, 4, promoted=False)
    for version in refused:
        store.ledger("m").append(Event("refused", version, "no"))
    tidied(store, 2)
    assert store.folders("m") == [*versions[1:], *refused[2:]]
    reasons = {record.version: record.reason for record in store_records(store, "m")}
    assert reasons[refused[0]].endswith("the last 2 versions are kept; refused before: no")


def test_what_is_being_released_and_what_stands_in_a_cluster_stay(store, saved_model):
    versions = published(store, saved_model, 4)
    (pending,) = published(store, saved_model, 1, promoted=False)
    tidied(store, 2, standing=versions[:1])
    assert store.folders("m") == [versions[0], *versions[2:], pending]


@given(
    st.lists(st.sampled_from(["release", "refuse", "back", "begin", "tidy"]), max_size=25),
    st.integers(2, 5),
    st.sets(st.integers(1, 25), max_size=3),
)
def test_whatever_happens_the_way_back_stays(steps, keep, standing):
    events, number = [], 0
    for step in steps:
        state = fold(events)
        if step in ("release", "refuse", "begin"):
            number += 1
            kinds = {"release": ("approved", "promoted"), "refuse": ("refused",), "begin": ()}[step]
            events += [Event(kind, number) for kind in ("published", *kinds)]
        elif step == "back" and state.predecessor:
            events.append(Event("rolled_back", state.predecessor))
        elif step == "tidy":
            going = surplus(state, keep, standing)
            pending = state.pending[0] if state.pending else 0
            assert not {state.stable, state.predecessor, pending, *standing} & set(going)
            assert not set(going) & state.removed.keys()
            assert len(state.published.keys() - state.removed.keys() - set(going)) >= min(keep, number)
            events += [Event("removed", version) for version in going]
            after = fold(events)
            assert (after.stable, after.predecessor, after.pending) == (state.stable, state.predecessor, state.pending)
            assert not set(after.serving) & after.removed.keys()
            assert surplus(after, keep, standing) == []


# Cut off


class KilledError(BaseException):
    pass


def test_a_removal_that_was_cut_off_on_disk_is_ended_by_the_next(tmp_path, saved_model, monkeypatch):
    store = Store(tmp_path / "store")
    versions = published(store, saved_model, 3)

    def killed(*_, **__):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr("nightshift.serving.folder.os.rename", killed)
        with pytest.raises(KilledError):
            tidied(store, 2)
    assert store.folders("m") == versions, "recorded, and not begun"
    with monkeypatch.context() as patch:
        patch.setattr("nightshift.serving.folder.shutil.rmtree", killed)
        with pytest.raises(KilledError):
            tidied(store, 2)
    assert store.folders("m") == versions[1:], "gone from one moment to the next"
    assert list((store.root / "m").glob(".*.partial"))
    store.publish("m", saved_model)
    assert not list((store.root / "m").glob(".*.partial"))


@pytest.mark.parametrize("deleted", [0, 1, 3])
def test_a_removal_that_was_cut_off_in_a_bucket_is_ended_by_the_next(
    bucket, tmp_path, saved_model, monkeypatch, deleted
):
    store = store_at(f"gs://data/{tmp_path.name}", tmp_path / "copies")
    versions = published(store, saved_model, 3)
    delete, calls = Objects.delete, []

    def killed(self, blob):
        if len(calls) == deleted:
            raise KilledError
        calls.append(blob.name)
        delete(self, blob)

    with monkeypatch.context() as patch:
        patch.setattr(Objects, "delete", killed)
        with pytest.raises(KilledError):
            tidied(store, 2)
    assert store.folders("m") == versions, "something is left of it"
    assert store.has_version("m", versions[0]) == (deleted == 0)
    assert not deleted or calls[0].endswith("/manifest.json")
    assert versions[0] not in store.state("m").serving
    assert store.publish("m", saved_model) > versions[-1]
    tidied(store, 2)
    assert versions[0] not in store.folders("m")


def test_what_cannot_be_deleted_is_told_and_tried_again(store, saved_model, monkeypatch):
    versions, told = published(store, saved_model, 3), []

    def denied(self, name):
        raise StoreError(f"{name}: not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(type(store.files), "remove_version", denied)
        tidied(store, 2, tell=told.append)
    assert told == [
        f"m: the store could not be tidied, the next release will try again: m/{versions[0]}: not permitted"
    ]
    tidied(store, 2)
    assert store.folders("m") == versions[1:]


def test_what_was_never_published_goes_after_a_day_and_not_before(store, saved_model, monkeypatch):
    (version,) = published(store, saved_model, 1)
    store.files.put_version(f"m/{version + 1}", saved_model, lambda: None)
    tidied(store, 2)
    assert store.folders("m") == [version, version + 1]
    monkeypatch.setattr(retention, "SAFE_SECONDS", -60.0)  # the bucket has a clock of its own
    told = []
    tidied(store, 2, tell=told.append)
    assert store.folders("m") == [version]
    assert told == [f"removed what a publishing that was cut off had left as m version {version + 1}"]


def test_a_half_written_version_in_a_bucket_is_no_version_and_goes(bucket, tmp_path, saved_model, monkeypatch):
    store = store_at(f"gs://data/{tmp_path.name}", tmp_path / "copies")
    (version,) = published(store, saved_model, 1)
    bucket.blob(f"{tmp_path.name}/m/{version + 1}/variables/variables.index").upload_from_string(b"")
    assert 0 <= store.age("m", version + 1) + 60 < 3600
    assert store.age("m", version + 2) == float("inf")
    monkeypatch.setattr(retention, "SAFE_SECONDS", -60.0)
    tidied(store, 2)
    assert store.folders("m") == [version]


def test_the_number_of_a_removed_version_is_not_used_again(store, saved_model, monkeypatch):
    monkeypatch.setattr("nightshift.serving.store.time.strftime", lambda *_: "7")
    versions = published(store, saved_model, 3)
    store.ledger("m").append(Event("removed", versions[2]))
    store.remove_version("m", versions[2])
    assert store.publish("m", saved_model) == versions[2] + 1


# In releases


def test_a_release_keeps_as_many_as_its_rules_say_and_rolling_back_names_what_is_gone(tmp_path, launch):
    store, rules = Store(tmp_path / "store"), Rules(bake_seconds=0, keep=2)
    _, client = launch(store.server_config(), labels_for_unavailable=True)
    versions = [
        release(store, "m", write_version(tmp_path / str(factor), factor), client, QUIET, rules).version
        for factor in (2, 3, 4)
    ]
    assert store.folders("m") == versions[1:]
    with pytest.raises(ReleaseError, match=rf"to version {versions[0]}, which was removed, .*kept; .*: {versions[1]}$"):
        rollback(store, "m", client, versions[0], QUIET, rules)
    assert rollback(store, "m", client, tell=QUIET, rules=rules).version == versions[1]
    with pytest.raises(ReleaseError, match="an earlier version; earlier versions: none"):
        rollback(store, "m", client, tell=QUIET, rules=rules)
    shutil.copytree(store.root / "m" / str(versions[1]), tmp_path / "again")
    store.ledger("m").append(Event("removed", versions[2]))
    assert release(store, "m", tmp_path / "again", client, QUIET, rules).unchanged
    assert store.folders("m") == [versions[1]], "what an earlier release could not end"
    assert serving_version(client, "m") == versions[1]
