"""No error shows a password hash, whatever file is read in whatever format."""

import itertools
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress

import pytest

from config.settings import Settings
from store.engine import Store
from store.errors import Refused
from store.registrar import plan, write
from store.registrar.csv_file import csv_lines
from store.registrar.lines import HeaderError, Line, Refusal, Skipped
from store.registrar.passwd_file import dovecot_lines, passwd_lines
from store.registrar.roles import read_roles
from tests.conftest import CHANGE

SECRETS = {
    "sha512-crypt": "$6$rounds=5000$saltsalt$CANARYcanary/CANARY",
    "dovecot": "{SSHA512}CANARYcanary+CANARY==",
    "bcrypt": "{BLF-CRYPT}$2y$05$CANARYcanaryCANARY",
    "des": "CANARYcan/ary",
    "plain": "{PLAIN}CANARY word",
}
FILES = {
    "csv": "name,role,password_hash\nalice,student,{}\nbob,{},\n",
    "csv without a header": "alice,student,{}\n",
    "semicolons": "alice;{};student\n",
    "tabs": "alice\t{}\tstudent\n",
    "blanks": "alice {}\n",
    "passwd": "alice:{}:1000:1000:Alice, room 5,,:/home/alice:/bin/sh\n",
    "passwd-file": "alice:{}:5000:5000::/srv/alice::userdb_quota_rule=*:storage=1G pass={}\n",
    "shadow": "alice:{}:19000:0:99999:7:::\n",
    "swapped columns": "name,role,condition\n{},student,\nbob,{},\ncarol,student,{}\n",
}
READERS: dict[str, Callable[[Iterable[str]], Iterable[Line | Refusal | Skipped]]] = {
    "csv": csv_lines,
    "passwd": passwd_lines,
    "dovecot": dovecot_lines,
}
# A DES hash in a column of its own is a word like any other; that is no wrong format.
CASES = [
    each
    for each in itertools.product(FILES, SECRETS)
    if each not in {("swapped columns", "des"), ("csv", "des")}
]


@pytest.mark.parametrize("form", READERS)
@pytest.mark.parametrize(("file", "secret"), CASES)
def test_a_wrong_format_shows_no_hash(
    store: Store, settings: Settings, form: str, file: str, secret: str
) -> None:
    lines = FILES[file].replace("{}", SECRETS[secret]).splitlines(keepends=True)
    shown = []
    with suppress(HeaderError):
        try:
            todo = plan.plan(store, settings, READERS[form](lines), role="student")
            shown += [todo.refused, todo.skipped, todo.notes]
        except HeaderError as error:
            shown.append(str(error))
            raise
    with pytest.raises(Refused) as refused:
        read_roles(settings, lines)
    assert "CANARY" not in f"{shown}{refused.value}"


def test_a_store_error_shows_no_hash(store: Store, settings: Settings) -> None:
    lines = [Line(2, "alice", "staff", password=SECRETS["dovecot"])]
    todo = plan.plan(store, settings, lines)
    todo.new *= 2  # the second is no line of a file: the database refuses it
    with pytest.raises(Refused) as refused:
        write.carry_out(store, todo, change=CHANGE)
    shown = "".join(traceback.format_exception(refused.value))
    assert "IntegrityError" in shown
    assert "CANARY" not in shown
