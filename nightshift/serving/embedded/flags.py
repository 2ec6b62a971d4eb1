"""Values of TensorFlow Serving's command line: what `--flag=true` and `--grpc_channel_arguments=a=1,b=c` mean."""

from collections.abc import Callable
from typing import Any

import click

_INT32 = 2**31


def channel_arguments(text: str) -> tuple[tuple[str, int | str], ...]:
    """The pairs in `KEY=VALUE,KEY=VALUE`; values that fit 32 bits are numbers, as TensorFlow Serving reads them.

    Raises:
        click.BadParameter: it is not such a text.
    """
    pairs = [_pair(one) for one in text.split(",") if one]
    return tuple((key, _number_or_text(value)) for key, value in pairs)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals or "=" in value:
        raise click.BadParameter(f"found {text!r}, expected KEY=VALUE")
    return key, value


def _number_or_text(text: str) -> int | str:
    digits = text.removeprefix("-")
    if digits.isdecimal() and digits.isascii() and -_INT32 <= int(text) < _INT32:
        return int(text)
    return text


def truth(name: str, default: bool, help: str) -> Callable[[Any], Any]:
    """An option that is `--name`, `--name=true` or `--name=false`."""
    return click.option(
        name,
        type=_true_or_false,
        is_flag=False,
        flag_value="true",
        default=str(default).lower(),
        show_default=True,
        metavar="true|false",
        help=help,
    )


def _true_or_false(text: str) -> bool:
    if text not in ("true", "false"):
        raise click.BadParameter(f"found {text!r}, expected true or false")
    return text == "true"
