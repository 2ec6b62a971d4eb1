import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.report import formats


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.85, "850 ms"),
        (12.34, "12.3 s"),
        (59.96, "1 min 00 s"),
        (245, "4 min 05 s"),
        (3840, "1 h 04 min"),
        (None, formats.NOTHING),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert formats.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12345, "12,345"),
        (0.97125, "0.9712"),
        (0.00001, "1.0e-05"),
        (True, "yes"),
        (float("nan"), formats.NOTHING),
        (None, formats.NOTHING),
        (0.0, "0.0000"),
    ],
)
def test_numbers(value: object, text: str) -> None:
    assert formats.number(value) == text


@given(st.floats(0, 1))
def test_only_all_is_100_percent_and_only_nothing_0(share: float) -> None:
    assert (formats.percent(share) == "100.0 %") == (share == 1)
    assert (formats.percent(share) == "0.0 %") == (share == 0)


@given(st.floats(-1, 1))
def test_a_difference_has_a_sign_unless_it_rounds_to_nothing(value: float) -> None:
    text = formats.difference(value)
    assert text[0] == ("±" if round(value, 4) == 0 else "+" if value > 0 else "\u2212")


def test_sizes_and_settings() -> None:
    assert [formats.size(count) for count in (12, 1_500, 2_500_000)] == ["12 B", "1.5 kB", "2.5 MB"]
    assert formats.plain({"epochs": 12, "flip": True, "rate": 1e-3}) == "epochs 12, flip yes, rate 0.001"
    assert formats.facts({"a": 0, "b": "", "c": [1, 2]}, {"c": "C", "a": "A", "b": "B"}) == [("C", "1, 2"), ("A", "0")]
