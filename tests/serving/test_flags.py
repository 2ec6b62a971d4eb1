"""The command line, which has to be TensorFlow Serving's."""

import click
import pytest
from certificates import Authority
from click.testing import CliRunner

from nightshift.serving.embedded import command
from nightshift.serving.embedded.flags import channel_arguments
from nightshift.serving.embedded.tls import ServerTls

TENSORFLOW_SERVING = {
    "port", "grpc_socket_path", "rest_api_port", "rest_api_num_threads", "rest_api_timeout_in_ms",
    "rest_api_enable_cors_support", "enable_batching", "allow_version_labels_for_unavailable_models",
    "batching_parameters_file", "enable_per_model_batching_parameters", "model_config_file",
    "model_config_file_poll_wait_seconds", "model_name", "model_base_path", "num_load_threads", "num_unload_threads",
    "max_num_load_retries", "load_retry_interval_micros", "file_system_poll_wait_seconds", "flush_filesystem_caches",
    "tensorflow_session_parallelism", "tensorflow_session_config_file", "tensorflow_intra_op_parallelism",
    "tensorflow_inter_op_parallelism", "use_alts_credentials", "ssl_config_file", "platform_config_file",
    "per_process_gpu_memory_fraction", "saved_model_tags", "grpc_channel_arguments", "grpc_max_threads",
    "enable_model_warmup", "num_request_iterations_for_warmup", "version", "monitoring_config_file",
    "remove_unused_fields_from_bundle_metagraph", "prefer_tflite_model", "num_tflite_pools",
    "num_tflite_interpreters_per_pool", "enable_signature_method_name_check", "xla_cpu_compilation_enabled",
    "xla_gpu_compilation_enabled", "enable_profiler", "thread_pool_factory_config_file", "mixed_precision",
    "skip_initialize_tpu", "enable_grpc_healthcheck_service", "enable_serialization_as_tensor_content",
}  # fmt: skip
"""The flags of tensorflow_model_server 2.20, from its main.cc."""

OURS = {"host", "max-message-bytes", "sample_rate", "sample_requests_to", "until-stdin-closes"}


@pytest.fixture
def run(monkeypatch):
    """Runs the command without serving, and gives what it would have served with."""
    served = []
    monkeypatch.setattr(command, "serve", lambda *arguments, **named: served.append((*arguments, named)))

    def with_arguments(*arguments):
        result = CliRunner().invoke(command.main, arguments)
        return served[-1] if result.exit_code == 0 else result.output

    return with_arguments


def test_every_flag_is_tensorflow_serving_s_or_plainly_ours():
    flags = {flag.removeprefix("--") for option in command.main.params for flag in option.opts}
    assert flags - TENSORFLOW_SERVING == OURS


def test_a_container_s_arguments_are_understood(run, tmp_path):
    file = tmp_path / "models.config"
    file.write_text('model_config_list { config { name: "m" base_path: "/m" model_platform: "tensorflow" } }')
    config, port, options, rest = run(
        "--host=0.0.0.0",
        "--port=8500",
        "--rest_api_port=8501",
        f"--model_config_file={file}",
        "--model_config_file_poll_wait_seconds=0",
        "--file_system_poll_wait_seconds=0",
        "--max_num_load_retries=1",
        "--load_retry_interval_micros=500000",
        "--allow_version_labels_for_unavailable_models=true",
        "--enable_grpc_healthcheck_service=true",
        "--grpc_channel_arguments=grpc.max_connection_age_ms=2000,grpc.max_connection_age_grace_ms=60000",
        "--tensorflow_intra_op_parallelism=2",
        "--tensorflow_inter_op_parallelism=3",
        "--grpc_max_threads=5",
    )
    assert [model.name for model in config.model_config_list.config] == ["m"]
    assert port == 8500
    assert options == command.ServerOptions(
        host="0.0.0.0",
        rest_port=8501,
        threads=5,
        poll_seconds=0,
        load_retries=1,
        load_retry_seconds=0.5,
        labels_for_unavailable=True,
        health=True,
        channel_arguments=(("grpc.max_connection_age_ms", 2000), ("grpc.max_connection_age_grace_ms", 60000)),
        intra_op_threads=2,
        inter_op_threads=3,
    )
    assert rest == {"until_stdin_closes": False, "config_file": file, "config_poll_seconds": 0}


