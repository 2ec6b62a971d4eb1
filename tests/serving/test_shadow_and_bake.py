"""A candidate beside the champion, and a version that has just begun to serve: what is told, what refused and why."""

import contextlib
import itertools
import time
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.errors import ConfigurationError, ReleaseError, ServingError
from nightshift.files import write_json
from nightshift.protos import classification_pb2, predict_pb2, prediction_log_pb2
from nightshift.serving import shadow as shadow_module
from nightshift.serving.bake import BEFORE_SECONDS, Quality, Watch, fisher, quality_before, tail_of_binomial
from nightshift.serving.probes import Probe, live_probes, p99, same_answer, sampled_probes
from nightshift.serving.release import Released
from nightshift.serving.rules import Rules, rules_of
from nightshift.serving.samples import Sampler, samples_place
from nightshift.serving.shadow import shadow, too_slow
from nightshift.serving.store import Store
from nightshift.serving.tensors import to_proto
from nightshift.steps.deploy import deploy
from nightshift.workspace import Workspace

PROBES = [Probe("serving_default", {"x": np.float32([number])}) for number in range(10)]
NOTHING = lambda: None  # noqa: E731


def doubled(probe):
    return {"y": 2 * probe.inputs["x"]}


def failing_at(*numbers):
    def ask(probe):
        if probe.inputs["x"][0] in numbers:
            raise ServingError("INVALID_ARGUMENT: no such input")
        return doubled(probe)

    return ask


def slow(probe):
    time.sleep(0.1)
    return doubled(probe)


def test_equal_models_pass_and_what_was_found_is_told():
    found = shadow(PROBES, doubled, doubled, 3.0, NOTHING)
    found.check(3.0)
    assert (found.requests, found.errors, found.equal) == (10, (), 1.0)
    assert found.in_words().startswith("10 requests asked of it and of what serves: 100.0% with the same answer, p99 ")


def test_other_answers_are_told_and_are_no_reason_to_refuse():
    found = shadow(PROBES, lambda probe: {"y": probe.inputs["x"]}, doubled, 3.0, NOTHING)
    found.check(3.0)
    assert found.equal == 0.1  # of zero


def test_an_error_that_the_champion_does_not_make_is_refused():
    with pytest.raises(ReleaseError, match=r"fails 2 of 10 requests that what serves answers: INVALID_ARGUMENT"):
        shadow(PROBES, failing_at(3, 7), doubled, 3.0, NOTHING).check(3.0)


def test_requests_that_the_champion_fails_do_not_count():
    found = shadow(PROBES, failing_at(3, 7), failing_at(3, 7), 3.0, NOTHING)
    found.check(3.0)
    assert found.requests == 8


def test_a_candidate_that_fails_now_and_then_is_refused():
    calls = itertools.count()

    def flaky(probe):
        if next(calls) % 7 == 6:
            raise ServingError("INTERNAL: now and then")
        return doubled(probe)

    with pytest.raises(ReleaseError, match="INTERNAL: now and then"):
        shadow(PROBES, flaky, doubled, 3.0, NOTHING).check(3.0)


def test_a_slow_candidate_is_refused_with_both_latencies():
    with pytest.raises(ReleaseError, match=r"too slow: p99 \d+\.\d ms on 2 requests, what serves takes \d+\.\d ms"):
        shadow(PROBES[:2], slow, doubled, 3.0, NOTHING).check(3.0)


def test_a_candidate_that_was_held_up_once_is_tried_again(monkeypatch):
    held_up = iter([0.2] * 4)

    def hindered(probe):
        time.sleep(next(held_up, 0))
        return doubled(probe)

    found = shadow(PROBES[:1], hindered, doubled, 3.0, NOTHING)
    found.check(3.0)
    assert found.candidate < 0.2


def test_the_comparison_takes_no_longer_than_it_may(monkeypatch):
    monkeypatch.setattr(shadow_module, "SECONDS", 0.0)
    assert shadow(PROBES, doubled, doubled, 3.0, NOTHING).requests == 0


def test_whoever_is_called_between_requests_can_end_it():
    def wanted():
        raise ReleaseError("somebody rolls back")

    with pytest.raises(ReleaseError, match="somebody rolls back"):
        shadow(PROBES, doubled, doubled, 3.0, wanted)
    with pytest.raises(ReleaseError, match="somebody rolls back"):
        quality_before(PROBES, doubled, 1.0, wanted)


