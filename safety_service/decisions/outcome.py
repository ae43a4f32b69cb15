"""What was decided, in a form that can be kept, hashed and compared.

The digest covers everything a Decision says but three things: the client's own words and ids (they are not kept),
notes and conflicts that quote them, and the fingerprints of alerts, which are made from the patient's id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from safety_service.decisions.text_free import known_path
from safety_service.domain import (
    AlertWords,
    Check,
    CheckStatus,
    Decision,
    FactUsed,
    RuleKind,
)
from safety_service.knowledge.knowledge import Knowledge, Program

_KEPT = 4096  # of each; the knowledge has fewer
_RULE_SETS, _ALIKE = 512, 8  # answers are remembered for so many sets of rules that fired, so many for each
_DIGEST_BYTES = 16


class Outcome(NamedTuple):
    """What is kept of a decision: JSON for people to read, and `digest` over all of it.

    alerts: rule, version, severity, subject, fingerprint, interruptive, overridden before
    suppressed: rule, version, severity, subject
    not_evaluated: rule, version, subject, facts that are missing
    """

    overall: str
    severity: str
    complete: bool
    alerts: orjson.Fragment
    suppressed: Sequence[tuple[Any, ...]]
    not_evaluated: orjson.Fragment
    digest: str


class _Told(NamedTuple):
    """Of an alert what it shares with those of others: the hash of all that, and its row around the fingerprint."""

    words: AlertWords
    options: tuple[str, ...]
    rule: str
    facts: tuple[FactUsed, ...]  # without their evidence
    hash: bytes
    before: str
    behind: str


class _Checks(NamedTuple):
    """Of answers a hash to go on from, and the rows of those that are open."""

    checks: tuple[Check, ...]
    hash: hashlib.blake2b
    open: orjson.Fragment


class Outcomes:
    """Writes outcomes of one knowledge; what is the same for everyone is hashed once. Serves all threads."""

    def __init__(self, knowledge: Knowledge) -> None:
        self.knowledge = knowledge
        # By identity is safe: the knowledge keeps these very checks as long as it is kept itself.
        self._ready = {id(each): hash_of_check(each) for each in _ready_checks(knowledge)}
        self._alerts: dict[tuple[int, ...], _Told] = {}
        self._checks: dict[tuple[str, ...], list[_Checks]] = {}

    def of(self, decision: Decision, swapped: Mapping[str, str]) -> Outcome:
        """The outcome; `swapped` says what stands for each id of the request."""
        standing_for = swapped.get
        remembered = self._alerts.get
        rules: list[str] = []
        rows: list[str] = []
        hashes: list[bytes] = []
        own: list[object] = []  # what is of this patient and order alone
        for words, fingerprint, facts, missing, implicated, options, step, interruptive, overridden in decision.alerts:
            told = remembered((id(words), id(options), step, interruptive, overridden is None))
            if told is None or told[0] is not words or told[1] is not options:
                told = self._remember(words, options, step, interruptive, overridden is not None)
            _, _, rule, bare, hashed, before, behind = told
            rules.append(rule)
            rows.append(f"{before}{fingerprint}{behind}")
            hashes.append(hashed)
            if facts is not bare:
                evidence = [[standing_for(one, one) for one in each.evidence] for each in facts]
                if any(evidence):
                    own.append(evidence)
            if missing:
                own.append([(each.fact, each.path) for each in missing])
            for role, reference, _ in implicated:
                own += (role, standing_for(reference, reference))
            own.append(None)
        checks = self._of_checks(decision.checks, tuple(rules))
        suppressed = decision.suppressed
        if suppressed:
            hashes += map(hash_of_check, suppressed)
        hashes.append(orjson.dumps((*_said(decision, swapped), own), default=str))
        whole = checks.hash.copy()
        whole.update(b"".join(hashes))
        # `_name_` of an enum is a plain attribute; `name` takes six times as long.
        return Outcome(
            decision.overall._name_,
            decision.highest_severity._name_,
            decision.complete,
            orjson.Fragment(f"[{','.join(rows)}]"),
            [_suppressed(each) for each in suppressed] if suppressed else (),
            checks.open,
            whole.hexdigest(),
        )

    def _remember(
        self, words: AlertWords, options: tuple[str, ...], step: int, interruptive: bool, overridden: bool
    ) -> _Told:
        if len(self._alerts) >= _KEPT:
            self._alerts.clear()
        row = orjson.dumps([words.rule_id, words.rule_version, words.severity._name_, words.subject, ""]).decode()
        whole = hashed((comparable(words), options, step, interruptive, overridden))
        behind = f'",{str(interruptive).lower()},{str(overridden).lower()}]'
        key = (id(words), id(options), step, interruptive, not overridden)
        told = self._alerts[key] = _Told(words, options, words.rule_id, words.facts, whole, row[:-2], behind)
        return told

    def _of_checks(self, checks: tuple[Check, ...], rules: tuple[str, ...]) -> _Checks:
        """Found again by the rules that fired; the same answers are mostly the very same, which is quick to see."""
        held = self._checks.get(rules, [])
        for each in held:
            if each.checks == checks:
                return each
        hashes = []
        rows = []
        for one in checks:
            hashes.append(self._ready.get(id(one)) or hash_of_check(one))
            if one.status in _OPEN:
                rows.append([one.rule_id, one.rule_version, one.subject, [need.fact for need in one.missing]])
        whole = hashlib.blake2b(b"".join(hashes), digest_size=_DIGEST_BYTES)
        made = _Checks(checks, whole, orjson.Fragment(orjson.dumps(rows)))
        if len(self._checks) >= _RULE_SETS:
            self._checks.clear()
        # A list of its own, put in the place of the old one: another thread may be reading that.
        self._checks[rules] = [made, *held[: _ALIKE - 1]]
        return made


def _suppressed(check: Check) -> tuple[str, int, str, str]:
    return check.rule_id, check.rule_version, check.severity._name_, check.subject


def _said(decision: Decision, swapped: Mapping[str, str]) -> tuple[object, ...]:
    """What is said of the order as a whole, and can be compared."""
    order = decision.normalized_order
    left = decision.not_processed
    phase, step, _, note = decision.care_pathway
    drugs = []
    for reference, _, by, on, ingredients, form, lines, conflict in decision.resolved_medications:
        parts = []
        for each in ingredients:
            parts.append(tuple(each))
        drugs.append((swapped.get(reference, reference), by, on, parts, form, lines, conflict != ""))
    return (
        decision.overall,
        decision.highest_severity,
        decision.complete,
        decision.as_of,
        order[:11],
        order.new_start,
        phase,
        step,
        note,
        decision.policy_id,
        decision.care_option_ids,
        left and [known_path(each.path) for each in left],
        drugs,
    )


_NUMBERS = [str(each) for each in range(16)]
_OPEN = (CheckStatus.NOT_EVALUATED, CheckStatus.ERROR)


def comparable(words: AlertWords) -> AlertWords:
    """The words of an alert; those about a product may quote how the client called it."""
    if words.kind is RuleKind.PRODUCT:
        return words._replace(title="", message="", action="", computation="", patient_text="", suggestions=())
    return words


def hash_of_check(check: Check) -> bytes:
    """Over an answer, without why a fact is missing: that may quote the client."""
    rule_id, version, subject, status, reason, missing, severity = check
    said = [rule_id, str(version), subject, _NUMBERS[status._value_], reason, _NUMBERS[severity._value_]]
    for need in missing:
        said += (need.fact, need.path)
    return hashlib.blake2b("\0".join(said).encode(), digest_size=_DIGEST_BYTES).digest()


def hashed(value: object) -> bytes:
    """Over what a value of named tuples and plain values prints."""
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
