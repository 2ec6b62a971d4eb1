"""The reference statistics that an export adds: its validation images and what the exported network answered."""

import json

import numpy as np
import pytest

from nightshift.drift.again import in_order, solves, tiles_of
from nightshift.drift.check import TILES, asker, live_drift
from nightshift.drift.comparison import Limits
from nightshift.drift.features import features, seams
from nightshift.drift.reference import NAME, Reference
from nightshift.serving.client import Client
from nightshift.serving.manifest import NAME as MANIFEST
from nightshift.serving.samples import Sampler


def images_of(dataset, split):
    from nightshift.data.sample import sample

    return sample(dataset, split, 10_000)


@pytest.fixture(scope="module")
def reference(classifier):
    return Reference.load(classifier.exported.path)


def test_it_describes_the_validation_split_and_what_a_server_answers_there(classifier, client, reference):
    images, labels = images_of(classifier.dataset, "validation")
    answer = client.predict("corners", {"images": images}, label=None).outputs
    assert reference.count == 60
    for name, column in features(images).items():
        np.testing.assert_array_equal(reference.columns[name], column)
    np.testing.assert_array_equal(reference.label, labels)
    np.testing.assert_array_equal(reference.predicted, answer["class_id"])
    np.testing.assert_allclose(reference.columns["confidence"], answer["probabilities"].max(axis=1), atol=1e-5)
    assert (reference.image_shape, reference.fit, reference.grid) == ((12, 12, 1), "stretch", 1)
    assert list(reference.classes) == list(classifier.task.classes)
    assert reference.solved is reference.tile_solved is None


def test_of_a_puzzle_it_knows_what_was_solved(solver, client):
    reference = Reference.load(solver.exported.path)
    originals, _ = images_of(solver.dataset, "validation")
    assert reference.grid == 2
    assert reference.predicted is reference.label is None
    assert reference.solved.shape == (40,)
    np.testing.assert_allclose(reference.columns["sharpness"], features(originals, 2)["sharpness"], atol=1e-5)

    def ask(shuffled):
        return client.predict("textures", {"images": shuffled}, label=None).outputs["permutation"]

    np.testing.assert_array_equal(reference.tile_solved, solves(ask, tiles_of(originals, 2, 3), 2, 3))
    from nightshift.export.reference import _asked
    from nightshift.problems.registry import problem_of

    problem = problem_of(solver.task, ())
    shuffled, _, _ = _asked(solver.dataset, problem, lambda images: {"images": images}, 3)
    solved = in_order(shuffled, ask(shuffled))
    np.testing.assert_array_equal(reference.solved, (solved == originals).all(axis=(1, 2, 3)))
    np.testing.assert_allclose(reference.columns["seams"], seams(solved, 2), atol=1e-5)


@pytest.mark.parametrize("name", ["classifier", "solver"])
def test_the_manifest_holds_it_and_it_is_small(name, request):
    path = request.getfixturevalue(name).exported.path
    assert NAME in json.loads((path / MANIFEST).read_text())["files"]
    assert (path / NAME).stat().st_size < 10_000


def live(case, client, images, folder):
    """Drift of requests that a server answered and a client sampled."""
    with Sampler(str(folder), 1.0) as sampler, Client(client.target, sampler=sampler, timeout=30) as asking:
        for start in range(0, len(images), 10):
            asking.predict(case.name, {"images": images[start : start + 10]}, label=None)
    limits = Limits(least=30)
    return live_drift(str(folder), case.name, 1, case.exported.path, ask=asker(client, case.name, 1), limits=limits)


@pytest.mark.parametrize("name", ["classifier", "solver"])
def test_live_requests_are_held_against_it(name, request, client, tmp_path):
    case = request.getfixturevalue(name)
    images, _ = images_of(case.dataset, "test")
    same = live(case, client, images, tmp_path / "same")
    assert not same.drifted, same.words
    assert (TILES in {change.name for change in same.comparison.changes}) == (name == "solver")
    assert live(case, client, images // 3, tmp_path / "darker").drifted
