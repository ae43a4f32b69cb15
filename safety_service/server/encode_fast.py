"""The answers of `encode`, sooner: what does not depend on the request is serialised once and joined.

Most of an answer is the same for everyone: citations, non-drug options, codes, the answers of rules that passed. The
serialised forms of parts of one message, put one after the other, are by definition their merge, so an alert is its
fixed part, its own part, its citations and its options, each written by the ordinary serialiser. What is kept between
requests is of the knowledge, or a single number or word of a fact; no id and no text that a client sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from medsafety.internal.v1.wire_pb2 import AlertParts, CheckPrescriptionResponseParts, DecisionParts
from medsafety.v1 import decision_pb2
from medsafety.v1.medication_safety_service_pb2 import CheckPrescriptionResponse
from safety_service import domain
from safety_service.domain import CheckStatus, MatchedBy, View
from safety_service.engine.cards import cards
from safety_service.knowledge.knowledge import Knowledge, Program
from safety_service.server import encode
from safety_service.server.encode import number

_Alert = decision_pb2.Alert
_Implicated = decision_pb2.Implicated
_UNTOLD_IN_BRIEF = (CheckStatus.PASSED, CheckStatus.NOT_APPLICABLE)
_KEPT = 4096  # of each kind of part; the knowledge has fewer


class FastEncoder:
    """Writes answers from one knowledge. Serves all threads."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        sources = knowledge.sources
        options = knowledge.care.options
        self._options = {
            each: encode.encode_care_option(options[each], sources).SerializeToString() for each in options
        }
        self._links = {each: encode.encode_care_link(options[each], sources).SerializeToString() for each in options}
        # By identity: an alert carries the words that the engine remembers, most checks are the knowledge's own.
        self._words: dict[tuple[int, bool, bool, int], tuple[domain.AlertWords, bytes]] = {}
        self._ready: dict[int, bytes] = {
            id(each): _checks([encode.encode_check(each, True)]) for each in _ready_checks(knowledge)
        }
        self._linked = lru_cache(_KEPT)(self._link_run)
        self._optioned = lru_cache(_KEPT)(self._option_run)
        self._told = lru_cache(16)(self._knowledge_part)

    def response(
        self, decision: domain.Decision, view: View, request_id: str, decision_id: bytes, evaluated_ns: int
    ) -> bytes:
        """The bytes of `encode.encode_response` with the same arguments; fields may stand in another order."""
        envelope = CheckPrescriptionResponse(
            request_id=request_id,
            decision_id=encode.uuid_text(decision_id),
            evaluated_at=encode.timestamp(evaluated_ns),
            alert_ids=encode.alert_ids(decision_id, decision.alerts),
        ).SerializeToString()
        full = view is View.FULL
        written = self._decision(decision, full)
        return envelope + CheckPrescriptionResponseParts(decision=written).SerializeToString()

    def _decision(self, decision: domain.Decision, full: bool) -> bytes:
        order = decision.normalized_order
        own = decision_pb2.Decision(
            overall=number(decision.overall),
            highest_severity=number(decision.highest_severity),
            complete=decision.complete,
            as_of=encode.day(decision.as_of),
            suppressed=[encode.encode_check(each, full) for each in decision.suppressed],
            resolved_medications=[
                encode.encode_resolved(each)
                for i, each in enumerate(decision.resolved_medications)
                if full or i == 0 or each.matched_by is MatchedBy.NONE or each.conflict
            ],
            not_processed=[
                decision_pb2.NotProcessed(path=each.path, reason=each.reason) for each in decision.not_processed
            ],
            normalized_order=encode.encode_order(order),
            counts=encode.encode_counts(decision),
            conflicts=decision.conflicts,
            cards=[encode.encode_card(each) for each in cards(decision.alerts)] if full else (),
        )
        parts = DecisionParts(
            alerts=[self._alert(each, full) for each in decision.alerts],
        )
        if full:
            parts.care_pathway = _pathway(decision.care_pathway)
        return b"".join(
            (
                own.SerializeToString(),
                parts.SerializeToString(),
                self._checked(decision.checks, full),
                self._optioned(decision.care_option_ids, full),
                self._told(
                    decision.knowledge_version,
                    decision.knowledge_digest,
                    decision.policy_id,
                    decision.policy_digest,
                    decision.engine_version,
                    full,
                ),
            )
        )

    def _alert(self, alert: domain.Alert, full: bool) -> bytes:
        words = alert.words
        plain = alert.facts is words.facts  # no fact rests on a record, so that the facts are the same for everyone
        key = (id(words), plain, full, alert.pathway_step)
        kept = self._words.get(key)
        if kept is None or kept[0] is not words:
            if len(self._words) >= _KEPT:
                self._words.clear()
            kept = self._words[key] = (words, self._worded(alert, words.facts if plain else (), full))
        own = _Alert(
            fingerprint=alert.fingerprint,
            interruptive=alert.interruptive,
            overridden_before=encode.encode_override(alert.overridden_before, full),
        )
        if alert.missing:
            own.missing.extend([encode.encode_missing(each, full) for each in alert.missing])
        for role, reference, display in alert.implicated:
            own.implicated.add(role=number(role), reference=reference, display=display if full else "")
        parts = [kept[1], own.SerializeToString()]
        if not plain:
            facts = [
                decision_pb2.FactUsed(name=name, value=value, unit=unit, evidence=evidence)
                for name, value, unit, evidence in alert.facts
            ]
            parts.append(_Alert(facts=facts).SerializeToString())
        if full:
            parts.append(self._linked(alert.care_option_ids))
        return b"".join(parts)

    def _worded(self, alert: domain.Alert, facts: tuple[domain.FactUsed, ...], full: bool) -> bytes:
        """The serialised words of an alert, with these facts."""
        common = encode.encode_alert(
            self._knowledge,
            alert._replace(
                fingerprint="",
                facts=facts,
                missing=(),
                implicated=(),
                care_option_ids=(),
                interruptive=False,
                overridden_before=None,
            ),
            full,
        )
        return common.SerializeToString()

    def _checked(self, checks: Iterable[domain.Check], full: bool) -> bytes:
        """The checks of an answer, as a decision that holds nothing else."""
        if not full:
            checks = [each for each in checks if each.status not in _UNTOLD_IN_BRIEF]
        ready = self._ready.get  # by identity is safe: the knowledge keeps these very checks as long as this encoder
        return b"".join([ready(id(each)) or _checks([encode.encode_check(each, full)]) for each in checks])

    def _link_run(self, option_ids: tuple[str, ...]) -> bytes:
        return AlertParts(care_options=[self._links[each] for each in option_ids]).SerializeToString()

    def _option_run(self, option_ids: tuple[str, ...], full: bool) -> bytes:
        ids = decision_pb2.Decision(care_option_ids=option_ids).SerializeToString()
        if not full:
            return ids
        return ids + DecisionParts(care_options=[self._options[each] for each in option_ids]).SerializeToString()

    def _knowledge_part(
        self, version: str, digest: str, policy: str, policy_digest: str, engine: str, full: bool
    ) -> bytes:
        return decision_pb2.Decision(
            knowledge=encode.encode_knowledge_info(self._knowledge, version, digest, full),
            policy=encode.encode_policy_info(self._knowledge, policy, policy_digest, full),
            engine_version=engine,
        ).SerializeToString()


def _checks(checks: list[decision_pb2.Check]) -> bytes:
    """Checks, as a decision that holds nothing else."""
    return decision_pb2.Decision(checks=checks).SerializeToString()


@lru_cache(_KEPT)
def _step(number_: int, title: str, text: str, reached: bool) -> bytes:
    held = decision_pb2.PathwayStep(number=number_, title=title, text=text, reached=reached)
    return decision_pb2.CarePathway(steps=[held]).SerializeToString()


def _pathway(pathway: domain.CarePathway) -> bytes:
    own = decision_pb2.CarePathway(
        phase=encode.PHASES[pathway.phase], current_step=pathway.current_step, note=pathway.note
    )
    steps = [_step(*each) for each in pathway.steps]
    return b"".join((own.SerializeToString(), *steps))


def _ready_checks(knowledge: Knowledge) -> Iterator[domain.Check]:
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
