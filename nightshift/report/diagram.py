"""Places the boxes of a network: in ranks from top to bottom, ranks in columns from left to right.

The layered drawing of Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures",
IEEE Transactions on Systems, Man, and Cybernetics 11(2), 1981: ranks by the longest path from an input, edges that
pass a rank as narrow places of their own in it, orders by barycentres; then horizontal positions by least squares.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nightshift.report.folding import Box, Frame

WIDTH, NARROW = 176.0, 10.0
LINE, PADDING = 15.0, 9.0
GAP, RANK_GAP, COLUMN_GAP, MARGIN = 14.0, 20.0, 44.0, 14.0
FRAME, TIMES = 8.0, 34.0
PAGE_WIDTH = 1040.0
BROADEST = 5
"""Boxes in a rank: what stands beside each other on a page."""
ANOTHER_COLUMN = 100.0
"""The height that a further column has to spare."""
SWEEPS, PASSES, STILL = 8, 600, 0.05
PULL = {(True, True): 8.0, (False, False): 60.0}
"""Of a link, by whether its ends are boxes: chains and edges that pass are straight, what turns off may bend."""


@dataclass(frozen=True)
class Placed:
    """A box and where it stands: its left upper corner and size."""

    box: Box
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Drawing:
    """Everything in pixels; edges are SVG paths, frames (x, y, width, height, times)."""

    width: float
    height: float
    boxes: list[Placed]
    edges: list[str]
    arrows: list[tuple[float, float]]
    frames: list[tuple[float, float, float, float, int]]


@dataclass
class _Item:
    """A place in a rank: a box, an edge that passes (`box` -1), or where the column is entered (rank -1)."""

    box: int
    rank: int
    width: float
    x: float = 0.0


def draw(boxes: Sequence[Box], frames: Sequence[Frame]) -> Drawing:
    """The drawing of a network.

    Args:
        boxes: each takes from earlier ones.
        frames: groups of boxes, each of whole ranks.
    """
    ranks = _ranks(boxes)
    heights = _heights(boxes, ranks)
    columns = _columns(boxes, ranks, heights, frames)
    return _Layout(boxes, ranks, heights, frames).drawing(columns)


def box_height(box: Box) -> float:
    """Two lines, three if something follows."""
    return 2 * PADDING + LINE * (3 if box.then else 2) - 4


def _ranks(boxes: Sequence[Box]) -> list[int]:
    """Below all that a box takes from, in the first rank that has room."""
    ranks: list[int] = []
    for box in boxes:
        rank = 1 + max((ranks[place] for place in box.inputs), default=-1)
        while ranks.count(rank) >= BROADEST:
            rank += 1
        ranks.append(rank)
    return ranks


def _heights(boxes: Sequence[Box], ranks: Sequence[int]) -> list[float]:
    heights = [0.0] * (max(ranks, default=-1) + 1)
    for box, rank in zip(boxes, ranks, strict=True):
        heights[rank] = max(heights[rank], box_height(box))
    return heights


def _breaks(boxes: Sequence[Box], ranks: Sequence[int], frames: Sequence[Frame]) -> list[int]:
    """Ranks after which a column may end: a single box of that very rank gives all that later ones take."""
    count = max(ranks, default=-1) + 1
    givers: list[set[int]] = [set() for _ in range(count)]
    for place, box in enumerate(boxes):
        for earlier in box.inputs:
            for rank in range(ranks[earlier], ranks[place]):
                givers[rank].add(earlier)
        if not box.inputs and place:  # another input: may not begin before the column that it stands in
            for rank in range(ranks[place]):
                givers[rank].add(place)
    inside = {rank for frame in frames for rank in range(_first(frame, ranks), _last(frame, ranks))}
    return [
        rank
        for rank in range(count - 1)
        if len(givers[rank]) == 1 and ranks[next(iter(givers[rank]))] == rank and rank not in inside
    ]


def _first(frame: Frame, ranks: Sequence[int]) -> int:
    return min(ranks[place] for place in frame.boxes)


def _last(frame: Frame, ranks: Sequence[int]) -> int:
    return max(ranks[place] for place in frame.boxes)


def _columns(
    boxes: Sequence[Box], ranks: Sequence[int], heights: Sequence[float], frames: Sequence[Frame]
) -> list[range]:
    """Ranks in columns that fit the width of a page: low, but no column more than is worth it."""
    breaks = _breaks(boxes, ranks, frames)
    best = [range(len(heights))]
    for limit in sorted({_height(heights, range(start + 1, end + 1)) for start in (-1, *breaks) for end in breaks}):
        columns = _filled(breaks, heights, limit)
        widths = [max(map(ranks.count, column)) * (WIDTH + GAP) + COLUMN_GAP for column in columns]
        if sum(widths) <= PAGE_WIDTH and _cost(heights, columns) < _cost(heights, best):
            best = columns
    return best


def _height(heights: Sequence[float], column: range) -> float:
    return sum(heights[rank] + RANK_GAP for rank in column)


def _cost(heights: Sequence[float], columns: Sequence[range]) -> float:
    return max(_height(heights, column) for column in columns) + ANOTHER_COLUMN * len(columns)


def _filled(breaks: Sequence[int], heights: Sequence[float], limit: float) -> list[range]:
    """Columns that end at breaks, each as long as the limit allows."""
    columns, start, end = [], 0, 0
    for after in [*breaks, len(heights) - 1]:
        if end > start and _height(heights, range(start, after + 1)) > limit:
            columns.append(range(start, end))
            start = end
        end = after + 1
    return [*columns, range(start, len(heights))]


class _Layout:
    """One column after the other."""

    def __init__(
        self, boxes: Sequence[Box], ranks: Sequence[int], heights: Sequence[float], frames: Sequence[Frame]
    ) -> None:
        self.boxes, self.ranks, self.heights, self.frames = boxes, ranks, heights, frames
        self.items: dict[int, _Item] = {}
        self.passing: list[tuple[int, _Item]] = []
        self.tops: dict[int, float] = {}
        self.edges: list[str] = []
        self.arrows: list[tuple[float, float]] = []

    def drawing(self, columns: Sequence[range]) -> Drawing:
        """All columns beside each other, each entered from the end of the one before."""
        tallest = max(sum(self.heights[r] for r in column) + RANK_GAP * (len(column) - 1) for column in columns)
        bottom = MARGIN + RANK_GAP + tallest
        right = 0.0
        for column in columns:
            giver = self._giver(column)
            left = right + (COLUMN_GAP if right else MARGIN)
            right = self._column(column, left, giver)
            if giver is not None:
                source = self.items[giver]
                entry = self.items[-1 - column.start]
                below, above, between = bottom + FRAME + 6, MARGIN - 6, left - COLUMN_GAP / 2
                self.edges.append(
                    f"M{source.x:.1f} {self._end(giver):.1f}V{below:.1f}H{between:.1f}V{above:.1f}H{entry.x:.1f}"
                    f"V{MARGIN:.1f}"
                )
        return Drawing(
            width=right + MARGIN,
            height=bottom + (FRAME + MARGIN if len(columns) > 1 else FRAME),
            boxes=[self._placed(place) for place in range(len(self.boxes))],
            edges=self.edges,
            arrows=self.arrows,
            frames=[self._frame(frame) for frame in self.frames],
        )

    def _giver(self, column: range) -> int | None:
        """The box of an earlier column that this one takes from."""
        earlier = {
            taken
            for place, box in enumerate(self.boxes)
            if self.ranks[place] in column
            for taken in box.inputs
            if self.ranks[taken] < column.start
        }
        return earlier.pop() if earlier else None

    def _column(self, column: range, left: float, giver: int | None) -> float:
        """Place one column's boxes and edges; returns its right end."""
        rows: list[list[_Item]] = [[] for _ in range(len(column) + 1)]
        links: list[tuple[_Item, _Item]] = []
        paths: list[list[_Item]] = []
        entry = _Item(-1, -1, 0.0)
        rows[0].append(entry)
        for place, box in enumerate(self.boxes):
            if self.ranks[place] in column:
                item = self.items[place] = _Item(place, self.ranks[place] - column.start, WIDTH)
                rows[item.rank + 1].append(item)
                for taken in box.inputs:
                    paths.append([entry if taken == giver else self.items[taken], item])
        for path in paths:
            start, end = path
            passed = [_Item(-1, rank, NARROW) for rank in range(start.rank + 1, end.rank)]
            for item in passed:
                rows[item.rank + 1].append(item)
                self.passing.append((item.rank + column.start, item))
            path[1:1] = passed
            links += itertools.pairwise(path)
        _order(rows, links)
        _position(rows, links)
        items = [item for row in rows for item in row]
        shift = left - min(item.x - item.width / 2 for item in items) + self._margin(column)
        for item in items:
            item.x += shift
        self._stack(column)
        self.items[-1 - column.start] = entry
        for path in paths:
            self._edge(path, column)
        framed = self._margin(column)
        return max(item.x + item.width / 2 for item in items) + (framed and framed + TIMES)

    def _margin(self, column: range) -> float:
        return FRAME if any(self.ranks[frame.boxes[0]] in column for frame in self.frames) else 0.0

    def _stack(self, column: range) -> None:
        top = MARGIN + RANK_GAP
        for rank in column:
            self.tops[rank] = top
            top += self.heights[rank] + RANK_GAP

    def _end(self, place: int) -> float:
        """The lower edge of a box."""
        return self.tops[self.ranks[place]] + box_height(self.boxes[place])

    def _edge(self, path: Sequence[_Item], column: range) -> None:
        """Straight through the ranks that it passes, a curve between two ranks."""
        x = path[0].x
        y = self._end(path[0].box) if path[0].box >= 0 else MARGIN
        steps = [f"M{x:.1f} {y:.1f}"]
        for item in path[1:]:
            rank = item.rank + column.start
            top = self.tops[rank]
            row_end = top - RANK_GAP
            if y < row_end:
                steps.append(f"V{row_end:.1f}")
                y = row_end
            middle = (y + top) / 2
            straight = abs(item.x - x) < 0.5
            steps.append(
                f"V{top:.1f}" if straight else f"C{x:.1f} {middle:.1f} {item.x:.1f} {middle:.1f} {item.x:.1f} {top:.1f}"
            )
            x, y = (x if straight else item.x), top
        self.edges.append("".join(steps))
        self.arrows.append((round(x, 1), round(y, 1)))

    def _placed(self, place: int) -> Placed:
        box, item = self.boxes[place], self.items[place]
        return Placed(box, round(item.x - WIDTH / 2, 1), round(self.tops[self.ranks[place]], 1), WIDTH, box_height(box))

    def _frame(self, frame: Frame) -> tuple[float, float, float, float, int]:
        placed = [self._placed(place) for place in frame.boxes]
        ranks = range(_first(frame, self.ranks), _last(frame, self.ranks) + 1)
        beside = [item.x for rank, item in self.passing if rank in ranks]
        left = min(*(box.x for box in placed), *beside) - FRAME
        top = min(box.y for box in placed) - FRAME
        right = max(*(box.x + box.width for box in placed), *beside) + FRAME
        bottom = max(box.y + box.height for box in placed) + FRAME
        return left, top, right - left, bottom - top, frame.times


