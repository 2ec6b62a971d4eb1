"""What a task is: its data, its networks and their training, what it has to reach. No TensorFlow here."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin

from nightshift.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of a training image, each drawn anew every epoch.

    Attributes:
        flip: mirror left to right, half of the time.
        rotation: up to so many degrees either way.
        zoom: scale by up to this share either way (0.1: 0.9 to 1.1).
        shift: move by up to this share of height and width.
        colour: change contrast by up to this share either way, and brightness by up to a quarter of it, a channel each.
        erase: paint a rectangle grey whose sides are up to this share of height and width.
    """

    flip: bool = False
    rotation: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    colour: float = 0.0
    erase: float = 0.0

    def __post_init__(self) -> None:
        for name, highest in (("rotation", 180), ("zoom", 0.9), ("shift", 1), ("colour", 1), ("erase", 1)):
            if not 0 <= getattr(self, name) <= highest:
                raise ConfigurationError(f"{name}: found {getattr(self, name)}, expected 0 to {highest}")


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A network and how it is trained.

    Attributes:
        network: name of a network in `nightshift.models`.
        network_options: its keyword arguments.
        epochs: passes over the training split, at most.
        batch_size: images a step, over all devices.
        optimizer: `adam` or `adamw`.
        learning_rate: the schedule's peak.
        schedule: `constant`; `cosine` (from the peak to 0); `one_cycle` (up for `warmup`, then cosine to 0).
        warmup: share of all steps that the learning rate rises, for `one_cycle`.
        weight_decay: decoupled, for `adamw`; kernels only.
        label_smoothing: share of the target spread over all classes.
        patience: stop after so many epochs without a better validation score; 0 never stops.
        keep: the weights of which epoch: that of the best validation score, or, where validation images are among
            those trained on, the last.
        augmentation: random changes of the training images.
        precision: `float32`, or `mixed_bfloat16` (float32 weights, bfloat16 arithmetic).
        jit_compile: compile the training step with XLA, where one device trains.
    """

    network: str
    network_options: Mapping[str, int | float] = field(default_factory=dict)
    epochs: int
    batch_size: int
    optimizer: Literal["adam", "adamw"] = "adamw"
    learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine", "one_cycle"] = "constant"
    warmup: float = 0.2
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    patience: int = 0
    keep: Literal["best", "last"] = "best"
    augmentation: Augmentation = Augmentation()
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    jit_compile: bool = False

    def __post_init__(self) -> None:
        for name, lowest in (("epochs", 1), ("batch_size", 1), ("patience", 0)):
            if getattr(self, name) < lowest:
                raise ConfigurationError(f"{name}: found {getattr(self, name)}, expected at least {lowest}")
        for name in ("warmup", "weight_decay", "label_smoothing"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigurationError(f"{name}: found {getattr(self, name)}, expected 0 to 1")
        if self.patience and self.keep == "last":
            raise ConfigurationError(f"patience: found {self.patience} with keep 'last', expected 0: none is the best")
        for name, option in self.network_options.items():
            if option < 1 if isinstance(option, int) else not 0 <= option < 1:
                kind = "at least 1" if isinstance(option, int) else "0 or more, below 1"
                raise ConfigurationError(f"{name}: found {option}, expected {kind}")
        if not 0 < self.learning_rate < 10:
            raise ConfigurationError(f"learning_rate: found {self.learning_rate}, expected above 0, below 10")

    def settings(self) -> dict[str, Any]:
        """Every setting by its flat name, as `with_settings` takes them."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        options, augmentation = own.pop("network_options"), own.pop("augmentation")
        return own | dict(options) | dataclasses.asdict(augmentation)

    def with_settings(self, changes: Mapping[str, Any]) -> "Preset":
        """A copy with settings changed by their flat names; values may be the strings of a command line.

        Raises:
            ConfigurationError: no such setting, or a value of another kind.
        """
        # The declared kind, not that of the value now: rotation 12 may become 12.5.
        declared = {f.name: f.type for f in (*dataclasses.fields(self), *dataclasses.fields(self.augmentation))}
        kinds = {name: declared.get(name, type(value)) for name, value in self.settings().items()}
        own: dict[str, Any] = {}
        options, augmentation = dict(self.network_options), dataclasses.asdict(self.augmentation)
        # All of them, so that the same setting has the same form, and a recipe the same key, however it was given.
        for name, given in (self.settings() | dict(changes)).items():
            if name not in kinds:
                raise ConfigurationError(f"--set {name}: no such setting; there are {', '.join(sorted(kinds))}")
            value = _converted(name, given, kinds[name])
            if name == "network" and value != self.network:
                raise ConfigurationError(f"--set network: found {value!r}, expected {self.network!r}: a preset's own")
            target = options if name in options else augmentation if name in augmentation else own
            target[name] = value
        return dataclasses.replace(self, **own, network_options=options, augmentation=Augmentation(**augmentation))


