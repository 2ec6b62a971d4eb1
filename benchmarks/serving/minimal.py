"""The least that grpcio needs to answer Predict over the same Session: what the model server is compared with.

    python -m benchmarks.serving.minimal VERSION_FOLDER [--null]

A generic handler with grpcio's usual thread pool parses the request, runs the Session's callable and builds the
response, with TensorFlow's own conversions. It checks nothing, has one model and no versions, and counts nothing. With
--null it answers an empty response and runs nothing: what is left is gRPC.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nightshift.serving.light import load_light_runtime

THREADS = 8


def main() -> None:
    load_light_runtime()
    import grpc
    from tensorflow.python.framework.tensor_util import MakeNdarray, make_tensor_proto

    from benchmarks.serving.model import INPUT, MODEL, OUTPUTS
    from nightshift.protos import predict_pb2

    run = None if "--null" in sys.argv else session_callable(Path(sys.argv[1]))

    def predict(request: Any, context: Any) -> Any:
        response = predict_pb2.PredictResponse()
        if run is None:
            return response
        outputs = run(MakeNdarray(request.inputs[INPUT]))
        response.model_spec.name = MODEL
        response.model_spec.version.value = 1
        response.model_spec.signature_name = "serving_default"
        for name, output in zip(OUTPUTS, outputs, strict=True):
            response.outputs[name].CopyFrom(make_tensor_proto(output))
        return response

    handler = grpc.unary_unary_rpc_method_handler(
        predict, predict_pb2.PredictRequest.FromString, predict_pb2.PredictResponse.SerializeToString
    )
    server = grpc.server(ThreadPoolExecutor(THREADS))
    service = grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", {"Predict": handler})
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"serving on 127.0.0.1:{port}", flush=True)
    sys.stdin.read()
    server.stop(None).wait()


def session_callable(version: Path) -> Any:
    """A version's `serving_default` as a callable of a Session with TensorFlow's defaults."""
    from benchmarks.serving.model import INPUT, OUTPUTS
    from nightshift.serving import runtime

    session = runtime.Session(graph=runtime.Graph())
    with session.graph.as_default():
        signature = runtime.load(session, [runtime.SERVING], str(version)).signature_def["serving_default"]
    options = runtime.CallableOptions(
        feed=[signature.inputs[INPUT].name], fetch=[signature.outputs[name].name for name in OUTPUTS]
    )
    return session._make_callable_from_options(options)


if __name__ == "__main__":
    main()
