"""The knowledge as one immutable whole: what the labels say, and the rules made ready for each drug."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from safety_service.domain import Check, Citation, RuleKind, Severity
from safety_service.knowledge.drug_names import DrugNames
from safety_service.knowledge.schema import (
    CarePathwayFile,
    ChildPughFile,
    ConditionSet,
    MedicationFile,
    MedicationSet,
    PolicyFile,
    Rule,
    SignedOff,
    Source,
)
from safety_service.knowledge.sig_words import SigWords
from safety_service.knowledge.value_sets import CareIndex, ConditionClasses, DrugClasses
from safety_service.rules.generate import Answerer
from safety_service.rules.template import Template
from safety_service.rules.tree import Tree


@dataclass(frozen=True, slots=True)
class SourcedStatement:
    """A statement ready to be quoted; its severity follows from authority, verb and how it was read."""

    severity: Severity
    says: str
    citation: Citation


@dataclass(frozen=True, slots=True)
class LimitText:
    """A limit or policy number ready to be printed. `default`: without the site's policy, "" where that is the same."""

    value: str
    unit: str
    basis: str
    default: str = ""


@dataclass(frozen=True, slots=True)
class LiveSuggestion:
    when: Tree | None
    field: str
    to: int  # milligrams for a dose are held as micrograms
    text: Template


@dataclass(frozen=True, slots=True, eq=False)
class LiveClause:
    """One way a rule fires for one drug: its condition without anything left to look up, and its words.

    `severity` is that of the statement unless the site's policy gives another; `by_policy` tells what it changed.
    `facts` are those the condition names; `pick` takes from a list of facts all that the words could depend on. `told`
    remembers words already put together for such facts; it belongs to the engine.
    """

    when: Tree
    statement: SourcedStatement
    severity: Severity
    supporting: tuple[SourcedStatement, ...]
    by_policy: tuple[str, ...]
    title: Template
    says: Template
    do: Template
    patient: Template
    computation: Template
    suggest: tuple[LiveSuggestion, ...]
    facts: tuple[str, ...]
    about_partners: bool
    about_purposes: bool
    pick: Callable[[Sequence[int]], tuple[int, ...]]
    told: dict[Hashable, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class LiveRule:
    """A rule that can speak on a drug. `first_bit` is the mask bit of its first clause.

    `fired`, `passed` and `does_not_apply` are its answers that name no missing fact; `pick` takes its facts from a list
    of all. `open` remembers which facts leave it open, and its open answers; it belongs to the engine. `off` is why the
    site's policy keeps its alert back, "" when it does not.
    """

    rule: Rule
    kind: RuleKind
    applies: Tree | None
    clauses: tuple[LiveClause, ...]
    first_bit: int
    mask: int
    fired: Check
    passed: Check
    does_not_apply: Check
    absorbed: Mapping[str, Check]  # by the rule that absorbs this one
    off: str
    pick: Callable[[Sequence[int]], tuple[int, ...]]
    open: dict[Hashable, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """The rules of one drug as one generated function.

    `entries` are all rules in the catalogue's order: those that can speak, and the ready answer (with its reason) of
    those that have nothing to say on this drug. The rest follows from them: `quiet` are the answers when no condition
    holds; `live` are the rules that can speak, each with its place among the entries; `absorbing` are those of them
    which keep others from speaking.
    """

    subject: str
    answer: Answerer
    source: str
    entries: tuple[LiveRule | Check, ...]
    quiet: tuple[Check, ...] = field(init=False)
    live: tuple[tuple[int, LiveRule], ...] = field(init=False)
    absorbing: tuple[LiveRule, ...] = field(init=False)

    def __post_init__(self) -> None:
        live = tuple((at, each) for at, each in enumerate(self.entries) if isinstance(each, LiveRule))
        quiet = tuple(each.passed if isinstance(each, LiveRule) else each for each in self.entries)
        object.__setattr__(self, "live", live)
        object.__setattr__(self, "quiet", quiet)
        object.__setattr__(self, "absorbing", tuple(each for _, each in live if each.rule.absorbs))

    @property
    def rules(self) -> tuple[LiveRule, ...]:
        """The rules that can speak."""
        return tuple(rule for _, rule in self.live)

    @property
    def silent(self) -> tuple[Check, ...]:
        """The answers of the others."""
        return tuple(each for each in self.entries if isinstance(each, Check))


@dataclass(frozen=True, slots=True)
class Line:
    """A product line whose label speaks with one voice, and its programs: as the order, and as the partner of one.

    `limits` and `held` are by full name, `drug.*` and `policy.*`: as printed, and as the rules compare them.
    """

    id: str
    name: str
    ingredient: str
    chain: int  # which chain of the fold its ingredient has
    file: MedicationFile
    statements: Mapping[str, SourcedStatement]
    limits: Mapping[str, LimitText]
    held: Mapping[str, int]
    program: Program
    pair_program: Program
    told_with_every_alert: SourcedStatement | None = None


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """One thing that the site's policy changes. `before` and `after` are printable; a rule has no `name`."""

    kind: Literal["rule-off", "severity", "number", "limit", "stop-level"]
    rule_id: str
    medication_id: str
    name: str
    before: str
    after: str
    unit: str
    reason: str
    signed_off: SignedOff | None


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Everything a decision rests on. `digest` is of all files, `policy_digest` of the policy in force.

    `policy` is the default one with what the site changes put in; `policy_changes` lists that.
    """

    version: str
    digest: str
    policy: PolicyFile
    policy_changes: tuple[PolicyChange, ...]
    policy_digest: str
    stop_level: Severity
    policy_numbers: Mapping[str, int]
    names: DrugNames
    lines: Mapping[str, Line]
    lines_of: Mapping[str, tuple[Line, ...]]  # by ingredient
    rules: tuple[Rule, ...]
    any_order: Program
    not_relaxant: tuple[Check, ...]  # the answers of the relaxant rules to an order that holds none
    sources: Mapping[str, Source]
    medication_sets: tuple[MedicationSet, ...]
    condition_sets: tuple[ConditionSet, ...]
    drugs: DrugClasses
    conditions: ConditionClasses
    care: CareIndex
    pathway: CarePathwayFile
    child_pugh: ChildPughFile
    sig_words: SigWords
    reviewed: bool
