"""The import rules and the conventions that hold the product together, checked in the source itself.

A line that has to break one of the conventions says why: ``# ok: <reason>``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.data import REPOSITORY

APP = REPOSITORY / "app"
LAYERS = {path.name for path in APP.iterdir() if path.is_dir() and (path / "__init__.py").exists()}

# layer -> what it may import of ours, besides itself; of adapters only their interfaces
ALLOWED = {
    "domain": set[str](),
    "core": {"domain"},  # JSON writes amounts as the domain does
    "models": {"domain", "core", "extensions"},  # db, and nothing else of it: see below
    "adapters": {"domain", "core"},
    "services": {"domain", "models", "core", "adapters", "schemas"},  # one shape of an object: answers and events
    "schemas": {"domain", "core"},
    "routes": {"services", "schemas", "core", "models", "domain", "adapters", "extensions"},
    "engine": {"services", "domain", "core", "models", "adapters", "schemas"},
    "realtime": {"core", "domain"},
}
ENTRY_LAYERS = {"cli"}  # commands are entry points: they may put parts together as create_app does
EXACT = ("domain", "models", "services", "schemas", "engine")  # where a float could become money
WEB = {
    "flask",
    "flask_login",
    "flask_migrate",
    "flask_sqlalchemy",
    "flask_wtf",
    "flask_babel",
    "flask_limiter",
    "flask_talisman",
    "flask_socketio",
    "socketio",
    "engineio",
    "werkzeug",
    "jinja2",
}
OK = re.compile(r"#.*\bok: \S")


def sources(*layers: str) -> list[Path]:
    folders = [APP / layer for layer in layers] if layers else [APP]
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def excused(path: Path, node: ast.AST) -> bool:
    """The node's lines, or the line above them, carry a reason."""
    first, last = getattr(node, "lineno", 1), getattr(node, "end_lineno", None) or getattr(node, "lineno", 1)
    return any(OK.search(line) for line in lines(path)[max(0, first - 2) : last])


def where(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(REPOSITORY)}:{getattr(node, 'lineno', 1)}"


def none(broken: list[str]) -> None:
    if broken:
        pytest.fail("\n".join(broken), pytrace=False)


def layer_of(module: str) -> str:
    """``app.services.orders`` is of ``services``; what stands directly in ``app`` is named itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def module_of(path: Path) -> str:
    parts = list(path.relative_to(REPOSITORY).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[ast.stmt, str]]:
    """Every module a file imports, wherever in the file, relative ones made absolute.

    ``from app.x import y`` counts as ``app.x.y``: y may be a module.
    """
    package = module_of(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node, f"{module}.{alias.name}"


def is_type_checking(path: Path, node: ast.stmt) -> bool:
    return any(
        isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test) and node in ast.walk(block)
        for block in ast.walk(tree(path))
    )


def concrete_adapter(module: str) -> bool:
    """An adapter's interface is what its package offers, or its module named ``base``."""
    parts = module.split(".")
    if parts[:2] != ["app", "adapters"] or len(parts) < 3:
        return False
    inside = parts[2:]
    path = APP.joinpath("adapters", *inside)
    if path.is_dir():
        return False
    as_module = path.with_suffix(".py")
    owner = as_module if as_module.exists() else path.parent.with_suffix(".py")
    if owner.exists():
        return owner.stem != "base"
    return False  # a name that the package itself offers


def test_every_layer_has_its_rule() -> None:
    assert LAYERS - {"templates", "static", "translations"} <= set(ALLOWED) | ENTRY_LAYERS


@pytest.mark.parametrize("layer", ALLOWED)
def test_a_layer_imports_only_what_it_may(layer: str) -> None:
    broken = [
        f"{where(path, node)} imports {module}"
        for path in sources(layer)
        for node, module in imports(path)
        if module.split(".")[0] == "app" and layer_of(module) not in ALLOWED[layer] | {layer}
    ]
    none(broken)


# packages of pure functions, which the domain may call: check digits are a maintained library's business (decision 18)
PURE = {"stdnum"}


