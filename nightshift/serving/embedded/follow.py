"""A model configuration in a file that people edit while the server runs."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nightshift.errors import ConfigurationError
from nightshift.serving.config import read_config
from nightshift.serving.status import StatusError

logger = logging.getLogger(__name__)


def follow(file: Path, applied: Any, seconds: float, apply: Callable[[Any], object], stopping: threading.Event) -> None:
    """Apply the file whenever it differs from what was applied last, until `stopping` is set.

    One that cannot be read, or is refused, is logged once and tried again: it may be half written, or name a version
    that is still to be loaded.

    Args:
        file: a ModelServerConfig in text form.
        applied: the ModelServerConfig that was read from it before.
        seconds: between two looks at it.
        apply: applies a ModelServerConfig, or raises StatusError.
        stopping: ends it.
    """
    complaint = ""
    while not stopping.wait(seconds):
        try:
            config = read_config(file)
            if config != applied:
                apply(config)
                logger.info("%s: applied", file)
            applied, complaint = config, ""
        except (ConfigurationError, StatusError) as error:
            if str(error) != complaint:
                complaint = str(error)
                logger.warning("%s: not applied: %s", file, complaint)
