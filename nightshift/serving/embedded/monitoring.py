"""Where Prometheus finds the metrics: TensorFlow Serving's MonitoringConfig (--monitoring_config_file)."""

from pathlib import Path

from nightshift.errors import ConfigurationError
from nightshift.serving.embedded.server_files import BOOL, STRING, message_classes, read_message

DEFAULT_PATH = "/monitoring/prometheus/metrics"

_CLASSES = message_classes(
    "monitoring_config.proto",
    {
        "PrometheusConfig": {"enable": BOOL, "path": STRING},
        "MonitoringConfig": {"prometheus_config": "PrometheusConfig"},
    },
)


def read_metrics_path(file: Path) -> str:
    """The path of the metrics, '' if they are not to be had.

    Raises:
        ConfigurationError: the file cannot be read or is no MonitoringConfig, or its path is none.
    """
    prometheus = read_message(file, _CLASSES["MonitoringConfig"]()).prometheus_config
    path = str(prometheus.path) or DEFAULT_PATH
    if not path.startswith("/") or not path.isascii() or not path.isprintable() or {" ", "?", "#"} & set(path):
        raise ConfigurationError(f"{file}: prometheus_config: path: found {path!r}, expected a path such as /metrics")
    return path if prometheus.enable else ""
