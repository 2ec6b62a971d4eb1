"""The models of the cases are SavedModels, made without TensorFlow."""

import numpy as np
import pytest

from nightshift.errors import ConfigurationError
from nightshift.serving.config import read_config
from nightshift.serving.conformance.folder import CONFIG, MONITORING, POLLED, Folder, write_folder
from nightshift.serving.conformance.models import GRAPH, example, half_plus, write_version


@pytest.fixture(scope="module")
def signatures(tmp_path_factory):
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("model") / "1"
    write_version(folder, half_plus(2))
    return tf.saved_model.load(str(folder)).signatures


def test_tensorflow_loads_them(signatures):
    import tensorflow as tf

    assert signatures["serving_default"](tf.constant([2.0, 8.0]))["y"].numpy().tolist() == [3.0, 6.0]
    assert signatures["total"](tf.constant([2.0, 8.0]))["total"].numpy() == 10.0
    assert signatures["slow"](tf.constant(3))["total"].numpy() == 27.0
    examples = tf.constant([example(x).SerializeToString() for x in (2, 8)])
    answer = signatures["classify"](examples)
    assert answer["classes"].numpy().tolist() == [[b"half", b"whole"]] * 2
    assert answer["scores"].numpy().tolist() == [[3.0, 2.0], [6.0, 8.0]]
    assert signatures["regress"](examples)["outputs"].numpy().tolist() == [3.0, 6.0]


def test_the_rank_is_checked_in_the_graph(signatures):
    import tensorflow as tf

    with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?s)[Ss]hape"):
        signatures["serving_default"](tf.constant(np.ones((1, 1), np.float32)))


def test_the_same_model_is_the_same_bytes():
    assert half_plus(2) == half_plus(2) != half_plus(3)


def test_a_folder_is_written_once_and_mended_where_it_is_not_as_it_was(tmp_path):
    folder = Folder(tmp_path, "/as/the/server/sees/it")
    write_folder(folder)
    graph = tmp_path / "half_plus_two" / "1" / GRAPH
    kept, changed = graph.stat().st_mtime_ns, tmp_path / "three_versions" / "2" / GRAPH
    whole = changed.read_bytes()
    changed.write_bytes(b"")
    write_folder(folder)
    assert graph.stat().st_mtime_ns == kept
    assert changed.read_bytes() == whole
    models = read_config(tmp_path / CONFIG).model_config_list.config
    assert [model.base_path for model in models] == [
        "/as/the/server/sees/it/half_plus_two",
        "/as/the/server/sees/it/three_versions",
    ]
    assert [model.name for model in read_config(tmp_path / POLLED).model_config_list.config] == ["half_plus_two"]
    assert "/monitoring/prometheus/metrics" in (tmp_path / MONITORING).read_text()


@pytest.mark.parametrize("name", [CONFIG, MONITORING, "notes.txt"])
def test_a_folder_with_other_content_is_left_as_it_is(tmp_path, name):
    (tmp_path / name).write_text("somebody else's")
    with pytest.raises(ConfigurationError, match=f"--write-models: found other files in {tmp_path}"):
        write_folder(Folder(tmp_path, "/models"))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["somebody else's"]
