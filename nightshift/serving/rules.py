"""What a candidate is held to before it serves and just after, and how many versions are kept: read here alone."""

from dataclasses import dataclass

from nightshift.serving.samples import samples_place
from nightshift.settings import settings, workspace_path


@dataclass(frozen=True)
class Rules:
    """The rules of releases, the same for a shared server and for a cluster.

    Attributes:
        samples: where sampled requests are, a folder or gs://BUCKET/PREFIX; '': nowhere.
        requests: of the newest of them, so many are asked of candidate and champion.
        bake_seconds: that a version is watched once it serves, while its predecessor stands ready. A cluster has a
            setting of its own for it.
        slower: how many times the champion's p99 a candidate's may be.
        errors: share of failed requests, beyond its predecessor's, that a version may have while it is watched.
        keep: so many of the versions published last stay in the store.
    """

    samples: str = ""
    requests: int = 100
    bake_seconds: float = 4.0
    slower: float = 3.0
    errors: float = 0.01
    keep: int = 10


def rules_of(samples: str = "") -> Rules:
    """By the environment: NIGHTSHIFT_SAMPLES, NIGHTSHIFT_BAKE_SECONDS, NIGHTSHIFT_KEEP.

    Args:
        samples: where they are, by samples_place of the workspace in hand; '': of the environment's workspace.

    Raises:
        ConfigurationError: a value cannot be used.
    """
    found = settings()
    return Rules(
        samples=samples or samples_place(workspace_path()),
        bake_seconds=Rules.bake_seconds if found.bake_seconds is None else found.bake_seconds,
        keep=found.keep or Rules.keep,
    )