@given(st.floats(1e-4, 10), st.floats(1e-4, 10), st.floats(1, 10), st.floats(0, 1))
def test_too_slow_is_both_by_ratio_and_by_a_difference_that_matters(seconds, reference, slower, slack):
    found = too_slow(seconds, reference, slower, slack)
    assert found == (seconds / reference > slower and seconds - slack > reference) or seconds == slower * reference
    assert not too_slow(reference, reference, slower, slack)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=300))
def test_p99_is_one_of_the_values_and_hardly_any_is_larger(seconds):
    assert p99(seconds) in seconds
    assert sum(one > p99(seconds) for one in seconds) <= len(seconds) / 100


def test_the_class_decides_whether_answers_are_the_same_and_else_the_numbers():
    ours = {"class_id": np.array([3]), "probabilities": np.float32([[0.2, 0.8]])}
    assert same_answer(ours, {"class_id": np.array([3]), "probabilities": np.float32([[0.4, 0.6]])})
    assert not same_answer(ours, {"class_id": np.array([4]), "probabilities": np.float32([[0.2, 0.8]])})
    assert not same_answer(ours, {"probabilities": np.float32([[0.2, 0.8]])})
    numbers = {"probabilities": np.float32([0.2])}
    assert same_answer(numbers, {"probabilities": np.float32([0.2001])})
    assert not same_answer(numbers, {"probabilities": np.float32([0.3])})


# The bake


def watched(ask, predecessor=None, seconds=0.2):
    watch = Watch(PROBES, predecessor, slower=3.0, errors=0.01)
    watch.go_on(ask, seconds, NOTHING)
    watch.check()
    return watch.found


def test_a_version_that_answers_as_its_predecessor_did_stays():
    quality = quality_before(PROBES, doubled, 0.2, NOTHING)
    assert quality.asked > 0
    assert quality.errors == []
    assert watched(doubled, quality).asked > 0


def test_errors_while_it_serves_end_the_watching_at_once():
    began = time.monotonic()
    said = r"while it served, 3 of 3 requests failed, of its predecessor's just before 0 of 50: INVALID"
    with pytest.raises(ReleaseError, match=said):
        watched(failing_at(*range(10)), Quality([0.001] * 50, []), seconds=60.0)
    assert time.monotonic() - began < 30


def judged(failed, asked, predecessor):
    """What comes of so many failed requests of so many."""
    watch = Watch(PROBES, predecessor, slower=3.0, errors=0.01)
    watch.found = Quality([0.001] * (asked - failed), ["UNAVAILABLE"] * failed)
    watch.check()


@pytest.mark.parametrize("predecessor", [None, Quality([0.001] * 90, []), Quality([0.001] * 1000, [])])
@pytest.mark.parametrize(("failed", "asked"), [(1, 1), (1, 40), (2, 2), (2, 90)])
def test_one_or_two_errors_are_an_accident(failed, asked, predecessor):
    judged(failed, asked, predecessor)


@pytest.mark.parametrize(
    ("failed", "asked", "failed_before", "asked_before", "refused"),
    [
        (6, 180, 0, 180, False),
        (7, 180, 0, 180, True),
        (12, 180, 8, 180, False),
        (30, 180, 8, 180, True),
        (40, 5000, 0, 5000, False),  # not by chance, and less than one in a hundred
        (180, 180, 90, 90, False),
    ],
)
def test_errors_count_that_are_more_than_its_predecessors_and_not_by_chance(
    failed, asked, failed_before, asked_before, refused
):
    predecessor = Quality([0.001] * (asked_before - failed_before), ["UNAVAILABLE"] * failed_before)
    if not refused:
        judged(failed, asked, predecessor)
        return
    with pytest.raises(
        ReleaseError, match=rf"{failed} of {asked} .*just before {failed_before} of {asked_before}: UNA"
    ):
        judged(failed, asked, predecessor)


def test_a_first_version_is_held_against_the_share_that_is_tolerated():
    judged(4, 150, None)
    judged(1030, 100_000, Quality([], []))
    with pytest.raises(ReleaseError, match=r"9 of 150 requests failed, expected at most 1\.0%: UNAVAILABLE"):
        judged(9, 150, None)


