"""What a pharmacist sees."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.type.date_pb2 import Date
from rich.text import Text

from medsafety import CheckPrescriptionResponse
from medsafety.v1.care_pb2 import CareTier, PainPhase
from medsafety.v1.common_pb2 import Severity
from medsafety.v1.decision_pb2 import Decision, Overall
from safety_service.report.answer import answer_text
from safety_service.report.layout import WIDTH, plain
from tests.report.hand_made import answer

PRINTED = Path(__file__).parent / "hand_made.txt"


def printed(response: CheckPrescriptionResponse, *, explain: bool = False) -> str:
    return plain(answer_text(response, explain=explain))


def unwrapped(text: str) -> str:
    return " ".join(text.split())


def block(text: str, title: str) -> str:
    """The part of the text that begins with the line of `title`, to the next empty line."""
    return next(each for each in text.split("\n\n") if title in each.splitlines()[0])


def test_the_whole_page() -> None:
    assert printed(answer(), explain=True) == PRINTED.read_text(encoding="utf-8").rstrip("\n")


def test_no_line_is_wider_than_the_page_but_for_an_address() -> None:
    response = answer()
    long = "a sentence of some length that has to be broken somewhere near the margin " * 4
    for alert in response.decision.alerts:
        alert.title = alert.message = alert.action = alert.computation = long
        alert.citations[0].title = long
        alert.rule_id = "a-family.of-rules-with-a-rather-long-name-that-goes-on"
    response.decision.not_processed[0].reason = response.decision.conflicts[0] = long
    response.decision.care_pathway.note = long
    lines = printed(response, explain=True).splitlines()
    assert all(len(line) <= WIDTH or "http" in line for line in lines)
    assert max(map(len, lines)) > WIDTH - 10


def test_facts_are_shown_only_when_asked_for() -> None:
    assert "single_dose_mg = 10 mg > 5 mg (drug.hepatic.mild_start_mg, stated)" in unwrapped(
        printed(answer(), explain=True)
    )
    assert "single_dose_mg" not in printed(answer())


def test_what_the_message_says_already_is_not_said_again() -> None:
    text = printed(answer())
    assert text.count("14 d x 2 = 28 d") == 1
    assert text.count("10 mg > 5 mg") == 1
    assert text.count("https://example.org/guide-y") == 1  # a source and the page of an option


def test_an_earlier_override_is_told_with_what_it_does() -> None:
    response = answer()
    first, second = response.decision.alerts
    first.interruptive = True
    first.overridden_before.SetInParent()
    second.overridden_before.overridden_on.CopyFrom(Date(year=2026, month=10, day=1))
    second.overridden_before.reason = "one dose only"
    text = printed(response)
    assert "Before   overridden; it interrupts all the same" in block(text, first.title)
    assert "Before   overridden on 2026-10-01: one dose only; it does not interrupt again" in block(text, second.title)
    assert "Before" not in printed(answer())


def test_what_was_suppressed_is_told_with_its_severity() -> None:
    response = answer()
    response.decision.suppressed[0].severity = Severity.SEVERITY_HIGH
    assert "  sedation.counsel v1 (high): switched off by policy x 1: no" in printed(response)


def test_a_lapsed_source_is_marked_and_another_is_not() -> None:
    first, second = (line for line in printed(answer()).splitlines() if line.startswith(("[1]", "[2]")))
    assert "lapsed" not in first
    assert "lapsed" in second


@pytest.mark.parametrize(
    ("read_as", "said"),
    [
        ("source", ""),
        ("copy", "read in a copy"),
        ("secondary", "not read itself, one secondary source"),
        ("two-secondary", "not read itself, two secondary sources agree"),
        ("by telephone", "by telephone"),
    ],
)
def test_how_a_source_was_read_is_said(read_as: str, said: str) -> None:
    response = answer()
    del response.decision.alerts[1]
    response.decision.alerts[0].citations[0].read_as = read_as
    parts = ["Source Label: not recommended", "PRECAUTIONS, Liver", *([said] if said else [])]
    assert f"{' · '.join(parts)} [1] hepatic.start-dose v2" in unwrapped(printed(response))


def test_missing_facts_are_gathered_by_the_field_to_send() -> None:
    text = block(printed(answer()), "Not checked")
    assert text.count("patient.hepatic.labs") == 1
    assert text.index("patient.hepatic.labs") < text.index("patient.falls")  # it settles three checks, not one


def test_a_check_that_failed_is_never_left_out() -> None:
    assert "product.route failed: division" in block(printed(answer()), "Not checked")


def test_options_stand_under_their_step_with_what_bodies_disagree_on() -> None:
    text = block(printed(answer()), "Care without drugs")
    lines = [line.strip() for line in text.splitlines()]
    assert lines[1].startswith("> 1")
    assert [line.split("  ")[0] for line in lines[2:4]] == ["Exercise therapy [2]", "Heat [3]"]
    assert "acute only in ACP 2017" in lines[3]
    assert "Body Z" not in text  # it recommends nothing, so it restricts nothing
    assert "only in" not in lines[2]
    assert lines[-1].startswith("Rehabilitation")
    assert lines[-2].startswith("3")


def test_without_a_known_phase_each_option_says_its_own() -> None:
    response = answer()
    response.decision.care_pathway.phase = PainPhase.PAIN_PHASE_UNSPECIFIED
    text = block(printed(response), "Care without drugs")
    assert "small; chronic only" in text
    assert "not graded; any phase" in text


def test_an_option_of_no_step_is_still_listed() -> None:
    response = answer()
    response.decision.care_options[0].tier = CareTier.CARE_TIER_NOT_HELPFUL
    assert block(printed(response), "Care without drugs").splitlines()[-1].strip().startswith("Exercise therapy")


def test_without_options_and_phase_there_is_no_pathway() -> None:
    response = answer()
    response.decision.care_pathway.Clear()
    del response.decision.care_options[:]
    assert "Care without drugs" not in printed(response)


def test_an_empty_answer_can_be_printed() -> None:
    response = CheckPrescriptionResponse(decision=Decision(overall=Overall.OVERALL_CLEAR))
    response.decision.counts.passed = 3
    text = printed(response)
    assert text.startswith("CLEAR  3 passed\n")
    assert "dose and duration not known" in text
    assert "Not checked" not in text


def test_a_brief_alert_shows_its_rule_and_its_facts() -> None:
    response = answer()
    alert = response.decision.alerts[0]
    for name in ("title", "message", "action", "computation", "citations"):
        alert.ClearField(name)
    text = block(printed(response), "hepatic.start-dose")
    assert "single_dose_mg = 10 mg > 5 mg" in unwrapped(text)
    assert "dose 10 -> 5 mg" in text


def test_what_a_later_server_adds_is_tolerated() -> None:
    response = answer()
    response.decision.overall = 9  # type: ignore[assignment]
    response.decision.alerts[0].severity = 8  # type: ignore[assignment]
    response.decision.care_pathway.phase = 7  # type: ignore[assignment]
    text = printed(response)
    assert text.startswith("9  1 8 · 1 low")
    assert "8         Start at 5 mg" in text


@pytest.mark.parametrize(
    ("refills", "said"),
    [(None, "14 days, new"), (0, "14 days, no refills"), (1, "14 days + 1 refill,"), (2, "+ 2 refills")],
)
def test_the_order_as_it_was_read(refills: int | None, said: str) -> None:
    response = answer()
    order = response.decision.normalized_order
    order.ClearField("refills")
    if refills is not None:
        order.refills = refills
    assert said in printed(response).splitlines()[2]


def test_a_lower_bound_of_days_is_said_to_be_one() -> None:
    response = answer()
    response.decision.normalized_order.days_high = 30
    assert "at least 14 days" in printed(response)
    response.decision.normalized_order.ClearField("days_high")
    assert "at least 14 days" in printed(response)


def test_severity_and_overall_have_their_colours() -> None:
    def colour_of(word: str) -> str:
        line = next(each for each in answer_text(answer()) if each.plain.startswith(word))
        return next(str(span.style) for span in line.spans if line.plain[span.start : span.end].startswith(word))

    assert colour_of("ALERTS") == "bold red"
    assert colour_of("HIGH") == "bold red"
    assert colour_of("LOW") == "bold cyan"
    assert all(isinstance(line, Text) for line in answer_text(answer()))
