import json
import re

import numpy as np
import pytest
from example_run import architecture_json, layer
from hypothesis import given, settings
from hypothesis import strategies as st

from nightshift.report.architecture import Layer, Network
from nightshift.report.diagram import draw, spread
from nightshift.report.folding import Box, Frame, fold_chains, fold_repeats
from nightshift.report.pages import training_page


def layers(*rows: dict) -> list[Layer]:
    return [Layer.model_validate(row) for row in rows]


def residual(blocks: int) -> list[Layer]:
    """An input, equal blocks of two convolutions beside a shortcut, and an output."""
    rows = [layer("InputLayer", [], [8, 8, 4])]
    for _ in range(blocks):
        start = len(rows) - 1
        for kind, parameters in (("Conv2D", 144), ("BatchNormalization", 16), ("ReLU", 0), ("Conv2D", 144)):
            rows.append(layer(kind, [len(rows) - 1], [8, 8, 4], parameters))
        rows.append(layer("Add", [start, len(rows) - 1], [8, 8, 4]))
    rows.append(layer("Dense", [len(rows) - 1], [2], 10, output=True))
    return layers(*rows)


@st.composite
def boxes(draw_value) -> list[Box]:
    """Any graph: every box takes from up to three earlier ones."""
    count = draw_value(st.integers(1, 25))
    found = []
    for place in range(count):
        earlier = st.integers(0, place - 1)
        inputs = draw_value(st.lists(earlier, min_size=0, max_size=3, unique=True)) if place else []
        then = draw_value(st.sampled_from(["", "ReLU"]))
        found.append(Box(f"box {place}", then, "1", place, "other", tuple(inputs)))
    return found


@settings(deadline=None, max_examples=60)
@given(boxes())
def test_no_two_boxes_overlap_and_every_edge_goes_down_inside_the_picture(graph):
    drawing = draw(graph, [])
    placed = drawing.boxes
    for number, one in enumerate(placed):
        assert one.x >= 0
        assert one.y >= 0
        assert one.x + one.width <= drawing.width
        assert one.y + one.height <= drawing.height
        for other in placed[:number]:
            beside = one.x + one.width <= other.x or other.x + other.width <= one.x
            above = one.y + one.height <= other.y or other.y + other.height <= one.y
            assert beside or above, (one, other)
    ends = sorted((round(one.x + one.width / 2, 0), one.y) for one in placed for _ in one.box.inputs)
    assert [y for _, y in ends] == pytest.approx([y for _, y in sorted((round(x, 0), y) for x, y in drawing.arrows)])
    numbers = [float(text) for path in drawing.edges for text in re.findall(r"-?\d+\.?\d*", path)]
    assert all(-1 <= value <= max(drawing.width, drawing.height) for value in numbers)


def test_a_layer_and_what_only_follows_it_share_a_box():
    conv, norm, act = "Conv2D", "BatchNormalization", "ReLU"
    shape = [4, 4, 8]
    chain = layers(
        layer("InputLayer", [], [4, 4, 1]),
        layer(conv, [0], shape, 80, settings={"kernel_size": "3\u00d73", "strides": "2"}),
        layer(norm, [1], shape, 32),
        layer(act, [2], shape),
    )
    found = fold_chains(chain)
    assert [box.title for box in found] == ["Input", "Conv2D 3\u00d73, stride 2"]
    assert (found[1].then, found[1].parameters, found[1].shape) == ("BatchNorm, ReLU", 112, "4\u00d74\u00d78")


def test_a_layer_whose_input_is_used_elsewhere_has_a_box_of_its_own():
    shape = [4, 4, 8]
    fork = layers(
        layer("InputLayer", [], shape), layer("Dropout", [0], shape), layer("Add", [0, 1], shape, output=True)
    )
    assert [box.title for box in fold_chains(fork)] == ["Input", "Dropout", "Add"]


def test_equal_blocks_are_drawn_once_with_their_number():
    folded, frames = fold_repeats(fold_chains(residual(20)))
    assert [box.title for box in folded] == ["Input", "Conv2D", "Conv2D", "Add", "Dense"]
    assert frames == [Frame((1, 2, 3), 20)]
    assert folded[4].inputs == (3,)
    drawing = draw(folded, frames)
    ((left, top, width, height, times),) = drawing.frames
    inside = drawing.boxes[1:4]
    assert times == 20
    assert all(left < box.x and box.x + box.width < left + width for box in inside)
    assert all(top < box.y and box.y + box.height < top + height for box in inside)


def test_blocks_that_differ_are_all_drawn():
    rows = [layer("InputLayer", [], [1])] + [layer("Dense", [place], [place + 2], 9) for place in range(4)]
    folded, frames = fold_repeats(fold_chains(layers(*rows)))
    assert len(folded) == 5
    assert frames == []


def test_a_long_chain_takes_several_columns_of_a_pages_width():
    chain = [Box(f"box {place}", "", "1", 0, "other", (place - 1,) if place else ()) for place in range(40)]
    drawing = draw(chain, [])
    assert drawing.width <= 1100
    assert drawing.height < 40 * 40
    assert len({box.x for box in drawing.boxes}) > 2


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(0.1, 9), st.floats(0, 50)), min_size=1, max_size=12))
def test_positions_keep_their_distances_and_stay_where_they_may(places):
    wanted, pull, distances = map(list, zip(*places, strict=True))
    found = np.array(spread(wanted, pull, distances))
    assert (np.diff(found) >= np.array(distances[1:]) - 1e-6).all()
    assert np.sum(pull * (found - wanted)) == pytest.approx(0, abs=1e-5)  # least squares: the forces balance
    apart = np.cumsum([0.0, *(np.array(distances[1:]) + 1)])
    np.testing.assert_allclose(spread(apart, pull, distances), apart, atol=1e-9)


def test_names_of_networks_and_layers_are_shown_as_text(run):
    page = training_page(run.path / "train")
    assert "Dense: &lt;b&gt;species&lt;/b&gt;" in page
    assert "&lt;i&gt;net&lt;/i&gt;" in page
    assert "<b>species" not in page
    assert "131 parameters, 7 layers" in page


def test_inputs_that_do_not_come_first_are_a_damaged_file(run):
    description = architecture_json()
    description["layers"][2]["inputs"] = [5]
    (run.path / "train" / "architecture.json").write_text(json.dumps(description))
    page = training_page(run.path / "train")
    assert "architecture.json cannot be read" in page
    assert "layer 2: inputs [5], expected places before its own" in page
    assert '<svg class="network"' not in page


def test_a_network_too_large_to_draw_is_a_table(run):
    rows = [layer("InputLayer", [], [1])]
    rows += [layer("Dense", [place], [place + 1], place) for place in range(400)]
    network = {"name": "deep", "parameters": 1, "layers": rows, "left_out": 7}
    (run.path / "train" / "architecture.json").write_text(json.dumps(network))
    page = training_page(run.path / "train")
    assert '<svg class="network"' not in page
    assert "408 layers" in page
    assert "and 7 more layers" in page
    assert len(page.encode()) < 500_000


def test_the_example_is_a_network():
    assert len(Network.model_validate(architecture_json()).layers) == 7
