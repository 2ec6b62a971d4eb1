"""Messages of TensorFlow Serving's configuration that its wheel does not hold, read from their text form."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from nightshift.errors import ConfigurationError

_Field = descriptor_pb2.FieldDescriptorProto
STRING, BOOL = _Field.TYPE_STRING, _Field.TYPE_BOOL
_PACKAGE = "tensorflow.serving"


def message_classes(file: str, messages: Mapping[str, Mapping[str, int | str]]) -> dict[str, Any]:
    """Classes of messages.

    Args:
        file: the .proto file that has them, below tensorflow_serving/config.
        messages: name to fields, numbered as they come; a field's type is STRING, BOOL or the name of a message.
    """
    definition = descriptor_pb2.FileDescriptorProto(name=file, package=_PACKAGE, syntax="proto3")
    for name, fields in messages.items():
        message = definition.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), start=1):
            entry = message.field.add(name=field, number=number, label=_Field.LABEL_OPTIONAL)
            if isinstance(kind, str):
                entry.type, entry.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                entry.type = kind
    # A pool of their own: where a later wheel holds these messages too, both may be loaded.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(definition)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in messages
    }


def read_message(path: Path, message: Any) -> Any:
    """A message from its text form.

    Raises:
        ConfigurationError: the file cannot be read or is not such a text.
    """
    name = type(message).DESCRIPTOR.name
    try:
        return text_format.Parse(path.read_text(), message)
    except OSError as error:
        raise ConfigurationError(f"{path}: expected a {name} in text form: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: expected a {name} in text form: {error}") from error
    except text_format.ParseError as error:
        # The parser quotes what it could not read, and that may be a private key.
        raise ConfigurationError(f"{path}: expected a {name} in text form: line {error.GetLine() or 1}") from error
