"""What a run of `train_and_deploy` is told, checked here before anything is sent."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from nightshift.errors import ConfigurationError
from nightshift.tasks.registry import task as task_of

QUANTITY = re.compile(r"\d+(\.\d+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
"""As Kubernetes writes amounts: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/"""

IMAGE = r"[\w./:-]+(:[\w.-]+|@sha256:[0-9a-f]{64})"
TAINT = re.compile(r"([\w./-]+)(?:=([\w.-]*))?(?::(NoSchedule|PreferNoSchedule|NoExecute))?", re.ASCII)
EFFECTS = "EFFECT being NoSchedule, PreferNoSchedule or NoExecute"
LONGEST = 2_000
MANY = 100


def _quantity(value: Any) -> Any:
    text = str(value) if type(value) in (int, float, str) else ""
    if not QUANTITY.fullmatch(text) or not re.search("[1-9]", text):
        raise ValueError("expected an amount as Kubernetes writes it, such as 2, 500m or 4Gi")
    return text


def _count(value: Any) -> Any:
    if type(value) not in (int, str) or not re.fullmatch(r"\d{1,3}", str(value), re.ASCII):
        raise ValueError("expected a whole number from 0 to 999")
    return str(int(value))


Text = Annotated[str, StringConstraints(max_length=LONGEST)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$")]
Image = Annotated[str, StringConstraints(pattern=f"^{IMAGE}$", max_length=LONGEST)]
Quantity = Annotated[str, BeforeValidator(_quantity)]
Count = Annotated[str, BeforeValidator(_count)]


class Arguments(BaseModel):
    """Parameters of the pipeline but for the task: what is not given keeps the default of the version that runs."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    model: Name | None = None
    data: Text | None = None
    preset: Name | None = None
    settings: Annotated[dict[Name, bool | int | float | Text], Field(max_length=MANY)] | None = None
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] | None = None
    gpus: Count | None = None
    cpu: Quantity | None = None
    memory: Quantity | None = None
    tolerations: Annotated[list[dict[str, str | int]], Field(max_length=MANY)] | None = None
    node_selector: Annotated[dict[str, str], Field(max_length=MANY)] | None = None
    image: Image | None = None
    train_image: Image | None = None
    workspace: Text | None = None
    server: Text | None = None

    def of_task(self, task: str) -> dict[str, Any]:
        """The pipeline's arguments.

        Raises:
            ConfigurationError: no such task, preset or setting, or a value that cannot be used.
        """
        task_of(task).preset(self.preset or "default", self.settings or {})
        given = self.model_dump(exclude_none=True)
        if "image" in given:
            given.setdefault("train_image", given["image"])
        return {"task": task, **given}


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


def arguments(given: Mapping[str, Any]) -> Arguments:
    """What a person gave.

    Raises:
        ConfigurationError: a name or a value that cannot be used.
    """
    try:
        return Arguments.model_validate(given)
    except ValidationError as error:
        raise ConfigurationError(in_words(error)) from None


def in_words(error: ValidationError) -> str:
    """The first mistake: where, what was expected, what was found."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    said = {"extra_forbidden": "no such field", "missing": "has to be there"}.get(first["type"], first["msg"])
    said = said.removeprefix("Value error, ")
    found = repr(first["input"])[:80]
    if place and first["type"] not in ("missing", "extra_forbidden") and found not in said:
        said += f", found {found}"
    return f"{place}: {said}" if place else said
