"""The digest of an outcome as records of version 1 have it, so that they can still be replayed. Nothing writes it."""

from __future__ import annotations

import hashlib

from safety_service.decisions.outcome import comparable, hash_of_check, hashed
from safety_service.decisions.text_free import known_path
from safety_service.domain import Alert, Decision, ResolvedMedication


def outcome_digest(decision: Decision) -> str:
    """Of a decision made from kept facts, whose ids are what stands for the client's."""
    order = decision.normalized_order
    pathway = decision.care_pathway
    numbers = (
        int(decision.overall),
        int(decision.highest_severity),
        decision.complete,
        decision.as_of,
        *order[:11],
        int(order.new_start),
        pathway.current_step,
    )
    said = [str(numbers), pathway.phase, pathway.note, decision.policy_id, *decision.care_option_ids]
    said += [known_path(each.path) for each in decision.not_processed]
    for resolved in decision.resolved_medications:
        said += _resolved(resolved)
    for alert in decision.alerts:
        said += _own(alert)
        said.append(" ".join(alert.care_option_ids))
    hashes = [
        *map(hash_of_check, decision.checks),
        *(hashed(comparable(alert.words)) for alert in decision.alerts),
        *map(hash_of_check, decision.suppressed),
        "\0".join(said).encode(),
    ]
    return hashlib.blake2b(b"".join(hashes), digest_size=16).hexdigest()


def _own(alert: Alert) -> list[str]:
    said = [f"alert {alert.interruptive:d}{alert.overridden_before is not None:d}", str(alert.pathway_step)]
    if alert.facts is not alert.words.facts:
        said += [one for each in alert.facts for one in each.evidence]
    if alert.missing:
        said.append(str([(each.fact, each.path) for each in alert.missing]))
    for role, reference, _ in alert.implicated:
        said += (f"role {int(role)}", reference)
    return said


def _resolved(each: ResolvedMedication) -> list[str]:
    matched = f"{int(each.matched_by)} {each.conflict != ''} {[*map(tuple, each.ingredients)]}"
    return [each.reference, matched, each.matched_on, each.form, *each.lines]
