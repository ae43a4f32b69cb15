"""The knowledge as KnowledgeService shows it: medication lines, rules, options, sources."""

from __future__ import annotations

from collections.abc import Iterable

from google.type import date_pb2
from pydantic import BaseModel

from medsafety.v1 import care_pb2, common_pb2, knowledge_pb2, review_pb2
from safety_service.domain import RuleKind, Severity
from safety_service.knowledge.drug_names import RXNORM
from safety_service.knowledge.knowledge import Knowledge, Line, LiveRule, PolicyChange, Program
from safety_service.knowledge.resolve import ATC
from safety_service.knowledge.schema import Product, ReadAs, Rule, Source
from safety_service.rules.tree import facts_of
from safety_service.server import limits
from safety_service.server.encode import (
    SCHEMA_VERSION,
    act_codes,
    encode_care_option,
    encode_policy_info,
    encode_review,
    number,
    review_status,
    standing,
)

_CHANGE_KINDS = {
    "rule-off": knowledge_pb2.POLICY_CHANGE_KIND_RULE_OFF,
    "severity": knowledge_pb2.POLICY_CHANGE_KIND_SEVERITY,
    "number": knowledge_pb2.POLICY_CHANGE_KIND_NUMBER,
    "limit": knowledge_pb2.POLICY_CHANGE_KIND_LIMIT,
    "stop-level": knowledge_pb2.POLICY_CHANGE_KIND_STOP_LEVEL,
}
_TIER_ORDER = ("first-line", "adjunct", "multidisciplinary", "not-helpful")


def encode_info(knowledge: Knowledge) -> knowledge_pb2.KnowledgeInfo:
    """Version, digest and review status."""
    return knowledge_pb2.KnowledgeInfo(
        version=knowledge.version,
        digest=knowledge.digest,
        schema_version=SCHEMA_VERSION,
        review_status=review_status(knowledge),
    )


def encode_policy(knowledge: Knowledge) -> knowledge_pb2.PolicyInfo:
    """The policy in force, with all that a site changes."""
    info = encode_policy_info(knowledge, knowledge.policy.id, knowledge.policy_digest, True)
    info.changes.extend(map(_change, knowledge.policy_changes))
    return info


def _change(change: PolicyChange) -> knowledge_pb2.PolicyChange:
    signed = change.signed_off
    return knowledge_pb2.PolicyChange(
        kind=_CHANGE_KINDS[change.kind],
        rule_id=change.rule_id,
        medication_id=change.medication_id,
        name=change.name,
        before=change.before,
        after=change.after,
        unit=change.unit,
        reason=change.reason,
        signed_off=None
        if signed is None
        else knowledge_pb2.SignedOff(
            reviewer=signed.reviewer,
            signed_on=date_pb2.Date(year=signed.on.year, month=signed.on.month, day=signed.on.day),
            reason=signed.reason,
        ),
    )


def encode_counts(knowledge: Knowledge) -> knowledge_pb2.KnowledgeCounts:
    """How much it holds."""
    return knowledge_pb2.KnowledgeCounts(
        medications=len(knowledge.lines),
        rules=len(knowledge.rules),
        care_options=len(knowledge.care.options),
        sources=len(knowledge.sources),
        value_sets=len(knowledge.medication_sets) + len(knowledge.condition_sets),
        drug_names=len(knowledge.names),
    )


def encode_limits() -> list[knowledge_pb2.ServiceLimit]:
    """Every limit that requests are held to."""
    return [
        knowledge_pb2.ServiceLimit(name=each.name, value=each.value, unit=each.unit, meaning=each.meaning)
        for each in limits.ALL
    ]


# --- medication lines --------------------------------------------------------------------------------------------


def encode_medications(knowledge: Knowledge) -> list[knowledge_pb2.MedicationLine]:
    """All lines, by id."""
    return [encode_medication(knowledge.lines[each]) for each in sorted(knowledge.lines)]


def encode_medication(line: Line) -> knowledge_pb2.MedicationLine:
    """One line with every statement."""
    read = line.file
    strengths = sorted({each for product in read.products for each in product.strengths_mg})
    return knowledge_pb2.MedicationLine(
        id=line.id,
        name=line.name,
        ingredients=[line.ingredient],
        brand_names=read.brands,
        form=", ".join(dict.fromkeys(form for product in read.products for form in _forms(product))),
        strengths=[common_pb2.Quantity(value=each, unit="mg") for each in strengths],
        codings=[
            common_pb2.Coding(system=RXNORM, code=read.rxcui, display=line.ingredient),
            *(common_pb2.Coding(system=ATC, code=each) for each in read.atc),
        ],
        statements=[_statement(line, name) for name in read.statements],
        review=encode_review(read.review),
    )


def _forms(product: Product) -> list[str]:
    return [f"extended-release {each}" if product.release == "er" else each for each in product.forms]


def _statement(line: Line, name: str) -> knowledge_pb2.Statement:
    said = line.file.statements[name]
    limit = line.limits[f"drug.{name}"]
    if isinstance(said.value, tuple):
        value = ", ".join(said.value)
    else:
        value = said.verb if said.value is None else f"{said.value:g}"
    return knowledge_pb2.Statement(
        name=name,
        value=value,
        unit=said.unit or "",
        authority=said.authority.value,
        verb=said.verb,
        severity=number(line.statements[name].severity),
        basis=said.basis.value,
        source_id=said.source,
        section=said.section,
        read_as=said.read_as.value,
        note="\n".join([said.says, *([said.arithmetic] if said.arithmetic else []), *said.also]),
        site_value=limit.value if limit.default else "",
    )


