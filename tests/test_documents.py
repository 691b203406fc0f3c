"""Documents name only what exists: files, functions, requirements, checks, log events, links."""

import ast
import re
from datetime import UTC
from pathlib import Path

import pytest

from config.daemon.events import MEANINGS
from config.loader import load
from policyd.action import over_limit
from store.limits.window import Charge, ChargeResult, Limit
from tests.test_architecture import ROOT, tracked

DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *ROOT.glob("*.md"), ROOT / "tests/README.md"])
# `path/file.py` or `path/file.py:Class.method`
NAMED = re.compile(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|lua|toml))(?::([\w.]+))?`")
# `folder/` or `folder/file` of the repository
FOLDERS = "bench|cli_commands|config|docs|dovecot_auth|milters|policyd|store|tests"
PATH = re.compile(rf"`((?:{FOLDERS})/[\w./-]*)`")
# Files outside the repository.
ELSEWHERE = {"gatepost.toml"}
# A requirement; the words before a check's number, and further numbers after it.
REQUIREMENT = re.compile(r"\bR([1-9]\d?)\b")
CHECK = re.compile(r"\bchecks? (\d+[a-d]*)((?:(?:,| and|, and) \d+[a-d]*)*)", re.IGNORECASE)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[\w-]+)?\)")


def defined(path: Path) -> set[str]:
    """Return the names that *path* defines, methods as ``Class.method``."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        match node:
            case ast.ClassDef(name=name, body=body):
                inner = (ast.FunctionDef, ast.AsyncFunctionDef)
                names |= {
                    name,
                    *(f"{name}.{each.name}" for each in body if isinstance(each, inner)),
                }
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_and_function_named_on_a_page_exists(page: Path) -> None:
    for file, name in NAMED.findall(page.read_text()):
        if file in ELSEWHERE or ("/" not in file and not name):
            continue
        path = ROOT / file if (ROOT / file).exists() else page.parent / file
        assert path.exists(), file
        assert not name or name in defined(path), f"{file}:{name}"
    for file in PATH.findall(page.read_text()):
        assert (ROOT / file).exists(), file


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_requirement_that_is_cited_is_on_the_page() -> None:
    known = set(
        re.findall(r"^- \*\*R(\d+)\*\*", (DOCS / "requirements.md").read_text(), re.MULTILINE)
    )
    for path in [*tracked("*.py"), *tracked("*.md")]:
        assert set(REQUIREMENT.findall(path.read_text())) <= known, path


def test_every_check_that_is_cited_is_on_the_page() -> None:
    known = set(re.findall(r"^\| (\d+[a-d]*) \|", (DOCS / "checks.md").read_text(), re.MULTILINE))
    for path in tracked("*.py"):
        for first, more in CHECK.findall(path.read_text()):
            assert {first, *re.findall(r"\d+[a-d]*", more)} <= known, path


def test_the_table_of_log_events_is_current() -> None:
    rows = re.findall(
        r"^\| `([a-z-]+)` \| (.*) \|$", (DOCS / "operations.md").read_text(), re.MULTILINE
    )
    assert [row for row in rows if row[0] in MEANINGS] == list(MEANINGS.items())


def test_the_refusal_in_the_readme_is_a_real_one() -> None:
    limit = Limit("client 192.0.2.7", 3600, 200)
    result = ChargeResult(accepted=False, limit=limit, used=200, again=14 * 3600 + 27 * 60)
    settings = load(ROOT / "config/etc/gatepost.toml")
    text = over_limit(Charge(None, 1, (limit,)), result, 13 * 3600, settings=settings, zone=UTC)
    code, _, sentence = text.partition(" Limit of")
    shown = " ".join((ROOT / "README.md").read_text().split())
    assert f"{code} <DATA>: Data command rejected: Limit of{sentence}" in shown
