import os

import pytest

from nightshift.errors import ConfigurationError
from nightshift.serving.batching_parameters import BatchingParameters, read_batching_parameters


@pytest.fixture
def read(tmp_path):
    def of(text):
        file = tmp_path / "batching.config"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_batching_parameters(file)

    return of


def test_an_empty_file_means_the_defaults_of_tensorflow_serving(read):
    assert read("") == BatchingParameters(
        max_batch_size=1000, batch_timeout_micros=0, max_enqueued_batches=10, num_batch_threads=0
    )


def test_every_field_is_read(read):
    parameters = read(
        """
        max_batch_size { value: 128 }
        batch_timeout_micros { value: 500 }
        max_enqueued_batches { value: 7 }
        num_batch_threads { value: 3 }
        thread_pool_name { value: "joined" }
        enable_large_batch_splitting { value: true }
        max_execution_batch_size { value: 32 }
        allowed_batch_sizes: 8
        allowed_batch_sizes: 32
        pad_variable_length_inputs: true
        """
    )
    assert parameters == BatchingParameters(128, 500, 7, 3, "joined", True, 32, (8, 32), True)
    assert parameters.rows == 32


def test_large_requests_are_split_at_the_largest_batch_if_nothing_else_is_said(read):
    assert read("max_batch_size { value: 64 } enable_large_batch_splitting { value: true }").rows == 64


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_batchsize { value: 3 }", "max_batchsize"),
        ("max_batch_size: 3", "max_batch_size"),
        ('max_batch_size { value: "many" }', "many"),
        (b"\xff", "BatchingParameters in text form"),
        ("max_batch_size { value: 0 }", "max_batch_size: found 0, expected 1 to"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros: found -1, expected 0 to"),
        ("max_enqueued_batches { value: -1 }", "max_enqueued_batches: found -1"),
        (
            "max_enqueued_batches { value: 0 } enable_large_batch_splitting { value: true }",
            "max_enqueued_batches: found 0, expected 1 to",
        ),
        ("num_batch_threads { value: 0 }", "num_batch_threads: found 0, expected 1 to"),
        ("num_batch_threads { value: 100000 }", "num_batch_threads: found 100000"),
        ("max_execution_batch_size { value: 4 }", "it needs enable_large_batch_splitting"),
        (
            "max_batch_size { value: 4 } max_execution_batch_size { value: 5 } "
            "enable_large_batch_splitting { value: 1 }",
            "max_execution_batch_size: found 5, expected at most max_batch_size, 4",
        ),
        ("max_batch_size { value: 8 } allowed_batch_sizes: [4, 2, 8]", "numbers that increase"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: [0, 8]", "numbers that increase from 1 on"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: [2, 4]", "found 4 as the last one, expected max_batch_size"),
    ],
)
def test_what_cannot_be_used_is_refused_by_the_name_of_file_and_field(read, text, words):
    with pytest.raises(ConfigurationError, match=r"batching\.config: ") as error:
        read(text)
    assert words in str(error.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=os.strerror(2)):
        read_batching_parameters(tmp_path / "none")
