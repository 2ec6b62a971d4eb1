"""Holds images out for the splits that the data do not have."""

import math
from collections.abc import Collection

from nightshift.data.spool import Spool


def shares_of(present: Collection[str], test_share: float, validation_share: float) -> dict[str, float]:
    """Which splits have to be taken out of `train`, in this order, and what share of each class.

    Args:
        present: the splits that the data have, by their final names.
        test_share: see `cut`.
        validation_share: see `cut`.
    """
    shares = {"test": test_share, "validation": validation_share}
    return {split: share for split, share in shares.items() if share and split not in present}


def held_out(size: int, share: float) -> int:
    """How many of `size` images that share is: rounded, at least one."""
    return max(1, math.floor(size * share + 0.5))


def judged_by_validation(present: Collection[str]) -> bool:
    """Whether these splits have no `test`, but a `validation` that takes its place."""
    return "test" not in present and "validation" in present


def cut(spool: Spool, test_share: float, validation_share: float) -> None:
    """Give a spool the splits it lacks, out of `train`.

    Data with `train` and `validation` only come from where the validation folder is what models are judged by: it
    becomes `test`. What is held out are the images whose keys hash lowest inside each class: balanced, the same
    whatever the seed and the order, and hardly changed by new images.

    Args:
        spool: with its examples' splits and labels.
        test_share: share of `train` that becomes `test` if there is none, at least one image a class.
        validation_share: the same for `validation`.
    """
    execute = spool.connection.execute
    present = set(spool.counts())
    if judged_by_validation(present):
        execute("UPDATE examples SET split = 'test' WHERE split = 'validation'")
        present = present - {"validation"} | {"test"}
    shares = shares_of(present, test_share, validation_share)
    taken = "0"
    conditions = []
    for split in shares:
        taken += f" + HELD_OUT(size, :{split})"
        conditions.append(f"WHEN rank <= {taken} THEN '{split}'")
    if conditions:
        spool.connection.create_function("HELD_OUT", 2, held_out, deterministic=True)
        execute(
            "WITH ranked AS (SELECT number AS ranked_number, "
            "  ROW_NUMBER() OVER (PARTITION BY label ORDER BY cut, key) AS rank, "
            "  COUNT(*) OVER (PARTITION BY label) AS size "
            "  FROM examples WHERE split = 'train') "
            f"UPDATE examples SET split = CASE {' '.join(conditions)} ELSE 'train' END "
            "FROM ranked WHERE number = ranked_number",
            shares,
        )
