"""YAML from outside: doubled keys, bombs of aliases, and what is no YAML."""

from __future__ import annotations

import pytest

from crgan.common.errors import UserError
from crgan.common.yaml import parse

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))
MERGES = "a0: &a0 {k: x}\n" + "".join(
    f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 60)
)


def test_values_and_merged_keys() -> None:
    assert parse("a: &x {k: 1, l: 2}\nb: {<<: *x, k: 3}") == {
        "a": {"k": 1, "l": 2},
        "b": {"k": 3, "l": 2},
    }
    assert parse("") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: the key 'a' stands twice"),
        ("x: {a: 1, a: 1}", "the key 'a' stands twice"),
        (BOMB, "aliases counted as what they stand for"),
        (MERGES, "aliases counted as what they stand for"),
        ("a: &a [*a]", "an alias stands inside what it is an alias of"),
        ("[" * 100_000, "nested more than"),
        ("- " * 100_000 + "x", "nested more than"),
        ("x" * (1 << 21), "characters of YAML"),
        ("? [1]\n: 2", "not valid YAML"),
        ("!!python/object/apply:os.getcwd []", "not valid YAML"),
        ("a: 2020-99-99", "no value YAML can have"),
        ("a\x00", "not valid YAML"),
    ],
    ids=lambda value: value[:16],
)
def test_what_is_refused_is_refused_at_once(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        parse(text, "params.yaml")
    assert str(refused.value).startswith("params.yaml: ")
