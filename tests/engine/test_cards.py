"""Alerts as people are shown them: each once, together with what concerns the same drug, no sentence twice."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from safety_service.domain import Alert, AlertWords, Implicated, Role, RuleKind, Severity, Suggestion
from safety_service.engine.cards import Card, cards

LOW, MODERATE, HIGH = Severity.LOW, Severity.MODERATE, Severity.HIGH


@dataclass(frozen=True)
class Said:
    """What differs from one made-up alert to the next."""

    rule: str
    severity: Severity = MODERATE
    partners: tuple[str, ...] = ()
    message: str = ""
    action: str = ""
    suggestions: tuple[Suggestion, ...] = ()


def alert(said: Said) -> Alert:
    words = AlertWords(
        said.rule, 1, RuleKind.SEDATION, said.severity, "line", f"title of {said.rule}", said.message, said.action, "",
        (), (), (), said.suggestions, (), (),
    )  # fmt: skip
    implicated = [Implicated(Role.TRIGGER, "order", "drug"), *(Implicated(Role.CO_AGENT, p, p) for p in said.partners)]
    return Alert(words, f"fingerprint of {said.rule}", (), (), tuple(implicated), (), 0)


def made(*said: Said) -> tuple[Card, ...]:
    return cards([alert(each) for each in said])


def rules(card: Card) -> list[str]:
    return [each.alert.rule_id for each in card.reasons]


def test_the_order_and_each_partner_have_a_card() -> None:
    order, oxycodone, lorazepam = made(
        Said("duration", HIGH), Said("opioid", HIGH, ("oxycodone",)), Said("benzodiazepine", MODERATE, ("lorazepam",)),
        Said("hepatic", MODERATE),
    )  # fmt: skip
    assert rules(order) == ["duration", "hepatic"]
    assert not order.partners
    assert (rules(oxycodone), rules(lorazepam)) == (["opioid"], ["benzodiazepine"])


def test_an_alert_about_two_partners_ties_them_together() -> None:
    (card,) = made(
        Said("caution", LOW, ("oxycodone",)), Said("other", MODERATE, ("lorazepam",)),
        Said("triple", HIGH, ("oxycodone", "lorazepam")),
    )  # fmt: skip
    assert rules(card) == ["triple", "other", "caution"]
    assert card.severity is HIGH
    assert card.title == "title of triple"
    assert {each.reference for each in card.partners} == {"oxycodone", "lorazepam"}


def test_a_sentence_is_said_once() -> None:
    (card,) = made(
        Said("first", HIGH, message="Sedation adds up. Breathing may slow.", action="Warn the patient."),
        Said("second", LOW, message="Sedation adds up. Falls are likelier.", action="Warn the patient."),
    )
    first, second = card.reasons
    assert (first.text, first.action) == ("Sedation adds up. Breathing may slow.", "Warn the patient.")
    assert (second.text, second.action) == ("Falls are likelier.", "")


def test_a_number_with_a_point_is_no_end_of_a_sentence() -> None:
    (card,) = made(Said("first", message="7.5 mg is more than 5 mg."), Said("second", message="It is 7.5 mg here."))
    assert [each.text for each in card.reasons] == ["7.5 mg is more than 5 mg.", "It is 7.5 mg here."]


def test_the_least_change_settles_all() -> None:
    def dose(proposed: str) -> Suggestion:
        return Suggestion("prescription.dose_quantity", "15", proposed, "mg", "")

    refills = Suggestion("prescription.refills", "1", "0", "", "")
    (card,) = made(Said("a", HIGH, suggestions=(dose("10"), refills)), Said("b", LOW, suggestions=(dose("5"),)))
    assert [(each.field, each.proposed) for each in card.suggestions] == [
        ("prescription.dose_quantity", "5"),
        ("prescription.refills", "0"),
    ]


PARTNERS = st.lists(st.sampled_from("abcde"), max_size=3, unique=True).map(tuple)
ALERTS = st.lists(st.tuples(st.sampled_from([LOW, MODERATE, HIGH]), PARTNERS), max_size=12)


@given(ALERTS)
def test_every_alert_is_a_reason_of_exactly_one_card(drawn: list[tuple[Severity, tuple[str, ...]]]) -> None:
    said = [Said(f"rule {i}", severity, partners) for i, (severity, partners) in enumerate(drawn)]
    found = made(*said)
    assert sorted(rule for card in found for rule in rules(card)) == sorted(each.rule for each in said)
    assert len({each.reference for card in found for each in card.partners}) == sum(len(c.partners) for c in found)
    assert sum(not card.partners for card in found) <= 1
    for card in found:
        severities = [each.alert.severity for each in card.reasons]
        assert severities == sorted(severities, reverse=True)
        assert card.severity is severities[0]
        assert {p.reference for p in card.partners} == {
            each.reference for r in card.reasons for each in r.alert.implicated if each.role is Role.CO_AGENT
        }
