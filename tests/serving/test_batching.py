"""Requests that are computed together get what each would get alone."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from half_plus_two import example
from hypothesis import given
from hypothesis import strategies as st

from nightshift.serving.batch_scheduler import BatchScheduler
from nightshift.serving.batching import BatchedServable
from nightshift.serving.batching_parameters import BatchingParameters
from nightshift.serving.servable import Servable
from nightshift.serving.status import StatusError, invalid_argument

SECONDS = 60


class Counted:
    """A Servable that notes the size of every run, and can be held up."""

    def __init__(self, servable):
        self._servable = servable
        self.signatures = servable.signatures
        self.signature, self.check_dtypes, self.start = servable.signature, servable.check_dtypes, servable.start
        self.runs = []
        self.go = threading.Event()
        self.go.set()
        self.begun = threading.Event()

    def run(self, signature, inputs, outputs, *wanted):
        self.begun.set()
        assert self.go.wait(SECONDS)
        self.runs.append(len(next(iter(inputs.values()))))
        return self._servable.run(signature, inputs, outputs, *wanted)


@pytest.fixture(scope="module")
def alone(saved_model):
    servable = Servable(saved_model)
    yield servable
    servable.close()


@pytest.fixture
def batched(alone):
    schedulers = []

    def make(servable=None, **parameters):
        schedulers.append(BatchScheduler(BatchingParameters(**{"num_batch_threads": 1, **parameters})))
        return BatchedServable(servable or alone, schedulers[-1])

    yield make
    for scheduler in schedulers:
        scheduler.close()


@pytest.fixture
def together(alone, batched):
    """Asks several requests so that they wait at the same time; gives what came of each and the sizes of the runs."""

    def ask(requests, signature="serving_default", outputs=("y",), wanted=None, **parameters):
        counted = Counted(alone)
        servable = batched(counted, **parameters)
        outcomes = [None] * len(requests)
        done = threading.Semaphore(0)

        def tell(index, outcome):
            outcomes[index] = outcome
            done.release()

        counted.go.clear()
        first = threading.Event()
        servable.start("serving_default", {"x": np.float32([0])}, ["y"], lambda: True, lambda outcome: first.set())
        assert counted.begun.wait(SECONDS)
        for index, inputs in enumerate(requests):
            still = (wanted or {}).get(index, lambda: True)
            servable.start(signature, inputs, list(outputs), still, lambda outcome, index=index: tell(index, outcome))
        counted.go.set()
        for _ in requests:
            assert done.acquire(timeout=SECONDS)
        assert first.wait(SECONDS)
        return outcomes, counted.runs[1:]

    return ask


def x(*values):
    return {"x": np.array(values, np.float32)}


def test_requests_that_wait_at_the_same_time_are_one_run(together):
    outcomes, runs = together([x(2), x(4, 6), x(8)])
    assert [outcome["y"].tolist() for outcome in outcomes] == [[3], [4, 5], [6]]
    assert runs == [4]


def test_other_outputs_and_other_signatures_are_other_runs(alone, batched, together):
    outcomes, runs = together([x(2), x(4)], "two_outputs", ("twice", "y"))
    assert [(o["y"].tolist(), o["twice"].tolist()) for o in outcomes] == [([3], [6]), ([4], [8])]
    assert runs == [2]


def test_an_error_reaches_only_the_request_that_has_it(together):
    good = example(2.0)
    requests = [{"inputs": np.array([content], object)} for content in (good, b"\xff", good, b"\xff\xff", good)]
    outcomes, runs = together(requests, "classify", ("scores",))
    assert [isinstance(outcome, StatusError) for outcome in outcomes] == [False, True, False, True, False]
    assert {outcome.code for outcome in (outcomes[1], outcomes[3])} == {grpc.StatusCode.INVALID_ARGUMENT}
    assert outcomes[0]["scores"].tolist() == [[3.0, 2.0]]
    assert runs[0] == 5


def test_an_error_that_quotes_what_is_no_text_is_the_caller_s(alone):
    with pytest.raises(StatusError, match="Could not parse example input") as error:
        alone.run("classify", {"inputs": np.array([b"\xff"], object)}, ["scores"])
    assert error.value.code is grpc.StatusCode.INVALID_ARGUMENT


def test_a_wrong_shape_is_refused_apart_from_its_neighbours(together):
    outcomes, runs = together([x(2), {"x": np.zeros((1, 1), np.float32)}, x(4)])
    assert [outcomes[0]["y"].tolist(), outcomes[2]["y"].tolist()] == [[3], [4]]
    assert outcomes[1].code is grpc.StatusCode.INVALID_ARGUMENT
    assert sorted(runs) == [1, 2]


def test_a_wrong_dtype_is_refused_before_it_is_queued(together):
    outcomes, runs = together([x(2), {"x": np.array([1], np.int32)}, x(4)])
    assert outcomes[1].message == "Expects arg[0] to be float but int32 is provided"
    assert runs == [2]


def test_an_output_for_the_batch_as_a_whole_is_computed_alone(together):
    requests = [{"s": np.array([text], object)} for text in (b"a", b"b", b"c")]
    outcomes, _ = together(requests, "text", ("joined", "same"))
    assert [outcome["joined"].tolist() for outcome in outcomes] == [b"a", b"b", b"c"]
    assert [outcome["same"].tolist() for outcome in outcomes] == [[b"a"], [b"b"], [b"c"]]


def test_inputs_without_a_first_axis_are_computed_alone(batched, alone):
    counted = Counted(alone)
    assert batched(counted).run("slow", {"steps": np.int64(1)[...]}, ["total"])["total"] > 0
    assert counted.runs == [], "it went past the batches"


def test_an_empty_request_is_computed_alone(batched):
    assert batched().run("serving_default", x(), ["y"])["y"].shape == (0,)


def test_who_has_left_is_not_computed_for(together):
    outcomes, runs = together([x(2), x(4, 4, 4), x(6)], wanted={1: lambda: False})
    assert outcomes[1].code is grpc.StatusCode.CANCELLED
    assert [outcomes[0]["y"].tolist(), outcomes[2]["y"].tolist()] == [[3], [5]]
    assert runs == [2]


def test_a_batch_nobody_waits_for_is_not_run(together):
    outcomes, runs = together([x(2), x(4)], wanted={0: lambda: False, 1: lambda: False})
    assert {outcome.code for outcome in outcomes} == {grpc.StatusCode.CANCELLED}
    assert runs == []


def test_a_request_larger_than_a_batch_is_refused(batched):
    with pytest.raises(StatusError, match="Task size 5 is larger than maximum input batch size 4") as error:
        batched(max_batch_size=4).run("serving_default", x(*range(5)), ["y"])
    assert error.value.code is grpc.StatusCode.INVALID_ARGUMENT


def test_a_large_request_is_computed_in_parts_if_that_is_asked_for(alone, batched):
    counted = Counted(alone)
    servable = batched(counted, max_batch_size=10, enable_large_batch_splitting=True, max_execution_batch_size=4)
    answer = servable.run("two_outputs", x(*range(10)), ["y", "twice"])
    expected = alone.run("two_outputs", x(*range(10)), ["y", "twice"])
    assert {name: array.tolist() for name, array in answer.items()} == {n: a.tolist() for n, a in expected.items()}
    assert counted.runs == [4, 4, 2]


def test_a_large_request_with_a_part_that_fails_is_refused(alone, batched):
    contents = np.array([example(1.0)] * 3 + [b"\xff"], object)
    servable = batched(max_batch_size=4, enable_large_batch_splitting=True, max_execution_batch_size=2)
    with pytest.raises(StatusError) as error:
        servable.run("classify", {"inputs": contents}, ["scores"])
    assert error.value.code is grpc.StatusCode.INVALID_ARGUMENT


def test_batches_are_filled_up_to_an_allowed_size(together):
    outcomes, runs = together([x(2), x(4), x(6)], max_batch_size=8, allowed_batch_sizes=(1, 4, 8))
    assert [outcome["y"].tolist() for outcome in outcomes] == [[3], [4], [5]]
    assert runs == [4]


class Shapes:
    """Answers its input's own shape, a row each, as a model for what is padded."""

    def __init__(self, signatures):
        self.signatures = signatures
        self.seen = []

    def check_dtypes(self, signature, inputs):
        pass

    def run(self, signature, inputs, outputs, *_):
        self.seen.append(inputs["x"])
        return {"y": inputs["x"]}


