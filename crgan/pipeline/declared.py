"""The dataclasses that declare parameters, read from their source without importing torch.

`declared("crgan.gan.crgan", "Options")` is that class as it is written, with its annotations,
defaults and `__post_init__`, made from the few statements of the module that it needs. Importing
the module would load torch, two seconds before a wrong parameter could be named.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import sys
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from crgan.common.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
_PREFIX = "declared in "
_Result = TypeVar("_Result")


def source_of(module: str) -> Path:
    """The file of a module of the project."""
    return ROOT / f"{module.replace('.', '/')}.py"


@cache
def declared(module: str, name: str) -> type | None:
    """A dataclass of a module, made without importing it; None where the module has none so named.

    Raises:
        UserError: no such module, or a declaration that needs more than the standard library,
            `crgan.common` and other declarations.
    """
    home = _module(module)
    if name not in home.statements:
        return None
    found = resolved(lambda: home.bind(name))
    if not (isinstance(found, type) and is_dataclass(found)):
        raise UserError(f"{source_of(module)}: {name} is no dataclass; parameters need one")
    return found


def names_in(module: str) -> frozenset[str]:
    """The names that a module's statements bind, imported ones among them; none without a file."""
    return frozenset(_module(module).statements) if source_of(module).is_file() else frozenset()


def resolved(action: Callable[[], _Result]) -> _Result:
    """The result of an action on declared classes; what it lacks of their modules is bound first.

    Statements are run when a name is missed, so that nothing but what is needed is ever run.
    """
    while True:
        try:
            return action()
        except NameError as error:
            home = _missed_in(error)
            if home is None or not error.name:
                raise
            home.bind(error.name)


class _Module(ModuleType):
    """A module of the project whose names come to be when they are asked for."""

    def __init__(self, name: str) -> None:
        super().__init__(_PREFIX + name)
        self.origin = name
        try:
            tree = ast.parse(source_of(name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{source_of(name)}: no such file") from None
        except SyntaxError as error:
            raise UserError(f"{source_of(name)}: {error}") from None
        self.statements = {bound: node for node in tree.body for bound in _bound(node)}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.bind(name)

    def bind(self, name: str) -> Any:
        """Run the statement that gives `name` its value."""
        space = self.__dict__
        if name not in self.statements or name in space:
            if name in space or hasattr(builtins, name):
                return space.get(name, getattr(builtins, name, None))
            raise UserError(f"{source_of(self.origin)}: {name!r} is not defined")
        node = self.statements[name]
        if isinstance(node, ast.Import | ast.ImportFrom):
            space[name] = self._imported(node, name)
        else:
            body = ast.Module([_FUTURE, node], [])
            code = compile(ast.fix_missing_locations(body), source_of(self.origin), "exec")
            resolved(lambda: exec(code, space))
        return space[name]

    def _imported(self, node: ast.Import | ast.ImportFrom, name: str) -> Any:
        alias = next(a for a in node.names if name in (a.asname, a.name.split(".")[0], a.name))
        if isinstance(node, ast.Import):
            self._require_plain(alias.name, name)
            module = importlib.import_module(alias.name)
            return module if alias.asname else sys.modules[alias.name.split(".")[0]]
        source = str(node.module)
        if source.split(".")[0] == "crgan" and not source.startswith("crgan.common"):
            if source_of(f"{source}.{alias.name}").is_file():
                return _module(f"{source}.{alias.name}")
            return _module(source).bind(alias.name)
        self._require_plain(source, name)
        return getattr(importlib.import_module(source), alias.name)

    def _require_plain(self, module: str, name: str) -> None:
        top = module.split(".")[0]
        if top != "crgan" and top not in sys.stdlib_module_names:
            raise UserError(
                f"{source_of(self.origin)}: the declaration of its parameters needs {name!r} of "
                f"{top}; have it need the standard library and crgan.common alone"
            )


_FUTURE = ast.parse("from __future__ import annotations").body[0]


@cache
def _module(name: str) -> _Module:
    module = _Module(name)
    sys.modules[module.__name__] = module  # where dataclasses and get_type_hints look names up
    return module


def _bound(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name.split(".")[0] for alias in node.names]
    return []


def _missed_in(error: NameError) -> _Module | None:
    """The declared module whose code missed the name."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    if trace is None:
        return None
    frame = trace.tb_frame  # get_type_hints evaluates with the module as locals
    names = [space.get("__name__") for space in (frame.f_locals, frame.f_globals)]
    found = [sys.modules.get(str(name)) for name in names]
    return next((module for module in found if isinstance(module, _Module)), None)
