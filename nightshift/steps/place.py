"""Where a step leaves a dataset for the steps after it: in the workspace, or published in a bucket. No TensorFlow."""

from collections.abc import Callable

from nightshift.data.manifest import Dataset
from nightshift.settings import settings

Progress = Callable[[float, str], None]


def check_place() -> None:
    """Find out before there is a dataset whether one can be published where NIGHTSHIFT_DATASETS says, if it says so.

    Raises:
        ConfigurationError: it is no such URI.
        StoreError: no bucket, no permission or no network.
    """
    if settings().datasets:
        from nightshift.data.bucket_publish import check

        check(settings().datasets)


def place_of(dataset: Dataset, progress: Progress) -> str:
    """Where other steps read the dataset: its folder, or the URI that it is published at.

    Args:
        dataset: in a folder.
        progress: told (share done, words) of the publication.

    Raises:
        NightshiftError: it cannot be published.
    """
    if not settings().datasets:
        return dataset.place
    from nightshift.data.bucket_publish import publish

    return publish(dataset, settings().datasets, progress)


def part_of(progress: Progress, begin: float, end: float) -> Progress:
    """The progress of a part of the work, which goes on from `begin` to `end` of the whole."""
    return lambda fraction, message: progress(begin + (end - begin) * fraction, message)
