import dataclasses
import math
from typing import Any, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.errors import ConfigurationError
from nightshift.tasks.base import Augmentation, Preset
from nightshift.tasks.registry import tasks

PRESET = Preset(network="lenet", network_options={"n_dense": 32, "dropout": 0.5}, epochs=3, batch_size=8)

OTHER: dict[str, tuple[Any, Any]] = {
    # setting: what a command line or a pipeline's JSON gives, what it means
    "network": ("lenet", "lenet"),
    "n_dense": ("64", 64),
    "dropout": ("0.25", 0.25),
    "epochs": (2.0, 2),
    "batch_size": ("16", 16),
    "optimizer": ("adam", "adam"),
    "learning_rate": ("3e-4", 3e-4),
    "schedule": ("cosine", "cosine"),
    "warmup": (0, 0.0),
    "weight_decay": ("0.1", 0.1),
    "label_smoothing": (1, 1.0),
    "patience": ("5.0", 5),
    "keep": ("last", "last"),
    "precision": ("mixed_bfloat16", "mixed_bfloat16"),
    "jit_compile": ("true", True),
    "flip": (True, True),
    "rotation": ("7.5", 7.5),
    "zoom": (0.5, 0.5),
    "shift": ("0.01", 0.01),
    "colour": ("0.3", 0.3),
    "erase": ("0.5", 0.5),
}


def test_every_setting_has_a_case_below():
    assert set(PRESET.settings()) == set(OTHER)


@pytest.mark.parametrize("name", OTHER)
def test_a_setting_is_changed_by_its_flat_name_and_no_other_is(name):
    given, meant = OTHER[name]
    before, after = PRESET.settings(), PRESET.with_settings({name: given}).settings()
    assert after == before | {name: meant}
    assert type(after[name]) is type(meant)


@pytest.mark.parametrize("task", tasks().values(), ids=lambda task: task.name)
def test_a_preset_given_its_own_settings_stays_as_it_is(task):
    for preset in task.presets.values():
        assert preset.with_settings(preset.settings()) == preset
        assert preset.with_settings({name: str(value) for name, value in preset.settings().items()}) == preset


def test_a_whole_number_as_a_default_does_not_forbid_a_fraction():
    preset = dataclasses.replace(PRESET, augmentation=Augmentation(rotation=12))
    assert preset.with_settings({"rotation": "12.5"}).augmentation.rotation == 12.5


BAD = {
    "epochs": ("2.5", "many", "", "0", "-1", "inf", "nan", None, True),
    "batch_size": ("0", "1e3000"),
    "n_dense": ("2.5", "x"),
    "dropout": ("half", "nan"),
    "patience": ("-1",),
    "optimizer": ("sgd", ""),
    "schedule": ("linear",),
    "precision": ("float16",),
    "learning_rate": ("0", "-1e-3", "10", "nan", "inf", "fast"),
    "warmup": ("1.5", "-0.1"),
    "weight_decay": ("nan", "2"),
    "label_smoothing": ("1.01",),
    "keep": ("first",),
    "jit_compile": ("yes", "2", ""),
    "flip": ("maybe", 0.5),
    "rotation": ("-1", "nan", "181"),
    "zoom": ("1",),
    "shift": ("2", "x"),
    "colour": ("2", "x"),
    "erase": ("1.1", "x"),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_bad_value_is_refused_by_name_with_what_was_found(name, value):
    with pytest.raises(ConfigurationError) as raised:
        PRESET.with_settings({name: value})
    assert name in str(raised.value)
    assert "found" in str(raised.value)
    assert "expected" in str(raised.value)


def test_a_choice_is_refused_with_the_choices():
    with pytest.raises(ConfigurationError, match="found 'sgd', expected one of adam, adamw"):
        PRESET.with_settings({"optimizer": "sgd"})


def test_an_unknown_setting_is_refused_with_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"learning_rte: no such setting; there are .*learning_rate"):
        PRESET.with_settings({"learning_rte": 1})


def test_an_option_of_another_network_is_unknown():
    with pytest.raises(ConfigurationError, match="strip"):
        PRESET.with_settings({"strip": 4})


@given(st.floats(min_value=1e-12, max_value=9.99))
def test_a_float_survives_its_text(rate):
    assert PRESET.with_settings({"learning_rate": repr(rate)}).learning_rate == rate


@given(st.text(max_size=12))
def test_any_text_as_a_number_is_read_or_refused(text):
    try:
        rate = PRESET.with_settings({"dropout": text}).network_options["dropout"]
    except ConfigurationError:
        return
    assert math.isfinite(rate)


def test_choices_are_declared_where_the_setting_is():
    literals = {f.name for f in dataclasses.fields(Preset) if get_origin(f.type)}
    assert {"optimizer", "schedule", "precision"} <= literals
    for field in dataclasses.fields(Preset):
        for choice in get_args(field.type) if field.name in ("optimizer", "schedule", "precision") else ():
            assert getattr(PRESET.with_settings({field.name: choice}), field.name) == choice
