"""
The package's source as data, for the tests that hold its documentation.

Everything is read with ``ast``: a dataclass writes itself a docstring when it is
imported, and what a function raises cannot be seen by importing it.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from deadpeer import errors

__all__ = ["Documented", "Source", "ancestors", "section", "sections"]

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
MAKERS = ("__init__", "__post_init__", "__new__")


@dataclass(frozen=True, slots=True, kw_only=True)
class Documented:
    """
    One public thing: a function, a class or a method of a public class.

    Args:
        name: With its module and class, as in ``deadpeer.policy.plan.Plan.x``.
        node: Its definition.
        doc: Its docstring, cleaned; empty if there is none.
        owner: The class it is a method of, if it is one.
    """

    name: str
    node: Definition
    doc: str
    owner: ast.ClassDef | None = None

    @property
    def parameters(self) -> dict[str, str]:
        """The annotations of what a caller may hand in, by parameter."""
        if isinstance(self.node, ast.ClassDef):
            return _constructor(self.node)
        return _parameters(self.node)

    @property
    def returns(self) -> str:
        """The annotation of what comes back; empty for a class."""
        if isinstance(self.node, ast.ClassDef) or self.node.returns is None:
            return ""
        return ast.unparse(self.node.returns)


@dataclass(slots=True)
class Module:
    """What one file defines, and what it takes from others of the package."""

    name: str
    public: set[str]
    definitions: dict[str, Definition] = field(default_factory=dict)
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)


class Source:
    """
    All modules of a package.

    Args:
        package: Its folder.
    """

    def __init__(self, package: Path) -> None:
        self.modules = {
            module.name: module
            for path in sorted(package.rglob("*.py"))
            for module in [_read(path, package)]
        }

    def documented(self) -> Iterator[Documented]:
        """Yield everything that an ``__all__`` makes public, at its home."""
        for module in self.modules.values():
            for name, node in module.definitions.items():
                if name not in module.public:
                    continue
                yield _documented(f"{module.name}.{name}", node)
                if isinstance(node, ast.ClassDef):
                    yield from _methods(f"{module.name}.{name}", node)

    def raised(self, thing: Documented) -> set[str]:
        """Return the package's errors that reach the caller of a thing."""
        module = next(
            self.modules[name] for name in _prefixes(thing.name) if name in self.modules
        )
        if isinstance(thing.node, ast.ClassDef):
            return self._raised_by_making(module, thing.node, set())
        return self._raised(module, thing.node, thing.owner, set())

    def _raised(
        self,
        module: Module,
        node: ast.AST,
        owner: ast.ClassDef | None,
        seen: set[ast.AST],
    ) -> set[str]:
        if node in seen:
            return set()
        seen.add(node)
        found: set[str] = set()
        for part in ast.iter_child_nodes(node):
            found |= self._raised_in(module, part, owner, seen)
        return found

    def _raised_in(
        self,
        module: Module,
        node: ast.AST,
        owner: ast.ClassDef | None,
        seen: set[ast.AST],
    ) -> set[str]:
        if isinstance(node, Definition):
            return set()  # defined here, called elsewhere
        if isinstance(node, ast.Try):
            inside = ast.Module(body=node.body, type_ignores=[])
            caught = _caught(node)
            left = {
                name
                for name in self._raised(module, inside, owner, seen)
                if not caught
                & {base.__name__ for base in getattr(errors, name).__mro__}
            }
            rest = [*node.handlers, *node.orelse, *node.finalbody]
            after = ast.Module(body=rest, type_ignores=[])
            return left | self._raised(module, after, owner, seen)
        found = self._raised(module, node, owner, seen)
        if isinstance(node, ast.Raise) and node.exc is not None:
            found |= self._kind(module, node.exc)
        if isinstance(node, ast.Call):
            found |= self._raised_by_call(module, node.func, owner, seen)
        return found

    def _kind(self, module: Module, raised: ast.expr) -> set[str]:
        """The error in ``raise X(…)``, or in ``raise make(…)`` what make returns."""
        called = raised.func if isinstance(raised, ast.Call) else raised
        name = ast.unparse(called).rpartition(".")[2]
        if name in errors.__all__:
            return {name}
        found = self._find(module, name)
        if found and isinstance(found[1], FUNCTIONS) and found[1].returns:
            # A maker of errors of any kind says nothing of the one it makes.
            made = {ast.unparse(found[1].returns)} & set(errors.__all__)
            return made - {"DeadPeerError"}
        return set()

    def _raised_by_call(
        self,
        module: Module,
        called: ast.expr,
        owner: ast.ClassDef | None,
        seen: set[ast.AST],
    ) -> set[str]:
        match called:
            case ast.Name(id="cls") if owner:
                return self._raised_by_making(module, owner, seen)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name) if owner:
                method = _members(owner).get(name)
                return self._raised(module, method, owner, seen) if method else set()
            case ast.Name(id=name):
                found = self._find(module, name)
            case _:
                found = None
        if found is None:
            return set()
        home, node = found
        if isinstance(node, ast.ClassDef):
            return self._raised_by_making(home, node, seen)
        return self._raised(home, node, None, seen)

    def _raised_by_making(
        self, module: Module, node: ast.ClassDef, seen: set[ast.AST]
    ) -> set[str]:
        found: set[str] = set()
        for name, method in _members(node).items():
            if name in MAKERS:
                found |= self._raised(module, method, node, seen)
        return found

    def _find(self, module: Module, name: str) -> tuple[Module, Definition] | None:
        """Return the home and the definition of a name, also if it is imported."""
        if name in module.definitions:
            return module, module.definitions[name]
        home, original = module.imported.get(name, ("", ""))
        if home in self.modules:
            return self._find(self.modules[home], original)
        return None


