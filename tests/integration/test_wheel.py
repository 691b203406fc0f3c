"""The wheel that a site installs: whole, without the tools of developers, and without a network."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]


def run(*words: str, cwd: Path) -> str:
    done = subprocess.run(words, check=False, capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_is_built_installed_and_runs(tmp_path: Path) -> None:
    wheel = ["wheel", "--no-deps", "--no-index", "--no-build-isolation", "-w", str(tmp_path)]
    run(*PIP, *wheel, str(ROOT), cwd=tmp_path)
    (built,) = tmp_path.glob("gatepost-*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", "site", cwd=tmp_path)
    python = tmp_path / "site/bin/python"
    install = ["--python", str(python), "install", "--no-deps", "--no-index"]
    run(*PIP, *install, str(built), cwd=tmp_path)
    (site,) = (tmp_path / "site/lib").glob("python3*/site-packages")
    # The libraries are lent; a path added so reads no .pth, thus not that of the sources.
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    gatepost = str(tmp_path / "site/bin/gatepost")
    assert run(gatepost, "--version", cwd=tmp_path).startswith("gatepost, version ")
    sample = site / "config/etc/gatepost.toml"
    assert "good" in run(gatepost, "--config", str(sample), "config", "check", cwd=tmp_path)
    where = run(str(python), "-I", "-c", "import cli, policyd; print(cli.__file__)", cwd=tmp_path)
    assert where.strip() == str(site / "cli.py")
    for shipped in ("config/etc/postfix/main.cf", "store/migrations/env.py", "policyd/server.py"):
        assert (site / shipped).exists()
