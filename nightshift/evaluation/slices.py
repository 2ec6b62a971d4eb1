"""The test split in slices: where a model is weak, and whether it got worse there. No TensorFlow.

A slice is the examples that share a trait: a third of the split by brightness, a class, a kind of permutation. Slices
of different traits overlap.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nightshift.evaluation.judgement import Judgement, Trait
from nightshift.evaluation.paired import holm, mcnemar

RATE = 0.05
"""How often, at most, a candidate that is no worse in any slice is called worse in one; over all slices together."""

LEAST_COUNT = 30
"""Examples that a slice needs to be tested. One that has fewer is shown, and takes no part in the correction."""

LEAST_DROP = 0.005
"""Share of a slice that has to be lost: in a large split also differences that matter to nobody are certain."""

PARTS = 3
BLOCK_BYTES = 16 << 20


@dataclass(frozen=True)
class Slice:
    """Both models on the examples of a slice.

    Attributes:
        trait: what it is cut by.
        value: the trait's values in it, as text.
        count: its examples.
        candidate: share of them that the candidate gets right.
        champion: the same of the serving model; None if nothing serves.
        gained: examples that only the candidate gets right.
        lost: examples that only the champion does.
        p: the probability of losing at least as many against as few if both were equally good (McNemar's exact test,
            one-sided); None if it was not tested.
        p_holm: the same after Holm's correction for all slices that were tested.
        worse: whether the candidate got worse here, by more than chance and by more than LEAST_DROP.
    """

    trait: str
    value: str
    count: int
    candidate: float
    champion: float | None = None
    gained: int = 0
    lost: int = 0
    p: float | None = None
    p_holm: float | None = None
    worse: bool = False

    def as_json(self) -> dict[str, Any]:
        """Its fields, and the difference of the shares."""
        return vars(self) | {"difference": None if self.champion is None else self.candidate - self.champion}


def compare_slices(candidate: Judgement, champion: Judgement | None) -> list[Slice]:
    """Both models in every slice, in the order of the traits; a slice of the same examples as one before is left out.

    Args:
        candidate: judged on the test split; its traits cut that.
        champion: judged on the same examples; None if nothing serves.
    """
    if champion is not None and len(candidate.correct) != len(champion.correct):
        found = f"{len(candidate.correct)} and {len(champion.correct)} answers"
        raise ValueError(f"found {found}, expected the same examples")
    rows: list[Slice] = []
    tested: list[int] = []
    for trait, value, members in _slices(candidate.traits):
        right = candidate.correct[members]
        row = Slice(trait, value, len(right), float(right.mean()))
        if champion is not None:
            theirs = champion.correct[members]
            lost, gained, p = mcnemar(theirs, right)
            row = replace(row, champion=float(theirs.mean()), gained=gained, lost=lost)
            if row.count >= LEAST_COUNT:
                row = replace(row, p=p)
                tested.append(len(rows))
        rows.append(row)
    for index, p in zip(tested, holm([rows[index].p or 0.0 for index in tested]), strict=True):
        drop = (rows[index].lost - rows[index].gained) / rows[index].count
        rows[index] = replace(rows[index], p_holm=p, worse=p < RATE and drop >= LEAST_DROP)
    return rows


def _slices(traits: Sequence[Trait]) -> Iterator[tuple[str, str, np.ndarray]]:
    """(trait, value, bool [N]) of every slice that is neither empty, nor the whole split, nor equal to one before."""
    seen: set[bytes] = set()
    for trait in traits:
        for value, members in _named(trait) if trait.names else _parts(trait):
            packed = np.packbits(members).tobytes()
            if members.any() and not members.all() and packed not in seen:
                seen.add(packed)
                yield trait.name, value, members


def _named(trait: Trait) -> Iterator[tuple[str, np.ndarray]]:
    for number, name in enumerate(trait.names):
        yield name, trait.values == number


def _parts(trait: Trait) -> Iterator[tuple[str, np.ndarray]]:
    """Thirds of about equal count; fewer where many examples have the same value."""
    edges = np.unique(np.quantile(trait.values, np.arange(1, PARTS) / PARTS))
    part = np.searchsorted(edges, trait.values, side="right")
    for number in range(len(edges) + 1):
        members = part == number
        if members.any():
            values = trait.values[members]
            yield f"{values.min():.1f} to {values.max():.1f}", members


def picture_traits(images: np.ndarray) -> dict[str, np.ndarray]:
    """Brightness and contrast of each image, float32 [B]: mean and standard deviation of its pixels, of 0 to 255.

    Args:
        images: uint8 [B, H, W, C].
    """
    flat = images.reshape(len(images), -1)
    rows = max(1, BLOCK_BYTES // max(1, flat.shape[1] * 4))
    blocks = [flat[start : start + rows].astype(np.float32) for start in range(0, len(flat), rows)]
    return {
        "brightness": np.concatenate([block.mean(axis=1) for block in blocks]),
        "contrast": np.concatenate([block.std(axis=1) for block in blocks]),
    }


def seam_texture(images: np.ndarray, grid: int) -> np.ndarray:
    """How much there is to match tiles by: the variance of the gradient along both sides of every seam, float32 [B].

    Args:
        images: uint8 [B, H, W, C], in order; H and W multiples of `grid`.
        grid: tiles a side.

    Returns:
        the variance of the steps between neighbouring pixels in the rows above and below horizontal seams and in the
        columns left and right of vertical ones, in squared grey levels; 0 for a single tile.
    """
    count, height, width, _ = images.shape
    rows = [row for seam in range(height // grid, height, height // grid) for row in (seam - 1, seam)]
    columns = [column for seam in range(width // grid, width, width // grid) for column in (seam - 1, seam)]
    if not rows:
        return np.zeros(count, np.float32)
    along_rows = np.diff(images[:, rows].astype(np.int16), axis=2).reshape(count, -1)
    along_columns = np.diff(images[:, :, columns].astype(np.int16), axis=1).reshape(count, -1)
    variances: np.ndarray = np.concatenate([along_rows, along_columns], axis=1).var(axis=1, dtype=np.float32)
    return variances


def displaced_tiles(permutations: np.ndarray) -> Trait:
    """How many tiles are not in their own slot.

    Args:
        permutations: int [N, tiles].
    """
    tiles = permutations.shape[1]
    moved = (permutations != np.arange(tiles)).sum(axis=1)
    return Trait("displaced tiles", moved, tuple(f"{number} of {tiles}" for number in range(tiles + 1)))


def cycle_types(permutations: np.ndarray) -> Trait:
    """The lengths of the cycles of each permutation: 2+1+1 exchanges two of four tiles.

    Args:
        permutations: int [N, tiles].
    """
    different, places = np.unique(permutations, axis=0, return_inverse=True)
    types = [_cycles(permutation.tolist()) for permutation in different]
    names = sorted(set(types), key=lambda lengths: (lengths[0], len(lengths), lengths))
    numbers = np.array([names.index(lengths) for lengths in types])
    return Trait("cycles", numbers[places.reshape(-1)], tuple("+".join(map(str, lengths)) for lengths in names))


def _cycles(permutation: Sequence[int]) -> tuple[int, ...]:
    """The lengths of its cycles, the longest first."""
    lengths, seen = [], set[int]()
    for start in range(len(permutation)):
        length, place = 0, start
        while place not in seen:
            seen.add(place)
            place, length = permutation[place], length + 1
        if length:
            lengths.append(length)
    return tuple(sorted(lengths, reverse=True))
