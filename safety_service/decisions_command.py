"""The commands of `safety-service decisions`: read, check, index, sum up and replay what was decided."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, cast
from uuid import UUID

import orjson
import typer
from rich.text import Text

from safety_service.decisions.archive import NotArchivedError
from safety_service.decisions.index import (
    Database,
    IndexUnavailableError,
    catch_up,
    opened,
    segment_of,
)
from safety_service.decisions.index import reindex as make_anew
from safety_service.decisions.ledger import BrokenLedgerError, seal_finished
from safety_service.decisions.ledger import prune as remove_older
from safety_service.decisions.log import CannotKeepError, open_log
from safety_service.decisions.records import DECISION, Feedback, read_record
from safety_service.decisions.replay import Replay, replay_today
from safety_service.decisions.replay import replay as replay_record
from safety_service.decisions.segment import CannotWriteError, read, segments
from safety_service.decisions.summary import Asked, Summary, summarize
from safety_service.decisions.verify import Verified
from safety_service.decisions.verify import verify as read_all
from safety_service.knowledge.load import RULES_DATA, load_knowledge
from safety_service.knowledge.read import KnowledgeError
from safety_service.report.terminal import alarm, print_lines
from safety_service.server.keeping import index_of, pseudonym_key, source_of
from safety_service.server.settings import Settings

LOOK_SECONDS = 1.0
_LOCK = ".index.lock"

decisions_app = typer.Typer(
    help="What was decided: look it up, replay it, sum it up, check that nothing is missing.", no_args_is_help=True
)

Folder = Annotated[
    Path | None,
    typer.Option("--dir", file_okay=False, help="Folder of the records. Without it: MEDSAFETY_DECISIONS_DIR."),
]
Index = Annotated[
    str,
    typer.Option(
        "--index",
        metavar="FILE|URL",
        help="SQLite file or postgresql:// address. Without it: MEDSAFETY_DECISIONS_INDEX, else index.sqlite in DIR.",
    ),
]
DecisionId = Annotated[str, typer.Argument(metavar="ID", help="decision_id of the answer.")]


# --- reading what is there ---------------------------------------------------------------------------------------


@decisions_app.command()
def show(decision_id: DecisionId, folder: Folder = None, index: Index = "") -> None:
    """Print the record of a decision, as JSON."""
    settings = _settings(folder, index)
    record = _record(settings, decision_id)
    typer.echo(orjson.dumps(record, option=orjson.OPT_INDENT_2).decode())


@decisions_app.command()
def replay(
    decision_id: DecisionId,
    folder: Folder = None,
    index: Index = "",
    today: Annotated[
        bool, typer.Option("--today", help="Also say what today's knowledge and policy would decide.")
    ] = False,
) -> None:
    """Decide again from the recorded facts and the archived knowledge; end with 1 where it is another decision."""
    settings = _settings(folder, index)
    record = _record(settings, decision_id)
    try:
        found = replay_record(_folder(settings), record)
    except (NotArchivedError, KnowledgeError) as error:
        _fail(str(error))
    print_lines(_replay_text("From the archived knowledge", found))
    if today:
        root = settings.knowledge_dir or RULES_DATA
        try:
            knowledge = load_knowledge(root, settings.policy_file, settings.site_codes)
        except KnowledgeError as error:
            _fail(str(error))
        print_lines(_replay_text("From today's knowledge", replay_today(record, knowledge)))
    raise typer.Exit(0 if found.same else 1)


@decisions_app.command()
def verify(folder: Folder = None) -> None:
    """Read every record; end with 1 where one is missing, changed or out of order."""
    settings = _settings(folder, "")
    try:
        found = read_all(_folder(settings))
    except OSError as error:
        _fail(str(error))
    print_lines(_verified_text(found))
    raise typer.Exit(1 if found.faults else 0)


@decisions_app.command()
def summary(
    folder: Folder = None,
    index: Index = "",
    from_month: Annotated[str, typer.Option("--from", metavar="YYYY-MM", help="First month.")] = "",
    to_month: Annotated[str, typer.Option("--to", metavar="YYYY-MM", help="Last month.")] = "",
    rule: Annotated[str, typer.Option(help="Only this rule.")] = "",
    site: Annotated[str, typer.Option(help="Only this site.")] = "",
) -> None:
    """Print per 100 orders how often each rule fired, was kept back and was overridden, and why."""
    settings = _settings(folder, index)
    with _index(settings, to_write=False) as database:
        found = summarize(database, Asked(from_month, to_month, rule, site))
    print_lines(_summary_text(found))


# --- the index ---------------------------------------------------------------------------------------------------


@decisions_app.command("index")
def index_records(
    folder: Folder = None,
    index: Index = "",
    follow: Annotated[bool, typer.Option("--follow", help="Go on until SIGTERM or Ctrl-C.")] = False,
) -> None:
    """Read what is new into the index. With --follow an index that goes away is waited for, or made anew."""
    settings = _settings(folder, index)
    stopping = threading.Event()
    if follow:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda number, frame: stopping.set())
    with _only_one(settings):
        while True:
            try:
                with opened(index_of(settings), to_write=True) as database:
                    told = _followed(settings, database, stopping, follow)
                    typer.echo(f"{told} records indexed")
            except (IndexUnavailableError, OSError, BrokenLedgerError, ValueError) as error:
                alarm(f"not indexed: {error}")
                if not follow:
                    raise typer.Exit(4) from None
            if not follow or stopping.wait(LOOK_SECONDS):
                return


def _followed(settings: Settings, database: Database, stopping: threading.Event, follow: bool) -> int:
    """Until stopped, or the file of the index is gone."""
    folder = _folder(settings)
    address = index_of(settings)
    new = 0
    while True:
        seal_finished(folder, time.time_ns())
        new += catch_up(folder, database)
        if not follow or stopping.wait(LOOK_SECONDS):
            return new
        if "://" not in address and not Path(address).exists():
            return new


@decisions_app.command()
def reindex(folder: Folder = None, index: Index = "") -> None:
    """Make the index anew from the records."""
    settings = _settings(folder, index)
    with _only_one(settings), _index(settings, to_write=True) as database:
        try:
            count = make_anew(_folder(settings), database)
        except (OSError, BrokenLedgerError, ValueError) as error:
            _fail(str(error))
    typer.echo(f"{count} records indexed")


# --- changing what is there --------------------------------------------------------------------------------------


@decisions_app.command()
def prune(
    before: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Day (UTC); what is older is removed.")],
    folder: Folder = None,
) -> None:
    """Remove the files of which every record is older; their final hashes stay in the ledger."""
    settings = _settings(folder, "")
    day = int(before.replace(tzinfo=UTC).timestamp())
    try:
        removed = remove_older(_folder(settings), day * 1_000_000_000, time.time_ns())
    except (OSError, BrokenLedgerError) as error:
        _fail(str(error))
    typer.echo(f"{len(removed)} files removed, {sum(each.bytes for each in removed):,} bytes")


@decisions_app.command()
def feedback(
    alert_id: Annotated[str, typer.Argument(metavar="ALERT_ID", help="One of alert_ids of the answer.")],
    outcome: Annotated[str, typer.Argument(metavar="accepted|overridden", help="What was done.")],
    code: Annotated[str, typer.Option(help="Code of the reason.")] = "",
    system: Annotated[str, typer.Option(help="System of that code.")] = "",
    comment: Annotated[str, typer.Option(help="In words; no patient's name.")] = "",
    feedback_id: Annotated[str, typer.Option("--id", help="The same id again changes nothing.")] = "",
    folder: Folder = None,
) -> None:
    """Record what was done with an alert."""
    settings = _settings(folder, "")
    if outcome not in ("accepted", "overridden"):
        raise typer.BadParameter("must be accepted or overridden")
    try:
        alert = str(UUID(alert_id))
    except ValueError:
        raise typer.BadParameter("the id of an alert is a UUID") from None
    chosen = cast("Literal['accepted', 'overridden']", outcome)
    told = Feedback(alert, chosen, feedback_id, system, code, "", comment)
    try:
        log = open_log(_folder(settings), pseudonym_key(settings), source_of(settings), now_ns=time.time_ns)
        (known_as,) = log.take([told], settings.site)
        log.close()
    except (CannotKeepError, CannotWriteError) as error:
        _fail(f"not recorded: {error}")
    typer.echo(known_as)


# --- settings, records, one at a time ----------------------------------------------------------------------------


def _settings(folder: Path | None, index: str) -> Settings:
    given: dict[str, Any] = {}
    if folder is not None:
        given["decisions_dir"] = folder
    if index:
        given["decisions_index"] = index
    return Settings(**given)


def _folder(settings: Settings) -> Path:
    folder = settings.decisions_dir
    if folder is None or not folder.is_dir():
        raise typer.BadParameter("name the folder of the records by --dir or MEDSAFETY_DECISIONS_DIR")
    return folder


@contextmanager
def _index(settings: Settings, *, to_write: bool) -> Iterator[Database]:
    try:
        with opened(index_of(settings), to_write=to_write) as database:
            yield database
    except IndexUnavailableError as error:
        _fail(f"the index cannot be used ({error}); `safety-service decisions index` makes it")


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    """Two processes that index at once would count an alert twice."""
    file = os.open(_folder(settings) / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        _fail("another process is indexing")
    finally:
        os.close(file)


def _record(settings: Settings, decision_id: str) -> Mapping[str, Any]:
    """The record, by the index where there is one, else by reading everything."""
    try:
        wanted = UUID(decision_id).hex
    except ValueError:
        raise typer.BadParameter("the id of a decision is a UUID") from None
    folder = _folder(settings)
    try:
        paths = segments(folder)
        try:
            with opened(index_of(settings), to_write=False) as database:
                name = segment_of(database, wanted)
                paths.sort(key=lambda each: each.name != name)
        except IndexUnavailableError:
            pass
        mark = f'"id":"{wanted}"'.encode()
        for path in paths:
            for frame in read(path):
                if mark in frame.payload:
                    record = read_record(frame.payload)
                    if record["kind"] == DECISION and record["id"] == wanted:
                        return record
    except (OSError, ValueError) as error:
        _fail(str(error))
    _fail("no such decision is recorded here")


def _fail(why: str) -> NoReturn:
    alarm(why)
    raise typer.Exit(4)


# --- words -------------------------------------------------------------------------------------------------------


def _replay_text(where: str, found: Replay) -> list[Text]:
    lines = [Text(f"{where}: {'the same decision' if found.same else 'another decision'}")]
    lines += [Text(f"  {each}") for each in found.differences]
    return lines + ([Text(f"  ({found.note})")] if found.note else [])


def _verified_text(found: Verified) -> list[Text]:
    told = f"{found.records} records in {found.segments} files, {found.open} being written, {found.pruned} removed"
    lines = [Text(told)]
    lines += [Text(f"cut off   {each}") for each in found.torn]
    lines += [Text(f"WRONG     {each}") for each in found.faults]
    return [*lines, Text("nothing is missing or changed" if not found.faults else f"{len(found.faults)} faults")]


def _summary_text(found: Summary) -> list[Text]:
    if not found.rows:
        return [Text("No alert is indexed.")]
    wide = max(len(each.rule_id) for each in found.rows)
    lines: list[Text] = []
    for month, site in dict.fromkeys((each.month, each.site) for each in found.rows):
        rows = [each for each in found.rows if (each.month, each.site) == (month, site)]
        head = " · ".join(filter(None, (month, site, f"{rows[0].orders} orders", "per 100 orders")))
        lines += [Text(head), Text(f"{'':{wide}}   fired  kept back  overridden  accepted")]
        for each in rows:
            fired, kept, over, taken = (
                each.per_100(count) for count in (each.fired, each.suppressed, each.overridden, each.accepted)
            )
            why = ", ".join(f"{one.display or one.code or 'no reason'} {one.orders}" for one in each.reasons)
            lines.append(
                Text(f"{each.rule_id:{wide}}  {fired:6.1f}  {kept:9.1f}  {over:10.1f}  {taken:8.1f}  {why}".rstrip())
            )
        lines.append(Text())
    return lines
