import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from nightshift.evaluation.classification import ClassificationJudge
from nightshift.evaluation.judgement import Answered, Gallery, Judgement, roc_curve
from nightshift.evaluation.puzzle import PuzzleJudge
from nightshift.problems.tiles import permutations
from nightshift.serving.pictures import rearrange

CLASSES = ("a", "b", "c")
ORDERS = permutations(4)
PICTURE = (4, 4, 1)


def judge_classes(labels: np.ndarray, probabilities: np.ndarray, batch: int = 7) -> Judgement:
    judge = ClassificationJudge(CLASSES[: probabilities.shape[1]])
    images = np.zeros((len(labels), 2, 2, 1), np.uint8)
    for start in range(0, len(labels), batch):
        part = slice(start, start + batch)
        answers = {"probabilities": probabilities[part], "class_id": probabilities[part].argmax(axis=1)}
        judge.add(Answered(images[part], images[part], labels[part], answers, answers))
    return judge.judgement()


def random_answers(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(3), random.integers(0, 3, count)])
    logits = random.normal(size=(len(labels), 3)) + 1.5 * np.eye(3)[labels]
    return labels, (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 60), st.integers(1, 70))
def test_a_classifiers_figures_are_those_of_scikit_learn_however_batched(seed, count, batch):
    labels, probabilities = random_answers(seed, count)
    found, answers = judge_classes(labels, probabilities, batch), probabilities.argmax(axis=1)
    assert found.count == len(labels)
    assert found.correct.tolist() == (answers == labels).tolist()
    assert found.metrics["accuracy"] == pytest.approx(metrics.accuracy_score(labels, answers))
    assert found.metrics["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(labels, answers))
    assert found.metrics["kappa"] == pytest.approx(metrics.cohen_kappa_score(labels, answers))
    logs = [-np.log(row[label]) for row, label in zip(probabilities, labels, strict=True)]
    assert found.metrics["loss"] == pytest.approx(np.mean(logs), rel=1e-5)
    for k, (row, curve) in enumerate(zip(found.per_class, found.roc, strict=True)):
        right = np.sum((labels == k) & (answers == k))
        assert row["count"] == np.sum(labels == k)
        assert row["recall"] == pytest.approx(right / np.sum(labels == k))
        assert row["precision"] == pytest.approx(right / max(1, np.sum(answers == k)))
        assert curve["auc"] == pytest.approx(metrics.roc_auc_score(labels == k, probabilities[:, k]))
    for truth in range(3):
        for answer in range(3):
            assert found.confusion_matrix[truth, answer] == np.sum((labels == truth) & (answers == answer))


def test_a_class_without_test_images_leaves_figures_that_are_numbers():
    labels = np.array([0, 1, 0, 1])
    probabilities = np.eye(3, dtype=np.float32)[[0, 1, 1, 1]]
    found = judge_classes(labels, probabilities)
    json.dumps([dict(found.metrics), list(found.per_class), list(found.roc)], allow_nan=False)
    assert found.confusion_matrix.shape == (3, 3)
    assert found.metrics["balanced_accuracy"] == pytest.approx(0.75)
    assert [curve["positive"] for curve in found.roc] == ["a", "b"]
    assert found.per_class[2]["count"] == 0


def test_a_single_class_in_the_test_split_has_no_curve():
    found = judge_classes(np.zeros(4, int), np.eye(3, dtype=np.float32)[[0, 0, 0, 1]])
    assert list(found.roc) == []
    assert found.metrics["accuracy"] == 0.75


def test_all_right_and_of_a_single_class_is_full_agreement():
    assert judge_classes(np.zeros(4, int), np.eye(3, dtype=np.float32)[[0, 0, 0, 0]]).metrics["kappa"] == 1.0


def test_a_certain_mistake_has_a_finite_loss():
    found = judge_classes(np.array([0, 1]), np.array([[0, 1, 0], [0, 1, 0]], np.float32))
    assert np.isfinite(found.metrics["loss"])


def test_the_gallery_shows_the_worst_mistakes_first_with_their_own_pictures():
    random = np.random.default_rng(0)
    losses, correct = random.uniform(size=1000), random.uniform(size=1000) < 0.5
    gallery = Gallery(wrong=40, right=12)
    for start in range(0, 1000, 77):
        part = slice(start, start + 77)
        gallery.add(correct[part], losses[part], {"losses": losses[part], "images": np.arange(1000)[part]})
    arrays = gallery.arrays()
    worst = sorted(np.flatnonzero(~correct), key=lambda index: -losses[index])[:40]
    assert arrays["wrong_images"].tolist() == worst
    assert arrays["wrong_losses"].tolist() == losses[worst].tolist()
    assert arrays["right_images"].tolist() == np.flatnonzero(correct)[:12].tolist()


def test_a_gallery_without_mistakes_has_no_wrong_arrays():
    gallery = Gallery()
    gallery.add(np.ones(3, bool), np.zeros(3), {"images": np.zeros(3)})
    assert set(gallery.arrays()) == {"right_images"}


def test_the_gallery_does_not_keep_the_batches_that_its_pictures_come_from():
    gallery = Gallery(wrong=3, right=0)
    tracemalloc.start()
    for number in range(30):
        images = np.zeros((10, 256, 256), np.uint8)
        gallery.add(np.zeros(10, bool), np.eye(10)[0] * number, {"images": images})
    del images
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 4 * 256 * 256


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 3000))
def test_a_curve_is_finite_short_and_complete(seed, count):
    random = np.random.default_rng(seed)
    truth = np.concatenate([[True, False], random.uniform(size=count) < 0.3])
    scores = random.choice([random.uniform(size=len(truth)), random.integers(0, 3, len(truth)).astype(float)])
    curve = roc_curve("shuffled", truth, scores)
    assert curve["positive"] == "shuffled"
    assert len(curve["fpr"]) == len(curve["tpr"]) == len(curve["thresholds"]) <= 200
    assert np.isfinite(curve["thresholds"]).all()
    assert (np.diff(curve["thresholds"]) < 0).all()
    assert (np.diff(curve["fpr"]) >= 0).all()
    assert (curve["fpr"][0], curve["tpr"][0], curve["fpr"][-1], curve["tpr"][-1]) == (0, 0, 1, 1)
    assert curve["auc"] == pytest.approx(metrics.roc_auc_score(truth, scores))


