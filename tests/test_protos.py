import subprocess
import sys


def run(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_the_client_is_there_at_once_and_without_tensorflow():
    program = """
import sys, time
started = time.perf_counter()
import nightshift.serving.client
print(time.perf_counter() - started, any(name.split(".")[0] in ("tensorflow", "keras") for name in sys.modules))
"""
    seconds, tensorflow = min(run(program).split() for _ in range(2))
    assert float(seconds) < 1.0
    assert tensorflow == "False"


def test_tensorflow_imported_after_the_stubs_works_and_shares_their_messages():
    program = """
from nightshift.protos import predict_pb2, tensor_pb2
from nightshift.serving.tensors import to_array
import tensorflow as tf
request = predict_pb2.PredictRequest()
request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0, 2.0]))
assert type(tf.make_tensor_proto(1)) is tensor_pb2.TensorProto
assert tf.make_ndarray(request.inputs["x"]).tolist() == to_array(request.inputs["x"]).tolist() == [1.0, 2.0]
assert float(tf.function(lambda x: x + 1.0)(1.0)) == 2.0
print("same")
"""
    assert run(program).strip() == "same"
