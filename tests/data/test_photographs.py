import numpy as np
import pytest

from nightshift.data import photographs
from nightshift.data.bundled import package_folder
from nightshift.data.photographs import LEAST_DEVIATION, PHOTOGRAPHS, BundledPhotographs


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(photographs, "CROPS", {"train": 25, "validation": 5, "test": 7})


def crops(seed):
    return {example.key: example for example in BundledPhotographs((32, 32, 3), seed).examples()}


def test_all_crops_asked_for_are_given_and_have_texture():
    examples = crops(0).values()
    found = [example.split for example in examples]
    assert {split: found.count(split) for split in PHOTOGRAPHS} == {"train": 25, "validation": 5, "test": 7}
    for example in examples:
        assert example.image.shape == (32, 32, 3)
        assert example.image.std() >= LEAST_DEVIATION


def test_the_seed_draws_other_training_crops_and_the_same_test_crops():
    first, same, other = crops(0), crops(0), crops(1)
    assert list(first) == list(same)
    for key, example in first.items():
        np.testing.assert_array_equal(example.image, same[key].image)
    held_out = {key for key, example in first.items() if example.split != "train"}
    assert held_out == {key for key, example in other.items() if example.split != "train"}
    assert set(first) & set(other) == held_out


def test_no_photograph_is_in_two_splits_and_all_are_installed():
    names = [name for group in PHOTOGRAPHS.values() for name in group]
    assert len(names) == len(set(names))
    for name in names:
        package, _, file = name.partition("/")
        assert (package_folder(package) / file).is_file()
