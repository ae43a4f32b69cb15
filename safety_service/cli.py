"""The `safety-service` command: each part reads its options, calls one function and prints."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import grpc
import typer
from google.protobuf.json_format import MessageToDict
from pydantic import ValidationError
from pydantic_settings import BaseSettings
from rich.text import Text

from medsafety import (
    CheckPrescriptionRequest,
    ItemError,
    MedsafetyClient,
    MedsafetyError,
    Violation,
    tls_credentials,
)
from medsafety import token_file as token_file_of
from medsafety.credentials import Token
from safety_service import __version__
from safety_service.access.callers_file import LEAST_CHOSEN, new_key
from safety_service.access.scopes import Scope
from safety_service.ask import UNREACHABLE, Answer, as_result, ask_here, ask_server
from safety_service.curation.commands import curation_app
from safety_service.curation.sound import sound_text, unsound
from safety_service.decisions_command import decisions_app
from safety_service.demo import ServerFailedError, article_case, server_process
from safety_service.flags import flags_of
from safety_service.gateway.settings import GatewaySettings
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import RULES_DATA, load_knowledge
from safety_service.knowledge.read import KnowledgeError
from safety_service.knowledge.signature import KeyFileError, sign, verify
from safety_service.report import fhir
from safety_service.report.answer import answer_text
from safety_service.report.medication import UnknownDrugError, drug_text
from safety_service.report.simulation import simulation_text
from safety_service.report.terminal import alarm as _alarm
from safety_service.report.terminal import print_lines as _print
from safety_service.request_file import UnreadableFileError, read_requests, stream_requests
from safety_service.server.handlers import NS_PER_DAY
from safety_service.server.serve import CannotServeError, run
from safety_service.server.settings import Settings
from safety_service.simulate import as_data
from safety_service.simulate import simulate as compare
from safety_service.supervisor.supervise import supervise

S = TypeVar("S", bound=BaseSettings)


class Exit(IntEnum):
    """What the command ends with."""

    ANSWERED = 0
    REFUSED = 1
    USAGE = 2  # typer's own choice
    UNREACHABLE = 3
    FAILED = 4


EXIT_CODES = (
    "Exit codes: 0 answered, with alerts or without; 1 bad input, every violation is printed with its path; "
    "2 wrong usage; 3 server unreachable or too slow; 4 the service itself failed."
)

AUDIT_CODES = (
    "Exit codes: 0 done; 1 files that cannot be understood; 2 wrong usage; 4 results cannot be written, or the records "
    "do not balance."
)


class Form(Enum):
    """How an answer is printed."""

    TEXT = "text"
    EXPLAINED = "text with facts and limits"
    JSON = "JSON"
    FHIR = "FHIR"


app = typer.Typer(help="Medication safety checks for skeletal muscle relaxants.", no_args_is_help=True)
knowledge_app = typer.Typer(help="What the service knows, and whether its files are in order.", no_args_is_help=True)
knowledge_app.add_typer(curation_app)
app.add_typer(knowledge_app, name="knowledge")
app.add_typer(decisions_app, name="decisions")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"safety-service {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Medication safety checks for skeletal muscle relaxants."""


@app.command(epilog=EXIT_CODES)
def check(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE|-",
            help="CheckPrescriptionRequest as JSON or YAML, in the protobuf JSON mapping; - reads standard input. "
            "A list, JSON line by line and several YAML documents are several requests.",
        ),
    ],
    server: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Ask this server. Without it the answer is worked out here.")
    ] = "",
    tls: Annotated[bool, typer.Option("--tls", help="Speak TLS with the server.")] = False,
    ca: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="PEM file of the authority to trust; implies --tls."),
    ] = None,
    cert: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="PEM file of your certificate, with --key.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="PEM file of its private key; implies --tls.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="File with the token that says who you are.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds the server has for a single answer.")] = 2.0,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="The answer in the protobuf JSON mapping; for several, one CheckResult a line."),
    ] = False,
    as_fhir: Annotated[
        bool,
        typer.Option(
            "--fhir",
            help="A FHIR R4 Bundle: one DetectedIssue per alert, and an OperationOutcome with what was not evaluated; "
            "for several, one Bundle a line.",
        ),
    ] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Also the facts and limits behind each alert.")] = False,
) -> None:
    """Check prescriptions: print what was decided, why, by which source, and what could not be decided."""
    if as_json + as_fhir + explain > 1:
        raise typer.BadParameter("--json, --fhir and --explain exclude each other")
    form = Form.JSON if as_json else Form.FHIR if as_fhir else Form.EXPLAINED if explain else Form.TEXT
    try:
        requests = read_requests(*_content(file))
    except UnreadableFileError as unreadable:
        _complain(unreadable.violations)
        raise typer.Exit(Exit.REFUSED) from None
    worst = Exit.ANSWERED
    try:
        with _answers(requests, server, _credentials(tls, ca, cert, key), _token(token_file), timeout) as answers:
            for number, (request, answer) in enumerate(zip(requests, answers, strict=False), start=1):
                place = f"request {number} of {len(requests)}" if len(requests) > 1 else ""
                if isinstance(answer, ItemError):
                    _complain(answer.violations or (Violation("", str(answer)),), place)
                    worst = max(worst, _exit_of(answer))
                _show(form, place, request, answer)
    except MedsafetyError as error:
        _alarm(f"{server}: {error}")
        raise typer.Exit(_exit_of(error)) from None
    raise typer.Exit(worst)


