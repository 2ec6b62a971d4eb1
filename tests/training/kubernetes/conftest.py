"""A train step with a cluster in memory."""

from contextlib import contextmanager

import pytest
from fake_trainer import FakeTrainer, step_pod
from followed_step import Step

from nightshift.training.kubernetes import train


@pytest.fixture
def step(tmp_path, monkeypatch):
    cluster = FakeTrainer()
    cluster.pods["step-1"] = step_pod("1")

    @contextmanager
    def connect(namespace, patience=0.0):
        assert namespace == "runs"
        yield cluster

    monkeypatch.setattr("nightshift.training.kubernetes.ownership.LOOK_SECONDS", 0.01)
    monkeypatch.setattr(train, "connect", connect)
    monkeypatch.setattr(train, "own_namespace", lambda: "runs")
    monkeypatch.setenv("HOSTNAME", "step-1")
    monkeypatch.delenv("KFP_POD_NAME", raising=False)
    return Step(tmp_path, cluster)