def sections(doc: str) -> dict[str, str]:
    """Return the Google sections of a cleaned docstring; the summary under ''."""
    parts = re.split(r"^(\w+):\n(?=    )", doc, flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def section(doc: str, title: str) -> dict[str, str]:
    """Return the entries of one section, by their names."""
    body = sections(doc).get(title, "")
    parts = re.split(r"^    \**(\w+)(?: \([^)]*\))?:", body, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def ancestors(name: str) -> set[str]:
    """Return an error and what it is, within the package's own tree."""
    kinds = getattr(errors, name).__mro__
    return {kind.__name__ for kind in kinds} & set(errors.__all__)


def _read(path: Path, package: Path) -> Module:
    inside = path.relative_to(package).with_suffix("").parts
    name = ".".join((package.name, *inside)).removesuffix(".__init__")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    module = Module(name=name, public=set())
    for part in tree.body:
        if isinstance(part, Definition):
            module.definitions[part.name] = part
        elif isinstance(part, ast.Assign) and ast.unparse(part.targets[0]) == "__all__":
            module.public = set(ast.literal_eval(part.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                given = alias.asname or alias.name
                module.imported[given] = node.module, alias.name
    return module


def _documented(
    name: str, node: Definition, owner: ast.ClassDef | None = None
) -> Documented:
    return Documented(
        name=name, node=node, doc=ast.get_docstring(node) or "", owner=owner
    )


def _members(node: ast.ClassDef) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    return {part.name: part for part in node.body if isinstance(part, FUNCTIONS)}


def _methods(name: str, node: ast.ClassDef) -> Iterator[Documented]:
    for method, part in _members(node).items():
        decorated = {ast.unparse(one) for one in part.decorator_list}
        overload = decorated & {"overload", "override", f"{method}.setter"}
        if not method.startswith("_") and not overload:
            yield _documented(f"{name}.{method}", part, node)


def _constructor(node: ast.ClassDef) -> dict[str, str]:
    """What a class is made from: its ``__init__``, or a dataclass's fields."""
    made = _members(node).get("__init__")
    if made:
        return _parameters(made)
    if not any("dataclass" in ast.unparse(one) for one in node.decorator_list):
        return {}
    return {
        ast.unparse(part.target): ast.unparse(part.annotation)
        for part in node.body
        if isinstance(part, ast.AnnAssign)
        and "ClassVar" not in ast.dump(part)
        and not (part.value and "init=False" in ast.unparse(part.value))
    }


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, str]:
    given = node.args
    every: Iterable[ast.arg | None] = (
        *given.posonlyargs,
        *given.args,
        given.vararg,
        *given.kwonlyargs,
        given.kwarg,
    )
    return {
        one.arg: _annotation(one, given.kwarg)
        for one in every
        if one and one.arg not in ("self", "cls")
    }


def _annotation(one: ast.arg, rest: ast.arg | None) -> str:
    """The annotation; the rest of the keywords has its names elsewhere."""
    return ast.unparse(one.annotation) if one.annotation and one is not rest else ""


def _caught(node: ast.Try) -> set[str]:
    """The names that a ``try`` catches and keeps."""
    return {
        part.id
        for handler in node.handlers
        if handler.type and not _raises_again(handler)
        for part in ast.walk(handler.type)
        if isinstance(part, ast.Name)
    }


def _raises_again(handler: ast.ExceptHandler) -> bool:
    inside = (part for line in handler.body for part in ast.walk(line))
    return any(isinstance(part, ast.Raise) and part.exc is None for part in inside)


def _prefixes(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name
