"""systemd restarts every 5 s; the fault is logged once a minute."""

import os
from pathlib import Path

import pytest

from config.daemon import start_fault


@pytest.fixture(autouse=True)
def under_systemd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("INVOCATION_ID", "0" * 32)
    monkeypatch.setattr(start_fault, "FOLDER", tmp_path)
    return tmp_path


def test_the_same_fault_is_reported_once_a_minute(under_systemd: Path) -> None:
    assert [start_fault.is_news("cannot be read") for _ in range(3)] == [True, False, False]
    (kept,) = under_systemd.iterdir()
    ago = kept.stat().st_mtime - start_fault.SECONDS - 1
    os.utime(kept, (ago, ago))
    assert start_fault.is_news("cannot be read")


def test_another_fault_is_reported_at_once() -> None:
    assert [start_fault.is_news(text) for text in ("a", "b", "a")] == [True, True, True]


def test_a_start_by_hand_always_reports_the_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INVOCATION_ID")
    assert [start_fault.is_news("a") for _ in range(2)] == [True, True]


def test_without_a_folder_the_fault_is_reported_each_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(start_fault, "FOLDER", tmp_path / "none")
    assert [start_fault.is_news("a") for _ in range(2)] == [True, True]