@app.command(epilog=EXIT_CODES)
def simulate(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|-...",
            help="Orders, in the forms that check reads. A file of JSON line by line may be of any length.",
        ),
    ],
    policy: Annotated[
        str, typer.Option(metavar="FILE|default", help="Site policy to try. Without it: that of the baseline.")
    ] = "",
    knowledge: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Knowledge to try. Without it: the baseline's.")
    ] = None,
    baseline_policy: Annotated[
        str,
        typer.Option(
            metavar="FILE|default", help="Site policy to compare with. Without it: the one a server here would use."
        ),
    ] = "",
    baseline_knowledge: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="Knowledge to compare with. Without it: the one a server here would use."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All counts, of every rule, as JSON.")] = False,
) -> None:
    """Decide orders twice, and print what another policy or knowledge would change: alerts per rule and 100 orders.

    A policy or knowledge that a request itself insists on is not looked at.
    """
    if not (policy or knowledge or baseline_policy or baseline_knowledge):
        raise typer.BadParameter("nothing to try: give --policy or --knowledge")
    for file in files:
        if file != "-" and not Path(file).is_file():
            raise typer.BadParameter(f"{file}: there is no such file")
    settings = _settings({})
    old_data = baseline_knowledge or settings.knowledge_dir or RULES_DATA
    old_policy = _policy_path(baseline_policy, settings.policy_file)
    before = _loaded(old_data, old_policy, Exit.REFUSED)
    tried = knowledge or old_data, _policy_path(policy, old_policy)
    after = before if tried == (old_data, old_policy) else _loaded(*tried, Exit.REFUSED)
    try:
        found = compare(before, after, _orders(files), time.time_ns() // NS_PER_DAY, settings.key)
    except UnreadableFileError as unreadable:
        _complain(unreadable.violations)
        raise typer.Exit(Exit.REFUSED) from None
    for each in found.refusals:
        typer.echo(each, err=True)
    if as_json:
        _print_json(as_data(found), one_line=False)
    else:
        _print(simulation_text(found))
    raise typer.Exit(Exit.FAILED if found.failed else Exit.REFUSED if found.refused else Exit.ANSWERED)


@app.command()
@flags_of(Settings)
def serve(**given: object) -> None:
    """Serve until SIGTERM or Ctrl-C, then let running calls end. SIGHUP reads knowledge, policy and site codes anew;
    SIGUSR2 replaces the workers one after the other. Flags win over environment variables.
    """
    settings = _settings(given)
    try:
        if settings.workers > 1:
            supervise(settings)
        else:
            run(settings)
    except (CannotServeError, KnowledgeError) as error:
        _alarm(str(error))
        raise typer.Exit(Exit.FAILED) from None


@app.command()
def caller_key(
    name: Annotated[str, typer.Argument(help="Name of the caller: lower-case letters, digits, - and _.")],
    scopes: Annotated[str, typer.Option(help="What it may do, separated by commas.")] = "check,knowledge",
    chosen: Annotated[
        bool, typer.Option("--chosen", help="Ask for a secret of your own; its hash is slow to try out.")
    ] = False,
) -> None:
    """Make the key of a caller: the key on standard output, once; the entry for --callers-file on standard error."""
    asked = [each.strip() for each in scopes.split(",") if each.strip()]
    unknown = sorted(set(asked) - {each.value for each in Scope})
    if unknown or not asked:
        raise typer.BadParameter(f"scopes are {', '.join(each.value for each in Scope)}")
    secret = typer.prompt("Secret, 12 characters or more", hide_input=True, err=True) if chosen else ""
    if chosen and len(secret) < LEAST_CHOSEN:
        raise typer.BadParameter(f"a secret has {LEAST_CHOSEN} characters or more")
    try:
        token, hashed = new_key(name, secret)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    typer.echo(f"  - name: {name}\n    scopes: [{', '.join(asked)}]\n    keys: ['{hashed}']", err=True)
    typer.echo(token)


@app.command()
@flags_of(GatewaySettings)
def gateway(**given: object) -> None:
    """Serve CDS Hooks, FHIR and the page over HTTP until SIGTERM or Ctrl-C. Knowledge, policy and fingerprint key are
    those of `serve`, from the same environment variables.
    """
    try:
        from safety_service.gateway.serve import run as run_gateway
    except ModuleNotFoundError as error:
        _alarm(f"The gateway needs the extra [gateway]: the module {error.name} is not installed.")
        raise typer.Exit(Exit.USAGE) from None
    try:
        run_gateway(_validated(GatewaySettings, given), _settings({}))
    except (CannotServeError, KnowledgeError) as error:
        _alarm(str(error))
        raise typer.Exit(Exit.FAILED) from None


@app.command()
def demo() -> None:
    """Start a server on a free port, send it the article's case by the Python client, print the answer, stop it."""
    try:
        with server_process() as address:
            _print([Text(f"A server has started at {address}; the article's case goes to it.", style="dim"), Text()])
            with MedsafetyClient(address, timeout=10) as client:
                response = client.check(article_case())
            _print(answer_text(response))
    except (ServerFailedError, MedsafetyError) as error:
        _alarm(str(error))
        raise typer.Exit(Exit.FAILED) from None
    _print([Text(), Text("The server has stopped.", style="dim")])


@app.command(epilog=AUDIT_CODES)
def audit(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT...", help="Files, folders, globs: CSV, Parquet, FHIR NDJSON, OMOP; packed too."),
    ],
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for the results; a stopped audit goes on in it.")],
    map_file: Annotated[
        Path | None,
        typer.Option("--map", exists=True, dir_okay=False, help="YAML that tells which column is which."),
    ] = None,
    memory: Annotated[
        str,
        typer.Option(help="Most memory for the records held at once, such as 500MB or 2GB; on Spark in each task."),
    ] = "2GB",
    workers: Annotated[int, typer.Option(min=1, help="Processes that check at the same time.")] = 1,
    engine: Annotated[str, typer.Option(help="Where it runs: local, or spark (extra `spark`, Java 17).")] = "local",
    master: Annotated[str, typer.Option(help="Of Spark, such as local[2]; without it as Spark is configured.")] = "",
    statuses: Annotated[
        bool, typer.Option("--statuses", help="Also write the answer of each rule to each record.")
    ] = False,
    partial: Annotated[
        list[str] | None,
        typer.Option(help="A table that does not hold all there is: medications, conditions, labs, care, allergies."),
    ] = None,
    disclosure: Annotated[
        str, typer.Option(help="How small numbers are kept out of the report: opensafely, cms or omop.")
    ] = "opensafely",
    prescribers: Annotated[
        bool, typer.Option("--prescribers", help="A table of prescribers in the report: it names persons.")
    ] = False,
    verify_inputs: Annotated[
        bool, typer.Option("--verify-inputs", help="Hash files again whose place, size and times are as they were.")
    ] = False,
) -> None:
    """Check the records of a population, each with what was known on its day."""
    from safety_service import audit_command

    settings = _settings({})
    try:
        text = audit_command.run_audit(
            inputs=inputs,
            out=out,
            map_file=map_file,
            memory=memory,
            workers=workers,
            engine=engine,
            master=master,
            statuses=statuses,
            partial=partial or [],
            disclosure=disclosure,
            prescribers=prescribers,
            verify_inputs=verify_inputs,
            knowledge_dir=settings.knowledge_dir,
            policy_file=settings.policy_file,
        )
    except audit_command.CannotAuditError as error:
        _alarm(str(error))
        raise typer.Exit(error.exit_code) from None
    except KnowledgeError as error:
        _alarm(f"The knowledge cannot be used:\n{error}")
        raise typer.Exit(Exit.FAILED) from None
    typer.echo(text)


