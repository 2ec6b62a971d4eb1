"""The golden batch on disk, and how far answers are from it."""

import contextlib
import io
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nightshift.errors import StoreError
from nightshift.serving.golden import NAME, Golden, differences
from nightshift.serving.smoke import smoke_test

NAMES = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
NUMBERS = hnp.arrays(st.sampled_from(["float32", "int32", "int64", "uint8", "bool"]), SHAPES)
TEXTS = hnp.arrays(object, SHAPES, elements=st.one_of(st.binary(max_size=5), st.text(max_size=5).map(str.encode)))
TENSORS = st.dictionaries(NAMES, st.one_of(NUMBERS, TEXTS), min_size=1, max_size=3)


def equal(one, other):
    if one.dtype == object:
        return other.dtype == object and one.shape == other.shape and one.tolist() == other.tolist()
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


@given(batch=st.dictionaries(NAMES, st.tuples(TENSORS, TENSORS), min_size=1, max_size=3))
def test_numbers_and_strings_of_every_shape_come_back(tmp_path_factory, batch):
    folder = tmp_path_factory.mktemp("golden")
    golden = Golden(
        {name: inputs for name, (inputs, _) in batch.items()}, {name: outputs for name, (_, outputs) in batch.items()}
    )
    golden.save(folder)
    found = Golden.load(folder)
    for written, read in ((golden.requests, found.requests), (golden.answers, found.answers)):
        assert written.keys() == read.keys()
        for signature, tensors in written.items():
            assert tensors.keys() == read[signature].keys()
            assert all(equal(array, read[signature][name]) for name, array in tensors.items())


@pytest.fixture(scope="session")
def content(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    strings = np.array([b"one", b"", "drei \N{SNOWMAN}".encode()], object)
    tensors = {"s": {"x": np.float32([1, 2]), "t": strings}}
    Golden(tensors, tensors).save(folder)
    return (folder / NAME).read_bytes()


def put(folder, content):
    (folder / NAME).parent.mkdir(parents=True, exist_ok=True)
    (folder / NAME).write_bytes(content)
    return folder


def archive(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def raw_archive(name, content, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        file.writestr(name, content)
    return buffer.getvalue()


@given(data=st.data())
@settings(max_examples=300)
def test_a_file_with_a_changed_byte_is_refused_or_reads_the_same(tmp_path_factory, content, data):
    place, change = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(1, 255))
    damaged = bytearray(content)
    damaged[place] ^= change
    folder = put(tmp_path_factory.mktemp("golden"), bytes(damaged))
    # A byte that does not count, such as a date, may differ.
    with contextlib.suppress(StoreError):
        found = Golden.load(folder)
        assert found.answers["s"]["x"].tolist() == [1, 2]
        assert found.requests["s"]["t"].tolist()[:2] == [b"one", b""]


@given(data=st.data())
def test_a_file_cut_short_is_refused(tmp_path_factory, content, data):
    length = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(StoreError, match=r"golden\.npz: no readable golden batch"):
        Golden.load(put(tmp_path_factory.mktemp("golden"), content[:length]))


X = {"request/s/x": np.zeros(1), "answer/s/x": np.zeros(1)}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        pickle.dumps({"request/s/x": 1}),
        archive(),
        archive(**{"request/s/x": np.zeros(1)}),
        archive(**{"answer/s/x": np.zeros(1)}),
        archive(**X, **{"request/t/x": np.zeros(1)}),
        archive(**X, **{"other/s/x": np.zeros(1)}),
        archive(**X, x=np.zeros(1)),
        archive(**X, **{"request/s/t:lengths": np.ones(1, np.int64)}),
        archive(**X, **{"request/s/t": np.zeros(3, np.uint8), "request/s/t:lengths": np.int64([2, 2])}),
        archive(**X, **{"request/s/t": np.zeros(3, np.uint8), "request/s/t:lengths": np.int64([4, -1])}),
        archive(**X, **{"request/s/t": np.zeros(3, np.uint8), "request/s/t:lengths": np.float32([3.0])}),
        archive(**X, **{"request/s/t": np.array([b"abc", 1], object)}),
        raw_archive("request/s/x.npy", b"\x93NUMPY\x01\x00\x08\x00{'descr'"),
        raw_archive("request/s/x.npy", b"not an array"),
        raw_archive("request/s/x", b"not an array"),
    ],
    ids=lambda content: str(len(content)),
)
def test_what_is_no_golden_batch_is_refused(tmp_path, content):
    with pytest.raises(StoreError, match=r"golden\.npz: no readable golden batch"):
        Golden.load(put(tmp_path, content))


def test_an_array_alone_is_refused(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    with pytest.raises(StoreError, match=r"golden\.npz: no readable golden batch"):
        Golden.load(put(tmp_path, buffer.getvalue()))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"assets\.extra/golden\.npz"):
        Golden.load(tmp_path)


class Trap:
    def __reduce__(self):
        return exit, (3,)


def test_nothing_is_ever_unpickled(tmp_path):
    with pytest.raises(StoreError):
        Golden.load(put(tmp_path, archive(**X, **{"request/s/t": np.array([Trap()], object)})))


def test_what_would_be_pickled_is_not_written(tmp_path):
    with pytest.raises((ValueError, TypeError)):
        Golden({"s": {"x": np.array([1, 2], object)}}, {}).save(tmp_path)
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize(
    ("expected", "found", "difference"),
    [
        (np.float32([1, 2]), np.float32([1, 2.5]), 0.5),
        (np.float32([1]), np.float32([np.nan]), np.inf),
        (np.float32([1]), np.float32([[1]]), np.inf),
        (np.float32([]), np.float32([]), 0),
        (np.float32([1]), np.array([b"1"], object), np.inf),
        (np.array([b"a"], object), np.array([b"a"], object), 0),
        (np.array([b"a"], object), np.array([b"b"], object), np.inf),
        (np.array([], object), np.array([], object), 0),
        (np.int64([3]), np.int64([3]), 0),
        (np.uint8([3]), np.uint8([4]), np.inf),
        (np.int64([3]), None, np.inf),
    ],
)
def test_differences(expected, found, difference):
    answers = {} if found is None else {"y": found}
    assert differences({"y": expected}, answers) == {"y": difference}


class Ranking:
    """A client whose server answers Classify with these rows."""

    def __init__(self, *rows):
        self.rows = rows

    def classify(self, model, examples, *, version):
        return self.rows


def ask_ranked(*rows):
    scores = np.float32([[0.9, 0.05000001, 0.05]])
    answers = {"classes": np.array([[b"a", b"b", b"c"]], object), "scores": scores}
    golden = Golden({"classify": {"inputs": np.array([b""], object)}}, {"classify": answers})
    return smoke_test(Ranking(*rows), "m", 1, golden)


def test_two_classes_of_all_but_equal_score_may_change_places():
    assert ask_ranked([("a", 0.9), ("c", 0.05), ("b", 0.05)])["classify"]["scores"] < 1e-6


@pytest.mark.parametrize(
    "row", [[("b", 0.9), ("a", 0.05), ("c", 0.05)], [("a", 0.9), ("b", 0.05), ("d", 0.05)], [("a", 0.9), ("b", 0.05)]]
)
def test_another_ranking_is_not_the_same(row):
    with pytest.raises(StoreError, match="'classify'"):
        ask_ranked(row)
