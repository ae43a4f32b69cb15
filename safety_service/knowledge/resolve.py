"""From what a client sends for a drug - codes, display names, free text - to ingredients, strength and form.

A code wins over text, the most exact code over the others; text fills in what the winning code does not say.
When code and text name different drugs, or different strengths, that is reported and the code is kept.
Nothing is guessed: what is not recognised comes back with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache

from safety_service.domain import Coding, MatchedBy, Medication, ResolvedIngredient
from safety_service.knowledge.drug_names import RXNORM, DrugNames, NameKind, SiteCode
from safety_service.knowledge.drug_text import DrugText, read_drug_text
from safety_service.knowledge.drug_words import phrase

ATC = "http://www.whocc.no/atc"
SNOMED = "http://snomed.info/sct"
NDC = "http://hl7.org/fhir/sid/ndc"

_SYSTEMS = {
    RXNORM: RXNORM,
    "urn:oid:2.16.840.1.113883.6.88": RXNORM,
    "2.16.840.1.113883.6.88": RXNORM,
    "rxnorm": RXNORM,
    ATC: ATC,
    "urn:oid:2.16.840.1.113883.6.73": ATC,
    "atc": ATC,
    SNOMED: SNOMED,
    "urn:oid:2.16.840.1.113883.6.96": SNOMED,
    "snomed": SNOMED,
    "snomedct": SNOMED,
    NDC: NDC,
    "urn:oid:2.16.840.1.113883.6.69": NDC,
    "ndc": NDC,
}
_ATC_CODE = re.compile(r"[A-DGHJL-NPRSV](?:\d\d(?:[A-Z](?:[A-Z](?:\d\d)?)?)?)?")
# The most exact kind of code first.
_EXACT = (
    MatchedBy.SITE_CODE,
    MatchedBy.RXNORM_PRODUCT,
    MatchedBy.RXNORM_OTHER,
    MatchedBy.RXNORM_INGREDIENT,
    MatchedBy.SNOMED,
    MatchedBy.ATC,
)
# Muscle relaxants and diazepam: of the drugs with one of these ATC codes the dictionary holds every ATC code.
_LISTED_WHOLE = ("M03", "N05BA01")
_LONGEST_ECHO = 80  # characters of what was sent that are repeated in a reason
# An NDC written in its parts: labeler, product and package of 5-4-2 digits, or one of them a digit short.
_NDC_PARTS = re.compile(r"(\d{5})-(\d{4})-(\d{2})|(\d{4})-(\d{4})-(\d{2})|(\d{5})-(\d{3})-(\d{2})|(\d{5})-(\d{4})-(\d)")


@dataclass(frozen=True, slots=True)
class Resolution:
    """Which drug was meant, how it was recognised, and what stays open. Empty text: not said."""

    matched_by: MatchedBy
    matched_on: str = ""  # the code, or the name that matched
    ingredients: tuple[ResolvedIngredient, ...] = ()  # alphabetical; salts removed
    form: str = ""  # "tablet", "capsule", "solution" ...
    route: str = ""  # "oral", "injection", "sublingual", "topical" ...
    release: str = ""  # "ir" or "er"
    brand: str = ""
    rxcui: str = ""  # RxNorm code of the product, when it is one product
    conflict: str = ""  # in what way code and text, or two codes, disagree; what is given above was kept
    unrecognised: tuple[str, ...] = ()  # words that may name a further ingredient
    unread: tuple[str, ...] = ()  # each code and text that was sent and not understood, with the reason
    classes_atc: tuple[str, ...] = ()  # ATC codes sent, for membership by prefix, also of drugs we do not know
    otherwise: tuple[str, ...] = ()  # where code and text, or two codes, name different drugs: those not kept

    @property
    def why_not(self) -> str:
        """Why no drug was recognised; "" when one was."""
        return "; ".join(self.unread) if self.matched_by is MatchedBy.NONE else ""

    @property
    def names(self) -> tuple[str, ...]:
        """The ingredient names."""
        return tuple(each.name for each in self.ingredients)


def resolve(names: DrugNames, medication: Medication) -> Resolution:
    """Recognise the drug of `medication`. Never raises; the same input gives the same answer."""
    codes = [_read_code(names, coding) for coding in medication.codings]
    said = [(text, read_drug_text(names, text)) for text in _texts(medication)]
    known = sorted((each for each in codes if each.ingredients), key=lambda each: _EXACT.index(each.matched_by))
    understood = next((each for _, each in said if each.ingredients), None)
    classes = tuple(dict.fromkeys(code for each in codes for code in each.classes_atc))
    if known:
        best = _beside_text(names, replace(known[0], conflict=_codes_disagree(names, known)), said)
    elif understood is not None:
        best = _from_text(names, understood, said)
    elif classes:
        best = Resolution(MatchedBy.ATC, classes[0], unrecognised=_unknown_words(said))
    else:
        best = Resolution(MatchedBy.NONE, unrecognised=_unknown_words(said))
    if best.conflict:
        best = replace(best, otherwise=_not_kept(names, best, known, said))
    elif other := _class_disagrees(names, best, classes):
        best = replace(best, conflict=other, otherwise=classes)
    unread = [reason for each in codes for reason in each.unread]
    unread += [f"{_echo(text)}: {each.why_not}" for text, each in said if not each.ingredients]
    if best.matched_by is MatchedBy.NONE:
        unread += [] if medication.codings else ["no code was sent"]
        unread += [] if said else ["no text was sent"]
    return replace(best, unread=tuple(unread), classes_atc=classes) if unread or classes else best


def _not_kept(
    names: DrugNames, best: Resolution, codes: Iterable[Resolution], said: Iterable[tuple[str, DrugText]]
) -> tuple[str, ...]:
    """The drugs that other codes and texts name; none where they differ in the strength alone."""
    found: list[str] = []
    sent = [each.ingredients for each in codes] + [text.ingredients for _, text in said]
    for ingredients in sent:
        named, held = _comparable(names, [each.name for each in ingredients], best.names)
        found += sorted(named - held)
    return tuple(dict.fromkeys(found))


def did_you_mean(names: DrugNames, text: str) -> tuple[str, ...]:
    """Up to three known names spelled like the words of `text` that are not recognised.

    For a person to choose from, never used to resolve anything. Slow (tens of milliseconds).
    """
    words = read_drug_text(names, text).unrecognised
    spelled = _spellings(names)
    sent = " ".join(phrase(text))
    close = [name for name in spelled if sent and name.startswith(f"{sent} ")]
    for attempt in (sent, " ".join(words), *words):
        close += get_close_matches(attempt, spelled, n=3, cutoff=0.8)
    return tuple(dict.fromkeys(spelled[word] for word in close))[:3]


@lru_cache(maxsize=2)
def _spellings(names: DrugNames) -> dict[str, str]:
    return dict(names.all_words())


# --- codes ------------------------------------------------------------------------------------------------


def code_key(system: str, code: str) -> tuple[str, str]:
    """System and code in the one form that codes are compared in: the known address of a system, an NDC of 11 digits.

    Ten digits without hyphens do not tell which part is short, so that they stay as they are.
    """
    system, code = system.strip(), code.strip()
    system = _SYSTEMS.get(system) or _SYSTEMS.get(system.lower().replace(" ", "")) or system
    if system in (ATC, SNOMED):
        code = code.upper()
    elif system == NDC and (parts := _NDC_PARTS.fullmatch(code)) is not None:
        labeler, product, package = (part for part in parts.groups() if part is not None)
        code = f"{labeler:0>5}{product:0>4}{package:0>2}"
    return system, code


def _read_code(names: DrugNames, coding: Coding) -> Resolution:
    """One code by itself; without ingredients, and with the reason in `unread`, when it is not known."""
    system, code = code_key(coding.system, coding.code)
    mapped = names.site_code(system, code)
    if mapped is not None:
        return _mapped(names, mapped, coding.code.strip())
    if system == RXNORM:
        return _rxnorm(names, code)
    if system in (ATC, SNOMED):
        coded = names.coded(system, code)
        classes = (code,) if system == ATC and _ATC_CODE.fullmatch(code) else ()
        if coded is None:
            reason = f"{'ATC' if system == ATC else 'SNOMED CT'} code {_echo(code)} is not in the dictionary"
            return Resolution(MatchedBy.NONE, unread=() if classes else (reason,), classes_atc=classes)
        return Resolution(
            MatchedBy.ATC if system == ATC else MatchedBy.SNOMED,
            code,
            tuple(ResolvedIngredient(name) for name in coded.ingredients),
            unrecognised=(coded.beside,) if coded.beside else (),
            classes_atc=classes,
        )
    if system == NDC:
        return _not_read(f"NDC {_echo(coding.code.strip())} is not among the site codes of this service")
    if names.has_site_system(system):
        return _not_read(f"code {_echo(code)} of {_echo(system)} is not among the site codes of this service")
    return _not_read(f"code system {_echo(system)} is not one we read")


def _mapped(names: DrugNames, mapped: SiteCode, code: str) -> Resolution:
    """What the site says that its code is; it was found to be readable when the map was loaded."""
    if mapped.rxcui:
        return replace(_rxnorm(names, mapped.rxcui), matched_by=MatchedBy.SITE_CODE, matched_on=code)
    read = read_drug_text(names, mapped.name)
    said = (read.form, read.route, read.release, read.brand, read.rxcui)
    return Resolution(MatchedBy.SITE_CODE, code, read.ingredients, *said)


def _rxnorm(names: DrugNames, rxcui: str) -> Resolution:
    name = names.rxnorm(rxcui)
    if name is None:
        return _not_read(f"RxNorm code {_echo(rxcui)} is not in the dictionary")
    if not name.ingredients:
        return _not_read(f"RxNorm code {rxcui} is the brand {name.brand}, whose ingredients we do not know")
    product = name.kind in (NameKind.PRODUCT, NameKind.PACK)
    if product:
        matched_by = MatchedBy.RXNORM_PRODUCT
    elif name.kind is NameKind.INGREDIENT:
        matched_by = MatchedBy.RXNORM_INGREDIENT
    else:
        matched_by = MatchedBy.RXNORM_OTHER
    said = (name.form, name.route, name.release, name.brand, rxcui if product else "")
    return Resolution(matched_by, rxcui, name.ingredients, *said)


def _not_read(reason: str) -> Resolution:
    return Resolution(MatchedBy.NONE, unread=(reason,))


def _codes_disagree(names: DrugNames, known: list[Resolution]) -> str:
    """A less exact code may say less than the best one, never something else."""
    best = known[0]
    for other in known[1:]:
        one, two = _comparable(names, best.names, other.names)
        if not (two <= one or one <= two):
            return f"code {best.matched_on} is {_list(best.names)}; code {other.matched_on} is {_list(other.names)}"
        if difference := _strengths_differ(best.ingredients, other.ingredients):
            return f"code {best.matched_on} is {difference[0]}; code {other.matched_on} is {difference[1]}"
    return ""


def _class_disagrees(names: DrugNames, best: Resolution, classes: tuple[str, ...]) -> str:
    """An ATC code that is none of the one drug recognised, nor of a group that holds it.

    Asked of the drugs alone of which the dictionary holds all ATC codes.
    """
    if len(best.ingredients) != 1 or best.unrecognised:
        return ""
    (name,) = best.names
    own = names.codes_of(ATC, name)
    if not any(code.startswith(_LISTED_WHOLE) for code in own):
        return ""
    for code in classes:
        if not any(each.startswith(code) for each in own):
            by_text = best.matched_by in (MatchedBy.PRODUCT_NAME, MatchedBy.BRAND_NAME, MatchedBy.INGREDIENT_NAME)
            start = "the name says" if by_text else f"code {best.matched_on} is"
            return f"{start} {name}; ATC code {code} is of other drugs"
    return ""


def _comparable(names: DrugNames, one: Iterable[str], two: Iterable[str]) -> tuple[set[str], set[str]]:
    """The ingredients of two names; where either has a group's name, those of the group go by it in both."""
    sent = {*one, *two}
    by_group = {each: group for each in sent if (group := names.broader(each)) is not None and group in sent}
    first, second = ({by_group.get(each, each) for each in some} for some in (one, two))
    return first, second


