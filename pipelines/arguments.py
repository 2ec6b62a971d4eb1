"""What a run of `train_and_deploy` is told, checked here before anything is sent."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from nightshift.errors import ConfigurationError
from nightshift.kubernetes.placing import Count, Cpu, Memory, NodeSelector, Tolerations
from nightshift.serving.kubernetes.names import Names
from nightshift.settings import address, namespace
from nightshift.tasks.registry import preset_of, source_of
from nightshift.tasks.registry import task as task_of
from nightshift.training.kubernetes.nodes import PerNode, check_count

IMAGE = r"[\w./:-]+(:[\w.-]+|@sha256:[0-9a-f]{64})"
LONGEST = 2_000
MANY = 100


def _server(text: str) -> str:
    try:
        return text if namespace(text) else address(text)
    except ConfigurationError:
        raise ValueError("expected HOST:PORT or kubernetes:NAMESPACE") from None


def _model(text: str) -> str:
    try:
        return Names.of(text).model
    except ConfigurationError as error:
        raise ValueError(str(error).removeprefix(f"model {text!r}: ")) from None


def _nodes(count: int) -> int:
    try:
        return check_count(count)
    except ConfigurationError as error:
        raise ValueError(str(error).removeprefix(f"nodes: found {count!r}, ")) from None


Text = Annotated[str, StringConstraints(max_length=LONGEST)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$")]
PresetName = Annotated[str, StringConstraints(pattern=r"^([a-z0-9_]{1,63}\.)?[a-z0-9_]{1,63}$")]
Image = Annotated[str, StringConstraints(pattern=f"^{IMAGE}$", max_length=LONGEST)]
Model = Annotated[Text, AfterValidator(_model)]
Server = Annotated[Text, AfterValidator(_server)]


class Arguments(BaseModel):
    """Parameters of the pipeline but for the task: what is not given keeps the default of the version that runs."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    model: Model | None = None
    data: Text | None = None
    preset: PresetName | None = None
    settings: Annotated[dict[Name, bool | int | float | Text], Field(max_length=MANY)] | None = None
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] | None = None
    image: Image | None = None
    train_image: Image | None = None
    train_gpus: Count | None = None
    train_cpu: Cpu | None = None
    train_memory: Memory | None = None
    train_tolerations: Tolerations | None = None
    train_node_selector: NodeSelector | None = None
    train_nodes: Annotated[int, AfterValidator(_nodes)] | None = None
    train_per_node: PerNode | None = None
    beam_flags: Annotated[list[Annotated[Text, StringConstraints(min_length=1)]], Field(max_length=MANY)] | None = None
    workspace: Text | None = None
    server: Server | None = None

    def of_task(self, task: str) -> dict[str, Any]:
        """The pipeline's arguments.

        Raises:
            ConfigurationError: no such task, preset or setting, a value that cannot be used, or no data.
        """
        chosen = task_of(task)
        preset_of(chosen, self.preset or "default", self.settings or {})
        source_of(chosen, self.data or "")
        given = self.model_dump(exclude_none=True)
        if "image" in given:
            given.setdefault("train_image", given["image"])
        return {"task": task, **(given if given.get("train_nodes", 1) == 1 else _on_nodes(given))}


def _on_nodes(given: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked of the train step goes to the nodes that train; the step only follows, and needs no GPU for it."""
    names = {f"train_{name}": name for name in PerNode.model_fields}
    asked = {name: given[parameter] for parameter, name in names.items() if parameter in given}
    rest = {name: value for name, value in given.items() if name not in names}
    return {**rest, "train_per_node": {**asked, **given.get("train_per_node", {})}}


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
