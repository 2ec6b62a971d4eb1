"""Cron as people write it, five fields, and as Kubeflow Pipelines reads it: six, of which the first is seconds.

Kubeflow takes five fields too, and misreads them: `0 2 * * *` fires at minute 2 of every hour. What is read here means
what crontab(5) says; a form on whose meaning crons differ is refused. Next times are those of robfig/cron 1.2, which
Kubeflow's controller uses: https://pkg.go.dev/github.com/robfig/cron@v1.2.0
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import islice

from nightshift.errors import ConfigurationError

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
LONGEST = 200
"""Characters of an expression."""

CALENDAR = (date(2028, 1, 1), 28)
"""A first day and so many years: after them the days of the week fall on the same dates again (until 2100)."""
PATIENCE_YEARS = 5
"""robfig/cron gives up looking after so many, and Kubeflow's controller then fires at once or never comes back."""

PART = re.compile(r"(?P<star>\*)?(?:(?P<low>\w{1,3})(?:-(?P<high>\w{1,3}))?)?(?:/(?P<step>\d{1,3}))?", re.ASCII)


@dataclass(frozen=True)
class _Kind:
    """What may stand in a field."""

    name: str
    lowest: int
    highest: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int | None:
        """A number or a name as a number, None if it is neither or out of range."""
        if text in self.names:
            return self.names.index(text) + self.lowest
        number = int(text) if text.isdigit() else -1
        return number if self.lowest <= number <= self.highest + (self.names == WEEKDAYS) else None


KINDS = (
    _Kind("minute", 0, 59),
    _Kind("hour", 0, 23),
    _Kind("day of the month", 1, 31),
    _Kind("month", 1, 12, MONTHS),
    _Kind("day of the week", 0, 6, WEEKDAYS),
)


@dataclass(frozen=True)
class _Field:
    """The values of a field; `star`: it begins with `*`, which matters to the days."""

    text: str
    values: frozenset[int]
    star: bool


@dataclass(frozen=True)
class Cron:
    """When something happens, to the minute."""

    minute: _Field
    hour: _Field
    day: _Field
    month: _Field
    weekday: _Field

    @classmethod
    def parse(cls, text: str) -> "Cron":
        """Read five fields.

        Raises:
            ConfigurationError: these are not five fields of cron, or no five years pass without a gap.
        """
        fields = text.lower().split() if len(text) <= LONGEST else []
        if len(fields) != len(KINDS):
            raise ConfigurationError(f"cron {text[:LONGEST]!r}: {_not_five(fields, text)}")
        try:
            cron = cls(*(_field(field, kind) for field, kind in zip(fields, KINDS, strict=True)))
        except ValueError as error:
            raise ConfigurationError(f"cron {text!r}: {error}") from None
        if not cron._comes_up():
            raise ConfigurationError(f"cron {text!r}: no such day, or none for more than {PATIENCE_YEARS} years")
        return cron

    def six_fields(self) -> str:
        """The same as Kubeflow Pipelines takes it: at second 0."""
        return f"0 {self}"

    def __str__(self) -> str:
        return " ".join(field.text for field in (self.minute, self.hour, self.day, self.month, self.weekday))

    def after(self, moment: datetime, zone: tzinfo = UTC) -> Iterator[datetime]:
        """The times after a moment, in the zone whose clock is meant; what a change of the clock skips is skipped."""
        today = moment.astimezone(zone).date()
        while True:
            if self._is_on(today):
                yield from (each for each in self._times(today, zone) if each > moment)
            today += timedelta(days=1)

    def next_times(self, moment: datetime, zone: tzinfo = UTC, count: int = 3) -> list[datetime]:
        """The first few times after a moment."""
        return list(islice(self.after(moment, zone), count))

    def _is_on(self, day: date) -> bool:
        """With both days restricted either will do, as crontab(5) has it; `*/2` does not count as restricted."""
        if day.month not in self.month.values:
            return False
        of_month, of_week = day.day in self.day.values, day.isoweekday() % 7 in self.weekday.values
        return of_month and of_week if self.day.star or self.weekday.star else of_month or of_week

    def _times(self, day: date, zone: tzinfo) -> list[datetime]:
        """The moments of a day at which the zone's clock shows hour and minute; in an hour that repeats, two."""
        shown = (time(hour, minute) for hour in self.hour.values for minute in self.minute.values)
        both = (datetime.combine(day, each, zone).replace(fold=fold) for each in shown for fold in (0, 1))
        moments = {each.astimezone(UTC) for each in both if _exists(each, zone)}
        return [moment.astimezone(zone) for moment in sorted(moments)]

    def _comes_up(self) -> bool:
        """Whether it never stays away for longer than robfig/cron looks ahead."""
        if self.day.text == self.weekday.text == "*":
            return True
        first, years = CALENDAR
        days = (first + timedelta(days=number) for number in range(round(years * 365.25)))
        on = sorted({day.year for day in days if self._is_on(day)})
        return bool(on) and all(b - a <= PATIENCE_YEARS for a, b in zip(on, [*on[1:], on[0] + years], strict=True))


