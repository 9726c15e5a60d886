"""A section of the parameters as a dataclass: the one strict border between YAML and the code.

A dataclass is the schema of its section. Its annotations say which values there may be, in a small
vocabulary (`Count`, `Positive`, `Share`, ... or `Literal[...]`); a default makes a key optional;
`__post_init__` refuses what several keys together cannot be. `crgan.pipeline.declared` reads the
same declarations without importing the module around them, so that a parameter no method takes is
refused before anything runs.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from crgan.common.errors import UserError

Settings = TypeVar("Settings")
Place = str | Callable[[str], str]


@dataclass(frozen=True)
class Within:
    """Bounds of a number, for `Annotated[float, Within(...)]`; NaN and infinity are in none.

    Attributes:
        least, most: the number may be these.
        above, below: it may not be these.
        odd: it must be odd.
    """

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    odd: bool = False

    def fault(self, value: float) -> str:
        """What the number must be and is not; "" where nothing is wrong."""
        bounds = [
            (self.least, f"{self.least} at least", lambda limit: value >= limit),
            (self.above, f"above {self.above}", lambda limit: value > limit),
            (self.most, f"{self.most} at most", lambda limit: value <= limit),
            (self.below, f"below {self.below}", lambda limit: value < limit),
        ]
        known = [(text, holds(limit)) for limit, text, holds in bounds if limit is not None]
        known += [("odd", value % 2 == 1)] if self.odd else []
        return " and ".join(text for text, fits in known if not fits)


@dataclass(frozen=True)
class Inline:
    """Of a field that is a dataclass: its keys stand in the section itself, not in one of its own.

    Attributes:
        prefix: before each of its keys.
        given: values that the code sets, so that the section has no such key.
    """

    prefix: str = ""
    given: tuple[tuple[str, Any], ...] = ()


Count = Annotated[int, Within(least=1)]
Pair = Annotated[int, Within(least=2)]
"""A number of things that are compared with each other."""
Natural = Annotated[int, Within(least=0)]
OddCount = Annotated[int, Within(least=1, odd=True)]
Positive = Annotated[float, Within(above=0)]
NonNegative = Annotated[float, Within(least=0)]
Share = Annotated[float, Within(least=0, most=1)]
Partly = Annotated[float, Within(least=0, below=1)]
"""A share that is never all."""
Betas = tuple[Partly, Partly]
"""Of Adam."""
_Side = Annotated[int, Within(least=8, most=4096)]
Size = tuple[_Side, _Side]
"""Height and width of an image."""


@dataclass(frozen=True)
class Key:
    """A key of a section: the kind of its value, and whether it must be there."""

    kind: Any
    required: bool


def keys_of(cls: type) -> dict[str, Key]:
    """The keys that a section of this dataclass has, in the order of its fields."""
    kinds = get_type_hints(cls, include_extras=True)
    found: dict[str, Key] = {}
    for field in fields(cls):
        inline = _inline(kinds[field.name])
        if inline:
            inner, marker = inline
            given = dict(marker.given)
            own = {k: v for k, v in keys_of(inner).items() if k not in given}
            found |= {marker.prefix + key: value for key, value in own.items()}
        else:
            absent = field.default is MISSING and field.default_factory is MISSING
            found[field.name] = Key(kinds[field.name], absent)
    return found


def settings_from(cls: type[Settings], section: Mapping[str, Any], name: Place) -> Settings:
    """The dataclass `cls` from a section of the parameters.

    Args:
        name: of the section, for messages; or what gives a key's full name, where the values come
            from several sections.

    Raises:
        UserError: a key that is unknown or missing, a value of another type or outside its bounds;
            and what the dataclass itself refuses.
    """
    values = values_from(cls, section, name)
    try:
        return _build(cls, values)
    except UserError as error:
        raise UserError(f"{_placed(name)('')}: {error}") from None


def values_from(
    cls: type, section: Mapping[str, Any], name: Place, without: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The values of a section, each checked by itself; as `settings_from`, and nothing is made.

    Args:
        without: fields that are no keys of the section.
    """
    place = _placed(name)
    if not isinstance(section, Mapping):
        raise UserError(f"{place('')} is {section!r}; it must be a section of keys and values")
    known = {key: entry for key, entry in keys_of(cls).items() if key not in without}
    for key in section:
        if key not in known:
            has = ", ".join(known) or "none"
            raise UserError(f"{place(str(key))}: no such key; the keys here: {has}")
    for key, entry in known.items():
        if entry.required and key not in section:
            raise UserError(f"{place(key)} is missing")
    return {key: _typed(known[key].kind, value, place(key)) for key, value in section.items()}