def _converted(name: str, given: Any, kind: Any) -> Any:
    """`given` as a bool, int, float, str or one of a Literal; a string is read, an integral float may be an integer."""
    text = str(given)
    if kind is bool:
        if text.lower() in ("true", "false", "1", "0"):
            return text.lower() in ("true", "1")
        raise ConfigurationError(f"--set {name}: found {text!r}, expected true or false")
    if kind in (int, float):
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise ConfigurationError(f"--set {name}: found {text!r}, expected a number")
        if kind is int and not number.is_integer():
            raise ConfigurationError(f"--set {name}: found {text!r}, expected a whole number")
        return kind(number)
    if get_origin(kind) is Literal and text not in get_args(kind):
        raise ConfigurationError(f"--set {name}: found {text!r}, expected one of {', '.join(get_args(kind))}")
    return text


@dataclass(frozen=True, kw_only=True)
class Latency:
    """How long a model server may take to answer a request of one image, in milliseconds.

    Attributes:
        p50: the median, at most.
        p99: the 99th percentile, at most.
    """

    p50: float = 100.0
    p99: float = 500.0

    def __post_init__(self) -> None:
        if not 0 < self.p50 <= self.p99 < math.inf:
            raise ConfigurationError(f"latency: found p50 {self.p50} and p99 {self.p99}, expected 0 < p50 <= p99")


@dataclass(frozen=True, kw_only=True)
class Task:
    """One thing to learn.

    Attributes:
        name: lower case, digits and '_'; also the default name of the served model.
        summary: one line for people.
        problem: which kind of answer it has, a module of `nightshift.problems`.
        image_shape: (height, width, channels) of the uint8 images that the network sees.
        fit: how an image of another size is brought to that shape: `stretch`; `crop` (its central part of the right
            aspect, then resized); `reduce` (its central part of a whole multiple of that shape, each block of pixels
            averaged, so that no pixel takes from its neighbours; smaller images as `crop`).
        labelled: whether the data carry a class an image.
        classes: names of the classes in the order of their labels; empty: read from the data.
        translations: language (ISO 639-1) -> the same names in that language.
        groups: a further question -> its answer for each class, in the order of their labels; for `grouped`.
        grid: tiles a side; for `puzzle`.
        source: the dataset when none is given; empty: one has to be given.
        presets: by name; `default` is there.
        thresholds: metric -> the least value with which a model may be released.
        class_floor: the least recall of every single class, 0 for none.
        score: the metric that stopping and choosing look at.
        validation_share: share of the training data held out when the data have no validation split of their own.
        latency: that an exported model has to keep to.
        memory_mib: that a model server with only this model may take at its highest, in MiB; by default three quarters
            of what the manifests give a serving container.
    """

    name: str
    summary: str
    problem: Literal["classification", "grouped", "puzzle"]
    image_shape: tuple[int, int, int]
    fit: Literal["stretch", "crop", "reduce"] = "stretch"
    labelled: bool = True
    classes: tuple[str, ...] = ()
    translations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    grid: int = 2
    source: str
    presets: Mapping[str, Preset]
    thresholds: Mapping[str, float]
    class_floor: float = 0.0
    score: str
    validation_share: float = 0.1
    latency: Latency = Latency()
    memory_mib: int = 1536

    def __post_init__(self) -> None:
        if self.memory_mib < 1:
            raise ConfigurationError(f"memory_mib: found {self.memory_mib}, expected at least 1")