# --- text beside a code, or alone -------------------------------------------------------------------------


def _texts(medication: Medication) -> list[str]:
    """The free text and the display names, each once, as a person would read them first."""
    sent = (medication.text, *(coding.display for coding in medication.codings))
    return list(dict.fromkeys(text for text in sent if text.strip()))


def _beside_text(names: DrugNames, best: Resolution, said: list[tuple[str, DrugText]]) -> Resolution:
    """The answer of a code, checked against the texts and filled in from them where it says nothing."""
    says_all = best.matched_by in (MatchedBy.RXNORM_PRODUCT, MatchedBy.RXNORM_OTHER, MatchedBy.SITE_CODE)
    for text, each in said:
        if not each.ingredients:
            continue
        if not best.conflict:
            best = replace(best, conflict=_code_and_text_disagree(names, best, text, each))
        if not says_all:  # the code of one ingredient may stand for a combination, which the text tells
            beside = (
                *(one.name for one in each.ingredients if one.name not in best.names),
                *each.unrecognised,
            )
            best = replace(best, unrecognised=tuple(dict.fromkeys((*best.unrecognised, *beside))))
        if not best.conflict and not best.rxcui and tuple(one.name for one in each.ingredients) == best.names:
            best = _filled_in(best, each)
    return best


def _code_and_text_disagree(names: DrugNames, best: Resolution, text: str, said: DrugText) -> str:
    in_text = tuple(each.name for each in said.ingredients)
    named, held = _comparable(names, in_text, best.names)
    start = f"code {best.matched_on} is"
    # A text with unknown words may name the rest of the combination by one of them.
    if not named <= held or (named != held and not said.unrecognised and not best.unrecognised):
        return f"{start} {_list(best.names)}; {_echo(text)} names {_list(in_text)}"
    if difference := _strengths_differ(best.ingredients, said.ingredients):
        return f"{start} {difference[0]}; {_echo(text)} says {difference[1]}"
    if best.release and said.release and best.release != said.release:
        words = {"ir": "immediate release", "er": "extended release"}
        return f"{start} {words[best.release]}; {_echo(text)} is {words[said.release]}"
    return ""


