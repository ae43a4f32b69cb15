"""What was decided, in a form that can be kept, hashed and compared.

The digest covers everything a Decision says but three things: the client's own words and ids (they are not kept),
notes and conflicts that quote them, and the fingerprints of alerts, which are made from the patient's id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from safety_service.decisions.text_free import known_path
from safety_service.domain import (
    Alert,
    AlertWords,
    Check,
    CheckStatus,
    Decision,
    Missing,
    ResolvedMedication,
    Role,
    RuleKind,
)
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
        self._ready = {id(each): _told(each) for each in _ready_checks(knowledge)}
        self._words: dict[int, tuple[AlertWords, bytes]] = {}
        self._options: dict[int, tuple[tuple[str, ...], str]] = {}

    def of(self, decision: Decision, swapped: Mapping[str, str]) -> Outcome:
        """The outcome; `swapped` says what stands for each id of the request."""
        hashes = list(map(self._ready.get, map(id, decision.checks)))
        open_checks = []
        for at, ready in enumerate(hashes):
            if ready is None:
                each = decision.checks[at]
                hashes[at] = _told(each)
                if each.status in _OPEN:
                    open_checks.append(
                        [each.rule_id, each.rule_version, each.subject, [need.fact for need in each.missing]]
                    )
        # `_name_` and `_value_` of an enum are plain attributes; `name` and `value` take six times as long.
        return Outcome(
            decision.overall._name_,
            decision.highest_severity._name_,
            decision.complete,
            [
                [
                    words.rule_id,
                    words.rule_version,
                    words.severity._name_,
                    words.subject,
                    fingerprint,
                    interruptive,
                    overridden is not None,
                ]
                for words, fingerprint, _, _, _, _, _, interruptive, overridden in decision.alerts
            ],
            [[each.rule_id, each.rule_version, each.severity._name_, each.subject] for each in decision.suppressed],
            open_checks,
            self._digest(decision, swapped, hashes),  # type: ignore[arg-type]
        )

    def _digest(self, decision: Decision, swapped: Mapping[str, str], hashes: list[bytes]) -> str:
        """Over all that can be compared, as hexadecimal digits; `hashes` are those of the checks, and are added to."""
        order = decision.normalized_order
        pathway = decision.care_pathway
        numbers = (
            decision.overall._value_,
            decision.highest_severity._value_,
            decision.complete,
            decision.as_of,
            *order[:11],
            order.new_start._value_,
            pathway.current_step,
        )
        said = [str(numbers), pathway.phase, pathway.note, decision.policy_id, *decision.care_option_ids]
        said += [known_path(each.path) for each in decision.not_processed]
        for resolved in decision.resolved_medications:
            said += _resolved(resolved, swapped)
        for alert in decision.alerts:
            hashes.append(self._of_words(alert.words))
            _own(alert, swapped, said)
            said.append(self._of_options(alert.care_option_ids))
        hashes += [_told(each) for each in decision.suppressed]
        hashes.append("\0".join(said).encode())
        return hashlib.blake2b(b"".join(hashes), digest_size=_DIGEST_BYTES).hexdigest()

    def _of_options(self, options: tuple[str, ...]) -> str:
        kept = self._options.get(id(options))
        if kept is None or kept[0] is not options:
            if len(self._options) >= _KEPT:
                self._options.clear()
            kept = self._options[id(options)] = (options, " ".join(options))
        return kept[1]

    def _of_words(self, words: AlertWords) -> bytes:
        kept = self._words.get(id(words))
        if kept is None or kept[0] is not words:
            if len(self._words) >= _KEPT:
                self._words.clear()
            kept = self._words[id(words)] = (words, _hashed(_comparable(words)))
        return kept[1]


_SHOWN = {(a, b): f"alert {a:d}{b:d}" for a in (False, True) for b in (False, True)}
_NUMBERS = [str(each) for each in range(16)]
_ROLES = {each.value: f"role {each.value}" for each in Role}
_OPEN = (CheckStatus.NOT_EVALUATED, CheckStatus.ERROR)


def _comparable(words: AlertWords) -> AlertWords:
    """The words of an alert; those about a product may quote how the client called it."""
    if words.kind is RuleKind.PRODUCT:
        return words._replace(title="", message="", action="", computation="", patient_text="", suggestions=())
    return words


def _own(alert: Alert, swapped: Mapping[str, str], said: list[str]) -> None:
    """What is of this patient and order alone; the facts without their evidence are part of the words."""
    words, _, facts, missing, implicated, _, step, interruptive, overridden = alert
    get = swapped.get
    said.append(_SHOWN[interruptive, overridden is not None])
    said.append(str(step))
    if facts is not words.facts:
        said += [get(one, one) for each in facts for one in each.evidence]
    if missing:
        said.append(str(_needs(missing)))
    for role, reference, _ in implicated:
        said.append(_ROLES[role._value_])
        said.append(get(reference, reference))


def _resolved(each: ResolvedMedication, swapped: Mapping[str, str]) -> list[str]:
    matched = f"{each.matched_by._value_} {each.conflict != ''} {[*map(tuple, each.ingredients)]}"
    reference = each.reference
    return [swapped.get(reference, reference), matched, each.matched_on, each.form, *each.lines]


def _told(check: Check) -> bytes:
    rule_id, version, subject, status, reason, missing, severity = check
    said = [rule_id, str(version), subject, _NUMBERS[status._value_], reason, _NUMBERS[severity._value_]]
    for need in missing:
        said += (need.fact, need.path)
    return hashlib.blake2b("\0".join(said).encode(), digest_size=_DIGEST_BYTES).digest()


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
