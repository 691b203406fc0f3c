"""SIGHUP: good settings are taken over, bad ones change nothing, no signal is lost."""

import asyncio
import logging
from pathlib import Path

import pytest

from config.daemon.reload import Reloader, read_again
from config.settings import Settings

GOOD = '[site]\ndomains = ["{}"]\n[store]\nurl = "sqlite:////nonexistent/gatepost.db"\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "gatepost.toml"
    write(file, "one.example")
    return file


def write(path: Path, domain: str) -> None:
    path.write_text(GOOD.format(domain))


def domain(settings: Settings | None) -> str:
    assert settings
    return settings.site.domains[0]


def test_bad_settings_are_one_line_in_the_log(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert domain(read_again(path)) == "one.example"
    path.write_text("[nonsense]\n[also]\n")
    assert read_again(path) is None
    (record,) = caplog.records
    assert record.getMessage().startswith("event=reload-failed reason=")
    assert "\n" not in record.getMessage()


def test_a_signal_during_a_reload_causes_another(path: Path) -> None:
    used: list[str] = []

    async def story() -> None:
        done = asyncio.Event()

        async def use(settings: Settings) -> None:
            used.append(domain(settings))
            if len(used) == 1:
                write(path, "two.example")
                reloader.request()
                reloader.request()
            else:
                done.set()

        reloader = Reloader(path, use)
        reloader.request()
        await asyncio.wait_for(done.wait(), 10)

    asyncio.run(story())
    assert used == ["one.example", "two.example"]


def test_a_bug_in_one_reload_does_not_prevent_the_next(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        done = asyncio.Event()

        async def use(settings: Settings) -> None:
            if domain(settings) == "one.example":
                write(path, "two.example")
                reloader.request()
                raise RuntimeError("a bug")
            done.set()

        reloader = Reloader(path, use)
        reloader.request()
        await asyncio.wait_for(done.wait(), 10)

    with caplog.at_level(logging.INFO):
        asyncio.run(story())
    assert "event=bug at=reload" in caplog.text
