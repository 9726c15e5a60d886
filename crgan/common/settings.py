"""A section of the parameters as a dataclass: the one strict border between YAML and the code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from crgan.common.errors import UserError

Settings = TypeVar("Settings")


def settings_from(cls: type[Settings], section: Mapping[str, Any], name: str) -> Settings:
    """The dataclass `cls` from a section of the parameters; `name` is the section's, for messages.

    Raises:
        UserError: a key that is unknown or missing, or a value of another type; and what the
            dataclass itself refuses.
    """
    kinds = get_type_hints(cls)
    known = {field.name: field for field in fields(cls)}  # type: ignore[arg-type]
    if unknown := sorted(set(section) - set(known)):
        raise UserError(f"{name}.{unknown[0]}: no such key; {name} has {', '.join(known)}")
    for key, field in known.items():
        if key not in section and field.default is MISSING:
            raise UserError(f"{name}.{key} is missing")
    values = {key: _typed(kinds[key], value, f"{name}.{key}") for key, value in section.items()}
    try:
        return cls(**values)
    except UserError as error:
        text = str(error)
        raise UserError(text if text.startswith(name) else f"{name}: {text}") from None


def _typed(kind: Any, value: Any, name: str) -> Any:
    members = get_args(kind)
    if get_origin(kind) is tuple and isinstance(value, list | tuple):
        if len(members) == len(value):
            return tuple(_typed(k, v, name) for k, v in zip(members, value, strict=True))
    elif get_origin(kind) is Literal:
        if value in members:
            return value
        raise UserError(f"{name} is {value!r}; use one of {', '.join(map(str, members))}")
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif isinstance(value, kind) and isinstance(value, bool) == (kind is bool):
        return value
    wanted = getattr(kind, "__name__", str(kind)) if get_origin(kind) is None else str(kind)
    raise UserError(f"{name} is {value!r}, expected {wanted}")
