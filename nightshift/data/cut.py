"""Holds images out for the splits that the data do not have."""

from nightshift.data.spool import Spool


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
    if "test" not in present and "validation" in present:
        execute("UPDATE examples SET split = 'test' WHERE split = 'validation'")
        present = present - {"validation"} | {"test"}
    shares = (
        ("test", 0.0 if "test" in present else test_share),
        ("validation", 0.0 if "validation" in present else validation_share),
    )
    taken = "0"
    conditions = []
    parameters: dict[str, float] = {}
    for split, share in shares:
        if share:
            parameters[split] = share
            taken += f" + MAX(1, ROUND(size * :{split}))"
            conditions.append(f"WHEN rank <= {taken} THEN '{split}'")
    if conditions:
        execute(
            "WITH ranked AS (SELECT number AS ranked_number, "
            "  ROW_NUMBER() OVER (PARTITION BY label ORDER BY cut, key) AS rank, "
            "  COUNT(*) OVER (PARTITION BY label) AS size "
            "  FROM examples WHERE split = 'train') "
            f"UPDATE examples SET split = CASE {' '.join(conditions)} ELSE 'train' END "
            "FROM ranked WHERE number = ranked_number",
            parameters,
        )
