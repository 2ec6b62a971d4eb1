"""Events and what they come to."""

import errno
import json
import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.errors import StoreError
from nightshift.serving.folder import Folder
from nightshift.serving.ledger import KINDS, Event, Ledger, fold
from nightshift.serving.storage import MAX_FILE_BYTES


@pytest.fixture
def ledger(tmp_path):
    return Ledger(Folder(tmp_path), "ledger")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "ledger"


def released(version):
    return [Event("published", version), Event("approved", version), Event("promoted", version)]


def test_an_empty_ledger_says_that_nothing_serves(ledger):
    assert ledger.events() == []
    assert ledger.state().stable == 0
    assert ledger.state().pending is None


def test_events_come_back_in_their_order_and_whole(ledger):
    events = [Event("published", 7, facts={"metrics": {"accuracy": 0.5}}), Event("refused", 7, "größer"), *released(8)]
    for event in events:
        ledger.append(event)
    assert ledger.events() == events
    assert ledger.state().stable == 8
    assert ledger.state().refused == {7: "größer"}
    assert ledger.state().published[7] == {"metrics": {"accuracy": 0.5}}


@pytest.mark.parametrize(
    ("kinds", "pending"), [(["published"], "published"), (["published", "approved"], "approved"), (["refused"], None)]
)
def test_a_version_is_pending_until_it_is_promoted_or_refused(kinds, pending):
    state = fold([*released(1), *(Event(kind, 2) for kind in kinds)])
    assert state.pending == (pending and (2, pending))
    assert state.stable == 1


def test_rolling_back_takes_away_every_version_in_between():
    state = fold([*released(1), *released(2), *released(3), Event("rolled_back", 1, "slow")])
    assert state.serving == (1,)
    assert state.refused == dict.fromkeys((2, 3), "rolled back to version 1, slow")
    assert state.rolled_back == {2, 3}


def test_a_version_that_was_rolled_back_can_serve_again():
    back = [*released(1), *released(2), *released(3), Event("rolled_back", 1)]
    state = fold([*back, Event("rolled_back", 3)])
    assert (state.serving, state.stable, state.predecessor) == ((1, 3), 3, 1)
    assert state.refused == {2: "rolled back to version 1"}
    assert state.rolled_back == {2}
    state = fold([*back, Event("rolled_back", 3), Event("rolled_back", 1)])
    assert (state.serving, state.rolled_back) == ((1,), {2, 3})
    assert fold([*back, Event("promoted", 2)]).refused.keys() == {3}


@given(st.lists(st.tuples(st.sampled_from(["release", "refuse", "back"]), st.integers(0, 5))))
def test_what_serves_is_the_last_one_promoted_or_rolled_back_to(steps):
    events, serving = [], []
    for number, (step, choice) in enumerate(steps, start=1):
        if step == "release":
            events += released(number)
            serving.append(number)
        elif step == "refuse":
            events += [Event("published", number), Event("refused", number, "no")]
        elif serving:
            serving = serving[: choice % len(serving) + 1]
            events.append(Event("rolled_back", serving[-1]))
        state = fold(events)
        assert list(state.serving) == serving
        assert state.stable == (serving[-1] if serving else 0)
        assert state.pending is None
        assert not set(state.serving) & set(state.refused)


def test_an_event_is_written_once_and_stays_as_it_is(ledger, folder):
    ledger.append(Event("published", 1))
    before = (folder / "000001.json").read_bytes()
    ledger.append(Event("refused", 1, "no"))
    assert (folder / "000001.json").read_bytes() == before
    assert sorted(os.listdir(folder)) == ["000001.json", "000002.json"]


def test_another_user_may_read_it_as_every_file_of_the_store(ledger, folder):
    ledger.append(Event("published", 1))
    assert stat.S_IMODE((folder / "000001.json").stat().st_mode) == 0o644


def test_two_writers_of_one_number_do_not_lose_an_event(ledger, folder, monkeypatch):
    ledger.append(Event("published", 1))

    def other_first(source, target, link=os.link):
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", other_first)
    with pytest.raises(StoreError, match=r"000002\.json: another process"):
        ledger.append(Event("refused", 1))
    assert len(ledger.events()) == 2
    assert sorted(os.listdir(folder)) == ["000001.json", "000002.json"]


@pytest.mark.parametrize("call", ["fsync", "link", "fchmod"])
def test_an_event_that_cannot_be_written_is_named_and_leaves_nothing(ledger, folder, monkeypatch, call):
    ledger.append(Event("published", 1))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(StoreError, match=r"ledger/000002\.json: cannot be written: No space left on device"):
            ledger.append(Event("refused", 1))
    assert os.listdir(folder) == ["000001.json"]


def test_a_missing_event_is_named_rather_than_left_out(ledger, folder):
    for event in released(1):
        ledger.append(event)
    (folder / "000002.json").unlink()
    with pytest.raises(StoreError, match=r"000002\.json: missing, though 000003\.json is there"):
        ledger.state()
    with pytest.raises(StoreError, match=r"000002\.json: missing"):
        ledger.append(Event("refused", 1))
    assert sorted(os.listdir(folder)) == ["000001.json", "000003.json"]


def test_a_file_is_not_read_without_bound(ledger, folder):
    ledger.append(Event("published", 1))
    (folder / "000002.json").write_bytes(b" " * (MAX_FILE_BYTES + 1))
    with pytest.raises(StoreError, match=r"000002\.json: larger than 1,048,576 bytes"):
        ledger.events()


def test_what_a_killed_writer_left_is_not_an_event(ledger, folder):
    ledger.append(Event("published", 1))
    (folder / ".event.abc").write_text("{")
    assert len(ledger.events()) == 1


def test_an_unknown_kind_is_a_mistake_of_the_program(ledger):
    with pytest.raises(ValueError, match="'deleted', expected one of published"):
        ledger.append(Event("deleted", 1))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        "{}",
        '{"kind": "published"}',
        '{"kind": "published", "version": "1"}',
        '{"kind": "published", "version": true}',
        '{"kind": "published", "version": -1}',
        '{"kind": "published", "version": 1, "facts": []}',
        '{"kind": "published", "version": 1, "color": "red"}',
        '{"kind": "deleted", "version": 1}',
        '{"kind": ["published"], "version": 1}',
        "[" * 100_000,
        b"\xff\xfe",
    ],
    ids=lambda content: str(content)[:40],
)
def test_a_file_that_is_no_event_is_named(ledger, folder, content):
    ledger.append(Event("published", 1))
    path = folder / "000002.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(StoreError, match=r"000002\.json: "):
        ledger.events()


@given(
    kind=st.sampled_from(KINDS),
    version=st.integers(0, 2**63 - 1),
    reason=st.text(),
    facts=st.dictionaries(
        st.text(), st.one_of(st.text(), st.integers(), st.floats(allow_nan=False, allow_infinity=False)), max_size=3
    ),
)
def test_any_event_survives_the_disk(tmp_path_factory, kind, version, reason, facts):
    folder = tmp_path_factory.mktemp("ledger")
    ledger = Ledger(Folder(folder), "m")
    event = Event(kind, version, reason, facts=facts)
    ledger.append(event)
    assert ledger.events() == [event]
    assert json.loads((folder / "m" / "000001.json").read_text())["version"] == version
