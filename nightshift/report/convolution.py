"""What the page shows of a network's first convolution, beside classical kernels over the same image."""

import math
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from nightshift.report.folder import StepFolder
from nightshift.report.images import data_uri
from nightshift.report.kernels import KERNELS, filtered

MOST_FILTERS = 64
MOST_COLUMNS = 16
MOST_BYTES = 2_000
"""Of one map or kernel: 64 of both are to stay below half a megabyte."""

Size = tuple[int, int]


class Facts(BaseModel):
    """The content of first_convolution.json; sizes are height and width.

    Attributes:
        layer: its name.
        filters: how many it has.
        kernel: size.
        strides: down, right.
        padding: `same` or `valid`.
        input: size of what it sees.
        output: size of its maps.
        then: what follows it, up to the maps that are shown.
        tiles: parts of the image that it is applied to.
    """

    layer: str
    filters: int = Field(ge=1)
    kernel: Size
    strides: Size
    padding: str
    input: Size
    output: Size
    then: list[str]
    tiles: int = Field(ge=1)


def convolution_view(folder: StepFolder) -> dict[str, Any] | None:
    """What is shown by convolution.html; None if the network has no first convolution to show."""
    facts = folder.described("first_convolution.json", Facts)
    arrays = folder.arrays("first_convolution.npz", "image", "kernels", "maps")
    if facts is None or not arrays:
        return None
    image, shown = arrays["image"], min(MOST_FILTERS, len(arrays["maps"]))
    return {
        "facts": facts,
        "image": data_uri(image),
        "classical": [
            {
                "name": kernel.name,
                "rows": kernel.weights,
                "divisor": kernel.divisor,
                "image": data_uri(filtered(image, kernel)),
            }
            for kernel in KERNELS
        ],
        "filters": [
            (data_uri(kernel, MOST_BYTES), data_uri(one, MOST_BYTES))
            for kernel, one in zip(arrays["kernels"][:MOST_FILTERS], arrays["maps"][:MOST_FILTERS], strict=False)
        ],
        "columns": math.ceil(shown / math.ceil(shown / MOST_COLUMNS)),
        "sizes": _sizes(image.shape[:2]),
    }


def _sizes(size: tuple[int, ...]) -> dict[str, str]:
    """What 3x3 kernels and pooling make of an image's size."""
    height_and_width = np.array(size)
    changed = {
        "image": height_and_width,
        "valid": np.maximum(0, height_and_width - 2),
        "strided": -(-height_and_width // 2),
        "pooled": height_and_width // 2,
    }
    return {name: in_words(tuple(map(int, both))) for name, both in changed.items()}


def in_words(size: tuple[int, ...]) -> str:
    """`28x28` with a true sign."""
    return "\u00d7".join(map(str, size))
