"""What Kubernetes takes in a Pod that a training is placed by: amounts, tolerations, labels of nodes, for pydantic."""

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

AMOUNT = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?", re.ASCII)
"""As Kubernetes writes amounts: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/"""

UNITS = {"": Fraction(1), "m": Fraction(1, 1000)}
UNITS |= {unit: Fraction(1000**power) for power, unit in enumerate("kMGT", 1)}
UNITS |= {f"{unit}i": Fraction(1024**power) for power, unit in enumerate("KMGT", 1)}

LEAST_CPU = "500m"
"""What is asked for whatever the limit, which may not be less: a node with other work takes a Pod that may use all its
processors."""

LEAST_MEMORY = "256Mi"
"""Python alone takes as much; less is most often an amount that lacks its unit."""

PART = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
DOMAIN = r"(?=[^/]{1,253}/)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*"
KEY = re.compile(f"(?:{DOMAIN}/)?{PART}")
VALUE = re.compile(f"(?:{PART})?")
"""https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set"""

MANY = 100
LONGEST_STAY = 1 << 53
"""Seconds; Kubeflow keeps numbers as floats, and may hand them on as such."""


def _amount(kind: str, least: str, units: str) -> Callable[[Any], str]:
    """A check of amounts of `kind`, `units` a pattern of those that it comes in."""
    number, unit = AMOUNT.fullmatch(least).groups()  # type: ignore[union-attr]
    smallest = Fraction(number) * UNITS[unit]

    def check(value: Any) -> str:
        found = AMOUNT.fullmatch(str(value)) if type(value) in (int, float, str) else None
        if not found or not re.fullmatch(units, found[2] or ""):
            raise ValueError(f"expected an amount of {kind} as Kubernetes writes it, at least {least}")
        if Fraction(found[1]) * UNITS[found[2] or ""] < smallest:
            raise ValueError(f"expected at least {least}")
        return found[0]

    return check


def _whole(value: Any) -> Any:
    """A float that is a whole number, as that."""
    return int(value) if type(value) is float and value.is_integer() else value


def _count(value: Any) -> str:
    found = _whole(value)
    if type(found) not in (int, str) or not re.fullmatch(r"\d{1,3}", str(found), re.ASCII):
        raise ValueError("expected a whole number from 0 to 999")
    return str(int(found))


def _key(text: str) -> str:
    if not KEY.fullmatch(text):
        raise ValueError(
            "expected the key of a label, [DOMAIN/]NAME, NAME at most 63 letters, digits, '-', '_' and '.', a letter "
            "or digit first and last"
        )
    return text


def _value(text: str) -> str:
    if not VALUE.fullmatch(text):
        raise ValueError(
            "expected the value of a label, at most 63 letters, digits, '-', '_' and '.', a letter or digit first and "
            "last"
        )
    return text


Count = Annotated[str, BeforeValidator(_count)]
Cpu = Annotated[str, BeforeValidator(_amount("processors", LEAST_CPU, "m?"))]
Memory = Annotated[str, BeforeValidator(_amount("memory", LEAST_MEMORY, ".*"))]
Key = Annotated[str, AfterValidator(_key)]
Value = Annotated[str, AfterValidator(_value)]
Seconds = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=LONGEST_STAY)]
NodeSelector = Annotated[dict[Key, Value], Field(max_length=MANY)]


class Toleration(BaseModel):
    """A toleration as in a Pod, with Kubernetes' own names.

    https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    key: Key | None = None
    operator: Literal["Exists", "Equal"] | None = None
    value: Value | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    tolerationSeconds: Seconds | None = None  # noqa: N815  Kubernetes' name

    @model_validator(mode="after")
    def _check(self) -> "Toleration":
        if not self.key and self.operator != "Exists":
            raise ValueError("expected a key, or operator Exists, which without one tolerates every taint")
        if self.value and self.operator == "Exists":
            raise ValueError("expected no value with operator Exists")
        if self.tolerationSeconds is not None and self.effect != "NoExecute":
            raise ValueError("expected tolerationSeconds with effect NoExecute only")
        return self


Tolerations = Annotated[list[Toleration], Field(max_length=MANY)]
