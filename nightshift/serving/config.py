"""Which models a server serves: TensorFlow Serving's ModelServerConfig, written, read and checked."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from nightshift.errors import ConfigurationError
from nightshift.protos import model_server_config_pb2
from nightshift.serving.status import StatusError, invalid_argument

PLATFORM = "tensorflow"


def model_config(
    name: str, base_path: Path | str, *, versions: Iterable[int] = (), labels: Mapping[str, int] | None = None
) -> Any:
    """A ModelConfig.

    Args:
        name: what requests call the model.
        base_path: the folder that holds its versions.
        versions: the versions to serve; none means the latest.
        labels: the version that each label names.
    """
    config = model_server_config_pb2.ModelConfig(
        name=name, base_path=str(base_path), model_platform=PLATFORM, version_labels=labels or {}
    )
    config.model_version_policy.specific.versions.extend(versions)
    if not config.model_version_policy.specific.versions:
        config.ClearField("model_version_policy")
    return config


def server_config(models: Iterable[Any]) -> Any:
    """A ModelServerConfig of these ModelConfigs."""
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.extend(models)
    config.model_config_list.SetInParent()
    return config


def read_config(path: Path) -> Any:
    """A ModelServerConfig from its text form.

    Raises:
        ConfigurationError: the file cannot be read or is not such a text.
    """
    try:
        return text_format.Parse(path.read_text(), model_server_config_pb2.ModelServerConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise ConfigurationError(f"{path}: expected a ModelServerConfig in text form: {error}") from error


def check_config(config: Any) -> None:
    """Refuse what cannot be served, in TensorFlow Serving's words where it has some.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise invalid_argument(
            "ServerModelConfig type not supported by HandleReloadConfigRequest."
            " Only ModelConfigList is currently supported"
        )
    names = set()
    for model in config.model_config_list.config:
        _check_model(model)
        if model.name in names:
            raise invalid_argument(f"Illegal to list model {model.name} multiple times in config list")
        names.add(model.name)


def _check_model(model: Any) -> None:
    if not model.name:
        raise invalid_argument("Illegal to list a model without a name in config list")
    if model.model_platform != PLATFORM:
        raise _unknown_platform(model)
    # This also refuses gs:// and other URLs: this server reads folders only.
    if not Path(model.base_path).is_absolute():
        raise invalid_argument(
            f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}"
        )


def _unknown_platform(model: Any) -> StatusError:
    if not model.model_platform:
        return invalid_argument(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) "
            f"nor ModelServerConfig::model_platform, model name is {model.name}"
        )
    return invalid_argument(f"model {model.name} has platform {model.model_platform}, expected {PLATFORM}")
