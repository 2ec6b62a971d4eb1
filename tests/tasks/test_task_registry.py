import pkgutil

import pytest

import nightshift.tasks
from nightshift.errors import ConfigurationError
from nightshift.tasks.registry import imported_task, imported_tasks, preset_of, source_of, task, tasks


def test_every_file_of_a_task_is_found_under_its_name():
    files = {module.name for module in pkgutil.iter_modules(nightshift.tasks.__path__)}
    assert set(tasks()) | set(imported_tasks()) == files - {"base", "imported", "registry"}
    assert not set(tasks()) & set(imported_tasks())


@pytest.mark.parametrize("chosen", tasks().values(), ids=lambda chosen: chosen.name)
def test_a_task_is_complete(chosen):
    assert chosen is task(chosen.name)
    assert "default" in chosen.presets
    assert chosen.thresholds
    assert len(set(chosen.classes)) == len(chosen.classes)
    for names in (*chosen.translations.values(), *chosen.groups.values()):
        assert len(names) == len(chosen.classes)
    for names in chosen.translations.values():
        assert len(set(names)) == len(names)
    assert bool(chosen.groups) == (chosen.problem == "grouped")
    assert 0 < chosen.validation_share < 1


def test_classes_have_the_order_of_their_publishers():
    """Labels 0 .. 9 of Fashion-MNIST as its README lists them, and as the tutorial names them in Korean."""
    fashion = task("fashion")
    pairs = list(zip(fashion.classes, fashion.translations["ko"], strict=True))
    assert [pairs[k] for k in (0, 3, 6, 8, 9)] == [
        ("T-shirt/top", "티셔츠"),
        ("Dress", "드레스"),
        ("Shirt", "셔츠"),
        ("Bag", "가방"),
        ("Ankle boot", "앵클 부츠"),
    ]
    for name in ("digits", "digits_parity"):
        assert [int(label) for label in task(name).classes] == list(range(10))
    assert task("digits_parity").groups["parity"] == tuple("odd" if k % 2 else "even" for k in range(10))


def test_data_that_are_given_are_taken_and_otherwise_the_tasks_own():
    assert source_of(task("digits"), "") == task("digits").source
    assert source_of(task("digits"), "photos.zip") == "photos.zip"
    assert source_of(task("image_folder"), "photos.zip") == "photos.zip"


def test_a_task_without_data_of_its_own_asks_for_them():
    with pytest.raises(ConfigurationError, match=r"task image_folder has no data of its own: give --data"):
        source_of(task("image_folder"), "")


def test_an_unknown_task_is_refused_with_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"'digit': no such task; there are .*digits.*puzzle"):
        task("digit")


def test_a_task_of_the_other_kind_is_refused_with_the_command_that_takes_it():
    with pytest.raises(ConfigurationError, match=r"imported, not trained: python -m pipelines\.import_model detection"):
        task("detection")
    with pytest.raises(ConfigurationError, match=r"trained, not imported: python -m pipelines\.run digits"):
        imported_task("digits")
    with pytest.raises(ConfigurationError, match=r"'detector': no such task; imported are detection"):
        imported_task("detector")


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"--preset large: task 'digits' has no such preset; it has default"):
        preset_of(task("digits"), "large")


def test_changes_are_applied_to_the_chosen_preset():
    assert preset_of(task("digits"), "blog", {"epochs": "2"}).epochs == 2
    assert preset_of(task("digits"), "blog").network == "lenet"


def test_a_preset_of_another_task_is_borrowed_by_its_full_name():
    assert preset_of(task("digits"), "digits.blog") == preset_of(task("digits"), "blog")


def test_a_task_of_several_answers_borrows_presets_of_one_but_not_the_other_way_round():
    assert preset_of(task("digits_parity"), "digits.blog") == preset_of(task("digits"), "blog")
    with pytest.raises(ConfigurationError, match=r"--preset digits_parity\.blog: trains grouped networks"):
        preset_of(task("digits"), "digits_parity.blog")


def test_a_preset_for_another_kind_of_problem_is_refused():
    with pytest.raises(ConfigurationError, match=r"--preset puzzle\.blog: trains puzzle networks"):
        preset_of(task("digits"), "puzzle.blog")
    with pytest.raises(ConfigurationError, match=r"--preset digits\.blog: trains classification networks"):
        preset_of(task("puzzle"), "digits.blog")
