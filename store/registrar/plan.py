"""Plan an import: check every line of a registrar's file, write nothing."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from sqlalchemy import select

from config.settings import Settings
from config.units import MAX_SIZE, Bytes, UnixSeconds
from store.engine import Store
from store.errors import Refused
from store.models import AccountRow, AliasRow
from store.people import graduation_plan, identity, mailboxes
from store.people.accounts import MAX_ALIASES
from store.people.fields import check_alias, check_condition, check_role, second_mailbox
from store.people.graduation_plan import GRACE_SECONDS, Graduate, MeasureMailbox
from store.people.names import account_name, intended_name
from store.redaction import is_name_like
from store.registrar.lines import Line, Refusal, Skipped, refusal
from store.registrar.notes import Note, notes, notes_on_ignored
from store.registrar.rows import Renewal, fields_given


@dataclass(slots=True)
class ImportPlan:
    """What importing a file would do, under *settings*."""

    settings: Settings = field(repr=False)
    new: list[Line] = field(default_factory=list)
    changed: list[Renewal] = field(default_factory=list)
    graduates: list[Graduate] = field(default_factory=list)  # whose new role has a smaller quota
    unchanged: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)  # on what is not kept as it is in the file
    roles_left: list[str] = field(default_factory=list)  # names in *roles* that no line has

    @property
    def needs_key(self) -> bool:
        """Whether identity numbers must be hashed with the key (`identity.load_key`)."""
        return any(line.identity for line in self.new) or any(
            "identity" in each.columns for each in self.changed
        )

    @property
    def steps(self) -> int:
        """How many steps `store.registrar.write.carry_out` reports."""
        hashed = sum(line.identity is not None for line in self.new)
        return hashed + len(self.new) + len(self.changed) + len(self.graduates)


def plan(
    store: Store,
    settings: Settings,
    lines: Iterable[Line | Refusal | Skipped],
    *,
    role: str | None = None,
    roles: Mapping[str, str] | None = None,
    refresh: bool = False,
    accept_loss: bool = False,
    measure: MeasureMailbox | None = None,
    now: UnixSeconds | None = None,
) -> ImportPlan:
    """Check *lines* and plan what to write.

    A line without a role gets it from *roles* (by account name); a new account without one there
    gets *role*. A second line for the same name is refused: both would be compared with the
    account as it was before the import.

    With *refresh*, lines of existing accounts update role, condition and second mailbox and fill
    in a missing identity number; without it they are refused. An account whose new role has a
    smaller quota graduates, with the default grace period. Passwords, known identity numbers and
    aliases of existing accounts are never changed.

    A new account whose line has a grave field (`store.registrar.notes`) is refused unless
    *accept_loss*.
    """
    with store.reading() as session:
        at = store.now(session, now)
        rows = session.scalars(select(AccountRow).where(AccountRow.removed_at.is_(None))).all()
        aliases = session.execute(select(AliasRow.name, AliasRow.account_id))
        names = _Names(
            {row.name: row for row in rows}, {each.name: each.account_id for each in aliases}
        )
    found = ImportPlan(settings)
    judge = _Judge(
        found,
        names,
        role=role,
        roles=roles or {},
        refresh=refresh,
        accept_loss=accept_loss,
        measure=measure or partial(mailboxes.measure, settings),
        at=at,
    )
    for line in lines:
        match line:
            case Refusal():
                found.refused.append(line)
            case Skipped():
                found.skipped.append(line)
            case _:
                judge(line)
    found.roles_left = sorted((roles or {}).keys() - judge.lines.keys())
    return found


@dataclass(slots=True)
class _Names:
    """All names that are taken: accounts by name, and aliases."""

    accounts: dict[str, AccountRow]
    aliases: dict[str, int | None]  # and the account's id; None: of a new account

    def take(self, name: str) -> None:
        if name in self.accounts or name in self.aliases:
            raise Refused(f"{name} is already taken, by an account, an alias or a line above")
        self.aliases[name] = None


@dataclass(slots=True)
class _Judge:
    """Sorts lines into a plan."""

    found: ImportPlan
    names: _Names
    role: str | None
    roles: Mapping[str, str]
    refresh: bool
    accept_loss: bool
    measure: MeasureMailbox
    at: UnixSeconds
    lines: dict[str, int] = field(default_factory=dict)  # line numbers by name

    def __call__(self, line: Line) -> None:
        try:
            self._sort(line)
        except (Refused, ValueError) as error:
            self.found.refused.append(refusal(line.number, line.name, str(error)))

    def _sort(self, line: Line) -> None:
        settings = self.found.settings
        if not is_name_like(line.name):
            raise Refused(
                "not a single name (not shown, as it may hold a password); is --format right?"
            )
        name = account_name(line.name, settings.site)
        above = self.lines.setdefault(name, line.number)
        if above != line.number:
            raise Refused(f"{name} is already in line {above}; an account has only one line")
        line = replace(
            line,
            role=line.role.casefold() if line.role else self.roles.get(name),
            condition=line.condition and line.condition.casefold(),
        )
        if line.role:
            check_role(settings, line.role)
        if line.condition:
            check_condition(line.condition)
        if line.identity:
            identity.normalise(line.identity)
        outside = second_mailbox(settings, line.second_mailbox)
        line = replace(line, name=name, second_mailbox=outside)
        existing = self.names.accounts.get(name)
        if existing is not None and self.refresh:
            self._refresh(existing, line)
        else:
            self._new(line)

    def _refresh(self, account: AccountRow, line: Line) -> None:
        settings = self.found.settings
        fresh = {
            name: value for name, value in fields_given(line) if getattr(account, name) != value
        }
        if account.identity is not None:
            fresh.pop("identity", None)
        self.found.notes += notes_on_ignored(
            settings, account, line, self._other_aliases(account, line), now=self.at
        )
        if not fresh:
            self.found.unchanged += 1
            return
        role = fresh.get("role")
        if role is not None and graduation_plan.shrinks(settings, account, role):
            self.found.graduates.append(self._graduate(account, fresh.pop("role")))
        if fresh:
            self.found.changed.append(Renewal(account.id, line.name, fresh))

    def _other_aliases(self, account: AccountRow, line: Line) -> list[str]:
        """Return the aliases of *line* that *account* does not have."""
        wanted = (intended_name(alias, self.found.settings.site) for alias in line.aliases)
        others = (alias for alias in wanted if self.names.aliases.get(alias) != account.id)
        return [alias for alias in others if alias != account.name]

    def _graduate(self, account: AccountRow, role: str) -> Graduate:
        return graduation_plan.graduate_of(
            self.found.settings,
            account,
            role,
            used=self.measure(account.name),
            grace=GRACE_SECONDS,
            now=self.at,
        )

    def _new(self, line: Line) -> None:
        settings = self.found.settings
        role = line.role or self.role
        if role is None:
            raise Refused("no role, neither in the line nor for the whole file")
        check_role(settings, role)
        quota = _own_quota(settings, line, role)
        line_notes = notes(settings, line, own_quota=quota)
        if not self.accept_loss and (grave := [str(note) for note in line_notes if note.grave]):
            raise Refused(f"{'; '.join(grave)} (--accept-loss imports the line without it)")
        if quota is not None:
            overrides = {**line.extras.overrides, "mailbox": quota, "mailbox_until": None}
            line = replace(line, extras=replace(line.extras, overrides=overrides))
        aliases = tuple(_aliases(settings, line))
        for each in (line.name, *aliases):
            self.names.take(each)
        self.found.new.append(replace(line, role=role, aliases=aliases))
        self.found.notes += line_notes


def _own_quota(settings: Settings, line: Line, role: str) -> Bytes | None:
    """Return the quota from another server if it differs from the role's.

    An override equal to the role's would outlast a graduation or a new size in the settings.
    """
    quota = line.foreign.quota
    fits = quota is not None and quota <= MAX_SIZE
    return quota if fits and quota != settings.roles[role].mailbox else None


def _aliases(settings: Settings, line: Line) -> Iterator[str]:
    if len(line.aliases) > MAX_ALIASES:
        raise Refused(f"an account has at most {MAX_ALIASES} aliases")
    for alias in dict.fromkeys(intended_name(a, settings.site) for a in line.aliases):
        if alias != line.name:
            check_alias(alias)
            yield alias
