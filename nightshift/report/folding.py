"""Makes few boxes of many layers, so that a network of forty still fits a page."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from nightshift.report.architecture import Layer

FOLLOWERS = {
    "Activation", "BatchNormalization", "Cropping2D", "Dropout", "ELU", "Flatten", "GaussianNoise",
    "GroupNormalization", "LayerNormalization", "LeakyReLU", "PReLU", "Permute", "ReLU", "Rescaling", "Reshape",
    "Softmax", "SpatialDropout2D", "UnitNormalization", "ZeroPadding2D",
}  # fmt: skip
"""Layers that are told in the box of the layer before them, if nothing else uses what that one gives."""

SHORT = {"InputLayer": "Input", "BatchNormalization": "BatchNorm", "LayerNormalization": "LayerNorm"}
KINDS = (
    ("input", r"InputLayer"),
    ("convolution", r"Conv"),
    ("dense", r"Dense|EinsumDense"),
    ("pooling", r"Pool"),
    ("merge", r"Add|Average|Concatenate|Dot|Maximum|Minimum|Multiply|Subtract"),
)
LONGEST_PATTERN = 6


@dataclass(frozen=True)
class Box:
    """One layer, or one with those that only follow it.

    Attributes:
        title: type and the settings that matter most.
        then: the layers that follow, empty if none do.
        shape: of the output.
        parameters: of all layers in it.
        kind: decides its colour: one of KINDS, or `other`.
        inputs: places of the boxes it takes from, all before its own.
        output: whether the network answers with it.
        about: everything about its layers, one a line.
    """

    title: str
    then: str
    shape: str
    parameters: int
    kind: str
    inputs: tuple[int, ...]
    output: bool = False
    about: str = field(default="", compare=False)


@dataclass(frozen=True)
class Frame:
    """Boxes, by their places, that stand for so many equal groups in a row."""

    boxes: tuple[int, ...]
    times: int


def fold_chains(layers: Sequence[Layer]) -> list[Box]:
    """Normalisations, activations and changes of shape join the box of the layer before them."""
    uses = Counter(place for layer in layers for place in layer.inputs)
    chains: list[list[Layer]] = []
    chain_of: list[int] = []
    for layer in layers:
        last = chain_of[layer.inputs[0]] if len(layer.inputs) == 1 else -1
        alone = last >= 0 and uses[layer.inputs[0]] == 1 and not layers[layer.inputs[0]].output
        if alone and layer.type in FOLLOWERS:
            chains[last].append(layer)
            chain_of.append(last)
        else:
            chains.append([layer])
            chain_of.append(len(chains) - 1)
    return [_box(chain, tuple(dict.fromkeys(chain_of[place] for place in chain[0].inputs))) for chain in chains]


def fold_repeats(boxes: Sequence[Box]) -> tuple[list[Box], list[Frame]]:
    """Equal groups of boxes that follow each other become one, framed with its number of times."""
    segments = list(_segments(boxes))
    forms = [_form(boxes, segment) for segment in segments]
    kept: list[int] = []
    framed: list[tuple[list[int], int]] = []
    stands_for = list(range(len(boxes)))
    first = 0
    while first < len(segments):
        length, times = _pattern(forms, first)
        pattern = [place for segment in segments[first : first + length] for place in segment]
        kept += pattern
        if times > 1:
            framed.append((pattern, times))
        for copy in range(1, times):
            again = [place for segment in segments[first + copy * length :][:length] for place in segment]
            for original, place in zip(pattern, again, strict=True):
                stands_for[place] = original
        first += length * times
    places = {old: new for new, old in enumerate(kept)}
    folded = [
        replace(boxes[old], inputs=tuple(dict.fromkeys(places[stands_for[place]] for place in boxes[old].inputs)))
        for old in kept
    ]
    return folded, [Frame(tuple(places[old] for old in pattern), times) for pattern, times in framed]


def _segments(boxes: Sequence[Box]) -> Iterator[list[int]]:
    """Runs of boxes, each ending in one by which alone what comes later takes from what came before."""
    last_use = list(range(len(boxes)))
    for place, box in enumerate(boxes):
        for earlier in box.inputs:
            last_use[earlier] = place
    segment: list[int] = []
    open_until = 0
    for place in range(len(boxes)):
        segment.append(place)
        if open_until <= place:
            yield segment
            segment = []
        open_until = max(open_until, last_use[place])
    if segment:
        yield segment


def _form(boxes: Sequence[Box], segment: Sequence[int]) -> tuple[Box, ...]:
    """A segment with its inputs counted from its own first box: equal ones do the same."""
    return tuple(
        replace(boxes[place], inputs=tuple(earlier - segment[0] for earlier in boxes[place].inputs))
        for place in segment
    )


def _pattern(forms: Sequence[tuple[Box, ...]], first: int) -> tuple[int, int]:
    """How many segments from the first make up a pattern, and how often it occurs in a row: what spares most."""
    best = (1, 1)
    for length in range(1, LONGEST_PATTERN + 1):
        pattern, times = forms[first : first + length], 1
        while forms[first + times * length : first + (times + 1) * length] == pattern:
            times += 1
        if length * (times - 1) > best[0] * (best[1] - 1):
            best = (length, times)
    return best


def _box(chain: Sequence[Layer], inputs: tuple[int, ...]) -> Box:
    head = chain[0]
    activation = head.settings.get("activation", "")
    then = [activation] if activation else []
    then += [layer.settings.get("activation") or SHORT.get(layer.type, layer.type) for layer in chain[1:]]
    return Box(
        title=_title(head),
        then=", ".join(then),
        shape=chain[-1].shape,
        parameters=sum(layer.parameters for layer in chain),
        kind=next((kind for kind, types in KINDS if re.match(rf".*({types})", head.type)), "other"),
        inputs=inputs,
        output=chain[-1].output,
        about="\n".join(map(about, chain)),
    )


def _title(layer: Layer) -> str:
    """`Conv2D 3x3, stride 2`; the name of a layer that its author named, or that is used again."""
    window = layer.settings.get("kernel_size") or layer.settings.get("pool_size") or ""
    stride = layer.settings.get("strides", "")
    title = " ".join(filter(None, (SHORT.get(layer.type, layer.type), window)))
    if stride:
        title += f", stride {stride}"
    given = not re.fullmatch(re.escape(_snake(layer.type)) + r"(_\d+)?", layer.name) and layer.type != "InputLayer"
    return f"{title}: {layer.name}" if given or layer.again else title


def _snake(name: str) -> str:
    """A class's name as Keras makes a layer's of it."""
    name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def about(layer: Layer) -> str:
    """A layer in one line."""
    settings = "".join(f", {name.replace('_', ' ')} {value}" for name, value in layer.settings.items())
    weights = "weights of an earlier use" if layer.again else f"{layer.parameters:,} parameters"
    return f"{layer.type} {layer.name}{settings}: {layer.shape}, {weights}"
