"""How mistakes are told."""

import errno
import io

import click
import pytest
from click.testing import CliRunner

from nightshift.errors import StoreError
from nightshift.options import InWords


def run(error):
    @click.command(cls=InWords)
    def command():
        raise error

    return CliRunner().invoke(command)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoreError("no such version"), "no such version"),
        (OSError(errno.ENOSPC, "No space left on device", "/store/file"), "/store/file: No space left on device"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
    ],
)
def test_what_a_person_can_mend_is_told_in_words(error, said):
    result = run(error)
    assert (result.exit_code, result.output) == (1, f"Error: {said}\n")
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    "error",
    [
        io.UnsupportedOperation("not readable"),
        OSError("no errno"),
        OSError(errno.EBADF, "Bad file descriptor"),
        OSError(errno.EINVAL, "Invalid argument"),
        ValueError("a mistake"),
    ],
)
def test_a_mistake_of_the_program_keeps_its_traceback(error):
    assert run(error).exception is error
