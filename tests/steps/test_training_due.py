"""Whether there is anything to train."""

import pytest

from nightshift.errors import ConfigurationError
from nightshift.serving.card import check_task
from nightshift.serving.ledger import Event
from nightshift.serving.store import Store
from nightshift.steps.prepare_data import training_due


def store_with(tmp_path, *events):
    store = Store(tmp_path / "models")
    for event in events:
        store.ledger("digits").append(event)
    return store


def test_nothing_served_yet_is_a_reason_to_train(tmp_path):
    assert training_due(store_with(tmp_path), "digits", 0, "recipe") == (True, "nothing serves as digits yet")


def test_a_recipe_whose_model_was_rolled_back_is_not_trained_again(tmp_path):
    events = [
        Event("published", 1, facts={"recipe": "old"}),
        Event("promoted", 1),
        Event("published", 2, facts={"recipe": "new"}),
        Event("promoted", 2),
        Event("rolled_back", 1, "from version 2"),
    ]
    due, reason = training_due(store_with(tmp_path, *events), "digits", 1, "new")
    assert not due
    assert "version 2 of digits" in reason
    assert "rolled back" in reason


def test_once_it_serves_again_that_is_the_reason(tmp_path, monkeypatch):
    events = [
        Event("published", 1, facts={"recipe": "old"}),
        Event("promoted", 1),
        Event("published", 2, facts={"recipe": "new"}),
        Event("promoted", 2),
        Event("rolled_back", 1, "from version 2"),
        Event("rolled_back", 2, "from version 1"),
    ]
    store = store_with(tmp_path, *events)
    (store.root / "digits" / "2").mkdir()
    monkeypatch.setattr("nightshift.steps.prepare_data.read_card", lambda path: {"recipe_key": "new"})
    due, reason = training_due(store, "digits", 2, "new")
    assert not due
    assert reason == "nothing to do: version 2 of digits serves, made from the same data, settings and code"
    assert training_due(store, "digits", 2, "old")[0]


def test_a_name_that_serves_another_task_is_refused():
    check_task({"recipe": {"task": "digits"}}, "flowers", "digits")
    with pytest.raises(ConfigurationError, match="--model flowers: serves task 'image_folder', found 'detection'"):
        check_task({"recipe": {"task": "image_folder"}}, "flowers", "detection")
