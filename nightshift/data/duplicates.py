"""Images whose pixels are exactly equal: reported, since across splits they flatter a model."""

from nightshift.data.manifest import Duplicates
from nightshift.data.spool import Spool

MAX_PAIRS = 100


def find_duplicates(spool: Spool) -> Duplicates:
    """Count repeated images inside each split and across splits; splits have to be final."""
    execute = spool.connection.execute
    execute(
        "CREATE TEMP TABLE contents AS "
        "SELECT content, split, COUNT(*) AS count, MIN(key) AS key FROM examples GROUP BY content, split"
    )
    within = dict(execute("SELECT split, SUM(count - 1) FROM contents GROUP BY split"))
    (across,) = execute(
        "SELECT COUNT(*) FROM (SELECT content FROM contents GROUP BY content HAVING COUNT(*) > 1)"
    ).fetchone()
    pairs = execute(
        "SELECT a.key, b.key FROM contents a JOIN contents b ON a.content = b.content AND a.split < b.split "
        f"ORDER BY a.key, b.key LIMIT {MAX_PAIRS}"
    ).fetchall()
    return Duplicates(within_splits=within, across_splits=across, pairs=pairs)
