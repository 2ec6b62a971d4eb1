"""The tables of docs/results.md, made from records."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.results.record import Record
from benchmarks.results.rows import ROWS, Printed, Row
from nightshift.errors import WorkspaceError

BEGIN = "<!-- begin: `make results` writes this from results.json and takes back what is changed by hand -->"
END = "<!-- end: `make results` -->"

METRICS = {
    "accuracy": "accuracy",
    "parity_accuracy": "parity",
    "parity_of_class_accuracy": "parity of the digit",
    "exact_match": "both right",
    "exact": "exact",
    "per_position": "per position",
    "valid": "permutations",
    "shuffled_auc": "shuffled or not, AUC",
}
"""What the tables show, in this order: name -> heading."""

SHARES = {"accuracy", "parity_accuracy", "parity_of_class_accuracy", "exact_match", "exact", "valid"}
"""Those that are shares of the test examples: their number gives an interval."""

PREAMBLE = """\
`make results DATA=DIR` trains and judges every line, `python -m benchmarks.results DIR` with a line's last column that
one alone. It goes on where it was stopped, and leaves alone what has been measured until its code, settings or data
change.

"Theirs, as printed" stands where a tutorial prints something of its training. "Theirs, run here" is its network and
settings in our loop. The weights of the epoch with the best validation score are judged on the test split. In brackets,
for one seed: the 95% interval of the bootstrap over the test examples (where all answers are right or all are wrong,
from which it learns nothing, Clopper and Pearson's); for several seeds, whose mean is given: the least and the
greatest. Seconds are of training alone, wall and processor, means over seeds.
"""
STALE = "† measured with earlier code, settings or data; `make results` measures it anew."


def with_tables(page: str, records: Sequence[Record], path: Path, rows: Sequence[Row] = ROWS) -> str:
    """The page with its tables made anew; what stands outside the markers stays.

    Raises:
        WorkspaceError: the page, which is at `path`, has not exactly one pair of markers.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in after or END in before:
        raise WorkspaceError(f"{path}: expected one line {BEGIN!r} and, below it, one line {END!r}")
    return f"{before}{BEGIN}\n\n{tables(records, rows)}\n{END}{after}"


def tables(records: Sequence[Record], rows: Sequence[Row] = ROWS) -> str:
    """A section of Markdown a task, in the order of the rows; records of what is no row any more are left out."""
    names = {row.name for row in rows}
    kept = [record for record in records if record.name in names]
    parts = [PREAMBLE]
    for task in dict.fromkeys(row.task for row in rows):
        own = [row for row in rows if row.task == task]
        if any(record.task == task for record in kept):
            parts.append(_section(task, own, kept))
    if machines := sorted({record.machine for record in kept}):
        parts.append(f"Measured on: {'; '.join(machines)}.\n")
    if any(record.stale for record in kept):
        parts.append(f"{STALE}\n")
    measured = {record.name for record in kept}
    if missing := [f"`{row.name}`" for row in rows if row.name not in measured]:
        parts.append(f"Not measured yet: {', '.join(missing)}.\n")
    return "\n".join(parts)


def _section(task: str, rows: Sequence[Row], records: Sequence[Record]) -> str:
    own = [record for record in records if record.task == task]
    metrics = [name for name in METRICS if any(name in record.metrics for record in own)]
    headings = ["", *(METRICS[name] for name in metrics), "wanted", "parameters", "epochs, best", "seconds"]
    headings += ["processor seconds", "seeds", "command"]
    lines = [headings, ["---"] * len(headings)]
    for row in rows:
        if row.printed:
            lines.append(_printed(row, row.printed, metrics))
        if of_row := of(records, row):
            lines.append(_measured(row, of_row, metrics))
    table = "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)
    examples = " or ".join(f"{count:,}" for count in sorted({record.count for record in own}))
    return f"### {task}\n\n`{rows[0].data}`, {examples} test images\n\n{table}\n"


def of(records: Sequence[Record], row: Row) -> list[Record]:
    """What counts for a row: its records that are not stale, and only if there are none of these, the stale ones."""
    own = sorted((record for record in records if record.name == row.name), key=lambda record: record.seed)
    return [record for record in own if not record.stale] or own


def _printed(row: Row, printed: Printed, metrics: Sequence[str]) -> list[str]:
    figures = [printed.figures.get(name, "") for name in metrics]
    parameters = f"{printed.parameters:,}" if printed.parameters else ""
    what = f"`{row.preset}`: theirs, as printed, {printed.where}"
    return [what, *figures, "", parameters, printed.epochs, printed.seconds, "", "", ""]


def _measured(row: Row, records: Sequence[Record], metrics: Sequence[str]) -> list[str]:
    whose = "ours" if row.preset == "default" else "theirs, run here"
    parameters = " or ".join(f"{count:,}" for count in sorted({record.parameters for record in records}))
    return [
        f"`{row.preset}`: {whose}{' †' if records[0].stale else ''}",
        *(_figure(name, records) for name in metrics),
        "; ".join(f"{words}: {'met' if met else '**not met**'}" for words, met in verdicts(row, records)),
        parameters,
        "; ".join(f"{record.epochs}, {record.best_epoch}" for record in records),
        f"{_mean(records, lambda record: record.seconds):,.0f}",
        f"{_mean(records, lambda record: record.cpu_seconds):,.0f}",
        ", ".join(str(record.seed) for record in records),
        f"`--only {row.name}`",
    ]


def _figure(name: str, records: Sequence[Record]) -> str:
    values = [record.metrics[name] for record in records if name in record.metrics]
    if not values:
        return ""
    if len(values) > 1:
        return f"{sum(values) / len(values):.4f} ({min(values):.4f} to {max(values):.4f})"
    if name not in SHARES:
        return f"{values[0]:.4f}"
    low, high = interval(values[0], records[0].count)
    return f"{values[0]:.4f} ({low:.4f} to {high:.4f})"


def interval(share: float, count: int) -> tuple[float, float]:
    """The 95% interval of a share of right answers, by the bootstrap's percentiles over the examples.

    How many of the examples that are drawn again are right is binomial, so that none has to be drawn. Of all right or
    all wrong every resample is the same; there it is the exact interval of Clopper and Pearson (Biometrika 26, 1934).

    Args:
        share: of right answers, 0 to 1.
        count: examples.
    """
    from scipy.stats import binom, binomtest

    right = round(share * count)
    if right in (0, count):
        exact = binomtest(right, count).proportion_ci(confidence_level=0.95, method="exact")
        return float(exact.low), float(exact.high)
    low, high = binom.ppf([0.025, 0.975], count, right / count) / count
    return float(low), float(high)


def verdicts(row: Row, records: Sequence[Record]) -> Iterator[tuple[str, bool]]:
    """What a row has to reach, in words, and whether the mean of its records does."""
    for name, least in row.at_least.items():
        reached = [record.metrics.get(name, math.nan) for record in records]
        yield f"{METRICS[name]} {least:g}", sum(reached) / len(reached) >= least
    if row.parameters_at_most is not None:
        met = all(record.parameters <= row.parameters_at_most for record in records)
        yield f"at most {row.parameters_at_most:,} parameters", met


def _mean(records: Sequence[Record], figure: Callable[[Record], float]) -> float:
    return sum(map(figure, records)) / len(records)
