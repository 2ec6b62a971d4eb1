import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightshift.report.seams import DOUBTFUL, FITS, seams


def smooth(side: int, channels: int = 3) -> np.ndarray:
    """Slow waves with the grain of a photograph."""
    y, x = np.mgrid[:side, :side] / side
    waves = [np.sin(4 * x + c) + np.cos(5 * y - 2 * x + c) for c in range(channels)]
    grain = np.random.default_rng(0).normal(0, 2, (side, side, channels))
    return (128 + 50 * np.stack(waves, axis=2) + grain).clip(0, 255).astype(np.uint8)


def turned(picture: np.ndarray, grid: int) -> np.ndarray:
    """Every row of tiles moved on by one tile."""
    return np.roll(picture, picture.shape[1] // grid, axis=1)


@pytest.mark.parametrize(("grid", "side"), [(2, 32), (3, 30), (4, 64)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_in_order_fits_everywhere_and_a_tile_that_is_moved_breaks(grid, side, channels):
    found = seams(smooth(side, channels), grid)
    assert len(found) == 2 * grid * (grid - 1)
    assert {seam.kind for seam in found} == {"fits"}
    broken = [seam for seam in seams(turned(smooth(side, channels), grid), grid) if seam.kind == "breaks"]
    assert {(seam.x1, seam.x2) for seam in broken} == {(1, 1)}
    assert len(broken) == grid


def test_seams_run_between_neighbours_inside_the_picture():
    lines = {(seam.x1, seam.y1, seam.x2, seam.y2) for seam in seams(smooth(32), 2)}
    assert lines == {(1, 0, 1, 1), (0, 1, 1, 1), (1, 1, 1, 2), (1, 1, 2, 1)}


def test_the_score_is_that_of_the_paper_worked_out_by_hand():
    # One channel, flat tiles 100 and 110: mean step 0, of [0] * 4 and the made-up 0, 1, 1, -1, -1: variance 4 / 8.
    picture = np.full((4, 8), 100, np.uint8)
    picture[:, 4:] = 110
    across = [seam.score for seam in seams(np.vstack([picture, picture]), 2) if seam.x1 == seam.x2]
    assert across == pytest.approx([10**2 / (4 / 8)] * 2)


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 3), st.integers(1, 12))
def test_scores_are_finite_and_not_negative_and_the_same_from_either_side(seed, grid, side):
    picture = np.random.default_rng(seed).integers(0, 256, (grid * side, grid * side, 3), np.uint8)
    found = seams(picture, grid)
    assert all(np.isfinite(seam.score) and seam.score >= 0 for seam in found)
    mirrored = seams(picture[:, ::-1], grid)
    assert sorted(seam.score for seam in found) == pytest.approx(sorted(seam.score for seam in mirrored))
    assert (found == []) == (side < 2 or grid == 1)


def test_the_kinds_are_in_order():
    assert 1 < FITS < DOUBTFUL