def _order(rows: list[list[_Item]], links: Sequence[tuple[_Item, _Item]]) -> None:
    """Sort every rank by the mean place of its neighbours, downwards and upwards in turn; the least crossings win."""
    best, fewest = [list(row) for row in rows], _crossings(rows, links)
    for sweep in range(SWEEPS):
        places = {id(item): place for row in rows for place, item in enumerate(row)}
        downwards = sweep % 2 == 0
        near: dict[int, list[_Item]] = {}
        for upper, lower in links:
            near.setdefault(id(lower if downwards else upper), []).append(upper if downwards else lower)
        for row in rows if downwards else reversed(rows):
            wanted = {
                id(item): float(np.mean([places[id(other)] for other in near.get(id(item), [item])])) for item in row
            }
            row.sort(key=lambda item: wanted[id(item)])
            places |= {id(item): place for place, item in enumerate(row)}
        crossings = _crossings(rows, links)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    rows[:] = best


def _crossings(rows: Sequence[Sequence[_Item]], links: Sequence[tuple[_Item, _Item]]) -> int:
    places = {id(item): place for row in rows for place, item in enumerate(row)}
    by_rank: dict[int, list[tuple[int, int]]] = {}
    for upper, lower in links:
        by_rank.setdefault(upper.rank, []).append((places[id(upper)], places[id(lower)]))
    return sum(
        (a[0] - b[0]) * (a[1] - b[1]) < 0
        for pairs in by_rank.values()
        for index, a in enumerate(pairs)
        for b in pairs[:index]
    )


