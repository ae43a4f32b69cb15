"""The commands of `safety-service knowledge` that keep it right: each calls one function, prints, ends with 0 or 1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.text import Text

from safety_service.cases import Case, read_cases
from safety_service.curation.altered import Workbench
from safety_service.curation.case_table import cases_text, differing, merging_text
from safety_service.curation.coverage import coverage, coverage_text
from safety_service.curation.difference import CannotAnswerError, answers, cases_of, difference_text, differences
from safety_service.curation.equivalent import read_proofs
from safety_service.curation.explain_case import NoSuchCaseError, case_text, find_case
from safety_service.curation.export import NotOursError, export
from safety_service.curation.places import Places
from safety_service.curation.recording import record
from safety_service.curation.survivors import survivors, survivors_text
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import RULES_DATA, load_knowledge
from safety_service.knowledge.read import KnowledgeError, Problem
from safety_service.report.terminal import alarm, print_lines

curation_app = typer.Typer()

DataFolder = Annotated[
    Path, typer.Option(exists=True, file_okay=False, help="Folder of knowledge instead of the one installed.")
]
CasesFolder = Annotated[
    Path | None, typer.Option(exists=True, file_okay=False, help="Folder of cases instead of the knowledge's own.")
]
Brief = Annotated[bool, typer.Option("--brief", help="Only what is wrong, and the last lines.")]


@curation_app.command("test")
def run_cases(cases: CasesFolder = None, data: DataFolder = RULES_DATA) -> None:
    """Put every case to the engine; print a line for each file and what differs, and end with 1 if anything does."""
    knowledge = _read_knowledge(data)
    rows = _read_cases(cases or data / "cases")
    wrong = differing(knowledge, rows)
    print_lines(cases_text(rows, wrong))
    print_lines(merging_text(knowledge, rows))
    raise typer.Exit(1 if wrong else 0)


@curation_app.command("coverage")
def show_coverage(cases: CasesFolder = None, data: DataFolder = RULES_DATA, brief: Brief = False) -> None:
    """Print which answers of rules and which sides of thresholds the cases reach; end with 1 if one is not reached."""
    bench = _bench(data, cases)
    found = coverage(bench, Places(data))
    print_lines(coverage_text(found, brief))
    raise typer.Exit(1 if found.gaps or not bench.all_hold else 0)


@curation_app.command("mutate")
def show_survivors(cases: CasesFolder = None, data: DataFolder = RULES_DATA, brief: Brief = False) -> None:
    """Make each rule, limit and value set wrong in one place at a time; print what no case notices, and end with 1."""
    bench = _bench(data, cases)
    try:
        proofs = read_proofs(cases or data / "cases", bench)
    except KnowledgeError as error:
        _refuse(error.problems)
    found = survivors(bench, Places(data), proofs)
    print_lines(survivors_text(found, brief))
    raise typer.Exit(0 if found.is_sound and bench.all_hold else 1)


@curation_app.command()
def explain(
    case: Annotated[str, typer.Argument(help="A case by file:line, such as hepatic:34, or by its name.")],
    cases: CasesFolder = None,
    data: DataFolder = RULES_DATA,
) -> None:
    """Print why a case is answered so: the facts the rules saw, and what made each rule fire or what it lacks."""
    knowledge = _read_knowledge(data)
    try:
        found = find_case(_read_cases(cases or data / "cases"), case)
    except NoSuchCaseError as unknown:
        alarm(f"{unknown}.")
        for each in unknown.near:
            typer.echo(f"  {each}", err=True)
        raise typer.Exit(1) from None
    print_lines(case_text(knowledge, found))


@curation_app.command()
def diff(
    old: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of knowledge as it was.")],
    new: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of knowledge as it is to be.")],
) -> None:
    """Print what a change of the knowledge changes: rules, limits, severities, sets, options, and answers of cases."""
    before, now = _read_knowledge(old), _read_knowledge(new)
    try:
        rows = cases_of(old, new)
    except KnowledgeError as error:
        _refuse(error.problems)
    found = differences(before, now)
    try:
        print_lines(difference_text(found, list(answers(before, now, rows)), len(rows)))
    except CannotAnswerError as error:
        print_lines(difference_text(found, (), 0))
        alarm(f"The cases were not compared: {error}")
        raise typer.Exit(1) from None


@curation_app.command("export")
def write_export(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder, or one that an earlier export made.")],
    data: DataFolder = RULES_DATA,
) -> None:
    """Write the knowledge as pages for people, in Markdown and in HTML: each drug, options, rules, sets, sources."""
    knowledge = _read_knowledge(data)
    try:
        written = export(knowledge, folder)
    except (NotOursError, OSError) as error:
        alarm(str(error))
        raise typer.Exit(1) from None
    print_lines([Text(f"{len(written)} files in {folder}; begin with {folder / 'index.html'}")])


def _read_knowledge(data: Path) -> Knowledge:
    """The knowledge of a folder, under its own policy."""
    try:
        return load_knowledge(data)
    except KnowledgeError as error:
        _refuse(error.problems, "; a server would not start")


def _read_cases(folder: Path) -> tuple[Case, ...]:
    try:
        return read_cases(folder)
    except KnowledgeError as error:
        _refuse(error.problems)


def _bench(data: Path, cases: Path | None) -> Workbench:
    """The rules of a folder with what its cases ask them. Cases that do not hold are told and take no part."""
    bench = Workbench(record(_read_knowledge(data), _read_cases(cases or data / "cases")))
    if not bench.all_hold:
        alarm("Some cases do not hold and do not count here: safety-service knowledge test tells which")
    return bench


def _refuse(problems: Sequence[Problem], consequence: str = "") -> NoReturn:
    for problem in problems:
        typer.echo(str(problem), err=True)
    alarm(f"{len(problems)} {'problem' if len(problems) == 1 else 'problems'}{consequence}")
    raise typer.Exit(1)
