"""Figures over the pixels of a split, summed in integers so that they are the same on every machine."""

import numpy as np
import numpy.typing as npt

from nightshift.data.manifest import SplitStatistics

BINS = 32
BATCH_BYTES = 2**21


class Statistics:
    """Takes images one by one and holds a small batch of them."""

    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        self._shape = image_shape
        self._batch: list[bytes] = []
        self._count = 0
        self._sums = [0] * image_shape[2]
        self._squares = [0] * image_shape[2]
        self._brightness = np.zeros(BINS, np.int64)
        self._contrast = 0.0

    def add(self, image: bytes) -> None:
        """Take one image: raw uint8 pixels of the shape given."""
        self._batch.append(image)
        if len(self._batch) * len(image) >= BATCH_BYTES:
            self._flush()

    def result(self) -> SplitStatistics:
        """The figures of all images taken, of which there is at least one."""
        self._flush()
        pixels = self._count * self._shape[0] * self._shape[1]
        # Exact in integers: n * sum of squares - (sum)^2 cannot cancel.
        variances = [
            (pixels * squares - total * total) / pixels**2
            for total, squares in zip(self._sums, self._squares, strict=True)
        ]
        return SplitStatistics(
            mean=[round(total / pixels, 6) for total in self._sums],
            standard_deviation=[round(variance**0.5, 6) for variance in variances],
            brightness=self._brightness.tolist(),
            contrast=round(self._contrast / self._count, 6),
        )

    def _flush(self) -> None:
        if not self._batch:
            return
        height, width, channels = self._shape
        images: npt.NDArray[np.int64] = (
            np.frombuffer(b"".join(self._batch), np.uint8)
            .reshape(len(self._batch), height * width, channels)
            .astype(np.int64)
        )
        self._count += len(self._batch)
        self._batch.clear()
        sums, squares = images.sum(axis=1), (images * images).sum(axis=1)
        for channel in range(channels):
            self._sums[channel] += int(sums[:, channel].sum())
            self._squares[channel] += int(squares[:, channel].sum())
        values = height * width * channels
        totals = sums.sum(axis=1)
        self._brightness += np.bincount(totals * BINS // (values * 256), minlength=BINS)
        variances = (values * squares.sum(axis=1) - totals * totals) / values**2
        self._contrast += float(np.sqrt(variances).sum())
