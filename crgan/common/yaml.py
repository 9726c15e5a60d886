"""YAML from outside: read as DVC reads it, strict about doubled keys, bounded whatever it holds."""

from __future__ import annotations

import re
from typing import Any

import yaml

from crgan.common.errors import UserError

MOST_BYTES = 1 << 20
MOST_NODES = 100_000
DEEPEST = 40

# PyYAML's wheels bring libyaml, which reads eight times as fast; a build without it lacks the name.
_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):
    """YAML 1.2 as DVC reads it: `1e-4` is a number, and only true and false are booleans."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Refuse a key that stands twice, of which one value would silently win."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value == "<<" or not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise UserError(
                    f"line {key.start_mark.line + 1}: the key {key.value!r} stands twice"
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:bool"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def parse(text: str, origin: str = "") -> Any:
    """The value of a YAML text.

    Args:
        origin: the file, for messages.

    Raises:
        UserError: no valid YAML, a key that stands twice, or more than a file of ours can hold:
            its aliases are counted as what they stand for, so that none can fill the memory.
    """
    try:
        _check_depth(text)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _size(node, {})
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise UserError(f"{origin}: not valid YAML: {error}".removeprefix(": ")) from None
    except (ValueError, RecursionError, OverflowError) as error:
        raise UserError(f"{origin}: no value YAML can have: {error}".removeprefix(": ")) from None
    except UserError as error:
        raise UserError(f"{origin}: {error}".removeprefix(": ")) from None


def _check_depth(text: str) -> None:
    """Before a tree is made of it, since that is done by recursion."""
    if len(text) > MOST_BYTES:
        raise UserError(f"{len(text):,} characters of YAML; {MOST_BYTES:,} at most are read")
    if (
        text.count("[") + text.count("{") + text.count("- -") <= DEEPEST
        and "\n" + " " * DEEPEST not in text
    ):
        return
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise UserError(f"nested more than {DEEPEST} deep, at {event.start_mark}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _size(node: Any, known: dict[int, int]) -> int:
    """Nodes below this one, each alias counted as what it stands for."""
    if id(node) in known:
        size = known[id(node)]
        if not size:
            raise UserError("an alias stands inside what it is an alias of")
        return size
    known[id(node)] = 0
    if isinstance(node, yaml.MappingNode):
        size = 1 + sum(_size(part, known) for pair in node.value for part in pair)
    elif isinstance(node, yaml.SequenceNode):
        size = 1 + sum(_size(part, known) for part in node.value)
    else:
        size = 1
    if size > MOST_NODES:
        raise UserError(f"more than {MOST_NODES:,} values, aliases counted as what they stand for")
    known[id(node)] = size
    return size
