"""What policy makes of rules that fired: which alerts are kept back, which interrupt, which were overridden before."""

from __future__ import annotations

from typing import NamedTuple

from safety_service.domain import Alert, Check, CheckRequest, CheckStatus, PriorOverride, Severity
from safety_service.knowledge.knowledge import LiveClause, LiveRule


class Overrides(NamedTuple):
    """The overrides that count, by fingerprint, and why others do not."""

    by_fingerprint: dict[str, PriorOverride]
    conflicts: tuple[str, ...]


def kept_back(answer: Check, rule: LiveRule, clause: LiveClause) -> Check:
    """The answer of a rule that fired and whose alert the policy keeps back."""
    return answer._replace(status=CheckStatus.SUPPRESSED, reason=rule.off, severity=clause.severity)


def read_overrides(request: CheckRequest) -> Overrides:
    """What was overridden by the day of the decision; of several overrides of one alert the latest.

    Without the patient's pseudonym a fingerprint may be that of another patient, and none counts.
    """
    sent = request.prior_overrides
    if not sent:
        return Overrides({}, ())
    if not request.patient.id:
        return Overrides({}, ("prior_overrides were not used: without patient.id they could be another patient's",))
    counted: dict[str, PriorOverride] = {}
    later = 0
    for each in sent:
        if each.on is not None and each.on > request.as_of:
            later += 1
            continue
        held = counted.get(each.fingerprint)
        if held is None or (each.on is not None and (held.on is None or each.on >= held.on)):
            counted[each.fingerprint] = each
    return Overrides(counted, (f"{later} prior override(s) of after as_of were not used",) if later else ())


def shown(alert: Alert, stop_level: Severity, overrides: Overrides) -> Alert:
    """The alert with whether it interrupts: from the stop level on, unless it was overridden before.

    A contraindication always interrupts.
    """
    overridden = overrides.by_fingerprint.get(alert.fingerprint)
    severity = alert.words.severity
    interrupts = severity >= stop_level and overridden is None
    return Alert(*alert[:7], interrupts or severity is Severity.CONTRAINDICATED, overridden)
