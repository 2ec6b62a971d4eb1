"""Taints of nodes, as a person writes them."""

import re

from nightshift.errors import ConfigurationError

TAINT = re.compile(r"([\w./-]+)(?:=([\w.-]*))?(?::(NoSchedule|PreferNoSchedule|NoExecute))?", re.ASCII)
EFFECTS = "EFFECT being NoSchedule, PreferNoSchedule or NoExecute"


def toleration(taint: str) -> dict[str, str]:
    """A taint as kubectl writes it, KEY[=VALUE][:EFFECT], as a toleration in a Pod.

    Raises:
        ConfigurationError: it is not one.
    """
    found = TAINT.fullmatch(taint)
    if not found:
        raise ConfigurationError(f"--tolerate: found {taint!r}, expected KEY[=VALUE][:EFFECT], {EFFECTS}")
    key, value, effect = found.groups()
    how = {"operator": "Exists"} if value is None else {"operator": "Equal", "value": value}
    return {"key": key, **how, **({"effect": effect} if effect else {})}
