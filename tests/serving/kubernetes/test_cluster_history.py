import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.errors import ServingError
from nightshift.serving.kubernetes.history import History, Served, missing_events, read_history
from nightshift.serving.kubernetes.names import SERVED, Names
from nightshift.serving.kubernetes.objects import service
from nightshift.serving.ledger import Event, fold

NAMES = Names.of("m")
KEEP = 3
ACTIONS = st.lists(
    st.tuples(st.sampled_from(["release", "refused late", "rollback", "rollback unrecorded"]), st.integers(0, 5)),
    max_size=25,
)


def on_service(history):
    return service(NAMES, history.live, history) | {"kind": "Service"}


@given(ACTIONS)
def test_the_ledger_comes_to_say_what_the_service_says(actions):
    """Releases, refusals after the switch and rollbacks, some told to the ledger only by the next that looks."""
    history, events = History(), []

    def settle():
        events.extend(missing_events(fold(events), history))

    for version, (action, choice) in enumerate(actions, start=1):
        if action in ("release", "refused late"):
            settle()
            events += [Event("published", version), Event("approved", version)]
            history = history.promoted(version, KEEP)
            if action == "release":
                events.append(Event("promoted", version))
            elif history.predecessor:
                history = history.returned(history.predecessor, "wrong answers")
            else:
                events.append(Event("refused", version))
                history = History()
        elif history.earlier:
            history = history.returned(history.earlier[choice % len(history.earlier)], "rolled back")
            if action == "rollback":
                settle()
    settle()
    state = fold(events)
    if history.live:
        assert state.stable == history.live
    assert state.pending is None
    assert not {entry.version for entry in history.withdrawn} & set(state.serving)
    assert missing_events(state, history) == []


@given(st.lists(st.integers(1, 10**18), min_size=1, max_size=6, unique=True))
def test_the_service_keeps_a_history_as_it_is(versions):
    history = History()
    for version in versions:
        history = history.promoted(version, KEEP)
    if history.predecessor:
        history = history.returned(history.predecessor, 'because of "quotes" and\nlines')
    assert read_history(on_service(history)) == history


def test_no_service_no_history():
    assert read_history(None) == History()
    assert read_history(None).live == 0


def test_the_last_ones_stay_and_one_more():
    history = History()
    for version in range(1, 7):
        history = history.promoted(version, KEEP)
    assert history.versions == (3, 4, 5, 6)
    assert (history.live, history.predecessor, history.earlier) == (6, 5, (3, 4, 5))


def test_a_version_that_comes_back_is_listed_once():
    history = History((Served(1, "a"), Served(2, "b"))).promoted(1, KEEP)
    assert history.versions == (2, 1)


def test_a_selector_switched_by_hand_to_an_earlier_version_is_a_rollback():
    found = on_service(History((Served(1, "a"), Served(2, "b"))))
    found["spec"]["selector"]["app.kubernetes.io/version"] = "1"
    history = read_history(found)
    assert history.live == 1
    assert history.is_withdrawn(2)


def test_a_selector_switched_by_hand_to_another_version_makes_it_serve():
    found = on_service(History((Served(1, "a"),)))
    found["spec"]["selector"]["app.kubernetes.io/version"] = "9"
    assert read_history(found).versions == (1, 9)


@pytest.mark.parametrize(
    "selector", [{}, {"app": "m"}, {"app.kubernetes.io/instance": "n", "app.kubernetes.io/version": "1"}]
)
def test_a_selector_that_names_no_version_of_the_model_is_told(selector):
    found = on_service(History((Served(1, "a"),)))
    found["spec"]["selector"] = selector
    with pytest.raises(ServingError, match=r"Service m: spec\.selector: found"):
        read_history(found)


@pytest.mark.parametrize(
    "text",
    ["{", "7", '[{"version": "x", "since": ""}]', "[1]", '[{"version": 1}]', pytest.param("[" * 100_000, id="deep")],
)
def test_a_damaged_annotation_is_told(text):
    found = on_service(History((Served(1, "a"),)))
    found["metadata"]["annotations"][SERVED] = text
    with pytest.raises(ServingError, match="annotation nightshift/served: found"):
        read_history(found)


def test_a_version_promoted_by_hand_is_recorded():
    events = [Event("published", 1), Event("refused", 1)]
    history = History((Served(1),))
    (event,) = missing_events(fold(events), history)
    assert (event.kind, event.version) == ("promoted", 1)


def test_a_version_of_another_store_is_not_recorded():
    assert missing_events(fold([Event("published", 1), Event("promoted", 1)]), History((Served(5),))) == []


def test_annotations_are_small():
    history = History()
    for version in range(20260101000000, 20260101000100):
        history = history.promoted(version, KEEP)
    assert len(json.dumps(history.annotations())) < 1000