def test_the_domain_imports_nothing_but_the_standard_library_and_pure_functions() -> None:
    forbidden = {"random", "time", "secrets", "os", "sqlite3", "socket", "threading", "asyncio", "uuid"}
    broken = [
        f"{where(path, node)} imports {module}"
        for path in sources("domain")
        for node, module in imports(path)
        if (root := module.split(".")[0]) not in PURE | {"app"}
        and (root not in sys.stdlib_module_names or root in forbidden)
    ]
    none(broken)


def test_the_domain_is_told_the_time() -> None:
    broken = [
        where(path, node)
        for path in sources("domain")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"now", "utcnow", "today"}
    ]
    none(broken)


@pytest.mark.parametrize("layer", ["domain", "core", "models", "adapters", "services", "schemas", "engine"])
def test_only_the_edge_knows_the_web(layer: str) -> None:
    broken = [
        f"{where(path, node)} imports {module}"
        for path in sources(layer)
        for node, module in imports(path)
        if module.split(".")[0] in WEB and not excused(path, node)
    ]
    none(broken)


# what routes may name of SQLAlchemy: the session they hand on, the errors they answer
ROUTES_NAME = re.compile(r"sqlalchemy\.(orm\.Session|exc\.\w+)")
STATEMENTS = {"execute", "scalar", "scalars", "query", "get_one", "flush", "add", "delete", "refresh"}


def test_routes_import_no_query_language() -> None:
    broken = [
        f"{where(path, node)} imports {module}"
        for path in sources("routes")
        for node, module in imports(path)
        if module.split(".")[0] == "sqlalchemy" and not ROUTES_NAME.fullmatch(module)
    ]
    none(broken)


def is_the_session(node: ast.AST) -> bool:
    """``db()``, or what a unit of work of a route is handed."""
    if isinstance(node, ast.Name):
        return node.id in {"session", "s", "db"}
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "db"


def test_routes_ask_services_and_run_no_statement() -> None:
    broken = [
        f"{where(path, node)} calls {node.func.attr}"
        for path in sources("routes")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and is_the_session(node.func.value)
        and (node.func.attr in STATEMENTS or (node.func.attr == "get" and not is_flask_session(path, node)))
    ]
    none(broken)


def is_flask_session(path: Path, node: ast.Call) -> bool:
    """``session.get(...)`` of a browser's session, which a module imports from Flask."""
    named = isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)
    return named and any(module == "flask.session" for _node, module in imports(path))


def test_models_take_db_from_the_extensions_and_nothing_else() -> None:
    """``db.Model`` is how everybody who knows Flask writes a model; a query in one would need the application."""
    broken = [
        f"{where(path, node)} imports {module}"
        for path in sources("models")
        for node, module in imports(path)
        if layer_of(module) == "extensions" and module != "app.extensions.db"
    ]
    none(broken)


@pytest.mark.parametrize("layer", ["services", "routes", "engine", "realtime", "core", "models", "schemas"])
def test_concrete_adapters_are_picked_in_one_place(layer: str) -> None:
    broken = [
        f"{where(path, node)} imports {module}"
        for path in sources(layer)
        for node, module in imports(path)
        if concrete_adapter(module)
    ]
    none(broken)


def test_only_the_composition_root_imports_the_outer_layers() -> None:
    outer = {"routes", "engine", "realtime", "cli"}
    broken = [
        f"{where(path, node)} imports {module}"
        for path in sources()
        for node, module in imports(path)
        if module.split(".")[0] == "app"
        and layer_of(module) in outer
        and path.parent != APP
        and path.relative_to(APP).parts[0] not in {layer_of(module), *ENTRY_LAYERS}
    ]
    none(broken)


def test_eventlet_is_imported_by_the_entry_points_alone() -> None:
    broken = [
        f"{where(path, node)} imports {module}"
        for path in [*sources(), *(REPOSITORY / "tests").rglob("*.py"), *(REPOSITORY / "scripts").rglob("*.py")]
        for node, module in imports(path)
        if module.split(".")[0] in {"eventlet", "greenlet"} and not excused(path, node)
    ]
    none(broken)


def test_only_the_unit_of_work_commits() -> None:
    broken = [
        where(path, node)
        for path in sources()
        if path != APP / "core" / "transaction.py"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "commit"
    ]
    none(broken)