def puzzle_batch(originals: np.ndarray, targets: np.ndarray, orders: np.ndarray) -> Answered:
    """Answers that say `orders`, and are sure that a picture is shuffled if they do not say that it is in order."""
    inputs = np.stack([rearrange(image, ORDERS[t]) for image, t in zip(originals, targets, strict=True)])
    answers = {
        "permutation": orders,
        "solved": np.stack([rearrange(image, np.argsort(order)) for image, order in zip(inputs, orders, strict=True)]),
        "probability": np.full(len(orders), 0.5, np.float32),
        "position_probabilities": np.eye(4, dtype=np.float32)[orders],
        "shuffled_probability": (orders != np.arange(4)).any(axis=1).astype(np.float32),
    }
    in_order = {"shuffled_probability": np.zeros(len(orders), np.float32)}
    return Answered(originals, inputs, targets, answers, in_order)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40))
def test_puzzle_figures_are_those_of_plain_loops(seed, count):
    random = np.random.default_rng(seed)
    originals = random.permutation(count * 16).reshape(count, *PICTURE).astype(np.uint16)
    targets = random.permuted(np.arange(count) % 24)
    guesses = np.where(random.uniform(size=count) < 0.5, targets, random.integers(0, 24, count))
    judge = PuzzleJudge(ORDERS)
    for part in (slice(0, 1), slice(1, None)):
        judge.add(puzzle_batch(originals[part], targets[part], ORDERS[guesses[part]]))
    found = judge.judgement()
    assert found.count == count
    assert found.correct.tolist() == (guesses == targets).tolist()
    assert found.metrics["exact"] == pytest.approx(np.mean(guesses == targets))
    assert found.metrics["per_position"] == pytest.approx(np.mean(ORDERS[guesses] == ORDERS[targets]))
    assert found.metrics["valid"] == 1.0
    truth = [*(targets != 0), *np.zeros(count, bool)]
    scores = [*(guesses != 0), *np.zeros(count)]
    assert found.metrics["shuffled_auc"] == pytest.approx(metrics.roc_auc_score(truth, scores))


def test_what_is_known_of_every_example_is_in_the_order_of_the_answers_however_batched():
    random = np.random.default_rng(4)
    originals = random.integers(0, 256, (9, *PICTURE), np.uint8)
    targets = np.arange(9)
    found = []
    for parts in ((slice(0, 9),), (slice(0, 4), slice(4, 9))):
        judge = PuzzleJudge(ORDERS)
        for part in parts:
            judge.add(puzzle_batch(originals[part], targets[part], ORDERS[targets[part]]))
        found.append({trait.name: trait for trait in judge.judgement().traits})
    assert list(found[0]) == ["displaced tiles", "cycles", "brightness", "contrast", "texture at the seams"]
    for name, trait in found[0].items():
        np.testing.assert_array_equal(trait.values, found[1][name].values)
    np.testing.assert_allclose(found[0]["brightness"].values, originals.mean(axis=(1, 2, 3)), rtol=1e-5)
    assert found[0]["displaced tiles"].values.tolist() == (ORDERS[:9] != np.arange(4)).sum(axis=1).tolist()


def test_a_classifiers_test_split_is_cut_by_class_brightness_and_contrast():
    labels, probabilities = random_answers(3, 20)
    classes, *pictures = judge_classes(labels, probabilities).traits
    assert (classes.name, classes.values.tolist(), classes.names) == ("class", labels.tolist(), CLASSES)
    assert [trait.name for trait in pictures] == ["brightness", "contrast"]
    assert all(trait.values.tolist() == [0.0] * len(labels) for trait in pictures)


def test_equal_tiles_may_stand_for_each_other():
    flat = np.zeros((2, *PICTURE), np.uint8)
    judge = PuzzleJudge(ORDERS)
    judge.add(puzzle_batch(flat, np.array([5, 9]), ORDERS[[3, 0]]))
    found = judge.judgement()
    assert found.metrics["exact"] == 1.0
    assert found.metrics["per_position"] < 1.0


def test_an_answer_that_names_a_tile_twice_is_counted_as_invalid():
    originals = np.arange(32, dtype=np.uint8).reshape(2, *PICTURE)
    judge = PuzzleJudge(ORDERS)
    judge.add(puzzle_batch(originals, np.array([1, 2]), np.array([ORDERS[1], [0, 0, 1, 2]])))
    assert judge.judgement().metrics["valid"] == 0.5


def test_puzzles_that_all_happen_to_be_in_order_leave_figures_that_are_numbers():
    originals = np.arange(32, dtype=np.uint8).reshape(2, *PICTURE)
    judge = PuzzleJudge(ORDERS)
    judge.add(puzzle_batch(originals, np.array([0, 0]), ORDERS[[0, 0]]))
    found = judge.judgement()
    json.dumps([dict(found.metrics), list(found.roc)], allow_nan=False)
    assert found.metrics["exact"] == 1.0
    assert list(found.roc) == []
