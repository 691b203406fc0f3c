"""What people type as a value: a time, a size, a reason."""

import pytest

from tests.cli.conftest import Run


@pytest.mark.parametrize("span", ["0m", "0s", "3661d", "999999d"])
def test_no_time_at_all_and_more_than_ten_years_are_slips(run: Run, span: str) -> None:
    done = run("whitelist", "add", "192.0.2.7", "--for", span, "--reason", "x")
    assert done.code == 2
    assert "between 1s and 10 years" in done.err
    assert run("whitelist", "list", "--json").document == []
    assert run("account", "set", "alice", "--mailbox", "1G", "--until", span).code == 2


def test_ten_years_and_a_second_are_spans(run: Run) -> None:
    for span in ("1s", "3660d"):
        assert run("whitelist", "add", "192.0.2.7", "--for", span, "--reason", "x").code == 0
