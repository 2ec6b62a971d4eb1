"""What a published graph may not hold, seen before it runs."""

import detectors
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import AssetFileDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from nightshift.errors import DataError
from nightshift.importing.graph import check_ops, read_graph

LEAK = "/nightshift-must-not-write-this"


def checked(folder):
    graph = read_graph(folder, "here")
    check_ops(graph, "here")
    return graph


def python(scores):
    return tf.ensure_shape(tf.numpy_function(lambda x: x, [scores], tf.float32), (3,))


def reads(scores):
    return scores + tf.cast(tf.strings.length(tf.io.read_file("/etc/passwd")), tf.float32)


def writes(scores):
    with tf.control_dependencies([tf.io.write_file(LEAK, "leak")]):
        return tf.identity(scores)


def lists(scores):
    return scores + tf.cast(tf.size(tf.io.matching_files("/*")), tf.float32)


def prints_to_a_file(scores):
    tf.print(scores, output_stream=f"file://{LEAK}")
    return scores


def restores(scores):
    return (
        scores
        + tf.raw_ops.RestoreV2(prefix="/checkpoint", tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32])[0]
    )


def reads_records(scores):
    records = tf.data.TFRecordDataset("/etc/passwd")
    return scores + records.reduce(0.0, lambda total, record: total + 1.0)


def hidden(scores):
    """In a branch inside a loop."""

    def once(total):
        return tf.cond(total[0] > 5, lambda: reads(total), lambda: total)

    return tf.while_loop(lambda total: total[0] < 1, once, [scores])[0]


@pytest.mark.parametrize(
    ("more", "op"),
    [
        (python, "PyFunc"),
        (reads, "ReadFile"),
        (writes, "WriteFile"),
        (lists, "MatchingFiles"),
        (prints_to_a_file, "PrintV2"),
        (restores, "RestoreV2"),
        (reads_records, "TFRecordDataset"),
        (hidden, "ReadFile"),
    ],
)
def test_ops_that_reach_out_are_refused_by_name(more, op, tmp_path):
    detector = detectors.Detector(more=more)
    folder = detector.save(tmp_path / "model")
    with pytest.raises(DataError, match=rf"here: the op {op} \('.*refused"):
        checked(folder)


def test_a_graph_that_only_computes_and_prints_is_taken(published, tmp_path):
    def prints(scores):
        tf.print("scores", scores)
        return scores

    assert checked(published).has_objects
    checked(detectors.Detector(more=prints).save(tmp_path / "model"))


def test_a_vocabulary_of_its_own_is_taken_and_any_other_file_is_not(tmp_path):
    own = detectors.save_hub_module(tmp_path / "own", tmp_path / "names.txt")
    assert not checked(own).has_objects
    other = detectors.save_hub_module(tmp_path / "other", tmp_path / "names.txt", constant=True)
    with pytest.raises(DataError, match=r"InitializeTableFromTextFileV2 \(.*none of the SavedModel's assets; refused"):
        checked(other)


def test_an_op_that_is_not_tensorflows_is_refused(published, tmp_path):
    content = (published / "saved_model.pb").read_bytes()
    assert content.count(b"\x06Gather") or content.count(b"GatherV2")
    (tmp_path / "saved_model.pb").write_bytes(content.replace(b"GatherV2", b"SecretOp"))
    with pytest.raises(DataError, match=r"the op SecretOp \(.*not one of TensorFlow's own"):
        checked(tmp_path)


def test_a_file_that_is_no_saved_model_is_refused(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"\xff" * 100)
    with pytest.raises(DataError, match=r"here: saved_model\.pb cannot be read"):
        read_graph(tmp_path, "here")
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(DataError, match="has no graph, expected a graph with the tag 'serve' or with none"):
        read_graph(tmp_path, "here")


OUTSIDE = ["../../names.txt", "/etc/hostname", "deep/../../names.txt", "..\\names.txt", ""]


@pytest.mark.parametrize("name", OUTSIDE)
def test_an_asset_outside_the_saved_model_is_refused(name, published, tmp_path):
    content = SavedModel.FromString((published / "saved_model.pb").read_bytes())
    content.meta_graphs[0].asset_file_def.add(filename=name).tensor_info.name = "asset:0"
    (tmp_path / "saved_model.pb").write_bytes(content.SerializeToString())
    with pytest.raises(DataError, match=r"here: the asset '.*' lies outside the SavedModel; refused"):
        checked(tmp_path)


@pytest.mark.parametrize("name", OUTSIDE)
def test_so_is_one_of_tensorflow_1(name, tmp_path):
    folder = detectors.save_hub_module(tmp_path / "own", tmp_path / "names.txt")
    content = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graph = content.meta_graphs[0]
    asset = AssetFileDef(filename=name)
    asset.tensor_info.name = "asset:0"
    graph.ClearField("asset_file_def")
    graph.collection_def["saved_model_assets"].any_list.value.add().Pack(asset)
    packed = graph.collection_def["saved_model_assets"].any_list.value[-1]
    assert packed.value == asset.SerializeToString()
    (folder / "saved_model.pb").write_bytes(content.SerializeToString())
    with pytest.raises(DataError, match=r"here: the asset '.*' lies outside the SavedModel; refused"):
        checked(folder)


@pytest.mark.parametrize("feeds", [["table", "loop"], ["table", "bare"], ["table"]])
def test_a_table_whose_file_comes_from_nowhere_is_refused_at_once(feeds, published, tmp_path):
    content = SavedModel.FromString((published / "saved_model.pb").read_bytes())
    nodes = content.meta_graphs[0].graph_def.node
    nodes.add(name="loop", op="Identity").input.append("loop")
    nodes.add(name="bare", op="Identity")
    nodes.add(name="init", op="InitializeTableFromTextFileV2").input.extend(feeds)
    (tmp_path / "saved_model.pb").write_bytes(content.SerializeToString())
    with pytest.raises(DataError, match=r"InitializeTableFromTextFileV2 \(.*none of the SavedModel's assets; refused"):
        checked(tmp_path)