def test_files_of_tensorflow_serving_are_read(run, tmp_path):
    monitoring, ssl = tmp_path / "monitoring.config", tmp_path / "ssl.config"
    monitoring.write_text('prometheus_config { enable: true, path: "/metrics" }')
    pair = Authority().sign("server")
    key, certificate = (pem.decode().replace("\n", "\\n") for pem in (pair.key, pair.certificate))
    ssl.write_text(f'server_key: "{key}"\nserver_cert: "{certificate}"')
    options = run(
        "--model_base_path=/m",
        "--rest_api_port=8501",
        "--rest_api_timeout_in_ms=1500",
        f"--monitoring_config_file={monitoring}",
        f"--ssl_config_file={ssl}",
    )[2]
    assert (options.rest_seconds, options.metrics_path) == (1.5, "/metrics")
    assert options.tls == ServerTls(pair.key, pair.certificate)


@pytest.mark.parametrize("flag", ["monitoring_config_file", "ssl_config_file"])
def test_a_file_that_is_not_there_is_told_without_a_traceback(run, tmp_path, flag):
    assert f"error: {tmp_path / 'missing'}: expected a " in run(
        "--model_base_path=/m", f"--{flag}={tmp_path / 'missing'}"
    )


def test_metrics_without_rest_are_refused(run, tmp_path):
    (tmp_path / "monitoring.config").write_text("prometheus_config { enable: true }")
    found = run("--model_base_path=/m", f"--monitoring_config_file={tmp_path / 'monitoring.config'}")
    assert "--monitoring_config_file needs --rest_api_port" in found


def test_without_flags_there_is_no_rest_and_loopback_only(run):
    _, port, options, _ = run("--model_base_path=/m")
    assert (options.host, port, options.rest_port) == ("127.0.0.1", 8500, None)


def test_a_model_without_a_name_is_default(run):
    config, *_ = run("--model_base_path=/m")
    assert [model.name for model in config.model_config_list.config] == ["default"]


@pytest.mark.parametrize(("form", "value"), [("", True), ("=true", True), ("=false", False)])
def test_truths_are_bare_or_spelled_out(run, form, value):
    options = run("--model_base_path=/m", f"--allow_version_labels_for_unavailable_models{form}")[2]
    assert options.labels_for_unavailable is value
    options = run(f"--enable_grpc_healthcheck_service{form}", "--model_base_path=/m")[2]
    assert options.health is value


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--enable_grpc_healthcheck_service=maybe"], "found 'maybe', expected true or false"),
        (["--grpc_channel_arguments=a"], "found 'a', expected KEY=VALUE"),
        (["--max-message-bytes=1"], "found 1, expected 0 for by the memory limit, or 65,536 bytes at least"),
        (["--max_num_load_retries=-1"], "-1 is not in the range x>=0"),
        (["--use_alts_credentials=true"], "No such option '--use_alts_credentials'"),
        ([], "expected either --model_config_file or --model_base_path"),
        (["--model_config_file=/a", "--model_base_path=/b"], "expected either --model_config_file or"),
        (["--model_config_file=/a", "--model_name=b"], "expected either --model_config_file or"),
    ],
)
def test_what_cannot_be_meant_is_refused(run, arguments, message):
    assert message in run(*arguments)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("a=1", (("a", 1),)),
        ("a=-1,b=text,c=", (("a", -1), ("b", "text"), ("c", ""))),
        (f"a={2**31 - 1},b={2**31},c={-(2**31)}", (("a", 2**31 - 1), ("b", str(2**31)), ("c", -(2**31)))),
        ("a=1.5,b=٣", (("a", "1.5"), ("b", "٣"))),
    ],
)
def test_channel_arguments_are_numbers_where_they_fit(text, expected):
    assert channel_arguments(text) == expected


@pytest.mark.parametrize("text", ["a", "=1", "a=1,b", "a=b=c"])
def test_channel_arguments_that_are_no_pairs_are_refused(text):
    with pytest.raises(click.BadParameter, match="expected KEY=VALUE"):
        channel_arguments(text)
