import json

import pytest

from nightshift.data.lanes import LANES
from nightshift.errors import ConfigurationError
from nightshift.training.place import ALONE, Place, place_from_environment


@pytest.fixture
def says(monkeypatch):
    """Sets TF_CONFIG and reads it."""

    def read(text: object) -> Place:
        monkeypatch.setenv("TF_CONFIG", text if isinstance(text, str) else json.dumps(text))
        return place_from_environment()

    return read


def config(count: int, index: int, kind: str = "worker") -> dict[str, object]:
    workers = [f"train-node-0-{number}.train:2222" for number in range(count)]
    return {"cluster": {"worker": workers}, "task": {"type": kind, "index": index}}


def test_without_the_variable_there_is_one(monkeypatch, says):
    assert says("") == ALONE
    monkeypatch.delenv("TF_CONFIG")
    assert place_from_environment() == ALONE == Place(0, 1)
    assert ALONE.chief
    assert ALONE.part.lanes == range(LANES)


def test_one_of_several_knows_its_share_and_the_others(says):
    places = [says(config(3, index)) for index in range(3)]
    assert [place.chief for place in places] == [True, False, False]
    assert sorted(lane for place in places for lane in place.part.lanes) == list(range(LANES))
    assert places[1].workers == tuple(f"train-node-0-{number}.train:2222" for number in range(3))


def test_a_cluster_of_one_is_none(says):
    assert says(config(1, 0)) == ALONE


@pytest.mark.parametrize("count", [5, 7, 9, 16, 25])
def test_so_many_that_cannot_share_the_data_evenly_are_refused(says, count):
    with pytest.raises(ConfigurationError, match=rf"TF_CONFIG: found {count} workers, expected .* divides {LANES}"):
        says(config(count, 0))


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        {},
        {"cluster": {}},
        {"cluster": {"worker": 3}, "task": {"type": "worker", "index": 0}},
        {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker"}},
        {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": "first"}},
        config(2, 2),
        config(2, -1),
        config(2, 0, "chief"),
        {"cluster": {"worker": ["a:1", "b:1"], "ps": ["c:1"]}, "task": {"type": "worker", "index": 0}},
    ],
    ids=str,
)
def test_what_is_no_place_among_workers_is_refused(says, text):
    with pytest.raises(ConfigurationError, match=r"TF_CONFIG: found .*, expected"):
        says(text)
