"""Numbers, durations and sizes as people read them."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

NOTHING = "\u2013"


def number(value: Any) -> str:
    """Counts with separators, other numbers to four decimals, very small ones as powers of ten."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}" if value == 0 or abs(value) >= 0.0005 else f"{value:.1e}"
    return str(value)


def difference(value: float) -> str:
    """A signed difference to four decimals, with a true minus sign."""
    if not math.isfinite(value):
        return NOTHING
    text = f"{value:+.4f}"
    return "±0" if float(text) == 0 else text.replace("-", "\u2212")


def percent(share: float) -> str:
    """A share as a percentage; what is short of all or above none never shows as 100 or 0."""
    if not math.isfinite(share):
        return NOTHING
    if 0.999 < share < 1:
        return ">99.9 %"
    if 0 < share < 0.001:
        return "<0.1 %"
    return f"{100 * share:.1f} %"


def duration(seconds: Any) -> str:
    """Seconds as `850 ms`, `12.3 s`, `4 min 05 s` or `1 h 04 min`."""
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return NOTHING
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: Any) -> str:
    """A number of bytes, in powers of 1000."""
    if not isinstance(count, int | float):
        return NOTHING
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count:.0f} B"


def moment(timestamp: Any) -> str:
    """Seconds since 1970 as date and time in UTC."""
    if not isinstance(timestamp, int | float):
        return NOTHING
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M UTC")


def words(name: str) -> str:
    """The name of a field as words."""
    return name.replace("_", " ")


def plain(value: Any) -> str:
    """A setting or an identifier: no separators, no rounding."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {plain(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def facts(figures: Mapping[str, Any], names: Mapping[str, str]) -> list[tuple[str, str]]:
    """(label, text) of the figures that are there and not empty, in the order of `names` (field -> label)."""
    return [
        (label, plain(figures[field])) for field, label in names.items() if figures.get(field) not in (None, "", [], {})
    ]
