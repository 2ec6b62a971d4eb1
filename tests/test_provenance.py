import dataclasses
from importlib import metadata
from pathlib import Path

import pytest

from nightshift import provenance
from nightshift.provenance import Recipe, hash_of_sources, recipe, versions
from nightshift.tasks.registry import preset_of, task

DIGITS = task("digits")


def key(preset_name: str = "default", seed: int = 0, dataset: str = "0" * 16, **settings: object) -> str:
    return recipe(DIGITS, preset_name, preset_of(DIGITS, "default", settings), seed, dataset).key


def test_equal_recipes_have_equal_keys():
    assert key() == key()
    assert len(key()) == 20


def test_the_name_of_a_preset_does_not_count():
    assert key("default") == key("nightly")


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"dataset": "1" * 16}, {"epochs": 29}, {"width": 21}, {"rotation": 11}, {"flip": True}]
)
def test_whatever_changes_the_model_changes_the_key(change):
    assert key(**change) != key()


def test_every_setting_counts():
    facts = recipe(DIGITS, "default", preset_of(DIGITS, "default"), 0, "0" * 16)
    for name, value in facts.settings.items():
        assert dataclasses.replace(facts, settings={**facts.settings, name: f"not {value}"}).key != facts.key


def test_a_value_given_as_text_is_the_same_recipe():
    settings = preset_of(DIGITS, "default").settings()
    assert key(**{name: str(value) for name, value in settings.items()}) == key()


def test_sources_and_versions_count():
    facts = recipe(DIGITS, "default", preset_of(DIGITS, "default"), 0, "0" * 16)
    assert dataclasses.replace(facts, sources="other").key != facts.key
    assert dataclasses.replace(facts, versions={**facts.versions, "keras": "0"}).key != facts.key
    assert dataclasses.replace(facts, task="puzzle").key != facts.key


def test_the_sources_are_those_of_the_network_in_use():
    assert (
        recipe(DIGITS, "blog", preset_of(DIGITS, "blog"), 0, "").sources
        != recipe(DIGITS, "default", preset_of(DIGITS, "default"), 0, "").sources
    )


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "loop.py").write_text("a = 1\n")
    (tmp_path / "input.py").write_text("b = 2\n")
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    return tmp_path


def test_a_changed_renamed_or_added_source_changes_the_hash(package):
    def digest() -> str:
        return hash_of_sources(("training", "input.py"))

    seen = [digest()]
    (package / "input.py").write_text("b = 3\n")
    seen.append(digest())
    (package / "training" / "loop.py").rename(package / "training" / "loops.py")
    seen.append(digest())
    (package / "training" / "new.py").touch()
    seen.append(digest())
    assert len(set(seen)) == 4
    (package / "README.md").write_text("not a source")
    (package / "other.py").write_text("not asked for")
    assert digest() == seen[-1]


def test_every_source_that_counts_is_there():
    of_problems = [name for names in provenance.PROBLEM_SOURCES.values() for name in names]
    for name in (*provenance.TRAINING_SOURCES, *of_problems):
        assert (provenance.PACKAGE / name).exists(), name


def test_versions_are_the_installed_ones():
    assert versions(["numpy"]) == {"numpy": metadata.version("numpy")}


def test_a_recipe_does_not_depend_on_the_order_of_its_settings():
    facts = recipe(DIGITS, "default", preset_of(DIGITS, "default"), 0, "")
    turned = Recipe(**(vars(facts) | {"settings": dict(reversed(facts.settings.items()))}))
    assert turned.key == facts.key
