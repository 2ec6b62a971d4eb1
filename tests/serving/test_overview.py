import pytest
from version_folder import write_version

from nightshift.errors import StoreError
from nightshift.serving.overview import shared_statuses, store_records
from nightshift.serving.release import release, rollback
from nightshift.serving.store import Store


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    return write_version(tmp_path_factory.mktemp("times") / "2", 2)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_BAKE_SECONDS", "0.1")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_what_a_shared_server_serves(store, launch, saved_model):
    _, client = launch(store.server_config(), labels_for_unavailable=True)
    first = release(store, "m", saved_model, client, lambda text: None).version
    (found,) = shared_statuses(store, client)
    assert (found.model, found.endpoint, found.version, found.ready, found.desired) == ("m", client.target, first, 1, 1)
    assert found.since == store.ledger("m").events()[-1].time
    assert (found.predecessor, found.drift) == (0, ())
    (record,) = store_records(store, "m")
    assert (record.version, record.status, record.metrics) == (first, "serving", {"accuracy": 0.5})


def test_a_server_that_does_not_serve_what_the_ledger_says(store, launch, saved_model):
    _, client = launch(store.server_config(), labels_for_unavailable=True)
    version = release(store, "m", saved_model, client, lambda text: None).version
    _, other = launch(Store(store.root.parent / "empty").server_config(), labels_for_unavailable=True)
    (found,) = shared_statuses(store, other, "m")
    assert (found.version, found.ready, found.desired) == (0, 0, 1)
    assert found.drift == (f"the server's label names version 0, the ledger says {version}",)


def test_versions_with_what_became_of_them(store, launch, tmp_path):
    _, client = launch(store.server_config(), labels_for_unavailable=True)
    versions = [
        release(store, "m", write_version(tmp_path / str(factor), factor), client, lambda text: None).version
        for factor in (2, 3)
    ]
    rollback(store, "m", client, tell=lambda text: None)
    assert [(one.version, one.status) for one in store_records(store)] == [
        (versions[1], "rolled back"),
        (versions[0], "serving"),
    ]
    assert store_records(store)[0].reason == f"rolled back to version {versions[0]}, from version {versions[1]}"
    rollback(store, "m", client, versions[1], tell=lambda text: None)
    assert [(one.status, one.reason) for one in store_records(store)] == [("serving", ""), ("earlier", "")]


def test_nothing_was_released(store):
    with pytest.raises(StoreError, match="nothing has been released as m there"):
        store_records(store, "m")
    with pytest.raises(StoreError, match="nothing has been released there"):
        store_records(store)