def test_unequal_lengths_are_padded_with_their_own_first_element_if_that_is_asked_for(alone, batched):
    model = Shapes(alone.signatures)
    servable = batched(model, pad_variable_length_inputs=True, batch_timeout_micros=10_000_000, max_batch_size=3)
    short, long = np.float32([[1, 2], [3, 4]]), np.float32([[5, 6, 7]])
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(servable.run, "serving_default", {"x": array}, ["y"]) for array in (short, long)]
        shapes = [answer.result(SECONDS)["y"].shape for answer in answers]
    assert shapes == [(2, 3), (1, 3)]
    (joined,) = model.seen
    assert sorted(joined.tolist()) == [[1, 2, 1], [3, 4, 1], [5, 6, 7]]


def test_nothing_can_be_padded_with_nothing(alone, batched):
    servable = batched(
        Shapes(alone.signatures), pad_variable_length_inputs=True, batch_timeout_micros=10_000_000, max_batch_size=2
    )
    with ThreadPoolExecutor(2) as pool:
        arrays = (np.zeros((1, 0), np.float32), np.zeros((1, 2), np.float32))
        empty, full = (pool.submit(servable.run, "serving_default", {"x": array}, ["y"]) for array in arrays)
        assert full.result(SECONDS)["y"].shape == (1, 2)
        assert empty.result(SECONDS)["y"].shape == (1, 0), "alone it needs no padding"