@given(st.integers(0, 40), st.integers(1, 200), st.integers(0, 40), st.integers(1, 200))
def test_the_p_value_is_that_of_scipy(failed, asked, failed_before, asked_before):
    from scipy.stats import fisher_exact

    failed, failed_before = min(failed, asked), min(failed_before, asked_before)
    table = [[failed, asked - failed], [failed_before, asked_before - failed_before]]
    expected = fisher_exact(table, alternative="greater").pvalue
    assert fisher(failed, asked, failed_before, asked_before) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@given(st.integers(1, 100), st.integers(1, 300), st.sampled_from([0.0, 0.01, 0.3, 1.0]))
def test_the_tail_of_the_binomial_is_that_of_scipy(failed, asked, share):
    from scipy.stats import binom

    failed = min(failed, asked)
    assert tail_of_binomial(failed, asked, share) == pytest.approx(binom.sf(failed - 1, asked, share), abs=1e-9)


def test_requests_that_the_predecessor_never_answered_are_not_asked():
    quality = quality_before(PROBES, failing_at(3, 7), 0.5, NOTHING)
    assert quality.errors == []
    assert [probe.inputs["x"][0] for probe in quality.answered] == [0, 1, 2, 4, 5, 6, 8, 9]
    assert watched(failing_at(3, 7), quality, seconds=0.5).errors == []


def test_an_error_that_the_predecessor_makes_now_and_then_counts_for_it():
    calls = itertools.count()

    def flaky(probe):
        if next(calls) % 7 == 6:
            raise ServingError("INTERNAL: now and then")
        return doubled(probe)

    quality = quality_before(PROBES, flaky, 0.5, NOTHING)
    assert len(quality.answered) == len(PROBES)
    assert quality.errors


def test_the_predecessor_is_looked_at_for_as_long_as_its_successor_and_no_longer_than_it_may(monkeypatch):
    looked = []
    monkeypatch.setattr(Watch, "go_on", lambda self, ask, seconds, proceed: looked.append(seconds))
    for seconds in (3.0, 30.0):
        quality_before(PROBES, doubled, seconds, NOTHING)
    assert looked == [3.0, BEFORE_SECONDS]


def test_a_predecessor_that_answered_nothing_is_no_reference():
    nothing = quality_before(PROBES, failing_at(*range(10)), 0.1, NOTHING)
    assert nothing.errors
    assert nothing.seconds == []

    def slowly(probe):
        time.sleep(0.15)
        return doubled(probe)

    watched(slowly, nothing, seconds=0.1)
    watched(failing_at(*range(10)), nothing, seconds=0.2)


def test_latency_beyond_the_predecessors_is_refused_and_without_one_it_is_not():
    def very_slow(probe):
        time.sleep(0.15)
        return doubled(probe)

    with pytest.raises(ReleaseError, match=r"p99 was \d+ ms of \d+ requests, its predecessor's just before 1 ms"):
        watched(very_slow, Quality([0.001] * 50, []), seconds=1.0)
    watched(very_slow)


def test_a_few_requests_that_were_held_up_are_an_accident():
    held_up = iter([0.2] * 4)

    def hindered(probe):
        time.sleep(next(held_up, 0))
        return doubled(probe)

    assert watched(hindered, Quality([0.001] * 50, []), seconds=1.2).p99 > 0.2


def test_a_version_too_slow_to_be_asked_more_than_once_is_refused():
    def very_slow(probe):
        time.sleep(0.3)
        return doubled(probe)

    with pytest.raises(ReleaseError, match="of 1 requests"):
        watched(very_slow, Quality([0.001] * 50, []), seconds=0.1)


# Requests


def predict_log(value):
    request = predict_pb2.PredictRequest(output_filter=["y"])
    request.model_spec.name = "m"
    request.model_spec.version_label = "stable"
    request.model_spec.signature_name = "serving_default"
    request.inputs["x"].CopyFrom(to_proto(np.float32([value])))
    return request


