"""What goes wrong with a TrainJob."""

from nightshift.errors import NightshiftError


class TrainJobError(NightshiftError):
    """A training on several nodes came to no model: what the cluster says, and the last lines of who failed first."""
