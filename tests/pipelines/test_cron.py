"""Five-field cron: read as crontab(5) means it, written as Kubeflow's controller reads it."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightshift.errors import ConfigurationError
from pipelines.cron import Cron

RECORDED = Path(__file__).with_name("robfig_cron.csv")
"""What robfig/cron 1.2.0, which Kubeflow's controller uses, said of what `six_fields` writes."""

START = datetime(2026, 11, 5, 10, 30, tzinfo=UTC)
BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def numbers(low, high):
    """Fields as people write them: `*`, `*/N`, numbers, ranges, ranges with steps, lists of the last three."""
    number = st.integers(low, high)
    bounds = st.tuples(number, number).map(sorted)
    part = st.one_of(
        number.map(str),
        bounds.map(lambda ends: f"{ends[0]}-{ends[1]}"),
        st.tuples(bounds, st.integers(1, 5)).map(lambda each: f"{each[0][0]}-{each[0][1]}/{each[1]}"),
    )
    every = st.integers(1, 7).map(lambda step: f"*/{step}")
    return st.one_of(st.just("*"), every, st.lists(part, min_size=1, max_size=3).map(",".join))


def values(field, low, high):
    """Read a field the slow way: try every number."""
    found = set()
    for part in field.split(","):
        ends, _, step = part.partition("/")
        first, last = (low, high) if ends == "*" else (int(ends.split("-")[0]), int(ends.split("-")[-1]))
        found |= {number for number in range(low, high + 1) if number in range(first, last + 1, int(step or 1))}
    return found


def shown(text, moment):
    """Whether cron fires at a minute, straight from crontab(5)."""
    fields = text.split()
    minute, hour, day, month, weekday = (values(f, *ends) for f, ends in zip(fields, BOUNDS, strict=True))
    days = moment.day in day, bool(weekday & {moment.isoweekday(), moment.isoweekday() % 7})
    both = fields[2].startswith("*") or fields[4].startswith("*")
    return (
        moment.minute in minute and moment.hour in hour and moment.month in month and (all(days) if both else any(days))
    )


expressions = st.tuples(*(numbers(*ends) for ends in BOUNDS)).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(expressions, st.integers(0, 3 * 365 * 24 * 60))
def test_it_fires_at_every_minute_that_fits_and_at_no_other(text, minutes):
    try:
        cron = Cron.parse(text)
    except ConfigurationError:
        return  # a day that never comes
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    first = next(cron.after(start))
    assert shown(text, first)
    assert first > start
    # Looking at every minute of two days, or until it fires.
    until = min(first, start + timedelta(days=2))
    moment = start + timedelta(minutes=1)
    while moment < until:
        assert not shown(text, moment), moment
        moment += timedelta(minutes=1)


@settings(max_examples=100, deadline=None)
@given(expressions)
def test_the_conversion_adds_second_zero_and_keeps_the_meaning(text):
    try:
        cron = Cron.parse(text)
    except ConfigurationError:
        return
    second, *rest = cron.six_fields().split()
    assert second == "0"
    assert "7" not in rest[4] or rest[4] == "*/7"
    again = Cron.parse(" ".join(rest))
    assert again.next_times(START) == cron.next_times(START)


def recorded():
    with open(RECORDED, newline="") as file:
        return [tuple(row) for row in csv.reader(file, delimiter=";")]


@pytest.mark.parametrize(("text", "six", "zone", "start", "firings"), recorded())
def test_the_controller_fires_when_we_say(text, six, zone, start, firings):
    cron = Cron.parse(text)
    assert cron.six_fields() == six
    times = cron.next_times(datetime.fromisoformat(start), ZoneInfo(zone), 4)
    assert [time.astimezone(UTC) for time in times] == [datetime.fromisoformat(each) for each in firings.split(",")]


@pytest.mark.parametrize(
    ("text", "six"),
    [
        ("0 2 * * *", "0 0 2 * * *"),
        ("30 2 * * *", "0 30 2 * * *"),
        ("*/15 * * * *", "0 */15 * * * *"),
        ("0 0 * * 7", "0 0 0 * * 0"),
        ("0 0 * * 5-7", "0 0 0 * * 0,5,6"),
        ("0 0 * * MON-FRI", "0 0 0 * * mon-fri"),
        ("0 0 1 JAN *", "0 0 0 1 jan *"),
        ("  5   4  * *  sun ", "0 5 4 * * sun"),
    ],
)
def test_what_kubeflow_gets(text, six):
    assert Cron.parse(text).six_fields() == six


def test_two_in_the_morning_is_once_a_day_at_two():
    times = Cron.parse("0 2 * * *").next_times(START, count=3)
    assert times == [datetime(2026, 11, day, 2, 0, tzinfo=UTC) for day in (6, 7, 8)]


def test_the_days_of_month_and_week_both_count_unless_one_is_a_star():
    thirteenth_or_friday = Cron.parse("0 0 13 * 5").next_times(START)
    assert [time.day for time in thirteenth_or_friday] == [6, 13, 20]
    every_other_day_and_monday = Cron.parse("0 0 */2 * 1").next_times(START)
    assert [time.day for time in every_other_day_and_monday] == [9, 23, 7]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0 0 2 * * *", "found six fields, expected five"),
        ("0 2 * *", "found 4 fields, expected five"),
        ("", "found 0 fields"),
        ("@daily", "as in `0 2"),
        ("60 * * * *", "minute '60': expected 0 to 59"),
        ("0 24 * * *", "hour '24': expected 0 to 23"),
        ("0 0 0 * *", "day of the month '0': expected 1 to 31"),
        ("0 0 * 13 *", "month '13': expected 1 to 12 or jan to dec"),
        ("0 0 * * 8", "day of the week '8': expected 0 to 6 or sun to sat"),
        ("0 0 * * friday", "day of the week 'friday'"),
        ("0 22-2 * * *", "ends before it begins"),
        ("0 0 * * sat-sun", "ends before it begins"),
        ("*/0 * * * *", "a step of 1 to 60"),
        ("*/90 * * * *", "a step of 1 to 60"),
        ("5/15 * * * *", "5-59/15"),
        ("*,5 * * * *", "stands alone"),
        ("1,,2 * * * *", "minute ''"),
        ("-1 * * * *", "minute '-1'"),
        ("0 0 L * *", "day of the month 'l'"),
        ("0 0 ? * *", "day of the month '?'"),
        ("0 0 * * 1#2", "day of the week '1#2'"),
        ("٣ * * * *", "minute '٣'"),
        ("0 0 30 2 *", "no such day"),
        ("0 0 31 4,6 *", "no such day"),
        ("0 0 29 2 */3", "none for more than 5 years"),
        ("0 " + "0," * 200 + "0 * * *", "characters"),
    ],
)
def test_what_could_be_misread_is_refused(text, said):
    with pytest.raises(ConfigurationError) as error:
        Cron.parse(text)
    assert said in str(error.value)


def test_the_clock_of_a_zone_is_meant():
    berlin = ZoneInfo("Europe/Berlin")
    spring = Cron.parse("30 2 * * *").next_times(datetime(2027, 3, 27, tzinfo=UTC), berlin)
    assert [time.day for time in spring] == [27, 29, 30]  # no 02:30 on the 28th
    autumn = Cron.parse("30 2 * * *").next_times(datetime(2027, 10, 30, 12, tzinfo=UTC), berlin)
    assert [time.astimezone(UTC).hour for time in autumn] == [0, 1, 1]  # twice on the 31st
