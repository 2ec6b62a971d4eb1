"""From the flags of Apache Beam, which are its own, to a runner and the place for what lies between the stages."""

import contextlib
import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nightshift.errors import ConfigurationError

LOCAL_RUNNERS = ("", "direct", "directrunner", "fnapirunner")
"""Names of the runner on this machine. `DirectRunner` alone would start one that Beam downloads."""


@dataclass(frozen=True)
class Job:
    """Where and how the pipelines run.

    Attributes:
        flags: as they were given.
        runner: its name; '': none was given.
        temporary: `--temp_location`, or ''.
    """

    flags: tuple[str, ...]
    runner: str
    temporary: str

    @property
    def local(self) -> bool:
        """Whether it runs on this machine."""
        return self.runner.lower() in LOCAL_RUNNERS

    def __str__(self) -> str:
        return self.runner or "DirectRunner"

    def pipeline(self) -> Any:
        """An empty beam.Pipeline."""
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions

        options = PipelineOptions(list(self.flags))
        return beam.Pipeline(runner=_local_runner(options) if self.local else self.runner, options=options)


def _local_runner(options: Any) -> Any:
    """The runner in Python; its worker processes do not tell that they begin and end, unless they are to."""
    from apache_beam.options.pipeline_options import WorkerOptions
    from apache_beam.portability.api import beam_provision_api_pb2
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner
    from apache_beam.runners.portability.fn_api_runner.fn_runner import ExtendedProvisionInfo

    told = beam_provision_api_pb2.ProvisionInfo(retrieval_token="unused")
    level = options.view_as(WorkerOptions).default_sdk_harness_log_level or "ERROR"
    told.pipeline_options.update({"default_sdk_harness_log_level": level})
    return FnApiRunner(provision_info=ExtendedProvisionInfo(told))


def job_of(flags: Sequence[str]) -> Job:
    """Read the flags, of which all but two concern only the runner, and let the runner look at them.

    Raises:
        ConfigurationError: Beam or the runner is not installed, a flag is none or has a value it cannot have, or the
            runner's workers have no place in common.
    """
    for flag in flags[:1]:
        if not flag.startswith("--"):
            raise ConfigurationError(f"Beam flags: found {flag!r}, expected --NAME=VALUE")
    try:
        from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, StandardOptions
    except ImportError:
        raise ConfigurationError("Beam flags: apache-beam is not installed; it is the extra `beam`") from None
    told = io.StringIO()
    unknown: list[str] = []

    def leave(parser: Any) -> None:
        unknown.extend(parser.parse_known_args(list(flags))[1])

    try:
        with contextlib.redirect_stderr(told):
            options = PipelineOptions(list(flags))
            options.get_all_options(add_extra_args_fn=leave)
    except SystemExit:  # it is argparse that reads them
        raise ConfigurationError(f"Beam flags: {told.getvalue().strip().rpartition('error: ')[2]}") from None
    runner = options.view_as(StandardOptions).runner or ""
    job = Job(tuple(flags), runner, options.view_as(GoogleCloudOptions).temp_location or "")
    if not job.local and not job.temporary:
        raise ConfigurationError(
            f"Beam flags: --runner={runner} needs --temp_location, a bucket or a folder that all its workers reach"
        )
    if job.local and unknown:  # another runner may know flags of its own
        raise ConfigurationError(f"Beam flags: found {unknown[0]!r}, which the runner on this machine does not know")
    _try(job)
    return job


def _try(job: Job) -> None:
    """Make a pipeline of it, for which the runner is loaded and checks its flags.

    Raises:
        ConfigurationError: it refuses, or is not there.
    """
    try:
        pipeline = job.pipeline()
    except (ValueError, ImportError, AttributeError) as error:
        raise ConfigurationError(f"Beam flags: {' '.join(str(error).split())}") from error
    shutil.rmtree(pipeline.local_tempdir, ignore_errors=True)  # Beam removes it when a pipeline has run
