import numpy as np
import pytest
from PIL import Image, ImageFilter

from nightshift.report.kernels import KERNELS, filtered

SMOOTHING = [kernel for kernel in KERNELS if not kernel.edges]


@pytest.mark.parametrize("kernel", SMOOTHING, ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("channels", [1, 3])
def test_inside_the_margin_a_kernel_does_what_pillows_does(kernel, channels):
    image = np.random.default_rng(0).integers(0, 256, (9, 12, channels), np.uint8)
    weights = [weight for row in kernel.weights for weight in row]
    ours = filtered(image, kernel)
    for channel in range(channels):
        theirs = Image.fromarray(image[..., channel]).filter(ImageFilter.Kernel((3, 3), weights, kernel.divisor))
        difference = ours[1:-1, 1:-1, channel].astype(int) - np.asarray(theirs)[1:-1, 1:-1]
        assert abs(difference).max() <= 1


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_a_flat_image_stays_as_it_is_or_has_no_edges(kernel):
    flat = np.full((5, 7, 3), 90, np.uint8)
    found = filtered(flat, kernel)
    assert found.shape == ((5, 7) if kernel.edges else (5, 7, 3))
    assert (found == (0 if kernel.edges else 90)).all()


def test_edges_answer_their_own_direction():
    picture = np.zeros((8, 8, 1), np.uint8)
    picture[:, 4:] = 200
    by_name = {kernel.name: filtered(picture, kernel) for kernel in KERNELS}
    assert (by_name["vertical edges"][:, 3:5] == 255).all()
    assert not by_name["vertical edges"][:, :3].any()
    assert not by_name["horizontal edges"].any()
