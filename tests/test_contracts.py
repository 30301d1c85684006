# SPDX-License-Identifier: Apache-2.0
"""Promises that every file keeps; read from the source, so that they hold for new files at once.

``make api`` writes ``tests/api_surface.json`` anew after a change of public names on purpose.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "monai_kd"
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
SURFACE = ROOT / "tests" / "api_surface.json"
LONGEST_FILE = 400
LONGEST_FUNCTION = 40
# Folders of a machine; put together here so that this file does not hold them.
MACHINE_PATHS = [f"/{folder}/" for folder in ("work", "root")]


def name_of(path):
    return str(path.relative_to(ROOT))


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def exported(tree):
    """Return the names in ``__all__``, or None when the module has none."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            return ast.literal_eval(node.value)
    return None


def defined(tree):
    """Return the names that a module has at its top level."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {
                part.id for t in targets for part in ast.walk(t) if isinstance(part, ast.Name)
            }
    return names


def public_objects(tree):
    """Yield (name, node) of each exported class and function defined in the module."""
    names = exported(tree) or []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in names:
            yield node.name, node


def public_functions(tree):
    """Yield (name, function, docstring) of exported functions, constructors and public methods."""
    for name, node in public_objects(tree):
        if isinstance(node, ast.FunctionDef):
            yield name, node, ast.get_docstring(node) or ""
            continue
        for method in node.body:
            if isinstance(method, ast.FunctionDef):
                if method.name == "__init__":
                    yield name, method, ast.get_docstring(node) or ""
                elif not method.name.startswith("_") and not is_setter(method):
                    yield f"{name}.{method.name}", method, ast.get_docstring(method) or ""


def is_setter(method):
    return any(ast.unparse(d).endswith(".setter") for d in method.decorator_list)


def parameters(function):
    """Return the names a caller may give; ``self``, ``*_`` and ``_unused`` are not among them."""
    a = function.args
    names = [arg.arg for arg in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
    names += [arg.arg for arg in (a.vararg, a.kwarg) if arg is not None]
    return [name for name in names if name not in {"self", "cls"} and not name.startswith("_")]


def fields(node):
    """Return the fields of a dataclass or named tuple, which its constructor takes."""
    decorators = [ast.unparse(d).partition("(")[0] for d in node.decorator_list]
    if not any(d.endswith("dataclass") for d in decorators):
        return []
    return [
        statement.target.id
        for statement in node.body
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and "init=False" not in ast.unparse(statement)
        and "ClassVar" not in ast.unparse(statement)
    ]


def documented(docstring, name, *, method=False):
    """Return whether the Args (or Attributes) of a docstring explain a parameter.

    A method may also say in its text what it does with it: "Return the logits for ``image``."
    """
    if method and f"``{name}``" in docstring:
        return True
    _, _, args = docstring.partition("Args:")
    attributes = docstring.partition("Attributes:")[2]
    return any(
        re.search(rf"^\s+(?:\w+, )*\*{{0,2}}{name}(?:, \*{{0,2}}\w+)*: ", text, re.MULTILINE)
        for text in (args, attributes)
    )


def calls(tree, *names):
    """Yield each call of a function or attribute of one of these names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in names:
            yield node


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_has_license_docstring_and_exports(path):
    text, tree = path.read_text(encoding="utf-8"), tree_of(path)
    assert text.startswith("# SPDX-License-Identifier: Apache-2.0\n")
    assert ast.get_docstring(tree)
    assert exported(tree) is not None, "a module says in `__all__` what is public"
    if path.name != "__init__.py":
        assert "from __future__ import annotations" in text


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_exports_exist_and_are_named_once(path):
    tree = tree_of(path)
    names = exported(tree) or []
    lazy = any(isinstance(n, ast.FunctionDef) and n.name == "__getattr__" for n in tree.body)
    assert lazy or sorted(set(names) - defined(tree)) == []
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_public_objects_have_a_docstring(path):
    tree = tree_of(path)
    without = [name for name, node in public_objects(tree) if not ast.get_docstring(node)]
    without += [name for name, _, text in public_functions(tree) if not text]
    assert without == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_parameter_of_a_public_object_is_documented(path):
    tree = tree_of(path)
    missing = [
        f"{name}({parameter})"
        for name, function, text in public_functions(tree)
        if not any("override" in ast.unparse(d) for d in function.decorator_list)
        for parameter in parameters(function)
        if not documented(text, parameter, method="." in name)
    ]
    missing += [
        f"{name}({field})"
        for name, node in public_objects(tree)
        if isinstance(node, ast.ClassDef)
        for field in fields(node)
        if not documented(ast.get_docstring(node) or "", field)
    ]
    assert missing == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_package_code_neither_asserts_nor_prints_nor_hides_warnings(path):
    tree = tree_of(path)
    asserts = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    loud = ("print", "warnings.filterwarnings", "warnings.simplefilter")
    assert asserts + [call.lineno for call in calls(tree, *loud)] == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_files_and_functions_stay_short(path):
    tree = tree_of(path)
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
    long = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            if length > LONGEST_FUNCTION:
                long.append(f"{node.name}: {length} lines")
    assert long == []


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_every_expected_error_says_which_message(path):
    silent = [
        call.lineno
        for call in calls(tree_of(path), "pytest.raises", "pytest.warns")
        if not any(keyword.arg == "match" for keyword in call.keywords)
    ]
    assert silent == []


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_every_skip_gives_its_reason(path):
    silent = [
        call.lineno
        for call in calls(tree_of(path), "pytest.mark.skipif", "pytest.mark.xfail")
        if not any(keyword.arg == "reason" for keyword in call.keywords)
    ]
    bare = [n.lineno for n in ast.walk(tree_of(path)) if ast.unparse(n) == "pytest.mark.skip"]
    assert silent + bare == []


def test_no_file_names_a_folder_of_one_machine():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout: there is no list of the project's files")
    found = []
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix in {".png", ".jpg", ".dcm", ".pt"} or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [
            f"{name}: {part}" for part in MACHINE_PATHS if re.search(rf"(?<![\w.}}]){part}", text)
        ]
    assert found == []


def test_api_surface_changes_on_purpose_only():
    surface = {
        "monai_kd": sorted(exported(tree_of(PACKAGE / "__init__.py"))),
        **{
            f"monai_kd.{path.parent.name}": sorted(exported(tree_of(path)) or [])
            for path in sorted(PACKAGE.glob("*/__init__.py"))
        },
    }
    if os.environ.get("MONAI_KD_UPDATE_API"):
        SURFACE.write_text(json.dumps(surface, indent=4) + "\n", encoding="utf-8")
    known = json.loads(SURFACE.read_text(encoding="utf-8"))
    assert surface == known, "public names changed: if on purpose, run `make api`"