def _placed(name: Place) -> Callable[[str], str]:
    return name if callable(name) else lambda key: f"{name}.{key}" if key else name


def _build(cls: type[Settings], values: Mapping[str, Any]) -> Settings:
    kinds = get_type_hints(cls, include_extras=True)
    arguments: dict[str, Any] = {}
    for field in fields(cls):  # type: ignore[arg-type]
        inline = _inline(kinds[field.name])
        if inline:
            inner, marker = inline
            keys = [key for key in keys_of(inner) if marker.prefix + key in values]
            own = {key: values[marker.prefix + key] for key in keys}
            arguments[field.name] = _build(inner, own | dict(marker.given))
        elif field.name in values:
            arguments[field.name] = values[field.name]
    return cls(**arguments)


def _inline(kind: Any) -> tuple[type, Inline] | None:
    if get_origin(kind) is Annotated:
        inner, *marks = get_args(kind)
        for mark in marks:
            if isinstance(mark, Inline):
                return inner, mark
    return None


def _typed(kind: Any, value: Any, name: str) -> Any:
    """The value as its kind has it: lists as tuples, whole numbers as floats where due."""
    origin, members = get_origin(kind), get_args(kind)
    if origin is Annotated:
        inner, *marks = members
        typed = _typed(inner, value, name)
        for mark in marks:
            if isinstance(mark, Within) and (wanted := mark.fault(typed)):
                raise UserError(f"{name} is {value!r}; it must be {wanted}")
        return typed
    if kind is Any:
        return value
    if origin is Literal:
        if any(value == m and type(value) is type(m) for m in members):
            return value
        raise UserError(f"{name} is {value!r}; use one of {', '.join(map(str, members))}")
    if origin in (Union, types.UnionType):
        return _of_any(members, value, name)
    if origin is tuple:
        return _tuple(members, value, name)
    if origin is not None and issubclass(origin, Mapping):
        if isinstance(value, Mapping):
            return dict(value)
        raise UserError(f"{name} is {value!r}; it must be a section of keys and values")
    if isinstance(kind, type) and is_dataclass(kind):
        return settings_from(kind, value, name)
    return _plain(kind, value, name)


def _of_any(members: tuple[Any, ...], value: Any, name: str) -> Any:
    if value is None and type(None) in members:
        return None
    others = [member for member in members if member is not type(None)]
    if len(others) == 1:
        return _typed(others[0], value, name)
    faults = []
    for member in others:
        try:
            return _typed(member, value, name)
        except UserError as error:
            faults.append(str(error))
    choices = " or ".join(dict.fromkeys(fault.rpartition("; ")[2] for fault in faults))
    raise UserError(f"{name} is {value!r}; {choices}")


def _tuple(members: tuple[Any, ...], value: Any, name: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise UserError(f"{name} is {value!r}; it must be a list")
    if members[1:] == (...,):
        members = (members[0],) * len(value)
    if len(members) != len(value):
        raise UserError(f"{name} is {value!r}; it must be a list of {len(members)}")
    return tuple(_typed(kind, entry, name) for kind, entry in zip(members, value, strict=True))


_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def _plain(kind: type, value: Any, name: str) -> Any:
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if math.isfinite(value):
            return float(value)
    elif isinstance(value, kind) and isinstance(value, bool) == (kind is bool):
        return value
    raise UserError(f"{name} is {value!r}; it must be {_NAMES.get(kind, kind.__name__)}")