@app.command()
def synth(
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder to write to.")],
    rows: Annotated[int, typer.Option(min=1, help="Medication records; the other tables follow from it.")] = 10_000,
    form: Annotated[str, typer.Option("--format", help="csv, csv.gz or parquet.")] = "csv",
    seed: Annotated[int, typer.Option(help="The same seed makes the same records.")] = 1,
    broken: Annotated[float, typer.Option(min=0, max=1, help="Part of the lines that is broken (text only).")] = 0,
) -> None:
    """Make up records of a population, to try an audit with: nobody is real."""
    from safety_service import audit_command

    try:
        audit_command.run_synth(_knowledge(), out=out, rows=rows, form=form, seed=seed, broken=broken)
    except audit_command.CannotAuditError as error:
        _alarm(str(error))
        raise typer.Exit(error.exit_code) from None


@knowledge_app.command()
def show(
    drug: Annotated[str, typer.Argument(help="Id of a medication line, brand, ingredient or product name.")],
) -> None:
    """Print what the labels say of a drug: every statement with its verb, source, section and how it was read."""
    try:
        _print(drug_text(_knowledge(), drug))
    except UnknownDrugError as unknown:
        _alarm(f"{unknown}." + (f" Near it: {', '.join(unknown.near)}." if unknown.near else ""))
        raise typer.Exit(Exit.REFUSED) from None


