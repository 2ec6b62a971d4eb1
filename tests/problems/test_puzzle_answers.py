import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import softmax as scipy_softmax

from nightshift.data.input import evaluation_batches
from nightshift.errors import ConfigurationError
from nightshift.problems import arrangements
from nightshift.problems.puzzle import IN_ORDER, SHUFFLED, Puzzle
from nightshift.problems.tiles import permutation_of, reassemble, shuffle
from nightshift.tasks.base import Augmentation

PUZZLE = Puzzle()
ORDERS = PUZZLE.permutations
EITHER = ((24,), (4, 4))
"""A logit a permutation, or a tile and slot."""
NINE = Puzzle(3)


@st.composite
def asked(draw, shapes=EITHER):
    """Images, uint8 [B, 8, 8, 3], and a network's logits."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, scale = draw(st.integers(1, 4)), draw(st.sampled_from([0.1, 1.0, 30.0]))
    logits = (random.normal(size=(count, *draw(st.sampled_from(shapes)))) * scale).astype(np.float32)
    return random.integers(0, 256, (count, 8, 8, 3), np.uint8), logits


def softmax(logits: np.ndarray) -> np.ndarray:
    return scipy_softmax(logits.astype(np.float64), axis=-1)


def answers(images: np.ndarray, logits: np.ndarray) -> dict[str, np.ndarray]:
    found = PUZZLE.answers(tf.constant(images), tf.constant(logits))
    return {name: tensor.numpy() for name, tensor in found.items()}


@settings(deadline=None, max_examples=40)
@given(asked())
def test_probabilities_are_probabilities(case):
    found = answers(*case)
    assert found["position_probabilities"].sum(axis=2) == pytest.approx(1, abs=1e-5)
    assert found["position_probabilities"].min() >= 0
    for name in ("probability", "shuffled_probability"):
        assert found[name].min() >= -1e-6
        assert found[name].max() <= 1 + 1e-6
        assert found[name].dtype == np.float32


@settings(deadline=None, max_examples=40)
@given(asked(shapes=((24,),)))
def test_logits_of_permutations_give_a_permutation_and_marginals(case):
    images, logits = case
    found = answers(images, logits)
    for image, row in enumerate(softmax(logits)):
        assert found["permutation"][image].tolist() == ORDERS[row.argmax()].tolist()
        assert found["probability"][image] == pytest.approx(row.max(), abs=1e-5)
        assert found["shuffled_probability"][image] == pytest.approx(1 - row[0], abs=1e-5)
        marginals = np.zeros((4, 4))
        for order, probability in zip(ORDERS, row, strict=True):
            for slot, tile in enumerate(order):
                marginals[slot, tile] += probability
        assert found["position_probabilities"][image] == pytest.approx(marginals, abs=1e-5)
    assert found["position_probabilities"].sum(axis=1) == pytest.approx(1, abs=1e-5)


@settings(deadline=None, max_examples=40)
@given(asked(shapes=((4, 4),)))
def test_logits_of_slots_are_independent_slots(case):
    images, logits = case
    found = answers(images, logits)
    assert found["permutation"].tolist() == logits.argmax(axis=2).tolist()
    for image, slots in enumerate(softmax(logits)):
        assert found["probability"][image] == pytest.approx(np.prod([max(row) for row in slots]), abs=1e-5)
        in_order = np.prod([slots[k, k] for k in range(4)])
        assert found["shuffled_probability"][image] == pytest.approx(1 - in_order, abs=1e-5)


@settings(deadline=None, max_examples=40)
@given(asked())
def test_the_solved_picture_is_the_reassembled_one(case):
    images, logits = case
    found = answers(images, logits)
    solved = reassemble(tf.constant(images), tf.constant(found["permutation"]), 2)
    assert np.array_equal(found["solved"], solved)
    assert found["solved"].dtype == np.uint8
    assert found["permutation"].dtype == np.int32


@pytest.mark.parametrize("target", range(24))
def test_a_sure_and_right_network_gives_the_picture_back(target):
    image = np.arange(192, dtype=np.uint8).reshape(1, 8, 8, 3)
    shuffled = shuffle(tf.constant(image), tf.constant(ORDERS[[target]]), 2)
    for logits in (np.eye(24)[[target]], np.eye(4)[ORDERS[[target]]]):
        found = answers(shuffled, (100 * logits).astype(np.float32))
        assert np.array_equal(found["solved"], image)
        assert found["shuffled_probability"][0] == pytest.approx(float(target != 0), abs=1e-5)
        assert PUZZLE.score(tf.constant([target]), tf.constant(100 * logits, tf.float32)).numpy() == [1]


@settings(deadline=None, max_examples=40)
@given(asked(), st.integers(0, 23), st.sampled_from([0.0, 0.1]))
def test_the_loss_is_the_cross_entropy(case, target, smoothing):
    _, logits = case
    targets = np.full(len(logits), target)
    losses = PUZZLE.loss(tf.constant(targets, tf.int32), tf.constant(logits), smoothing).numpy()
    logs = np.log(softmax(logits))
    if logits.ndim == 2:
        expected = -(1 - smoothing) * logs[:, target] - smoothing * logs.mean(axis=1)
    else:
        right = np.stack([logs[:, slot, ORDERS[target, slot]] for slot in range(4)], axis=1)
        expected = (-(1 - smoothing) * right - smoothing * logs.mean(axis=2)).mean(axis=1)
    assert losses == pytest.approx(expected, rel=1e-4, abs=1e-4)


@settings(deadline=None, max_examples=30)
@given(asked())
def test_classify_names_the_more_probable_state_first(case):
    found = PUZZLE.answers(tf.constant(case[0]), tf.constant(case[1]))
    classified = PUZZLE.classify(found)
    classes, scores = classified["classes"].numpy().tolist(), classified["scores"].numpy()
    assert (scores[:, 0] >= scores[:, 1]).all()
    for row, pair, shuffled in zip(classes, scores, found["shuffled_probability"].numpy(), strict=True):
        assert set(row) == {SHUFFLED.encode(), IN_ORDER.encode()}
        assert pair[row.index(SHUFFLED.encode())] == pytest.approx(shuffled)


def evaluation_targets(dataset, batch_size: int, seed: int = 0) -> dict[int, int]:
    found = {}
    for batch in evaluation_batches(dataset, "train", batch_size):
        images, targets = PUZZLE.evaluation_batch(batch, seed)
        assert np.array_equal(images, shuffle(batch["image"], tf.gather(ORDERS, targets), 2))
        found |= zip(batch["id"].numpy().tolist(), targets.numpy().tolist(), strict=True)
    return found


def test_the_permutations_of_evaluation_are_frozen_by_the_seed_however_batched(textures):
    assert evaluation_targets(textures, 7) == evaluation_targets(textures, 360)
    assert evaluation_targets(textures, 360) != evaluation_targets(textures, 360, seed=1)


def training_targets(ids: np.ndarray, epoch: int, seed: int = 0) -> np.ndarray:
    images = tf.zeros((len(ids), 2, 2, 1), tf.uint8)
    batch = {"image": images, "id": tf.constant(ids), "label": tf.zeros(len(ids), tf.int64)}
    return PUZZLE.training_batch(batch, Augmentation(), seed, tf.constant(epoch, tf.int64))[1].numpy()


def test_each_epoch_of_training_has_permutations_of_its_own():
    ids = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, 24_000)
    targets = [training_targets(ids, epoch) for epoch in (1, 2)]
    for first, second in ((targets[0], targets[1]), (targets[0], training_targets(ids, 1, seed=1))):
        assert (first == second).mean() == pytest.approx(1 / 24, abs=0.01)
    assert np.array_equal(targets[0][100:110], training_targets(ids[100:110], 1))


def test_all_permutations_are_equally_frequent():
    ids = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, 24_000)
    for epoch in (1, 2, 3):
        counts = np.bincount(training_targets(ids, epoch), minlength=24)
        assert len(counts) == 24
        assert stats.chisquare(counts).pvalue > 1e-3


def test_training_and_evaluation_do_not_share_permutations(textures):
    frozen = evaluation_targets(textures, 360)
    ids = np.array(list(frozen), np.int64)
    for epoch in (1, 2):
        assert (training_targets(ids, epoch) == np.array(list(frozen.values()))).mean() < 0.15


def scores_that_want(orders: np.ndarray, strength: float) -> tf.Tensor:
    """Scores of nine tiles, float32 [B, 3, 9, 9], whose best arrangement is given; slots are right, seams are not."""
    random = np.random.default_rng(4)
    scores = random.normal(size=(len(orders), 3, 9, 9)) * 0.01
    scores[:, 0] += strength * np.eye(9)[orders]
    return tf.constant(scores, tf.float32)


def test_nine_tiles_are_put_back_in_order_through_their_scores():
    random = np.random.default_rng(3)
    images = random.integers(0, 256, (6, 12, 12, 3), np.uint8)
    targets = tf.constant([0, 1, 40_320, 362_879, 5, 123_456])
    orders = permutation_of(targets, 9)
    shuffled = shuffle(tf.constant(images), orders, 3)
    scores = scores_that_want(orders.numpy(), 20.0)
    found = {name: tensor.numpy() for name, tensor in NINE.answers(shuffled, scores).items()}
    assert np.array_equal(found["solved"], images)
    assert np.array_equal(found["permutation"], orders)
    assert found["probability"] == pytest.approx(1, abs=1e-5)
    assert found["shuffled_probability"] == pytest.approx([0, 1, 1, 1, 1, 1], abs=1e-5)
    assert NINE.score(targets, scores).numpy().tolist() == [1] * 6
    assert NINE.score(targets[::-1], scores).numpy().tolist() == [0] * 6


@settings(deadline=None, max_examples=4)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 3.0]))
def test_the_answers_of_scores_are_those_of_the_listed_permutations(seed, scale):
    """Scores that use slots alone: the permutation is an assignment, its probability a share of a permanent."""
    random = np.random.default_rng(seed)
    unary = (random.normal(size=(2, 9, 9)) * scale).astype(np.float32)
    scores = tf.constant(np.stack([unary, np.zeros_like(unary), np.zeros_like(unary)], axis=1))
    found = {n: t.numpy() for n, t in NINE.answers(tf.zeros((2, 9, 9, 3), tf.uint8), scores).items()}
    for image in range(2):
        listed = scipy_softmax(unary[image].astype(np.float64)[np.arange(9), NINE.permutations].sum(axis=1))
        assert found["permutation"][image].tolist() == NINE.permutations[listed.argmax()].tolist()
        assert found["probability"][image] == pytest.approx(listed.max(), rel=1e-3, abs=1e-6)
        assert found["shuffled_probability"][image] == pytest.approx(1 - listed[0], abs=1e-5)
    for axis in (1, 2):
        assert found["position_probabilities"].sum(axis=axis) == pytest.approx(1, abs=1e-5)


def test_no_image_is_answered_by_nothing():
    found = NINE.answers(tf.zeros((0, 9, 9, 3), tf.uint8), tf.zeros((0, 3, 9, 9)))
    shapes = {name: tuple(tensor.shape) for name, tensor in found.items()}
    assert shapes == {
        "permutation": (0, 9),
        "solved": (0, 9, 9, 3),
        "probability": (0,),
        "shuffled_probability": (0,),
        "position_probabilities": (0, 9, 9),
    }


def test_the_loss_of_scores_is_lowest_at_the_truth():
    truth, others = 31_415, [0, 7, 31_414, 31_416, 362_879]
    scores = scores_that_want(NINE.permutations[[truth]], 2.0)
    losses = [float(NINE.loss(tf.constant([target]), scores, 0.0)[0]) for target in (truth, *others)]
    assert losses[0] == min(losses)
    assert losses[0] > 0
    chance = NINE.loss(tf.constant([truth]), tf.zeros((1, 3, 9, 9)), 0.0)
    assert float(chance[0]) == pytest.approx(np.log(362_880), rel=1e-6)


def test_descending_the_loss_of_scores_leads_to_the_truth():
    targets = tf.constant([200_000, 3])
    scores = tf.Variable(tf.random.stateless_normal((2, 3, 9, 9), (1, 2)))
    for _ in range(20):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(NINE.loss(targets, scores, 0.0))
        scores.assign_sub(tape.gradient(loss, scores))
    assert NINE.score(targets, scores).numpy().tolist() == [1, 1]


def test_smoothing_gives_every_arrangement_its_share():
    scores = tf.random.stateless_normal((2, 3, 9, 9), (5, 6))
    targets = tf.constant([10, 20])
    sharp = NINE.loss(targets, scores, 0.0).numpy()
    even = (arrangements.log_partition(scores) - arrangements.mean_logit(scores)).numpy()
    assert NINE.loss(targets, scores, 0.1).numpy() == pytest.approx(0.9 * sharp + 0.1 * even, rel=1e-5)


@pytest.mark.parametrize("grid", [0, 4])
def test_a_grid_of_too_many_tiles_is_refused(grid):
    with pytest.raises(ConfigurationError, match=f"grid: found {grid}, expected 1 to 3"):
        Puzzle(grid)
