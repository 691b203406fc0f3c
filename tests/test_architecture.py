"""What ruff and import-linter cannot see: file sizes, and the plain module cli.py."""

import ast
import collections
import graphlib
import statistics
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAX_LINES = 400
# Of Python, tests included.
MAX_CODE_LINES = 350
MEDIAN_LINES = 120
# The same role in each service.
PARALLEL = {
    "Connection", "Connections", "Decoder", "ProtocolError", "Request", "Server", "Service",
}  # fmt: skip
# The licence is not ours, docs/cli.md is generated, operations.md is looked up by its headings, the
# corpora are golden data.
NOT_READ_THROUGH = ("LICENSE", "docs/cli.md", "docs/operations.md", "tests/corpus/")
PACKAGES = {"policyd", "milters", "dovecot_auth", "portal"}
SHIPPED = PACKAGES | {"cli.py", "cli_commands", "config", "store"}


def tracked(pattern: str) -> list[Path]:
    """Return the files git knows, and the new ones it does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return [ROOT / line for line in listed.splitlines() if (ROOT / line).exists()]


def imported(path: Path) -> set[str]:
    """Return the top-level names that *path* imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).partition(".")[0])
    return found


def test_no_file_is_longer_than_a_person_reads() -> None:
    long = {str(p.relative_to(ROOT)): n for p in tracked("*") if (n := lines_of(p)) > MAX_LINES}
    assert {name: n for name, n in long.items() if not name.startswith(NOT_READ_THROUGH)} == {}


def lines_of(path: Path) -> int:
    """Return the number of lines of a text file; 0 for bytes, which nobody reads."""
    raw = path.read_bytes()
    return 0 if b"\0" in raw else len(raw.splitlines())


def shipped() -> dict[str, ast.Module]:
    """Return the modules of the wheel, by name."""
    paths = [p.relative_to(ROOT) for p in tracked("*.py")]
    return {
        ".".join(p.with_suffix("").parts).removesuffix(".__init__"): ast.parse(
            (ROOT / p).read_text()
        )
        for p in paths
        if p.parts[0] in SHIPPED
    }


def test_no_import_leads_back_to_its_module() -> None:
    modules = shipped()
    graph = {name: modules_imported(tree, modules) - {name} for name, tree in modules.items()}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def modules_imported(tree: ast.Module, modules: dict[str, ast.Module]) -> set[str]:
    """Return those of *modules* that *tree* imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                names.add(submodule if submodule in modules else node.module)
    return names & modules.keys()


def test_a_class_name_means_one_thing() -> None:
    classes = collections.Counter(
        node.name
        for tree in shipped().values()
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    )
    assert {name for name, count in classes.items() if count > 1} <= PARALLEL


def test_python_files_are_short() -> None:
    lines = {
        str(p.relative_to(ROOT)): n
        for p in tracked("*.py")
        if (n := lines_of(p)) and "stubs" not in p.parts
    }
    long = {name for name, count in lines.items() if count > MAX_CODE_LINES}
    assert not long
    assert statistics.median(lines.values()) <= MEDIAN_LINES


def test_the_command_line_knows_no_sql_and_no_milter() -> None:
    assert imported(ROOT / "cli.py").isdisjoint({"sqlalchemy", "alembic", "Milter"})


def test_nothing_below_imports_the_command_line() -> None:
    below = [
        p for p in tracked("*.py") if p.relative_to(ROOT).parts[0] in {*PACKAGES, "store", "config"}
    ]
    assert [str(p) for p in below if imported(p) & {"cli", "cli_commands", "tests", "bench"}] == []


def test_pymilter_is_imported_in_one_file() -> None:
    users = [p for p in tracked("*.py") if imported(p) & {"Milter", "milter"}]
    outside_tests = {
        str(p.relative_to(ROOT)) for p in users if "tests" not in p.parts and "bench" not in p.parts
    }
    assert outside_tests <= {"milters/adapter.py"}


def test_a_pure_file_knows_no_socket_and_no_clock() -> None:
    pure = (
        "policyd/protocol.py",
        "policyd/request.py",
        "policyd/action.py",
        "policyd/decide.py",
        "store/limits/window.py",
        "store/people/names.py",
        "dovecot_auth/checkpassword/protocol.py",
        "milters/mime/scan.py",
    )
    rules = [str(p.relative_to(ROOT)) for p in tracked("policyd/rules/*.py")]
    for name in (*pure, *rules):
        assert imported(ROOT / name).isdisjoint({"socket", "asyncio", "time", "threading"}), name