def _strengths_differ(
    one: tuple[ResolvedIngredient, ...], two: tuple[ResolvedIngredient, ...]
) -> tuple[str, str] | None:
    """The first ingredient whose strength both state, for the same amount of product, and differently."""
    theirs = {each.name: each for each in two}
    for mine in one:
        other = theirs.get(mine.name)
        if (
            other is not None
            and mine.strength_ug is not None
            and other.strength_ug is not None
            and mine.per == other.per
            and mine.strength_ug != other.strength_ug
        ):
            return f"{mine.name} {_amount(mine)}", _amount(other)
    return None


def _filled_in(best: Resolution, said: DrugText) -> Resolution:
    """What the code leaves open, from a text that names the same drug. A pill may be a tablet or capsule."""
    if best.form not in ("", "pill", said.form) and said.form:
        return best
    if best.form == "pill" and said.form and not said.form.endswith(("tablet", "capsule")):
        return best
    pairs = zip(best.ingredients, said.ingredients, strict=True)
    return replace(
        best,
        ingredients=tuple(text if code.strength_ug is None else code for code, text in pairs),
        form=said.form or best.form,
        route=best.route or said.route,
        release=best.release or said.release,
        brand=best.brand or said.brand,
    )


def _from_text(names: DrugNames, understood: DrugText, said: list[tuple[str, DrugText]]) -> Resolution:
    conflict = ""
    first = tuple(each.name for each in understood.ingredients)
    for text, each in said:
        in_text = tuple(one.name for one in each.ingredients)
        held, named = _comparable(names, first, in_text)
        if named and named != held:
            conflict = f"one text names {_list(first)}; {_echo(text)} names {_list(in_text)}"
            break
        if difference := _strengths_differ(understood.ingredients, each.ingredients):
            conflict = f"one text says {difference[0]}; {_echo(text)} says {difference[1]}"
            break
    return Resolution(
        understood.matched_by,
        understood.matched_on,
        understood.ingredients,
        understood.form,
        understood.route,
        understood.release,
        understood.brand,
        understood.rxcui,
        conflict,
        understood.unrecognised,
    )


def _unknown_words(said: Iterable[tuple[str, DrugText]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for _, each in said for word in each.unrecognised))


# --- wording ----------------------------------------------------------------------------------------------


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _amount(ingredient: ResolvedIngredient) -> str:
    mg = f"{(ingredient.strength_ug or 0) / 1000:.10g} mg"
    return f"{mg}/{ingredient.per}" if ingredient.per else mg


def _echo(sent: str) -> str:
    """What was sent, as a quotation that cannot break a line or run on."""
    shown = "".join(character if character.isprintable() else " " for character in sent[: _LONGEST_ECHO + 1])
    return f"'{shown[:_LONGEST_ECHO]}...'" if len(sent) > _LONGEST_ECHO else f"'{shown}'"