# --- rules -------------------------------------------------------------------------------------------------------


def encode_rules(knowledge: Knowledge) -> list[knowledge_pb2.Rule]:
    """All rules, by id."""
    return [encode_rule(knowledge, each) for each in sorted(knowledge.rules, key=lambda each: each.id)]


def encode_rule(knowledge: Knowledge, rule: Rule) -> knowledge_pb2.Rule:
    """One rule with what it rests on for each line. A rule with several clauses shows one text a line."""
    facts: set[str] = set()
    bases: dict[tuple[str, str, Severity, str, Severity], None] = {}
    off = ""
    for line in (*knowledge.lines.values(), None):
        for live in _live(knowledge.any_order if line is None else line.program, rule.id):
            off = live.off
            if live.applies is not None:
                facts |= facts_of(live.applies)
            for clause in live.clauses:
                facts |= facts_of(clause.when)
                name = "" if line is None else _statement_name(line, clause.statement)
                line_id = "" if line is None else line.id
                default = clause.statement.severity
                default = Severity.UNSPECIFIED if default is clause.severity else default
                bases[line_id, name, clause.severity, clause.statement.citation.source_id, default] = None
    when = _either(each.when for each in rule.clauses)
    return knowledge_pb2.Rule(
        id=rule.id,
        version=rule.version,
        kind=number(RuleKind[rule.kind]),
        when=when if rule.applies is None else f"({rule.applies.strip()}) and ({when})",
        facts=sorted(facts),
        title=_lines(each.title for each in rule.clauses),
        message=_lines(each.says for each in rule.clauses),
        action=_lines(each.do for each in rule.clauses),
        bases=[
            knowledge_pb2.RuleBasis(
                medication_id=line_id,
                statement=name,
                severity=number(severity),
                source_id=source_id,
                default_severity=number(default),
            )
            for line_id, name, severity, source_id, default in sorted(bases)
        ],
        dur_codes=rule.codes.dur,
        act_codes=act_codes(rule.codes.act),
        absorbs=rule.absorbs,
        review=review_pb2.Review(status=review_pb2.REVIEW_STATUS_NOT_REVIEWED),
        switched_off=off,
    )


def _live(program: Program, rule_id: str) -> list[LiveRule]:
    return [each for each in program.rules if each.rule.id == rule_id]


def _statement_name(line: Line, said: object) -> str:
    return next((name for name, each in line.statements.items() if each is said), "")


def _either(texts: Iterable[str]) -> str:
    held = [each.strip() for each in texts]
    return held[0] if len(held) == 1 else " or ".join(f"({each})" for each in held)


def _lines(texts: Iterable[str]) -> str:
    return "\n".join(dict.fromkeys(each.strip() for each in texts))


# --- options and sources -----------------------------------------------------------------------------------------


def encode_care_options(knowledge: Knowledge) -> list[care_pb2.CareOption]:
    """All options, by step of the pathway, then by id."""
    options = sorted(knowledge.care.options.values(), key=lambda each: (_TIER_ORDER.index(each.tier), each.id))
    return [encode_care_option(each, knowledge.sources) for each in options]


def encode_sources(knowledge: Knowledge) -> list[knowledge_pb2.Source]:
    """All sources, by id; how each was read is told by the statements that rest on it."""
    read_as = _read_as(knowledge)
    return [encode_source(knowledge.sources[each], read_as.get(each, set())) for each in sorted(knowledge.sources)]


def encode_source(source: Source, read_as: set[str]) -> knowledge_pb2.Source:
    """One document."""
    ways = [each.value for each in ReadAs if each.value in read_as]
    if not ways:
        ways = ["copy" if source.copies else "source"]
    return knowledge_pb2.Source(
        id=source.id,
        title=source.title,
        publisher=source.publisher,
        date=source.date,
        url=source.url,
        authority=source.kind,
        read_as=", ".join(ways),
        status=standing(source.status),
        note="\n".join(
            [
                *([source.status_note] if source.status_note else []),
                *(f"copy {each.id}: {each.url}" for each in source.copies),
            ]
        ),
    )


def _read_as(knowledge: Knowledge) -> dict[str, set[str]]:
    """By source id, every way in which a statement on it was read."""
    found: dict[str, set[str]] = {}

    def walk(part: object) -> None:
        if isinstance(part, BaseModel):
            source, read_as = getattr(part, "source", None), getattr(part, "read_as", None)
            if isinstance(source, str) and read_as is not None:
                found.setdefault(source, set()).add(read_as.value)
            for name in type(part).model_fields:
                walk(getattr(part, name))
        elif isinstance(part, tuple):
            for each in part:
                walk(each)
        elif isinstance(part, dict):
            for each in part.values():
                walk(each)

    for line in knowledge.lines.values():
        walk(line.file)
    for each in (*knowledge.rules, *knowledge.care.options.values(), knowledge.pathway):
        walk(each)
    return found
