"""Line plots as inline SVG that takes its colours and typeface from the page, and so follows light and dark.

No text from data enters a plot: names of classes stand in the page's own legends, where they are escaped and every
script has glyphs.
"""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

# matplotlib knows no CSS: it draws in stand-in colours, which are then replaced by the page's variables.
STAND_INS = {
    "#010101": "var(--ink)",
    "#010102": "var(--muted)",
    "#010103": "var(--line)",
    "#010104": "var(--first)",
    "#010105": "var(--second)",
    "#010106": "var(--third)",
}
MUTED, LINE, SERIES = "#010102", "#010103", ("#010104", "#010105", "#010106")

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "nightshift",
    "font.size": 9,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.use_mathtext": False,
    "axes.formatter.useoffset": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "text.color": MUTED,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
}

Series = NDArray[np.float64]


def curves(epochs: Series, series: Sequence[Series], label: str, best_epoch: float | None = None) -> Markup:
    """Figures by epoch, float64 [n] each, in the page's first, second ... colour; a line marks the best epoch."""
    with _drawing(label, (4.2, 2.5)) as (axes, picture):
        for values, colour in zip(series, SERIES, strict=False):
            axes.plot(epochs, values, color=colour, marker="o" if len(epochs) <= 15 else None, markersize=3)
        if best_epoch is not None:
            axes.axvline(best_epoch, color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
        known = np.concatenate([values[np.isfinite(values)] for values in series])
        if known.size and known.min() > 0 and known.max() > 20 * known.min():
            axes.set_yscale("log")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return picture[0]


def brightness(histograms: Mapping[str, Sequence[int]]) -> Markup:
    """Share of a split's images by mean brightness, one line a split; equal bins of 0 to 256."""
    with _drawing("Share of images by mean brightness", (4.2, 2.2)) as (axes, picture):
        for counts, colour in zip(histograms.values(), SERIES, strict=False):
            edges = np.linspace(0, 256, len(counts) + 1)
            axes.stairs(np.asarray(counts) / max(1, sum(counts)), edges, color=colour, linewidth=1.6)
        axes.set_xlabel("mean brightness of an image")
        axes.set_xlim(0, 256)
        axes.set_xticks([0, 64, 128, 192, 255])
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
        axes.yaxis.set_major_locator(MaxNLocator(4))
    return picture[0]


def two_histograms(edges: Sequence[float], reference: Sequence[int], found: Sequence[int]) -> Markup:
    """Shares of two samples over the same bins: the reference filled in the first colour, the other one's outline."""
    with _drawing("Share of images, the reference and now", (3.4, 2.0)) as (axes, picture):
        shares = [np.asarray(counts) / max(1, sum(counts)) for counts in (reference, found)]
        axes.stairs(shares[0], edges, color=SERIES[0], fill=True, alpha=0.3)
        axes.stairs(shares[0], edges, color=SERIES[0], linewidth=1.2)
        axes.stairs(shares[1], edges, color=SERIES[1], linewidth=1.6)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
        axes.yaxis.set_major_locator(MaxNLocator(3))
    return picture[0]


def roc(plain: Sequence[tuple[Series, Series]], marked: Sequence[tuple[Series, Series]], corner: float) -> Markup:
    """Receiver operating characteristics: (false, true positive rate) each; `marked` ones in the page's colours.

    Args:
        plain: curves drawn in grey.
        marked: at most three curves.
        corner: the part shown: false positive rates up to it, true positive rates from 1 less it.
    """
    with _drawing("Receiver operating characteristic", (3.4, 3.2)) as (axes, picture):
        axes.plot([0, 1], [0, 1], color=LINE, linewidth=1, linestyle=(0, (3, 3)))
        for false_rate, true_rate in plain:
            axes.plot(false_rate, true_rate, color=MUTED, linewidth=1, alpha=0.45)
        for (false_rate, true_rate), colour in zip(marked, SERIES, strict=False):
            axes.plot(false_rate, true_rate, color=colour)
        axes.set_xlabel("false positive rate")
        axes.set_ylabel("true positive rate")
        margin = 0.02 * corner
        axes.set_xlim(-margin, corner + margin)
        axes.set_ylim(1 - corner - margin, 1 + margin)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(5))
    return picture[0]


def scores_by_value(values: Sequence[bool | float | str], scores: Sequence[float], label: str) -> Markup:
    """Scores over the values of a setting, the first one marked as the best.

    Numbers stand at their places, in their logarithm where they span a decade; other values side by side.
    """
    numbers = [value for value in values if type(value) in (int, float)]
    words = [] if len(numbers) == len(values) else sorted({str(value) for value in values})
    places = [float(words.index(str(value)) if words else value) for value in values]
    with _drawing(label, (3.4, 2.3)) as (axes, picture):
        axes.scatter(places[1:], scores[1:], s=22, color=SERIES[0], alpha=0.55, linewidths=0)
        axes.scatter(places[:1], scores[:1], s=48, color=SERIES[1], linewidths=0, zorder=3)
        if words:
            axes.set_xlim(-0.5, len(words) - 0.5)
            axes.set_xticks(range(len(words)), words)
        elif 0 < 10 * min(places) <= max(places):
            axes.set_xscale("log")
        elif len(set(places)) <= 6:
            axes.set_xticks(sorted(set(places)), [f"{place:g}" for place in sorted(set(places))])
        else:
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=all(type(value) is int for value in values)))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.margins(x=0.08, y=0.12)
    return picture[0]


@contextmanager
def _drawing(description: str, inches: tuple[float, float]) -> Iterator[tuple[Axes, list[Markup]]]:
    """Axes to draw on; the list holds the SVG once the block is done."""
    picture: list[Markup] = []
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=inches, layout="constrained")
        axes = figure.add_subplot()
        axes.tick_params(length=0)
        yield axes, picture
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True)
    picture.append(_inline(buffer.getvalue(), description))


def _inline(svg: str, description: str) -> Markup:
    """An SVG file as an element of a page: without prolog, metadata, style sheet, fixed size, repeated ids."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata|style)\b.*?</\1>", "", svg, flags=re.DOTALL)
    svg = re.sub(r" font-family: [^;]*;", "", svg)
    svg = re.sub(r' id="[A-Za-z0-9]+(\.[a-z]+)?_\d+"', "", svg)
    svg = re.sub(r' (xmlns(:xlink)?|version)="[^"]*"', "", svg)
    svg = re.sub(r'<svg width="[^"]*" height="[^"]*"', "<svg", svg, count=1)
    svg = svg.replace("xlink:href", "href")
    for stand_in, variable in STAND_INS.items():
        svg = svg.replace(stand_in, variable)
    return Markup(svg.replace("<svg", f'<svg class="plot" role="img" aria-label="{description}"', 1))
