"""A server that is broken on purpose fails the cases that are about what was broken, and no others."""

import dataclasses
import json

import numpy as np
import pytest

from nightshift.protos import predict_pb2
from nightshift.serving import predict
from nightshift.serving.conformance import expectations
from nightshift.serving.conformance.case import Need, Status
from nightshift.serving.conformance.suite import CASES, run
from nightshift.serving.embedded.rest import RestApi
from nightshift.serving.manager import Manager, State
from nightshift.serving.tensors import to_proto

IN_ONE_PROCESS = [case for case in CASES if Need.POLLING not in case.needs]
QUICK = [case for case in IN_ONE_PROCESS if Need.FOLDER not in case.needs]


@pytest.fixture(scope="module")
def server(in_process):
    return in_process()


@pytest.fixture
def differing(server):
    """The cases in which the server in this process, as it is at that moment, differs."""

    def numbers(cases):
        return {outcome.case.number for outcome in run(server, cases) if outcome.status is Status.DIFFERS}

    return numbers


def test_the_server_in_this_process_is_whole_before_it_is_broken(differing):
    assert differing(IN_ONE_PROCESS) == set()


def test_the_lowest_version_instead_of_the_highest(differing, monkeypatch):
    find = Manager._find

    def lowest(self, spec):
        ready = [one for one in self._versions.get(spec.name, {}).values() if one.state is State.AVAILABLE]
        if ready and spec.WhichOneof("version_choice") is None:
            return min(ready, key=lambda version: version.number)
        return find(self, spec)

    monkeypatch.setattr(Manager, "_find", lowest)
    # Predict, metadata over both protocols, and where several versions of a policy serve at once.
    assert differing(IN_ONE_PROCESS) == {2, 15, 47, 48, 70}


def test_labels_that_are_ignored(differing, monkeypatch):
    find = Manager._find

    def unlabelled(self, spec):
        plain = type(spec)(name=spec.name) if spec.WhichOneof("version_choice") == "version_label" else spec
        return find(self, plain)

    monkeypatch.setattr(Manager, "_find", unlabelled)
    assert differing(IN_ONE_PROCESS) == {4, 7, 15, 22, 39, 49, 59, 65, 70, 75}


def test_a_missing_input_that_is_made_up(differing, monkeypatch):
    inputs = predict._inputs

    def filled(signature, sent, max_bytes):
        if not sent:
            request = predict_pb2.PredictRequest()
            for alias in signature.inputs:
                request.inputs[alias].CopyFrom(to_proto(np.zeros(1, np.float32)))
            sent = request.inputs
        return inputs(signature, sent, max_bytes)

    monkeypatch.setattr(predict, "_inputs", filled)
    assert differing(QUICK) == {9}


def test_rest_errors_without_their_key(differing, monkeypatch):
    call = RestApi.__call__

    def renamed(self, *arguments):
        answer = call(self, *arguments)
        if answer.status == 200:
            return answer
        return dataclasses.replace(answer, body=json.dumps({"message": json.loads(answer.body)["error"]}).encode())

    monkeypatch.setattr(RestApi, "__call__", renamed)
    assert differing(QUICK) == {20, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73}


def test_an_unloaded_version_that_is_forgotten(differing, monkeypatch):
    versions = Manager.versions

    def remembered(self, name):
        return [row for row in versions(self, name) if row[1] is not State.END]

    monkeypatch.setattr(Manager, "versions", remembered)
    # In these alone: each case that waits for an END waits as long as it may.
    monkeypatch.setattr(expectations, "PATIENCE_SECONDS", 5.0)
    assert differing([*QUICK, *(case for case in CASES if case.number in (22, 46, 49, 50, 56))]) == {50}


def test_answers_without_the_version_that_gave_them(differing, monkeypatch):
    answer = predict.predict

    def nameless(*arguments, **named):
        response = answer(*arguments, **named)
        response.model_spec.ClearField("version")
        return response

    monkeypatch.setattr("nightshift.serving.services.predict", nameless)
    assert differing(QUICK) == {1, 4}
