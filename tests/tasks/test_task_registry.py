import pkgutil

import pytest

import nightshift.tasks
from nightshift.errors import ConfigurationError
from nightshift.tasks.registry import preset_of, task, tasks


def test_every_file_of_a_task_is_found_under_its_name():
    files = {module.name for module in pkgutil.iter_modules(nightshift.tasks.__path__)} - {"base", "registry"}
    assert set(tasks()) == files


@pytest.mark.parametrize("chosen", tasks().values(), ids=lambda chosen: chosen.name)
def test_a_task_is_complete(chosen):
    assert chosen is task(chosen.name)
    assert "default" in chosen.presets
    assert set(chosen.thresholds) <= {"accuracy", "loss", "balanced_accuracy", "exact", "valid", "per_position"}
    assert chosen.score in chosen.thresholds
    assert len(set(chosen.classes)) == len(chosen.classes)
    assert 0 < chosen.validation_share < 1


def test_an_unknown_task_is_refused_with_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"'digit': no such task; there are .*digits.*puzzle"):
        task("digit")


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"--preset large: task 'digits' has no such preset; it has default"):
        preset_of(task("digits"), "large")


def test_changes_are_applied_to_the_chosen_preset():
    assert preset_of(task("digits"), "blog", {"epochs": "2"}).epochs == 2
    assert preset_of(task("digits"), "blog").network == "lenet"


def test_a_preset_of_another_task_is_borrowed_by_its_full_name():
    assert preset_of(task("digits"), "digits.blog") == preset_of(task("digits"), "blog")


def test_a_preset_for_another_kind_of_problem_is_refused():
    with pytest.raises(ConfigurationError, match=r"--preset puzzle\.blog: trains puzzle networks"):
        preset_of(task("digits"), "puzzle.blog")
    with pytest.raises(ConfigurationError, match=r"--preset digits\.blog: trains classification networks"):
        preset_of(task("puzzle"), "digits.blog")
