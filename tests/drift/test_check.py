"""New data against the reference: classes by their names, and what cannot be compared."""

import numpy as np
import pytest

from nightshift.data.sample import sample
from nightshift.drift.check import data_drift
from nightshift.drift.features import features
from nightshift.drift.reference import Reference


@pytest.fixture
def data(corners, monkeypatch):
    """The training split, since the validation split is smaller than a comparison needs."""
    monkeypatch.setattr("nightshift.drift.check.SPLIT", "train")
    return corners


def reference(folder, dataset, *, classes, labels=None, change=lambda images: images):
    images, own = sample(dataset, "train", 1000)
    Reference(
        (12, 12, 1), "stretch", 1, classes, features(change(images)), label=own if labels is None else labels
    ).save(folder)
    return folder


def drifted(found):
    return {change.name for change in found.comparison.changes if change.drifted}


def test_data_like_the_reference_have_not_drifted(data, tmp_path):
    found = data_drift(data, reference(tmp_path, data, classes=data.manifest.classes), 3, "another")
    assert not found.drifted
    assert found.words == "no drift in 540 images"


def test_darker_data_have(data, tmp_path):
    path = reference(tmp_path, data, classes=data.manifest.classes, change=lambda images: images // 2)
    assert {"brightness", "contrast"} <= drifted(data_drift(data, path, 3, "another"))


def test_classes_are_compared_by_name(data, tmp_path):
    names = data.manifest.classes
    _, labels = sample(data, "train", 1000)
    turned = reference(tmp_path / "turned", data, classes=names[::-1], labels=3 - labels)
    assert not data_drift(data, turned, 3, "another").drifted
    renamed = reference(tmp_path / "renamed", data, classes=[*names[:3], "middle"])
    assert drifted(data_drift(data, renamed, 3, "another")) == {"class"}


def test_an_unlabelled_reference_is_compared_by_its_pictures(data, tmp_path):
    images, _ = sample(data, "train", 1000)
    Reference((12, 12, 1), "stretch", 1, (), features(images)).save(tmp_path)
    found = data_drift(data, tmp_path, 3, "another")
    assert not found.drifted
    assert "class" not in {change.name for change in found.comparison.changes}


def test_the_facts_are_json_whatever_the_outcome(data, tmp_path):
    import json

    for path in (tmp_path / "none", reference(tmp_path / "some", data, classes=data.manifest.classes)):
        facts = data_drift(data, path, 3, "another").facts(plots=True)
        assert json.loads(json.dumps(facts, allow_nan=False))["version"] == 3
        assert np.isfinite([change["p"] for change in facts.get("changes", [])]).all()