def _position(rows: Sequence[Sequence[_Item]], links: Sequence[tuple[_Item, _Item]]) -> None:
    """Move every item towards its neighbours above and below, rank by rank, until the links are as short as may be."""
    near: dict[int, list[tuple[_Item, float]]] = {}
    for upper, lower in links:
        pull = PULL.get((upper.box >= 0, lower.box >= 0), 1.0)
        near.setdefault(id(upper), []).append((lower, pull))
        near.setdefault(id(lower), []).append((upper, pull))
    for row in rows:
        for item, x in zip(row, spread([0.0] * len(row), [1.0] * len(row), _distances(row)), strict=True):
            item.x = x
    for sweep in range(PASSES):
        moved = 0.0
        for row in rows if sweep % 2 == 0 else reversed(rows):
            pulls = [sum(pull for _, pull in near.get(id(item), [(item, 1.0)])) for item in row]
            wanted = [
                sum(other.x * pull for other, pull in near.get(id(item), [(item, 1.0)])) / total
                for item, total in zip(row, pulls, strict=True)
            ]
            for item, x in zip(row, spread(wanted, pulls, _distances(row)), strict=True):
                moved = max(moved, abs(item.x - x))
                item.x = x
        if moved < STILL:
            return


def _distances(row: Sequence[_Item]) -> list[float]:
    """The least distance of each item's middle from that of the one before."""
    return [0.0 if index == 0 else (row[index - 1].width + item.width) / 2 + GAP for index, item in enumerate(row)]


def spread(wanted: Sequence[float], pull: Sequence[float], distances: Sequence[float]) -> list[float]:
    """Positions nearest to the wanted ones, by weighted least squares, that keep their distances.

    Isotonic regression of what is left when the distances are taken off, by pooling adjacent violators.

    Args:
        wanted: one a place, from left to right.
        pull: weights above 0.
        distances: the least distance from the place before; the first counts for nothing.
    """
    offsets = np.cumsum([0.0, *distances[1:]])
    blocks: list[tuple[float, float, int]] = []  # mean, weight, places
    for value, weight in zip(np.asarray(wanted, float) - offsets, pull, strict=True):
        mean, total, count = float(value), float(weight), 1
        while blocks and blocks[-1][0] > mean:
            other, its, places = blocks.pop()
            mean, total, count = (mean * total + other * its) / (total + its), total + its, count + places
        blocks.append((mean, total, count))
    left = np.repeat([mean for mean, _, _ in blocks], [count for _, _, count in blocks])
    return [float(x) for x in left + offsets]