TIMING = re.compile(r"seconds|_ms\b|timeout|delay|elapsed|monotonic|deadline|interval|perf_counter")


def names_a_float(node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        return node.id in {"float", "Float", "REAL"}
    if isinstance(node, ast.Attribute):
        return node.attr in {"Float", "REAL", "DOUBLE", "DOUBLE_PRECISION", "Double"}
    return False


def is_a_float(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, float)


@pytest.mark.parametrize("layer", EXACT)
def test_no_float_comes_near_money(layer: str) -> None:
    """Not by name, not in an annotation; timing may, where the line says that it is timing."""
    broken = [
        f"{where(path, node)}: {lines(path)[node.lineno - 1].strip()}"
        for path in sources(layer)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.expr)
        and names_a_float(node)
        and not excused(path, node)
        and not TIMING.search(lines(path)[node.lineno - 1])
    ]
    none(broken)


@pytest.mark.parametrize("layer", ["domain", "models"])
def test_no_number_is_written_as_a_float(layer: str) -> None:
    broken = [
        where(path, node)
        for path in sources(layer)
        for node in ast.walk(tree(path))
        if is_a_float(node) and not excused(path, node)
    ]
    none(broken)


def test_nothing_is_printed() -> None:
    broken = [
        where(path, node)
        for path in sources()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"print", "breakpoint"}
    ]
    none(broken)


def test_functions_stay_under_seventy_lines_and_files_under_five_hundred() -> None:
    broken = [
        f"{where(path, node)} {node.name} has {(node.end_lineno or node.lineno) - node.lineno + 1} lines"
        for path in sources()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno + 1 >= 70
    ]
    broken += [f"{path} has {len(lines(path))} lines" for path in sources() if len(lines(path)) > 550]
    none(broken)


def test_nothing_is_left_unfinished() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError|NotImplemented)\b")
    broken = [
        f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()}"
        for path in [*sources(), *(APP / "templates").rglob("*.html"), *own_scripts()]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if marks.search(line)
    ]
    none(broken)


def own_scripts() -> list[Path]:
    return [path for path in (APP / "static").rglob("*.js") if "vendor" not in path.parts]


INLINE = {
    "an inline style": re.compile(r"<[^>]*\sstyle\s*=", re.I),
    "a style element": re.compile(r"<style\b", re.I),
    "an inline script": re.compile(r"<script\b(?![^>]*\b(?:src\s*=|type\s*=\s*[\"']application/json))", re.I),
    "an inline handler": re.compile(r"<[^>]*\son[a-z]+\s*=", re.I),
    "a javascript: address": re.compile(r"javascript:", re.I),
}


@pytest.mark.parametrize("what", INLINE)
def test_no_page_has_anything_inline(what: str) -> None:
    broken = [
        f"{path.relative_to(REPOSITORY)}:{text.count(chr(10), 0, found.start()) + 1}"
        for path in sorted((APP / "templates").rglob("*"))
        if path.is_file()
        for text in [path.read_text(encoding="utf-8")]
        for found in INLINE[what].finditer(text)
    ]
    none(broken)


@pytest.mark.parametrize("name", ["utils", "helpers", "helper", "manager", "managers", "common", "misc"])
def test_a_thing_lives_with_its_subject(name: str) -> None:
    assert [path for path in sources() if path.stem == name or name in path.parts] == []


@pytest.mark.parametrize(
    ("markup", "what"),
    [
        ('<p class="a" style="color:red">', "an inline style"),
        ("<style>", "a style element"),
        ("<script>alert(1)</script>", "an inline script"),
        ('<script defer nonce="x">', "an inline script"),
        ('<a href="#" onclick="go()">', "an inline handler"),
        ('<a href="javascript:go()">', "a javascript: address"),
    ],
)
def test_the_patterns_find_what_they_are_for(markup: str, what: str) -> None:
    assert INLINE[what].search(markup)
    for harmless in (
        '<script src="/a.js" defer></script>',
        '<script type="application/json" id="x">{}</script>',
        '<button class="on" data-on="1">',
        '<link rel="stylesheet" href="/a.css">',
    ):
        assert not any(pattern.search(harmless) for pattern in INLINE.values())
