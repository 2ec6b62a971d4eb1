"""The embedded server does what TensorFlow Serving does: every case, a test each."""

import pytest

from nightshift.serving.conformance.case import Status
from nightshift.serving.conformance.suite import CASES, run_case

LEFT_OUT = {18, 38, 72}
"""MultiInference and Regress have no user here; the server says so."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.number}-{case.name.replace(' ', '-')}")
def test_case(processes, case):
    outcome = run_case(processes, case)
    expected = Status.LEFT_OUT if case.number in LEFT_OUT else Status.PASSED
    assert outcome.status is expected, f"{outcome.detail}; expected, by {case.source}: {case.expected}"
