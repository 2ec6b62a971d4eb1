"""Requests that are computed together are answered as those that are not."""

from nightshift.serving.batching_parameters import BatchingParameters
from nightshift.serving.conformance.case import Need, Status
from nightshift.serving.conformance.suite import CASES, run


def test_every_case_but_those_of_other_processes(in_process):
    server = in_process(batching=BatchingParameters())
    outcomes = list(run(server, [case for case in CASES if Need.POLLING not in case.needs]))
    assert [(one.case.number, one.detail) for one in outcomes if one.status is Status.DIFFERS] == []
