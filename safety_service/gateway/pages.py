"""The pages for people: the check at /, and what alerts link to: medications, non-drug options and rules.

Everything comes from the knowledge or from an answer of the contract; Jinja escapes all of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from medsafety import CheckPrescriptionResponse
from medsafety.v1.common_pb2 import Severity
from medsafety.v1.knowledge_pb2 import RuleKind
from safety_service.decisions.summary import Asked, Summary
from safety_service.gateway.answer_html import ANSWER_WORDS, answer_values
from safety_service.knowledge.knowledge import Knowledge, Line
from safety_service.knowledge.schema import CareOption, Source
from safety_service.report.answer import BASIS_WORDS, option_grade
from safety_service.report.layout import AUTHORITY_WORDS, READ_AS_WORDS, word
from safety_service.report.medication import arm_words, product_words, read_words, review_words, value_words
from safety_service.server.encode import standing
from safety_service.server.encode_knowledge import encode_care_options, encode_rules

HERE = Path(__file__).parent / "page"
STATIC = HERE / "static"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Nothing but our own files; no inline script or style, no frame, no other origin.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_TIER_WORDS = {
    "first-line": "Step 1: start without drugs",
    "adjunct": "Step 2: add what is needed",
    "multidisciplinary": "Step 3: if that is not enough",
    "not-helpful": "Does not help",
}


@dataclass(frozen=True)
class Pages:
    """What pages are written from; each page is written when it is first asked for."""

    knowledge: Knowledge
    base: str  # public address, without a slash at the end
    example: str  # the request that the page begins with, as JSON
    example_answer: Callable[[], CheckPrescriptionResponse]
    has_check: bool = True  # whether prescriptions can be checked on it
    has_summary: bool = False  # whether there are sums of alerts to show

    @cached_property
    def environment(self) -> Environment:
        made = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            auto_reload=False,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        made.globals |= {
            **ANSWER_WORDS,
            "root": urlsplit(self.base).path.rstrip("/"),
            "stamp": self.stamp,
            "version": self.knowledge.version,
            "reviewed": self.knowledge.reviewed,
            "here": "",
            "has_check": self.has_check,
            "has_summary": self.has_summary,
            "authority": lambda value: AUTHORITY_WORDS.get(value, value),
            "basis": lambda value: BASIS_WORDS.get(value, ""),
            "read_as": lambda value: READ_AS_WORDS.get(value, value),
            "standing": standing,
            "is_web": lambda url: url.startswith(("http://", "https://")),  # a policy has a file
            "phases": lambda held: ", ".join(held) if held else "any",
        }
        return made

    @cached_property
    def static(self) -> Mapping[str, tuple[bytes, str]]:
        """By name: the content and its type."""
        return {each.name: (each.read_bytes(), MEDIA_TYPES[each.suffix]) for each in sorted(STATIC.iterdir())}

    @cached_property
    def stamp(self) -> str:
        """Changes with the static files, so that they may be kept for long."""
        return hashlib.sha256(b"".join(content for content, _ in self.static.values())).hexdigest()[:12]

    @cached_property
    def _grades(self) -> Mapping[str, str]:
        return {each.id: option_grade(each) for each in encode_care_options(self.knowledge)}

    @cached_property
    def _rules(self) -> Mapping[str, Any]:
        return {each.id: each for each in encode_rules(self.knowledge)}

    def _page(self, template: str, **values: Any) -> str:
        return self.environment.get_template(template).render(values)

    # --- the check ---------------------------------------------------------------------------------------------------

    def answer(self, response: CheckPrescriptionResponse) -> str:
        """A piece of HTML: the answer alone."""
        return self._page("answer.html", **answer_values(self.knowledge, response))

    @cached_property
    def check(self) -> str:
        """The page at /, with the article's case and its answer."""
        products = dict.fromkeys(
            f"{line.file.ingredient} {strength:g} mg {form}"
            for line in self.knowledge.lines.values()
            for product in line.file.products
            for form in product.forms
            for strength in product.strengths_mg
        )
        return self._page(
            "check.html",
            here="check",
            products=products,
            request_json=self.example,
            answer=Markup(self.answer(self.example_answer())),
            said="The article’s case",
        )

    # --- what became of alerts ---------------------------------------------------------------------------------------

    def summary(self, found: Summary | None, asked: Asked) -> str:
        """How often rules fired and were overridden, by month and site; None: the sums cannot be read."""
        rows = () if found is None else found.rows
        groups = [(*key, list(held)) for key, held in groupby(rows, lambda each: (each.month, each.site))]
        return self._page("summary.html", here="summary", found=found, groups=groups, asked=asked, rules=self._rules)

    # --- what alerts link to -----------------------------------------------------------------------------------------

    @cached_property
    def medications(self) -> str:
        """The list of the lines."""
        lines = sorted(self.knowledge.lines.values(), key=lambda each: each.name)
        return self._page("medications.html", here="medications", lines=lines)

    def medication(self, medication_id: str) -> str | None:
        """A line with every statement; None when there is none of this id."""
        line = self.knowledge.lines.get(medication_id)
        if line is None:
            return None
        statements = [self._statement(line, name) for name in line.file.statements]
        figures = line.file.figures
        used = [each["source"] for each in statements] + ([figures.source] if figures else [])
        return self._page(
            "medication.html",
            here="medications",
            line=line,
            review=review_words(line.file.review),
            products=[product_words(each) for each in line.file.products],
            families=[
                (family, list(held))
                for family, held in groupby(
                    sorted(statements, key=lambda each: str(each["name"]).partition(".")[0]),
                    lambda each: str(each["name"]).partition(".")[0],
                )
            ],
            rule_ids={each.id for each in self.knowledge.rules},
            figures=figures
            and {
                "trial": figures.trial,
                "section": figures.section,
                "read": read_words(figures.read_as.value, figures.seen_in),
                "source": figures.source,
                "arms": [arm_words(each) for each in figures.arms],
            },
            sources=self._sources(used),
        )

    def _statement(self, line: Line, name: str) -> dict[str, Any]:
        said = line.file.statements[name]
        return {
            "name": name,
            "severity": line.statements[name].severity.name.lower(),
            "value": value_words(said),
            "says": said.says,
            "arithmetic": said.arithmetic,
            "also": said.also,
            "authority": AUTHORITY_WORDS.get(said.authority.value, said.authority.value),
            "verb": said.verb.replace("-", " "),
            "section": said.section,
            "basis": BASIS_WORDS.get(said.basis.value, ""),
            "read": read_words(said.read_as.value, said.seen_in),
            "source": said.source,
            "source_title": self.knowledge.sources[said.source].title,
        }

    def _sources(self, used: Iterable[str]) -> list[Source]:
        return [self.knowledge.sources[each] for each in dict.fromkeys(used)]

    def options(self, asked: Sequence[str] = ()) -> str:
        """The list of options by step, of some or of all."""
        held = self.knowledge.care.options
        chosen = [held[each] for each in dict.fromkeys(asked) if each in held] or list(held.values())
        return self._page(
            "options.html",
            here="options",
            some=len(chosen) < len(held),
            count=len(chosen),
            tiers=[
                (words, [{"option": each, "grade": self._grades[each.id]} for each in chosen if each.tier == tier])
                for tier, words in _TIER_WORDS.items()
                if any(each.tier == tier for each in chosen)
            ],
        )

    def option(self, option_id: str) -> str | None:
        """An option with its evidence; None when there is none of this id."""
        option: CareOption | None = self.knowledge.care.options.get(option_id)
        if option is None:
            return None
        return self._page(
            "option.html",
            here="options",
            option=option,
            tier=_TIER_WORDS[option.tier],
            grade=self._grades[option.id],
            sources=self._sources(each.source for each in option.evidence),
        )

    def rules(self, asked: Sequence[str] = ()) -> str:
        """The list of rules by family, of some or of all."""
        held = self._rules
        chosen = [held[each] for each in dict.fromkeys(asked) if each in held] or list(held.values())
        kinds = dict.fromkeys(sorted(each.kind for each in chosen))
        return self._page(
            "rules.html",
            here="rules",
            some=len(chosen) < len(held),
            count=len(chosen),
            kinds=[(_kind(kind), [each for each in chosen if each.kind == kind]) for kind in kinds],
        )

    def rule(self, rule_id: str) -> str | None:
        """A rule with what it rests on for each line; None when there is none of this id."""
        rule = self._rules.get(rule_id)
        if rule is None:
            return None
        bases = [
            {
                "severity": word(Severity.DESCRIPTOR, each.severity).lower(),
                "line": self.knowledge.lines.get(each.medication_id),
                "statement": each.statement,
                "source_id": each.source_id,
                "source_title": self.knowledge.sources[each.source_id].title,
            }
            for each in rule.bases
        ]
        return self._page(
            "rule.html",
            here="rules",
            rule=rule,
            kind=_kind(rule.kind),
            bases=bases,
            sources=self._sources(each.source_id for each in rule.bases),
        )

    def missing(self, here: str) -> str:
        """There is no such thing in a list."""
        what = {"medications": "medication", "options": "option", "rules": "rule"}[here]
        return self._page("missing.html", here=here, what=what, list=here)


def _kind(value: int) -> str:
    return word(RuleKind.DESCRIPTOR, value).replace("_", " ").capitalize()
