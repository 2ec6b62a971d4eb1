"""The errors that Nightshift raises for what a person can mend.

A message names the file, field or parameter, what was found there and what was expected. Commands print it without
a traceback; anything that is not a NightshiftError is a defect of ours and keeps its traceback.
"""


class NightshiftError(Exception):
    """Something outside the program is not as it has to be: an input, a setting, a file, a server.

    Attributes:
        exit_code: of a command that ends by it.
    """

    exit_code = 1


class ConfigurationError(NightshiftError):
    """A parameter, preset or environment variable has a value that cannot be used."""


class DataError(NightshiftError):
    """A dataset, an archive or an image is not as expected."""


class WorkspaceError(NightshiftError):
    """The workspace cannot be read or written."""


class StoreError(NightshiftError):
    """The serving store, a version in it or its ledger is not as expected."""


class ServingError(NightshiftError):
    """A model server refused a request or did not answer."""


class ReleaseError(NightshiftError):
    """A version was not released; the one that served before still does."""
