"""The digest of an outcome changes with everything that it covers, and with nothing that is remembered."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from safety_service.cases import read_cases
from safety_service.decisions.outcome import Outcome, Outcomes
from safety_service.domain import Answer, CheckStatus, Decision, MatchedBy, Overall, PriorOverride, Role, Severity
from safety_service.engine.check import check
from safety_service.knowledge.knowledge import Knowledge
from tests.decisions.full_decision import decision

Change = Callable[[Decision], Decision]


def alert(**changed: Any) -> Change:
    return lambda d: d._replace(alerts=(d.alerts[0]._replace(**changed), *d.alerts[1:]))


def words(**changed: Any) -> Change:
    return lambda d: alert(words=d.alerts[0].words._replace(**changed))(d)


def answer(at: int, **changed: Any) -> Change:
    return lambda d: d._replace(checks=(*d.checks[:at], d.checks[at]._replace(**changed), *d.checks[at + 1 :]))


def order(**changed: Any) -> Change:
    return lambda d: d._replace(normalized_order=d.normalized_order._replace(**changed))


def drug(**changed: Any) -> Change:
    return lambda d: d._replace(resolved_medications=(d.resolved_medications[0]._replace(**changed),))


def pathway(**changed: Any) -> Change:
    return lambda d: d._replace(care_pathway=d.care_pathway._replace(**changed))


def evidence(d: Decision) -> Decision:
    first, *rest = d.alerts[0].facts
    return alert(facts=(first._replace(evidence=("r000",)), *rest))(d)


def back(d: Decision) -> Decision:
    return d._replace(suppressed=(d.suppressed[0]._replace(severity=Severity.HIGH),))


COVERED: dict[str, Change] = {
    "overall": lambda d: d._replace(overall=Overall.ADVICE),
    "highest severity": lambda d: d._replace(highest_severity=Severity.LOW),
    "complete": lambda d: d._replace(complete=True),
    "as of": lambda d: d._replace(as_of=1),
    "an alert less": lambda d: d._replace(alerts=d.alerts[:1]),
    "the order of alerts": lambda d: d._replace(alerts=d.alerts[::-1]),
    "a title": words(title="other"),
    "a version": words(rule_version=2),
    "a source": words(citations=()),
    "a suggestion": words(suggestions=()),
    "a threshold": words(thresholds=()),
    "evidence": evidence,
    "what an alert misses": alert(missing=()),
    "who is implicated": lambda d: alert(implicated=d.alerts[0].implicated[:1])(d),
    "in what role": lambda d: alert(implicated=(d.alerts[0].implicated[0]._replace(role=Role.LAB),))(d),
    "options": alert(care_option_ids=("other",)),
    "the step": alert(pathway_step=2),
    "whether it interrupts": alert(interruptive=False),
    "whether it was overridden": alert(overridden_before=PriorOverride("f" * 32)),
    "an answer": answer(0, status=CheckStatus.PASSED),
    "the version of an answer": answer(0, rule_version=9),
    "about what": answer(0, subject="other"),
    "a reason": answer(0, reason="other"),
    "what an answer misses": answer(1, missing=()),
    "what was kept back": back,
    "nothing kept back": lambda d: d._replace(suppressed=()),
    "the drug": drug(matched_on="other"),
    "how it was found": drug(matched_by=MatchedBy.BRAND_NAME),
    "its ingredients": drug(ingredients=()),
    "its form": drug(form="other"),
    "its lines": drug(lines=()),
    "a conflict": drug(conflict=""),
    "what could not be used": lambda d: d._replace(not_processed=(d.not_processed[0]._replace(path="patient.age"),)),
    "a dose": order(daily_dose_high_ug=31),
    "days": order(days_low=None),
    "a new start": order(new_start=Answer.NO),
    "the phase": pathway(phase="acute"),
    "the current step": pathway(current_step=3),
    "a note": pathway(note="other"),
    "the policy": lambda d: d._replace(policy_id="other"),
    "the options of all": lambda d: d._replace(care_option_ids=("other",)),
}


def told(outcome: Outcome) -> Any:
    return orjson.loads(orjson.dumps(outcome._asdict()))


@pytest.mark.parametrize("what", COVERED)
def test_the_digest_changes_with(knowledge: Knowledge, what: str) -> None:
    outcomes = Outcomes(knowledge)
    changed = COVERED[what](decision())
    assert outcomes.of(decision(), {}).digest == outcomes.of(decision(), {}).digest
    assert outcomes.of(changed, {}).digest != outcomes.of(decision(), {}).digest
    assert outcomes.of(changed, {}).digest == Outcomes(knowledge).of(changed, {}).digest


def test_words_and_ids_of_the_client_are_not_in_it(knowledge: Knowledge) -> None:
    first = decision()
    drug_sent = first.resolved_medications[0]._replace(as_sent="sent otherwise", reference="order-of-smith")
    named = [
        each._replace(
            implicated=tuple(one._replace(reference=one.reference.replace("r00", "id-")) for one in each.implicated),
            facts=tuple(
                one._replace(evidence=tuple(x.replace("r00", "id-") for x in one.evidence)) for one in each.facts
            ),
            fingerprint="0" * 32,
        )
        for each in first.alerts
    ]
    sent = first._replace(alerts=tuple(named), resolved_medications=(drug_sent,))
    swapped = {"id-0": "r000", "id-1": "r001", "id-2": "r002", "order-of-smith": "r001"}
    outcomes = Outcomes(knowledge)
    assert outcomes.of(sent, swapped).digest == outcomes.of(first, {}).digest
    assert outcomes.of(sent, {}).digest != outcomes.of(first, {}).digest


def test_what_is_remembered_of_others_changes_nothing(knowledge: Knowledge) -> None:
    used = Outcomes(knowledge)
    decisions = [check(knowledge, each.request) for each in read_cases()[::40]]
    assert len({used.of(each, {}).digest for each in decisions}) > 50
    for each in decisions:
        assert told(used.of(each, {})) == told(Outcomes(knowledge).of(each, {}))


def test_a_row_tells_its_alert_and_an_open_check_what_is_missing(knowledge: Knowledge) -> None:
    outcome = told(Outcomes(knowledge).of(decision(), {}))
    assert outcome["alerts"] == [
        ["duration.course", 1, "HIGH", "line", "f" * 32, True, False],
        ["product.route", 1, "HIGH", "line", "e" * 32, False, True],
    ]
    assert outcome["not_evaluated"] == [["sedation.falls", 2, "line", ["falls"]]]
    assert outcome["suppressed"] == [["pathway.first-line", 1, "LOW", "line"]]
