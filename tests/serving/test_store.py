"""The folders of the serving store, and the server's configuration that follows from its ledgers."""

import re
import shutil
import threading
import time
import types

import pytest
from version_folder import write_version

from nightshift.errors import StoreError
from nightshift.files import exclusive_lock
from nightshift.serving import folder as folder_module
from nightshift.serving import store as module
from nightshift.serving.ledger import Event
from nightshift.serving.manifest import check_manifest
from nightshift.serving.store import Store


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    return write_version(tmp_path_factory.mktemp("store") / "times-2", 2)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def record(store, model, *events):
    for kind, version in events:
        store.ledger(model).append(Event(kind, version))


def versions_and_labels(config):
    return {
        model.name: (list(model.model_version_policy.specific.versions), dict(model.version_labels))
        for model in config.model_config_list.config
    }


def test_a_version_is_the_time_and_a_copy_of_the_folder(store, saved_model):
    version = store.publish("m", saved_model)
    assert re.fullmatch(r"20\d{12}", str(version))
    path = store.version_path("m", version)
    check_manifest(path)
    assert (path / "saved_model.pb").read_bytes() == (saved_model / "saved_model.pb").read_bytes()
    assert store.models() == ["m"]
    assert store.state("m").pending == (version, "published")
    assert store.state("m").stable == 0


def test_versions_rise_even_within_a_second_and_with_a_clock_set_back(store, saved_model, monkeypatch):
    first, second = store.publish("m", saved_model), store.publish("m", saved_model)
    monkeypatch.setattr(time, "gmtime", lambda: time.struct_time((2001, 1, 1, 0, 0, 0, 0, 1, 0)))
    assert first < second < store.publish("m", saved_model)


def test_a_source_that_changes_while_it_is_copied_is_not_published(store, saved_model, monkeypatch):
    def careless(source, target, **options):
        shutil.copytree(source, target, **options)
        (target / "saved_model.pb").write_bytes(b"")

    monkeypatch.setattr(folder_module, "shutil", types.SimpleNamespace(copytree=careless))
    with pytest.raises(StoreError, match=r"saved_model\.pb: its content"):
        store.publish("m", saved_model)
    assert list((store.root / "m").iterdir()) == []
    assert store.models() == []


def test_a_missing_version_is_named(store):
    with pytest.raises(StoreError, match="version 3 of model 'm' is not there"):
        store.version_path("m", 3)


def test_nothing_promoted_means_nothing_served(store):
    assert versions_and_labels(store.server_config()) == {}
    record(store, "m", ("published", 1))
    assert versions_and_labels(store.server_config()) == {}
    assert versions_and_labels(store.server_config(candidate=("m", 1))) == {"m": ([1], {})}


def test_a_candidate_is_loaded_beside_what_serves_and_the_label_moves_in_an_edit_of_its_own(store):
    record(store, "m", ("promoted", 1))
    record(store, "other", ("promoted", 7))
    other = ([7], {"stable": 7})
    assert versions_and_labels(store.server_config()) == {"m": ([1], {"stable": 1}), "other": other}
    loading = store.server_config(candidate=("m", 2))
    assert versions_and_labels(loading) == {"m": ([1, 2], {"stable": 1}), "other": other}
    moving = store.server_config(candidate=("m", 2), label=("m", 2))
    assert versions_and_labels(moving) == {"m": ([1, 2], {"stable": 2}), "other": other}


def test_the_store_is_held_by_one_at_a_time(store, monkeypatch, capsys):
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.3)
    held, done = threading.Event(), threading.Event()

    def hold():
        with exclusive_lock(store.root / ".lock"):
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    with pytest.raises(StoreError, match=r"\.lock: still locked by"), store.lock():
        pass
    done.set()
    thread.join()
    with store.lock():
        pass
    assert "waiting for" in capsys.readouterr().out
