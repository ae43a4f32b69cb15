"""What was decided, in a form that can be kept, hashed and compared.

The digest covers everything a Decision says but three things: the client's own words and ids (they are not kept),
notes and conflicts that quote them, and the fingerprints of alerts, which are made from the patient's id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from safety_service.domain import Alert, AlertWords, Check, CheckStatus, Decision, Missing, ResolvedMedication, RuleKind
from safety_service.knowledge.knowledge import Knowledge, Program

_KEPT = 4096  # of each; the knowledge has fewer
_DIGEST_BYTES = 16


class Outcome(NamedTuple):
    """What is kept of a decision: for people to read, and `digest` over all of it."""

    overall: str
    severity: str
    complete: bool
    alerts: list[list[Any]]  # rule, version, severity, subject, fingerprint, interruptive, overridden before
    suppressed: list[list[Any]]  # rule, version, severity, subject
    not_evaluated: list[list[Any]]  # rule, version, subject, facts that are missing
    digest: str


class Outcomes:
    """Writes outcomes of one knowledge; what is the same for everyone is hashed once. Serves all threads."""

    def __init__(self, knowledge: Knowledge) -> None:
        self.knowledge = knowledge
        # By identity is safe: the knowledge keeps these very checks as long as it is kept itself.
        self._ready = {id(each): _hashed(_check(each)) for each in _ready_checks(knowledge)}
        self._words: dict[int, tuple[AlertWords, bytes]] = {}

    def of(self, decision: Decision, swapped: Mapping[str, str]) -> Outcome:
        """The outcome; `swapped` says what stands for each id of the request."""
        alerts = decision.alerts
        return Outcome(
            decision.overall.name,
            decision.highest_severity.name,
            decision.complete,
            [
                [
                    each.words.rule_id,
                    each.words.rule_version,
                    each.words.severity.name,
                    each.words.subject,
                    each.fingerprint,
                    each.interruptive,
                    each.overridden_before is not None,
                ]
                for each in alerts
            ],
            [[each.rule_id, each.rule_version, each.severity.name, each.subject] for each in decision.suppressed],
            [
                [each.rule_id, each.rule_version, each.subject, [need.fact for need in each.missing]]
                for each in decision.checks
                if each.status in _OPEN
            ],
            self.digest(decision, swapped),
        )

    def digest(self, decision: Decision, swapped: Mapping[str, str]) -> str:
        """Over all that can be compared, as hexadecimal digits."""
        order = decision.normalized_order
        pathway = decision.care_pathway
        said = [
            f"{decision.overall:d} {decision.highest_severity:d} {decision.complete:d} {decision.as_of}",
            f"{[*order[:10]]} {order[11] or 0:d} {order[7]}",
            f"{pathway.phase} {pathway.current_step} {pathway.note}",
            f"{decision.care_option_ids} {decision.policy_id}",
            *[each.path for each in decision.not_processed],
        ]
        for resolved in decision.resolved_medications:
            said += _resolved(resolved, swapped)
        hashes = []
        for alert in decision.alerts:
            hashes.append(self._of_words(alert.words))
            said += _own(alert, swapped)
        ready = self._ready.get
        hashes += [ready(id(each)) or _hashed(_check(each)) for each in decision.checks]
        hashes += [_hashed(_check(each)) for each in decision.suppressed]
        hashes.append("\0".join(said).encode())
        return hashlib.blake2b(b"".join(hashes), digest_size=_DIGEST_BYTES).hexdigest()

    def _of_words(self, words: AlertWords) -> bytes:
        kept = self._words.get(id(words))
        if kept is None or kept[0] is not words:
            if len(self._words) >= _KEPT:
                self._words.clear()
            kept = self._words[id(words)] = (words, _hashed(_comparable(words)))
        return kept[1]


_OPEN = (CheckStatus.NOT_EVALUATED, CheckStatus.ERROR)


def _comparable(words: AlertWords) -> AlertWords:
    """The words of an alert; those about a product may quote how the client called it."""
    if words.kind is RuleKind.PRODUCT:
        return words._replace(title="", message="", action="", computation="", patient_text="", suggestions=())
    return words


def _own(alert: Alert, swapped: Mapping[str, str]) -> list[str]:
    """What is of this patient and order alone; the facts without their evidence are part of the words."""
    get = swapped.get
    said = ["alert", f"{alert.pathway_step}{alert.interruptive:d}{alert.overridden_before is not None:d}"]
    if alert.facts is not alert.words.facts:
        said += [get(one, one) for each in alert.facts for one in each.evidence]
    if alert.missing:
        said.append(str(_needs(alert.missing)))
    for role, reference, _ in alert.implicated:
        said.append(f"{role:d}{get(reference, reference)}")
    said += alert.care_option_ids
    return said


def _resolved(each: ResolvedMedication, swapped: Mapping[str, str]) -> list[str]:
    said = [swapped.get(each.reference, each.reference), f"{each.matched_by:d}{each.conflict != ''}", each.matched_on]
    for name, strength, per in each.ingredients:
        said += (name, str(strength), per)
    return [*said, each.form, *each.lines]


def _check(check: Check) -> tuple[Any, ...]:
    needs = _needs(check.missing)
    rule = (check.rule_id, check.rule_version, check.subject)
    return (*rule, check.status.value, check.reason, needs, check.severity.value)


def _needs(missing: tuple[Missing, ...]) -> list[tuple[str, str]]:
    return [(each.fact, each.path) for each in missing]


def _hashed(value: object) -> bytes:
    return hashlib.blake2b(repr(value).encode(), digest_size=_DIGEST_BYTES).digest()


def _ready_checks(knowledge: Knowledge) -> Iterator[Check]:
    """Every answer that the knowledge holds ready: it lives as long as the knowledge does."""
    programs: list[Program] = [knowledge.any_order]
    for line in knowledge.lines.values():
        programs += (line.program, line.pair_program)
    for program in programs:
        yield from program.quiet
        for _, rule in program.live:
            yield rule.fired
            yield rule.does_not_apply
            yield from rule.absorbed.values()
