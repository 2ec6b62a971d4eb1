"""Real pictures of three kinds, as networks see them."""

import numpy as np
import pytest

from nightshift.data.bundled import BundledMnist, package_folder


@pytest.fixture(scope="session")
def digits():
    """5,000 of MNIST in an order of their own; uint8 [5000, 28, 28, 1]."""
    images = np.stack([example.image for example in BundledMnist().examples()])
    return images[np.random.default_rng(0).permutation(len(images))]


@pytest.fixture(scope="session")
def photographs():
    """Crops of photographs, each in an order of its own; uint8 [4000, 32, 32, 3]."""
    from PIL import Image

    random = np.random.default_rng(1)
    crops = []
    for name in ("astronaut", "coffee", "chelsea", "ihc"):
        with Image.open(package_folder("skimage") / f"data/{name}.png") as file:
            picture = file.convert("RGB")
        for _ in range(1000):
            side = int(np.exp(random.uniform(np.log(40), np.log(min(picture.size)))))
            left, top = (int(random.integers(size - side + 1)) for size in picture.size)
            crops.append(
                np.asarray(picture.resize((32, 32), Image.Resampling.BILINEAR, (left, top, left + side, top + side)))
            )
    return np.stack(crops)[random.permutation(len(crops))]
