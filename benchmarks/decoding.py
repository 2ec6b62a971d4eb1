"""How long preparation takes to check, decode and resize a JPEG, by its size: of one core, medians of five runs.

    python -m benchmarks.decoding

The pictures are the bundled photographs, brought to each size.
"""

import io
import statistics
import time

import click
import numpy as np
import tensorflow as tf
from PIL import Image

from nightshift.data.ingest import Decoder
from nightshift.data.photographs import BundledPhotographs
from nightshift.tasks.registry import task

SIZES = ((150, 150), (200, 200), (400, 500), (3000, 4000))
COUNT, RUNS = 60, 5
QUALITY = 90


def jpegs(height: int, width: int) -> list[bytes]:
    """COUNT pictures of that size."""
    contents = []
    for _, example in zip(range(COUNT), BundledPhotographs((300, 400, 3), 0).examples(), strict=False):
        assert isinstance(example.image, np.ndarray)
        content = io.BytesIO()
        picture = Image.fromarray(example.image).resize((width, height), Image.Resampling.BICUBIC)
        picture.save(content, "JPEG", quality=QUALITY)
        contents.append(content.getvalue())
    return contents


@click.command()
def main() -> None:
    """Print a line for each size."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    chosen = task("cats_vs_dogs")
    decoder = Decoder(chosen)
    for height, width in SIZES:
        contents = jpegs(height, width)
        seconds = []
        for _ in range(RUNS + 1):  # the first compiles
            began = time.process_time()
            for content in contents:
                decoder.pixels(content)
            seconds.append((time.process_time() - began) / len(contents))
        median = statistics.median(seconds[1:])
        size = statistics.mean(map(len, contents))
        click.echo(
            f"{height}x{width} to {'x'.join(map(str, chosen.image_shape))}: {median * 1e6:,.0f} us, "
            f"{1 / median:,.0f} a second and core; {size:,.0f} bytes"
        )


if __name__ == "__main__":
    main()
