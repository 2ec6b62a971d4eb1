"""What several commands have in common: options, their checks, and how mistakes are told."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nightshift.errors import ConfigurationError, NightshiftError
from nightshift.settings import DEFAULT_WORKSPACE, address, namespace, settings, workspace_path

if TYPE_CHECKING:
    from nightshift.serving.store import Store
    from nightshift.workspace import Workspace

NOT_FOR_PERSONS = (None, errno.EBADF, errno.EINVAL, errno.EPIPE)
"""Of an OSError that names no file: mistakes of a program, and that nobody reads its output, which click knows."""

F = TypeVar("F", bound=Callable[..., Any])


class InWords(click.Command):
    """A mistake that a person can mend ends with its message and exit code, not with a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except NightshiftError as error:
            failure = click.ClickException(str(error))
            failure.exit_code = error.exit_code  # type: ignore[misc]  # click has it for every instance
            raise failure from error
        except OSError as error:
            if error.filename is None and error.errno in NOT_FOR_PERSONS:
                raise
            words = error.strerror or str(error)
            raise click.ClickException(f"{error.filename}: {words}" if error.filename else words) from error


class Commands(InWords, click.Group):
    """A group of such commands."""


class Address(click.ParamType[str]):
    """HOST:PORT."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check it."""
        try:
            return address(str(value))
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)


class Target(Address):
    """HOST:PORT or kubernetes:NAMESPACE."""

    name = "target"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check it."""
        try:
            return str(value) if namespace(str(value)) else super().convert(value, param, ctx)
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)


class Setting(click.ParamType[tuple[str, str]]):
    """NAME=VALUE."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Split it."""
        name, sign, setting = str(value).partition("=")
        if not sign or not name:
            self.fail(f"found {value!r}, expected NAME=VALUE", param, ctx)
        return name, setting


def images_argument(command: F) -> F:
    """IMAGE..., one at least."""
    return click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))(command)


def timeout_option(command: F) -> F:
    """--timeout SECONDS."""
    return click.option(
        "--timeout", default=10.0, show_default=True, type=click.FloatRange(0.1, 3600), help="Seconds to wait."
    )(command)


def server_option(command: F) -> F:
    """--server HOST:PORT."""
    default = settings().server
    return click.option(
        "--server", default=default, show_default=True, type=Address(), metavar="HOST:PORT", help="Model server."
    )(command)


def target_option(command: F) -> F:
    """--server HOST:PORT or kubernetes:NAMESPACE."""
    return click.option(
        "--server",
        default=settings().server,
        show_default=True,
        type=Target(),
        metavar="HOST:PORT",
        help="Model server, or kubernetes:NAMESPACE.",
    )(command)


def workspace_option(command: F) -> F:
    """--workspace DIR."""
    return click.option(
        "--workspace", default="", metavar="DIR", help=f"[default: $NIGHTSHIFT_WORKSPACE or ./{DEFAULT_WORKSPACE}]"
    )(command)


def training_options(command: F) -> F:
    """What determines a training."""
    command = click.option("--preset", default="default", show_default=True)(command)
    command = click.option("--set", "changes", multiple=True, type=Setting(), help="Change a setting of the preset.")(
        command
    )
    seeds = click.IntRange(0, (1 << 32) - 1)
    return click.option("--seed", default=0, show_default=True, type=seeds, help="Of data, weights, order, changes.")(
        command
    )


def workspace_of(parameter: str) -> "Workspace":
    """The workspace that --workspace, or else the environment, names."""
    from nightshift.workspace import Workspace

    return Workspace(workspace_path(parameter))


def store_of(parameter: str) -> "Store":
    """The serving store that the environment names, or else that of the workspace."""
    from nightshift.serving.store import open_store

    return open_store(workspace_of(parameter).models)
