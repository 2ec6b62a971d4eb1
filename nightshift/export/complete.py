"""From a SavedModel that TensorFlow wrote to a folder that can be released: with proof, there whole or not at all."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nightshift.export.parity import prove_equal
from nightshift.export.warm_up import write_warm_up
from nightshift.files import exclusive_lock, staged_directory
from nightshift.serving.golden import Golden
from nightshift.serving.manifest import check_manifest, write_manifest
from nightshift.serving.smoke import Differences

Progress = Callable[[float, str], None]


@contextmanager
def new_saved_model(target: Path, progress: Progress) -> Iterator[Path]:
    """Give an empty folder that takes the place of `target`, and of what stands there, when the block succeeds.

    Raises:
        StoreError: the block did not `complete` it.
    """
    with exclusive_lock(target.parent / f"{target.name}.lock", waiting=lambda words: progress(0, words)):
        for leftover in target.parent.glob(f".{target.name}.*.partial"):  # its writer is dead: the lock is ours
            shutil.rmtree(leftover)
        with staged_directory(target, replace=True) as staging:
            yield staging
        check_manifest(target)


def complete(saved_model: Path, model: str, golden: Golden, progress: Progress) -> Differences:
    """Add golden batch, warm-up requests and, last, the manifest; then have a model server answer the golden batch.

    Args:
        saved_model: the folder, with everything else that belongs there.
        model: the name it will be served by.
        golden: requests, and the answers that they have to get.
        progress: told (share done, words).

    Returns:
        signature -> output -> the largest absolute difference.

    Raises:
        StoreError: the server does not load it, or answers otherwise.
    """
    golden.save(saved_model)
    write_warm_up(saved_model, model, golden.requests)
    write_manifest(saved_model)
    progress(0.5, "asking a model server the golden batch")
    return prove_equal(saved_model, model, golden)