@knowledge_app.command()
def validate(
    data: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="Folder to read instead of the one installed.")
    ] = RULES_DATA,
    site_codes: Annotated[
        Path | None, typer.Option(help="CSV of drug codes of your site to read with it, as serve --site-codes does.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Site policy to hold to the floor as well.")
    ] = None,
) -> None:
    """Read every file of the knowledge and check it; print what is wrong, with file and line, or how much there is."""
    try:
        knowledge = load_knowledge(data, policy, site_codes)
    except KnowledgeError as error:
        for problem in error.problems:
            typer.echo(str(problem), err=True)
        _alarm(f"{len(error.problems)} problems; a server would not start")
        raise typer.Exit(Exit.REFUSED) from None
    problems = unsound(knowledge, data)
    if problems:
        for problem in problems:
            typer.echo(str(problem), err=True)
        _alarm(f"{len(problems)} problems; a server would start, but not with what was meant")
        raise typer.Exit(Exit.REFUSED)
    counted = {
        "medication lines": len(knowledge.lines),
        "rules": len(knowledge.rules),
        "non-drug options": len(knowledge.care.options),
        "sources": len(knowledge.sources),
        "value sets": len(knowledge.medication_sets) + len(knowledge.condition_sets),
        "drug names and codes": len(knowledge.names),
        "site codes": knowledge.names.site_code_count(),
    }
    _print(
        [
            Text(f"Knowledge {knowledge.version} is in order.", style="bold green"),
            Text(", ".join(f"{number} {name}" for name, number in counted.items())),
            Text(f"digest {knowledge.digest}", style="dim"),
        ]
    )
    if policy is not None:
        name = f"{knowledge.policy.id} {knowledge.policy.version}"
        _print(
            [
                Text(
                    f"Policy {name} is within the floor: {len(knowledge.policy_changes)} changes.", style="bold green"
                ),
                Text(f"digest {knowledge.policy_digest}", style="dim"),
            ]
        )
    _print(sound_text(knowledge))


@knowledge_app.command("sign")
def sign_knowledge(
    data: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of knowledge.")],
    key: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="Private ed25519 key: openssl genpkey -algorithm ed25519."),
    ],
) -> None:
    """Write knowledge.sig into the folder, for servers with --knowledge-key. The folder must be in order."""
    digest = _loaded(data, None, Exit.REFUSED).digest
    try:
        sign(data, key)
    except (KeyFileError, OSError) as error:
        _alarm(str(error))
        raise typer.Exit(Exit.USAGE) from None
    _print([Text(f"Signed: digest {digest}", style="bold green")])


@knowledge_app.command("verify")
def verify_knowledge(
    data: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of knowledge.")],
    key: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="Public key: openssl pkey -in private.pem -pubout.")
    ],
) -> None:
    """Check that every file which speaks is as it was signed with the private key."""
    try:
        _print([Text(f"Signed with this key: digest {verify(data, key)}", style="bold green")])
    except KnowledgeError as error:
        _alarm(str(error))
        raise typer.Exit(Exit.REFUSED) from None
    except (KeyFileError, OSError) as error:
        _alarm(str(error))
        raise typer.Exit(Exit.USAGE) from None


# --- reading and asking ------------------------------------------------------------------------------------------


