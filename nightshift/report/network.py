"""What the page shows of a network: a diagram, and a table of all its layers."""

from typing import Any

from nightshift.report import formats
from nightshift.report.architecture import Layer, Network
from nightshift.report.diagram import draw
from nightshift.report.folder import StepFolder
from nightshift.report.folding import fold_chains, fold_repeats

MOST_BOXES = 120
"""More than a page has room for: then the table stands alone."""


def network_view(folder: StepFolder) -> dict[str, Any] | None:
    """What is shown by network.html; None if there is no architecture.json."""
    network = folder.described("architecture.json", Network)
    if network is None or not network.layers:
        return None
    boxes, frames = fold_repeats(fold_chains(network.layers))
    return {
        "network": network,
        "drawing": draw(boxes, frames) if len(boxes) <= MOST_BOXES and not network.left_out else None,
        "rows": [_row(layer) for layer in network.layers],
    }


def _row(layer: Layer) -> tuple[str, str, str, str, str]:
    """Name, type, settings, output shape and parameters of a layer, as text."""
    settings = ", ".join(f"{formats.words(name)} {value}" for name, value in layer.settings.items())
    parameters = "counted above" if layer.again else f"{layer.parameters:,}"
    return layer.name, layer.type, settings, layer.shape, parameters
