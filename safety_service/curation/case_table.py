"""Do the cases hold? A line for each file, and what differs with its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from safety_service.cases import Case, run_case
from safety_service.curation.recording import named
from safety_service.engine.cards import cards
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge

Differing = tuple[tuple[Case, tuple[str, ...]], ...]


def differing(knowledge: Knowledge, cases: Sequence[Case]) -> Differing:
    """The cases that do not hold, each with what is answered otherwise, in words."""
    return tuple((case, wrong) for case in cases if (wrong := run_case(knowledge, case)))


def merging_text(knowledge: Knowledge, cases: Sequence[Case]) -> Iterator[Text]:
    """How many alerts the orders of the cases raise, and how many cards people are shown for them."""
    alerts = [check(knowledge, case.request).alerts for case in cases]
    alerting = [each for each in alerts if each]
    told, shown = sum(map(len, alerting)), sum(len(cards(each)) for each in alerting)
    if alerting:
        yield Text(
            f"{len(alerting)} of {len(cases)} orders raise alerts: {told / len(alerting):.2f} alerts an order, "
            f"merged into {shown / len(alerting):.2f} cards"
        )


def cases_text(cases: Sequence[Case], wrong: Differing) -> Iterator[Text]:
    """The table by file, what differs, and the sum."""
    yield Text(f"{'File':<40}{'cases':>8}{'answers':>10}{'differ':>8}", style="bold")
    total = 0
    for file in dict.fromkeys(case.file for case in cases):
        own = [case for case in cases if case.file == file]
        answers = sum(map(_answers, own))
        total += answers
        differ = sum(case.file == file for case, _ in wrong)
        yield Text(f"{f'cases/{file}.yaml':<40}{len(own):>8}{answers:>10}{differ:>8}", style="red" if differ else "")
    for case, reasons in wrong:
        yield Text()
        yield Text(f"cases/{case.file}.yaml:{case.line}: {case.name}", style="bold red")
        for reason in reasons:
            yield Text(f"  {reason}")
    yield Text()
    if wrong:
        yield Text(f"{len(wrong)} of {len(cases)} cases differ", style="bold red")
    else:
        yield Text(f"All {len(cases)} cases hold, with {total} answers of single rules", style="bold green")


def _answers(case: Case) -> int:
    """How many answers of single rules a row wants."""
    return sum(map(len, named(case.row).values()))