def _exists(moment: datetime, zone: tzinfo) -> bool:
    """Not so between 02:00 and 03:00 of the night in which summer time begins."""
    return moment.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == moment.replace(tzinfo=None)


def _not_five(fields: list[str], text: str) -> str:
    expected = "expected five fields: minute, hour, day of the month, month, day of the week"
    if len(text) > LONGEST:
        return f"found {len(text)} characters, {expected}"
    if text.startswith("@"):
        return f"{expected}, as in `0 2 * * *` for every day at 02:00"
    if len(fields) == 6:
        return f"found six fields, {expected}; seconds are not given, the conversion adds them"
    return f"found {len(fields)} fields, {expected}"


def _field(text: str, kind: _Kind) -> _Field:
    """Read one field.

    Raises:
        ValueError: it is not one of this kind.
    """
    if text.startswith("*") and "," in text:
        raise ValueError(f"{kind.name} {text!r}: `*` stands alone or with a step; write the values out")
    values = frozenset(value for part in text.split(",") for value in _part(part, kind))
    if kind.names == WEEKDAYS and "7" in text and not text.startswith("*"):
        # Sunday is 0 or 7 to people; robfig/cron refuses any 7, even the end of a range whose steps pass it by.
        values = frozenset(value % 7 for value in values)
        text = ",".join(map(str, sorted(values)))
    return _Field(text, values, text.startswith("*"))


def _part(text: str, kind: _Kind) -> range:
    """The values of `*`, N, N-M, each but N possibly with /STEP."""
    found = PART.fullmatch(text)
    if not text or not found or bool(found["star"]) == bool(found["low"]):
        raise ValueError(f"{kind.name} {text!r}: expected `*`, N, N-M or one of these with /STEP, separated by commas")
    low, high = (kind.lowest, kind.highest) if found["star"] else (found["low"], found["high"] or found["low"])
    ends = [end if isinstance(end, int) else kind.number(end) for end in (low, high)]
    if ends[0] is None or ends[1] is None:
        names = f" or {kind.names[0]} to {kind.names[-1]}" if kind.names else ""
        raise ValueError(f"{kind.name} {text!r}: expected {kind.lowest} to {kind.highest}{names}")
    if ends[0] > ends[1]:
        raise ValueError(f"{kind.name} {text!r}: ends before it begins")
    step = int(found["step"] or 1)
    if not 1 <= step <= kind.highest - kind.lowest + 1:
        raise ValueError(f"{kind.name} {text!r}: a step of 1 to {kind.highest - kind.lowest + 1} is possible")
    if found["step"] and not found["star"] and not found["high"]:
        raise ValueError(f"{kind.name} {text!r}: a step needs a range; from {low} on is {low}-{kind.highest}/{step}")
    return range(ends[0], ends[1] + 1, step)