def test_sampled_requests_are_asked_without_their_label_the_newest_first(tmp_path):
    with Sampler(str(tmp_path), 1.0) as sampler:
        for value in (1, 2, 3):
            sampler.offer("m", 7, predict_log(value), predict_pb2.PredictResponse())
        classification = classification_pb2.ClassificationRequest()
        classification.input.example_list.examples.add().features.feature["a"].bytes_list.value.append(b"x")
        sampler.offer("m", 7, classification, classification_pb2.ClassificationResponse())
    found = sampled_probes(str(tmp_path), "m", 3)
    assert [probe.signature for probe in found] == ["classify", "serving_default", "serving_default"]
    assert [probe.inputs["x"].tolist() for probe in found[1:]] == [[3.0], [2.0]]
    assert found[1].outputs == ("y",)
    assert found[0].inputs["inputs"][0] == classification.input.example_list.examples[0].SerializeToString()


def test_a_sample_whose_tensor_is_damaged_is_left_out(tmp_path, monkeypatch):
    damaged, whole = predict_log(1), predict_log(2)
    damaged.inputs["x"].tensor_shape.dim[0].size = 1 << 40
    logs = [prediction_log_pb2.PredictionLog() for _ in range(3)]
    logs[0].predict_log.request.CopyFrom(damaged)
    logs[1].predict_log.request.CopyFrom(whole)
    logs[2].regress_log.request.SetInParent()
    monkeypatch.setattr("nightshift.serving.probes.recent", lambda place, model, count: logs)
    (found,) = sampled_probes("anywhere", "m", 10)
    assert found.inputs["x"].tolist() == [2.0]


@pytest.mark.parametrize("place", ["", "nowhere", "gs://"])
def test_without_samples_the_golden_batch_is_asked_and_that_is_said(tmp_path, place):
    class Golden:
        requests = {"serving_default": {"x": np.float32([1])}}

    told = []
    place = str(tmp_path / place) if place == "nowhere" else place
    (found,) = live_probes(place, "m", 10, Golden, told.append)
    assert found.inputs["x"].tolist() == [1.0]
    assert told[-1].endswith("candidate and champion are compared on the golden batch alone")
    assert (len(told) == 2) == (place == "gs://"), "a place that cannot be read is told as well"


# Rules


def test_the_rules_are_read_from_the_environment(tmp_path, monkeypatch):
    for name in ("SAMPLES", "BAKE_SECONDS", "KEEP"):
        monkeypatch.delenv(f"NIGHTSHIFT_{name}", raising=False)
    monkeypatch.setenv("NIGHTSHIFT_WORKSPACE", str(tmp_path / "workspace"))
    assert rules_of() == Rules(samples=str(tmp_path / "workspace" / "samples"))
    assert rules_of("elsewhere") == Rules(samples="elsewhere")
    for name, value in {"SAMPLES": "gs://b/p", "BAKE_SECONDS": "0", "KEEP": "3"}.items():
        monkeypatch.setenv(f"NIGHTSHIFT_{name}", value)
    assert rules_of() == Rules(samples="gs://b/p", bake_seconds=0.0, keep=3)


def test_samples_are_where_the_workspace_is_wherever_the_store_is(tmp_path, monkeypatch):
    monkeypatch.delenv("NIGHTSHIFT_SAMPLES", raising=False)
    seen = []

    @contextlib.contextmanager
    def fake(server, store):
        yield types.SimpleNamespace(release=release)

    def release(model, saved_model, tell, samples):
        seen.append(rules_of(samples).samples)
        return Released(2, 1)

    monkeypatch.setattr("nightshift.steps.deploy.target", fake)
    workspace = Workspace(tmp_path / "workspace")
    run = workspace.run("one")
    write_json(run.path / "evaluate" / "evaluation.json", {"decision": {"blessed": True, "reason": ""}})
    deploy(run, Store(tmp_path / "elsewhere" / "models"), model="m", saved_model=tmp_path, server="h:1")
    assert seen == [samples_place(workspace.root)] == [str(tmp_path / "workspace" / "samples")]


@pytest.mark.parametrize(
    ("name", "value"),
    [("BAKE_SECONDS", "-1"), ("BAKE_SECONDS", "nan"), ("BAKE_SECONDS", "soon"), ("KEEP", "1"), ("KEEP", "all")],
)
def test_a_rule_that_cannot_be_used_is_named(monkeypatch, name, value):
    monkeypatch.setenv(f"NIGHTSHIFT_{name}", value)
    with pytest.raises(ConfigurationError, match=f"NIGHTSHIFT_{name}: found '{value}', expected a number of"):
        rules_of()