def _content(file: str) -> tuple[bytes, str]:
    """The bytes of a file with its name, or those of standard input without one."""
    if file == "-":
        return sys.stdin.buffer.read(), ""
    try:
        return Path(file).read_bytes(), Path(file).name
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}") from None


@contextmanager
def _answers(
    requests: Sequence[CheckPrescriptionRequest],
    server: str,
    credentials: grpc.ChannelCredentials | None,
    token: Token | None,
    timeout: float,
) -> Iterator[Iterator[Answer]]:
    if not server:
        yield ask_here(_knowledge(), _settings({}).key, requests)
        return
    try:
        client = MedsafetyClient(server, credentials=credentials, token=token, timeout=timeout)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    with client:
        yield ask_server(client, requests)


def _settings(given: Mapping[str, object]) -> Settings:
    """The settings of the environment, and of the flags that were given."""
    return _validated(Settings, given)


def _validated(settings: type[S], given: Mapping[str, object]) -> S:
    try:
        return settings.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        prefix = str(settings.model_config.get("env_prefix"))
        for each in error.errors():
            name = str(each["loc"][0])
            typer.echo(f"--{name.replace('_', '-')} ({prefix}{name.upper()}): {each['msg']}", err=True)
        raise typer.Exit(Exit.USAGE) from None


def _orders(files: Sequence[str]) -> Iterator[tuple[str, CheckPrescriptionRequest | str]]:
    """Each request of the files with its place, or why it cannot be read. Raises UnreadableFileError."""
    for file in files:
        name = "" if file == "-" else Path(file).name
        with nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb") as opened:
            for number, each in enumerate(stream_requests(opened, name)):
                if isinstance(each, UnreadableFileError):
                    yield name or "input", str(each)
                else:
                    yield f"{name or 'input'} items[{number}]", each


def _policy_path(given: str, otherwise: Path | None) -> Path | None:
    return otherwise if not given else None if given == "default" else Path(given)


def _knowledge() -> Knowledge:
    """The knowledge that a server with this environment would answer from."""
    settings = _settings({})
    return _loaded(settings.knowledge_dir or RULES_DATA, settings.policy_file, Exit.FAILED)


def _loaded(data: Path, policy_file: Path | None, otherwise: Exit) -> Knowledge:
    """Ends the command with `otherwise` when the knowledge is refused."""
    try:
        return load_knowledge(data, policy_file, _settings({}).site_codes)
    except KnowledgeError as error:
        _alarm(f"The knowledge cannot be used:\n{error}")
        raise typer.Exit(otherwise) from None


def _credentials(tls: bool, ca: Path | None, cert: Path | None, key: Path | None) -> grpc.ChannelCredentials | None:
    if not tls and ca is None and cert is None and key is None:
        return None
    try:
        return tls_credentials(ca, cert, key)
    except ValueError:
        raise typer.BadParameter("--cert and --key go together") from None


def _token(path: Path | None) -> Token | None:
    return None if path is None else token_file_of(path)


def _exit_of(error: MedsafetyError) -> Exit:
    if error.code in UNREACHABLE:
        return Exit.UNREACHABLE
    if error.code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN):
        return Exit.FAILED
    return Exit.REFUSED


# --- printing ----------------------------------------------------------------------------------------------------


def _show(form: Form, place: str, request: CheckPrescriptionRequest, answer: Answer) -> None:
    """One answer. `place` is "" for a single request; a refused one then has been said on standard error already."""
    if form is Form.FHIR:
        resource = fhir.refusal(answer) if isinstance(answer, ItemError) else fhir.bundle(answer, request)
        _print_json(resource, one_line=bool(place))
    elif form is Form.JSON and place:
        _print_json(MessageToDict(as_result(answer)), one_line=True)
    elif isinstance(answer, ItemError):
        return
    elif form is Form.JSON:
        _print_json(MessageToDict(answer), one_line=False)
    else:
        if place:
            _print([Text(f"=== {' '.join(filter(None, [place, request.request_id]))}", style="bold"), Text()])
        _print(answer_text(answer, explain=form is Form.EXPLAINED))
        if place:
            _print([Text()])


def _print_json(value: dict[str, Any], one_line: bool) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=None if one_line else 2))


def _complain(violations: Iterable[Violation], place: str = "") -> None:
    for each in violations:
        path = each.field.removeprefix("item.")  # a stream's name for what has a place here
        typer.echo(": ".join(filter(None, [place, path, each.reason])), err=True)