def test_a_full_queue_is_unavailable(alone, batched):
    counted = Counted(alone)
    servable = batched(counted, max_batch_size=1, max_enqueued_batches=1)
    counted.go.clear()
    outcomes = []
    servable.start("serving_default", x(2), ["y"], lambda: True, outcomes.append)
    assert counted.begun.wait(SECONDS)
    servable.start("serving_default", x(4), ["y"], lambda: True, outcomes.append)
    with pytest.raises(StatusError, match="The batch scheduling queue to which this task was submitted is full") as no:
        servable.run("serving_default", x(6), ["y"])
    assert no.value.code is grpc.StatusCode.UNAVAILABLE
    counted.go.set()


def test_one_unexpected_error_does_not_end_the_threads(alone, batched):
    class Broken(Counted):
        def run(self, *arguments):
            raise ZeroDivisionError("ours")

    servable = batched(Broken(alone))
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            servable.run("serving_default", x(2), ["y"])


def test_a_refusal_of_the_whole_batch_is_everyone_s(alone, batched):
    class Refusing(Counted):
        def run(self, *arguments):
            raise invalid_argument("none of it")

    with pytest.raises(StatusError, match="none of it"):
        batched(Refusing(alone)).run("serving_default", x(2, 3), ["y"])


sizes = st.lists(st.integers(1, 9), min_size=1, max_size=12)


@given(
    sizes=sizes,
    clients=st.integers(1, 8),
    limits=st.sampled_from(
        [{"max_batch_size": 9}, {"max_batch_size": 64}, {"max_batch_size": 16, "num_batch_threads": 3}]
    ),
    extra=st.sampled_from(
        [
            {},
            {"batch_timeout_micros": 300},
            {"allowed_batch_sizes": "all"},
            {"enable_large_batch_splitting": True, "max_execution_batch_size": 4},
        ]
    ),
    seed=st.integers(0, 2**16),
)
def test_joined_answers_are_those_of_each_request_alone(alone, sizes, clients, limits, extra, seed):
    if extra.get("allowed_batch_sizes"):
        extra = {"allowed_batch_sizes": tuple(sorted({2, 7, limits["max_batch_size"]}))}
    scheduler = BatchScheduler(
        BatchingParameters(**{"num_batch_threads": 2, "max_enqueued_batches": 1000, **limits, **extra})
    )
    servable = BatchedServable(alone, scheduler)
    random = np.random.default_rng(seed)
    requests = [{"x": random.normal(size=size).astype(np.float32)} for size in sizes]
    try:
        with ThreadPoolExecutor(clients) as pool:
            answers = list(
                pool.map(lambda inputs: servable.run("two_outputs", inputs, ["y", "twice"]), requests, timeout=SECONDS)
            )
    finally:
        scheduler.close()
    for inputs, answer in zip(requests, answers, strict=True):
        expected = alone.run("two_outputs", inputs, ["y", "twice"])
        for name in ("y", "twice"):
            assert answer[name].shape == expected[name].shape
            np.testing.assert_allclose(answer[name], expected[name], rtol=0, atol=1e-6)
