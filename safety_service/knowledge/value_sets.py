"""Is this drug, condition or non-drug option one of those a rule asks about? As bit masks, one bit per value set."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from safety_service.domain import CareTried, Coding
from safety_service.knowledge.schema import CareOption, ConditionSet, MedicationSet

ICD10CM = frozenset({"http://hl7.org/fhir/sid/icd-10-cm", "urn:oid:2.16.840.1.113883.6.90", "icd-10-cm", "icd10cm"})
SNOMED = frozenset({"http://snomed.info/sct", "urn:oid:2.16.840.1.113883.6.96", "snomed", "sct"})
_MOST_SEEN = 16384
_ICD10CM_FORM = re.compile(r"[A-Z]\d[0-9A-Z](?:\.?[0-9A-Z]{1,4})?")


@dataclass(frozen=True, slots=True, eq=False)
class DrugClasses:
    """Classes of drugs by base ingredient name and by ATC prefix; bit i stands for `ids[i]`."""

    ids: tuple[str, ...]
    bits: dict[str, int]
    by_ingredient: dict[str, int]
    by_prefix: dict[str, int]
    by_group: dict[str, int]  # ATC code too short to tell -> the classes that hold only a part of what it covers
    excluded_prefix: dict[str, int]
    not_by_route: dict[str, int]  # route -> the classes a drug given so does not count in
    not_by_form: dict[str, int]  # the same by dose form

    def bit(self, set_id: str) -> int:
        """The bit of one set. Raises KeyError for a set that is not there."""
        return self.bits[set_id]

    def of_ingredient(self, name: str, route: str, form: str = "") -> int:
        """The classes of a recognised ingredient given by `route` in the dose form `form` ("" = not known)."""
        bits = self.by_ingredient.get(name, 0)
        return bits & ~self.not_by_route.get(route, 0) & ~self.not_by_form.get(form, 0) if bits else 0

    def of_atc(self, code: str) -> int:
        """The classes an ATC code of any level falls in."""
        bits = excluded = 0
        for end in range(1, len(code) + 1):
            bits |= self.by_prefix.get(code[:end], 0)
            excluded |= self.excluded_prefix.get(code[:end], 0)
        return bits & ~excluded

    def left_open(self, code: str) -> int:
        """The classes that an ATC code of a group leaves open: "N05B" may be a carbamate or a benzodiazepine."""
        return self.by_group.get(code, 0) & ~self.of_atc(code)


def drug_classes(sets: Sequence[MedicationSet]) -> DrugClasses:
    """The sets made ready for look-up; bits in the order given."""
    by_ingredient: dict[str, int] = {}
    by_prefix: dict[str, int] = {}
    by_group: dict[str, int] = {}
    excluded: dict[str, int] = {}
    not_by_route: dict[str, int] = {}
    not_by_form: dict[str, int] = {}
    for i, each in enumerate(sets):
        bit = 1 << i
        for ingredient in each.ingredients:
            by_ingredient[ingredient.name] = by_ingredient.get(ingredient.name, 0) | bit
        codes = [code for ingredient in each.ingredients for code in ingredient.atc]
        for code in (*codes, *(prefix.code for prefix in each.atc_prefixes)):
            by_prefix[code] = by_prefix.get(code, 0) | bit
            for end in range(1, len(code)):
                by_group[code[:end]] = by_group.get(code[:end], 0) | bit
        for prefix in each.atc_excluded:
            excluded[prefix.code] = excluded.get(prefix.code, 0) | bit
        for route in each.routes_excluded:
            not_by_route[route] = not_by_route.get(route, 0) | bit
        for form in each.forms_excluded:
            not_by_form[form] = not_by_form.get(form, 0) | bit
    ids = tuple(each.id for each in sets)
    return DrugClasses(ids, _bits(sets), by_ingredient, by_prefix, by_group, excluded, not_by_route, not_by_form)


@dataclass(frozen=True, slots=True, eq=False)
class ConditionClasses:
    """Classes of conditions; bit i stands for `ids[i]`. `seen` remembers codes already looked up."""

    ids: tuple[str, ...]
    bits: dict[str, int]
    by_icd_prefix: dict[str, int]
    by_icd_parent: dict[str, int]  # a code too short to tell -> the classes that hold only a part of what it covers
    by_snomed: dict[str, int]
    seen: dict[tuple[str, str], int] = field(default_factory=dict)
    seen_open: dict[tuple[str, str], int] = field(default_factory=dict)  # what each leaves open; -1: not recognised

    def bit(self, set_id: str) -> int:
        """The bit of one set. Raises KeyError for a set that is not there."""
        return self.bits[set_id]

    def of(self, codings: Sequence[Coding]) -> tuple[int, bool]:
        """The classes a condition falls in, and whether it was recognised, so that "in none" can be believed.

        An ICD-10-CM code speaks for itself, since prefixes cover all its children. A SNOMED CT code that is in no set
        is not recognised: it could be a child of one that is.
        """
        bits = 0
        recognised = False
        for coding in codings:
            key = (coding.system, coding.code)
            known = self.seen.get(key)
            if known is None:
                if len(self.seen) >= _MOST_SEEN:
                    self.seen.clear()
                known = self.seen[key] = self._one(*key)
            if known >= 0:
                recognised = True
                bits |= known
        return bits, recognised

    def left_open(self, codings: Sequence[Coding]) -> int:
        """The classes that a code too short to tell leaves open: "N18" may be any stage of kidney disease.

        Codes of one condition settle it together: what one of them leaves open, a longer one beside it decides.
        """
        left = -1
        for coding in codings:
            key = (coding.system, coding.code)
            known = self.seen_open.get(key)
            if known is None:
                if len(self.seen_open) >= _MOST_SEEN:
                    self.seen_open.clear()
                recognised = self._one(*key) >= 0
                known = self.seen_open[key] = self.by_icd_parent.get(_plain(coding), 0) if recognised else -1
            if known >= 0:
                left &= known
        return max(left, 0)

    def _one(self, system: str, code: str) -> int:
        """The classes of one code; -1 when it is not recognised."""
        system = system.strip().lower()
        code = code.strip().upper()
        if system in ICD10CM and _ICD10CM_FORM.fullmatch(code):
            plain = code.replace(".", "")
            bits = 0
            for end in range(3, len(plain) + 1):
                bits |= self.by_icd_prefix.get(plain[:end], 0)
            return bits
        return self.by_snomed.get(code, -1) if system in SNOMED else -1


def _plain(coding: Coding) -> str:
    """The letters and digits of an ICD-10-CM code; "" for a code of another system."""
    in_icd = coding.system.strip().lower() in ICD10CM
    return coding.code.strip().upper().replace(".", "") if in_icd else ""


def condition_classes(sets: Sequence[ConditionSet]) -> ConditionClasses:
    """The sets made ready for look-up; bits in the order given."""
    by_icd: dict[str, int] = {}
    by_parent: dict[str, int] = {}
    by_snomed: dict[str, int] = {}
    for i, each in enumerate(sets):
        for prefix in each.icd10cm:
            plain = prefix.code.replace(".", "")
            by_icd[plain] = by_icd.get(plain, 0) | 1 << i
            for end in range(3, len(plain)):
                by_parent[plain[:end]] = by_parent.get(plain[:end], 0) | 1 << i
        for code in each.snomed:
            by_snomed[code.code] = by_snomed.get(code.code, 0) | 1 << i
    return ConditionClasses(tuple(each.id for each in sets), _bits(sets), by_icd, by_parent, by_snomed)


@dataclass(frozen=True, slots=True, eq=False)
class CareIndex:
    """Non-drug options by id, SNOMED CT code and the words records use."""

    options: dict[str, CareOption]
    by_snomed: dict[str, str]
    by_words: dict[str, str]

    def match(self, tried: CareTried) -> str | None:
        """The id of the option a record names, or None."""
        if tried.option_id in self.options:
            return tried.option_id
        for coding in tried.codings:
            found = self.by_snomed.get(coding.code) if coding.system.lower() in SNOMED else None
            if found is not None:
                return found
        for words in (tried.text, *(coding.display for coding in tried.codings)):
            found = self.by_words.get(plain_words(words))
            if found is not None:
                return found
        return None


def _bits(sets: Sequence[MedicationSet | ConditionSet]) -> dict[str, int]:
    return {each.id: 1 << i for i, each in enumerate(sets)}


def care_index(options: Sequence[CareOption]) -> CareIndex:
    """The options made ready for look-up."""
    return CareIndex(
        {each.id: each for each in options},
        {code.code: each.id for each in options for code in each.snomed},
        {plain_words(words): each.id for each in options for words in (each.name, *each.words)},
    )


def plain_words(text: str) -> str:
    """Lower case, letters and digits only, single spaces."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    return " ".join(re.findall(r"[a-z0-9]+", folded))
