"""The classical kernels of 3x3 over an image. https://en.wikipedia.org/wiki/Kernel_(image_processing)"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Kernel:
    """A kernel of 3x3 weights, to be divided by `divisor`; `edges`: it answers changes, and those only."""

    name: str
    weights: tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]
    divisor: int = 1
    edges: bool = False


KERNELS = (
    Kernel("vertical edges", ((1, 0, -1), (1, 0, -1), (1, 0, -1)), edges=True),
    Kernel("horizontal edges", ((1, 1, 1), (0, 0, 0), (-1, -1, -1)), edges=True),
    Kernel("outline (Laplacian)", ((-1, -1, -1), (-1, 8, -1), (-1, -1, -1)), edges=True),
    Kernel("middle column", ((0, 1, 0), (0, 1, 0), (0, 1, 0)), 3),
    Kernel("Gaussian blur", ((1, 2, 1), (2, 4, 2), (1, 2, 1)), 16),
    Kernel("sharpen", ((0, -1, 0), (-1, 5, -1), (0, -1, 0))),
)


def filtered(image: NDArray[np.uint8], kernel: Kernel) -> NDArray[np.uint8]:
    """An image [H, W, C] under a kernel, of the same size: at its margin the outermost pixels are repeated.

    Returns:
        uint8 [H, W] for a kernel of edges: how strongly it answers the mean of the channels, the strongest 255; else
        [H, W, C], cut off at 0 and 255.
    """
    pixels = image.astype(np.float64)
    if kernel.edges:
        strength = np.abs(_correlated(pixels.mean(axis=2, keepdims=True), kernel))[:, :, 0]
        return np.round(strength * (255 / max(strength.max(), 1e-9))).astype(np.uint8)
    return np.round(np.clip(_correlated(pixels, kernel), 0, 255)).astype(np.uint8)


def _correlated(pixels: NDArray[np.float64], kernel: Kernel) -> NDArray[np.float64]:
    """What networks call a convolution: the kernel is not turned."""
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
    return np.einsum("hwcij,ij->hwc", windows, np.array(kernel.weights, np.float64) / kernel.divisor)
