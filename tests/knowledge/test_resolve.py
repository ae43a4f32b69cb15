"""From what a client sends for a drug to ingredients, strength and form; and never to another drug."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from safety_service.domain import Coding, MatchedBy, Medication, ResolvedIngredient
from safety_service.knowledge.drug_names import RXNORM, DrugNames, SiteCode
from safety_service.knowledge.drug_text import LONGEST_TEXT, read_drug_text
from safety_service.knowledge.drug_words import phrase, tokens
from safety_service.knowledge.resolve import ATC, NDC, SNOMED, Resolution, did_you_mean, resolve

DATA = Path(__file__).parents[1] / "data"


@cache
def names() -> DrugNames:
    return DrugNames()


def by_text(text: str) -> Resolution:
    return resolve(names(), Medication(text=text))


def by_code(code: str, text: str = "", system: str = RXNORM, display: str = "") -> Resolution:
    return resolve(names(), Medication((Coding(system, code, display),), text))


def strengths(resolution: Resolution) -> dict[str, tuple[int | None, str]]:
    return {each.name: (each.strength_ug, each.per) for each in resolution.ingredients}


# --- every real name of the ten drugs ---------------------------------------------------------------------
# What to expect is read from the names by hand-written tables and two plain patterns, not by the code under test.

GENERIC_NAMES = (
    "aspirin",
    "baclofen",
    "caffeine",
    "carisoprodol",
    "chlorzoxazone",
    "codeine",
    "cyclobenzaprine",
    "dantrolene",
    "diazepam",
    "magnesium oxide",
    "metaxalone",
    "methocarbamol",
    "orphenadrine",
    "tizanidine",
)
BRAND_GROUPS = {
    "Amrix Pill": {"cyclobenzaprine"},
    "Dantrium Pill": {"dantrolene"},
    "Fexmid Pill": {"cyclobenzaprine"},
    "Flexeril Pill": {"cyclobenzaprine"},
    "Kemstro Pill": {"baclofen"},
    "Lioresal Pill": {"baclofen"},
    "Lorzone Pill": {"chlorzoxazone"},
    "Norflex Pill": {"orphenadrine"},
    "Norgesic Pill": {"aspirin", "caffeine", "orphenadrine"},
    "Parafon Forte DSC Pill": {"chlorzoxazone"},
    "Robaxin Pill": {"methocarbamol"},
    "Skelaxin Pill": {"metaxalone"},
    "Soma Compound with Codeine Pill": {"aspirin", "carisoprodol", "codeine"},
    "Soma Pill": {"carisoprodol"},
    "Valium Pill": {"diazepam"},
    "Zanaflex Pill": {"tizanidine"},
}
FORMS = (
    ("} Pack", "pack", "nasal", ""),
    ("Disintegrating Oral Tablet", "disintegrating tablet", "oral", "ir"),
    ("Extended Release Oral Tablet", "tablet", "oral", "er"),
    ("Extended Release Oral Capsule", "capsule", "oral", "er"),
    ("Oral Tablet", "tablet", "oral", "ir"),
    ("Oral Capsule", "capsule", "oral", "ir"),
    ("Pill", "pill", "oral", ""),
    ("Oral Suspension", "suspension", "oral", ""),
    ("Oral Solution", "solution", "oral", ""),
    ("Injectable Suspension", "injectable suspension", "injection", ""),
    ("Injectable Solution", "injection", "injection", ""),
    ("Auto-Injector", "auto-injector", "injection", ""),
    ("Prefilled Syringe", "prefilled syringe", "injection", ""),
    ("Cartridge", "cartridge", "injection", ""),
    ("Rectal Suppository", "suppository", "rectal", ""),
    ("Rectal Gel", "gel", "rectal", ""),
    ("Enema", "enema", "rectal", ""),
    ("Nasal Spray", "spray", "nasal", ""),
    ("Buccal Film", "film", "buccal", ""),
)
BRAND_FORMS = {
    "Amrix": ("capsule", "oral", "er"),
    "Fexmid": ("tablet", "oral", "ir"),
    "Flexeril": ("tablet", "oral", "ir"),
}
SOLD_AS_ER = re.compile(r"Amrix|Norflex|Cyclobenzaprine hydrochloride (15|30) MG|Diazepam 15 MG", re.IGNORECASE)


def expected_of(name: str) -> tuple[dict[str, tuple[int | None, str]], tuple[str, str, str]]:
    """Ingredients with strength and unit, and (form, route, release)."""
    plain = name.lower()
    found: dict[str, tuple[int | None, str]] = dict.fromkeys(BRAND_GROUPS.get(name, set()), (None, ""))
    for generic in () if found else GENERIC_NAMES:
        stated = re.search(generic + r"(?: hydrochloride| citrate| sodium| phosphate)?(?: ([0-9.]+) mg(/ml)?)?", plain)
        if stated and not stated[1]:
            found[generic] = (None, "")
        elif stated:
            found[generic] = (round(float(stated[1]) * 1000), "mL" if stated[2] else "")
    form = next((tuple(rest) for words, *rest in FORMS if words in name), ("", "", ""))
    return found, (form[0], form[1], form[2])


def real_names() -> list[tuple[str, str]]:
    rows = []
    for table in ("muscle_relaxants_rxnorm.tsv", "relaxants_and_diazepam_rxnorm.tsv"):
        rows += [line.split("\t")[:2] for line in (DATA / table).read_text().splitlines()[1:]]
    return [(rxcui, name) for rxcui, name in rows]


def test_every_real_name_of_the_ten_drugs_resolves_by_code_and_by_name(
    record_property: Callable[[str, object], None],
) -> None:
    wrong: list[str] = []
    open_release: list[str] = []
    without_strength = 0
    rows = real_names()
    for rxcui, name in rows:
        ingredients, form = expected_of(name)
        coded, named = by_code(rxcui), by_text(name)
        assert ingredients, name
        without_strength += any(amount is None for amount, _ in ingredients.values())
        if strengths(coded) != ingredients or (coded.form, coded.route, coded.release) != form:
            wrong.append(f"code {rxcui} {name}: {coded}")
        if not form[0]:  # the brand's own form, where a source gives it
            form = next((known for brand, known in BRAND_FORMS.items() if f"[{brand}]" in name), form)
        elif named.rxcui not in ("", rxcui):
            wrong.append(f"name {rxcui} {name}: taken for {named.rxcui}")
        if form[0] == "pack":  # in words, a pack of nasal sprays is a nasal spray
            form = ("spray", "nasal", "")
        if strengths(named) != ingredients or (named.form, named.route) != form[:2] or named.unrecognised:
            wrong.append(f"name {rxcui} {name}: {named}")
        # By name, the release may be known where the name does not say it, or open where both are sold.
        if named.release not in (form[2], "er" if SOLD_AS_ER.search(name) else "ir" if form[1] in ("", "oral") else ""):
            open_release.append(f"{name}: {named.release or 'open'}")
    print(
        f"\n{len(rows)} real names, each by code and by name: {len(wrong)} wrong; "
        f"{without_strength} state no strength (dose-form groups); release not as named: {open_release}"
    )
    record_property("real_names", len(rows))
    assert wrong == []
    assert len(rows) == 235
    # Sold as immediate and as extended release, or without a form or strength: not guessed.
    assert open_release == ["Orphenadrine Citrate 100 MG Oral Tablet: open"]


def test_the_expectation_itself_can_tell_a_wrong_answer() -> None:
    found, form = expected_of("Aspirin 325 MG / Carisoprodol 200 MG / Codeine Phosphate 16 MG Oral Tablet")
    assert found == {"aspirin": (325_000, ""), "carisoprodol": (200_000, ""), "codeine": (16_000, "")}
    assert form == ("tablet", "oral", "ir")
    assert expected_of("2 ML diazepam 5 MG/ML Cartridge") == (
        {"diazepam": (5_000, "mL")},
        ("cartridge", "injection", ""),
    )


def test_a_name_says_how_it_matched() -> None:
    assert by_code("828348").matched_by is MatchedBy.RXNORM_PRODUCT
    assert by_code("21949").matched_by is MatchedBy.RXNORM_INGREDIENT
    assert by_code("1155671").matched_by is MatchedBy.RXNORM_OTHER
    product = by_text("Cyclobenzaprine hydrochloride 10 MG Oral Tablet")
    assert (product.matched_by, product.matched_on) == (MatchedBy.PRODUCT_NAME, "cyclobenzaprine")
    assert product.rxcui == "828348"
    assert (by_text("Amrix").matched_by, by_text("Amrix").matched_on) == (MatchedBy.BRAND_NAME, "Amrix")
    assert by_text("tizanidine").matched_by is MatchedBy.INGREDIENT_NAME


# --- text as people write it ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ingredients", "form", "route", "release"),
    [
        ("Flexeril 10mg tablet", {"cyclobenzaprine": (10_000, "")}, "tablet", "oral", "ir"),
        ("cyclobenzaprine 10 mg", {"cyclobenzaprine": (10_000, "")}, "", "", "ir"),
        ("CYCLOBENZAPRINE HCL 10MG TAB", {"cyclobenzaprine": (10_000, "")}, "tablet", "oral", "ir"),
        ("cyclobenzaprine 15 mg", {"cyclobenzaprine": (15_000, "")}, "", "", "er"),
        ("Amrix 15 mg capsule", {"cyclobenzaprine": (15_000, "")}, "capsule", "oral", "er"),
        ("Tonmya 2.8 mg", {"cyclobenzaprine": (2_800, "")}, "tablet", "sublingual", ""),
        ("tizanidine 4mg cap", {"tizanidine": (4_000, "")}, "capsule", "oral", "ir"),
        ("Zanaflex 4 mg tablet", {"tizanidine": (4_000, "")}, "tablet", "oral", "ir"),
        ("Soma 350", {"carisoprodol": (350_000, "")}, "", "", "ir"),
        ("Vanadom 350 mg", {"carisoprodol": (350_000, "")}, "", "", ""),
        ("Skelaxin 800", {"metaxalone": (800_000, "")}, "", "", "ir"),
        ("metaxalone 640 mg", {"metaxalone": (640_000, "")}, "", "", "ir"),
        ("Robaxin-750 tablet", {"methocarbamol": (750_000, "")}, "tablet", "oral", "ir"),
        ("methocarbamol 1,000 mg tab", {"methocarbamol": (1_000_000, "")}, "tablet", "oral", "ir"),
        ("methocarbamol 1 g tablet", {"methocarbamol": (1_000_000, "")}, "tablet", "oral", "ir"),
        ("orphenadrine citrate ER 100 mg", {"orphenadrine": (100_000, "")}, "", "", "er"),
        ("Lorzone", {"chlorzoxazone": (None, "")}, "", "", "ir"),
        ("Parafon Forte DSC 500 mg", {"chlorzoxazone": (500_000, "")}, "", "", "ir"),
        ("Valium 5 mg", {"diazepam": (5_000, "")}, "", "", "ir"),
        ("Diazepam Intensol 5 mg/mL", {"diazepam": (5_000, "mL")}, "concentrate", "oral", ""),
        ("baclofen 5 mg/5 mL oral solution", {"baclofen": (1_000, "mL")}, "solution", "oral", ""),
        ("Fleqsuvy 25 mg/5 mL", {"baclofen": (5_000, "mL")}, "suspension", "oral", ""),
        ("baclofen 5 mg tablet", {"baclofen": (5_000, "")}, "tablet", "oral", "ir"),
        ("Lioresal Intrathecal 500 mcg/mL", {"baclofen": (500, "mL")}, "injection", "intrathecal", ""),
        ("baclofen intrathecal injection 0.5 mg/mL", {"baclofen": (500, "mL")}, "injection", "intrathecal", ""),
        ("dantrolene sodium 25 mg cap", {"dantrolene": (25_000, "")}, "capsule", "oral", "ir"),
        (
            "Norgesic Forte",
            {"aspirin": (None, ""), "caffeine": (None, ""), "orphenadrine": (None, "")},
            "tablet",
            "oral",
            "ir",
        ),
        (
            "aspirin/carisoprodol/codeine",
            {"aspirin": (None, ""), "carisoprodol": (None, ""), "codeine": (None, "")},
            "",
            "",
            "",
        ),
        (
            "carisoprodol-ASA-codeine 200-325-16 mg tablet",
            {"aspirin": (325_000, ""), "carisoprodol": (200_000, ""), "codeine": (16_000, "")},
            "tablet",
            "oral",
            "ir",
        ),
        (
            "oxycodone-acetaminophen 5-325",
            {"acetaminophen": (325_000, ""), "oxycodone": (5_000, "")},
            "",
            "",
            "ir",
        ),
        ("hydrocodone/APAP 10/325", {"acetaminophen": (325_000, ""), "hydrocodone": (10_000, "")}, "", "", "ir"),
        ("Percocet", {"acetaminophen": (None, ""), "oxycodone": (None, "")}, "", "", "ir"),
        (
            "Tylenol with codeine #3 tablet",
            {"acetaminophen": (None, ""), "codeine": (None, "")},
            "tablet",
            "oral",
            "ir",
        ),
        ("pethidine 50 mg", {"meperidine": (50_000, "")}, "", "", "ir"),
        ("Effexor XR 75 mg", {"venlafaxine": (75_000, "")}, "", "", "er"),
        # Directions are not part of the name, and a count is not a strength.
        (
            "cyclobenzaprine 5 mg tab, take 1 or 2 tablets by mouth every 12 hours as needed for spasm, #30,"
            " do not drive",
            {"cyclobenzaprine": (5_000, "")},
            "tablet",
            "oral",
            "ir",
        ),
        ("tizanidine #90", {"tizanidine": (None, "")}, "", "", ""),
        ("Soma qty 350", {"carisoprodol": (None, "")}, "", "", "ir"),
        ("cyclobenzaprine 10", {"cyclobenzaprine": (None, "")}, "", "", ""),
        # Two strengths, an unreadable one, a dose in a liquid, a sub-microgram one: not known rather than guessed.
        ("cyclobenzaprine 5-10 mg", {"cyclobenzaprine": (None, "")}, "", "", ""),
        ("baclofen 10 mg oral solution", {"baclofen": (None, "")}, "solution", "oral", ""),
        ("baclofen 0.0001 mg tablet", {"baclofen": (None, "")}, "tablet", "oral", "ir"),
        ("baclofen 5 mg/0 mL", {"baclofen": (None, "")}, "", "", ""),
    ],
)
def test_text_as_it_is_written(
    text: str, ingredients: dict[str, tuple[int | None, str]], form: str, route: str, release: str
) -> None:
    resolution = by_text(text)
    assert strengths(resolution) == ingredients
    assert (resolution.form, resolution.route, resolution.release) == (form, route, release)
    assert resolution.unrecognised == ()
    assert resolution.why_not == ""


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("baclofin 10 mg", "no word of the text is a drug name we know"),
        ("", "no text was sent"),
        ("10 mg", "no word"),
        ("muscle relaxant", "no word"),
        ("Soma Compound", "'Soma compound' is not a drug name we know, and may differ from Soma"),
        ("Flexeril Plus 10 mg", "may differ from Flexeril"),
        ("Tylenol 3", "'Tylenol 3' is not a drug name we know"),
        ("Tylenol #3", "'Tylenol 3' is not a drug name we know"),
        ("Tylenol No. 4", "'Tylenol 4' is not a drug name we know"),
        ("soma-tropin 5 mg", "may differ from Soma"),
        ("desmethyl-diazepam 5 mg", "'desmethyl-diazepam' is not a drug name we know"),
        ("Flexeril (tizanidine) 4 mg", "Flexeril and tizanidine, which do not go together"),
        ("Soma / Flexeril", "Soma and Flexeril, which do not go together"),
        ("Lyumjev 100 units/mL", "Lyumjev is sold as insulin lispro-aabc or as insulin lispro"),
        ("no cyclobenzaprine", "the text says 'no'"),
        ("cyclobenzaprine or tizanidine", "the text says 'or'"),
        ("switched from Soma to baclofen", "the text says 'switched'"),
        ("cyclobenzaprine allergy", "the text says 'allergy'"),
        ("tizanidine 4 mg " + "x" * LONGEST_TEXT, "longer than"),
    ],
)
def test_what_is_not_sure_is_not_recognised_and_says_why(text: str, because: str) -> None:
    resolution = by_text(text)
    assert resolution.matched_by is MatchedBy.NONE
    assert resolution.ingredients == ()
    assert because in resolution.why_not


def test_a_further_unknown_ingredient_is_not_dropped() -> None:
    resolution = by_text("cyclobenzaprine / foozol 10 mg tablet")
    assert resolution.names == ("cyclobenzaprine",)
    assert resolution.unrecognised == ("foozol",)
    assert strengths(resolution) == {"cyclobenzaprine": (None, "")}  # the 10 mg may be foozol's
    assert resolution.rxcui == ""
    # The strength right behind the drug is the drug's; it is still not that product.
    second = by_text("cyclobenzaprine 10 mg / foozol tablet")
    assert strengths(second) == {"cyclobenzaprine": (10_000, "")}
    assert (second.matched_by, second.rxcui) == (MatchedBy.INGREDIENT_NAME, "")
    assert second.unrecognised == ("foozol",)
    third = by_text("aspirin / carisoprodol / foozol 325-200 mg")
    assert strengths(third) == {"aspirin": (None, ""), "carisoprodol": (None, "")}
    assert by_text("cyclobenzaprine 2,5 mg").unrecognised == ("2,5", "mg")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("tizanidine", "tiagabine"),
        ("Soma", "somatropin"),
        ("Zanaflex", "Xanax"),
        ("baclofen", "Bactroban"),
        ("cyclobenzaprine", "cyproheptadine"),
        ("metaxalone", "metolazone"),
        ("methocarbamol", "meprobamate"),
        ("chlorzoxazone", "chlorpromazine"),
        ("Lioresal", "lisinopril"),
        ("Robaxin", "ribavirin"),
        ("Valium", "Valtrex"),
        ("diazepam", "lorazepam"),
        ("dantrolene", "Danazol"),
        ("hydrocodone", "oxycodone"),
        ("tramadol", "trazodone"),
    ],
)
def test_look_alikes_never_cross(one: str, other: str) -> None:
    first, second = by_text(f"{one} 4 mg"), by_text(f"{other} 4 mg")
    assert first.names
    assert set(first.names).isdisjoint(second.names)


@given(st.sampled_from(["tizanidine", "baclofen", "Soma", "Flexeril", "carisoprodol"]), st.data())
def test_a_misspelt_name_is_never_read_as_the_name(name: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(name) - 1))
    letter = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz"))
    edit = data.draw(st.sampled_from(["drop", "swap", "add"]))
    misspelt = name[:at] + ("" if edit == "drop" else letter) + name[at + (edit != "add") :]
    assume(misspelt.lower() != name.lower())
    assert set(by_text(f"{misspelt} 4 mg").names).isdisjoint(by_text(name).names)


def test_spelling_is_offered_to_a_person_and_nothing_else() -> None:
    assert did_you_mean(names(), "baclofin 10 mg") == ("baclofen",)
    assert did_you_mean(names(), "Soma Compound") == ("Soma Compound with Codeine",)
    assert did_you_mean(names(), "tizanadine") == ("tizanidine",)
    assert did_you_mean(names(), "qqqqq") == ()
    assert did_you_mean(names(), "") == ()


# --- codes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", [RXNORM, "urn:oid:2.16.840.1.113883.6.88", "RxNorm", "RXNORM", f" {RXNORM} "])
def test_the_ways_to_name_rxnorm(system: str) -> None:
    assert by_code(" 828348 ", system=system).rxcui == "828348"


@pytest.mark.parametrize(
    ("system", "code", "ingredients", "matched_by", "beside"),
    [
        (ATC, "M03BX08", ("cyclobenzaprine",), MatchedBy.ATC, ()),
        ("ATC", "m03bc01", ("orphenadrine",), MatchedBy.ATC, ()),
        (ATC, "N02AB02", ("meperidine",), MatchedBy.ATC, ()),
        # A combination's code names one ingredient and leaves the others open.
        (ATC, "M03BA52", ("carisoprodol",), MatchedBy.ATC, ("combinations excl. psycholeptics",)),
        (SNOMED, "108461005", ("tizanidine",), MatchedBy.SNOMED, ()),
        (SNOMED, "81946009", ("dantrolene",), MatchedBy.SNOMED, ()),
        (SNOMED, "387264003", ("diazepam",), MatchedBy.SNOMED, ()),
    ],
)
def test_atc_and_snomed_codes(
    system: str, code: str, ingredients: tuple[str, ...], matched_by: MatchedBy, beside: tuple[str, ...]
) -> None:
    resolution = by_code(code, system=system)
    assert (resolution.names, resolution.matched_by) == (ingredients, matched_by)
    assert resolution.unrecognised == beside
    assert resolution.classes_atc == ((code.upper(),) if matched_by is MatchedBy.ATC else ())


def test_an_atc_code_of_an_unknown_drug_still_tells_the_class() -> None:
    alone = by_code("N05BA12", system=ATC)
    assert (alone.matched_by, alone.matched_on, alone.names) == (MatchedBy.ATC, "N05BA12", ())
    assert alone.classes_atc == ("N05BA12",)
    with_text = by_code("N02AJ17", "oxycodone-acetaminophen 5-325", ATC)
    assert with_text.names == ("acetaminophen", "oxycodone")
    assert with_text.classes_atc == ("N02AJ17",)
    nonsense = by_code("MUSCLE", system=ATC)
    assert (nonsense.matched_by, nonsense.classes_atc) == (MatchedBy.NONE, ())
    assert "ATC code 'MUSCLE' is not in the dictionary" in nonsense.why_not


@pytest.mark.parametrize(
    ("system", "code", "because"),
    [
        (RXNORM, "999999999", "RxNorm code '999999999' is not in the dictionary"),
        (RXNORM, "8123", "RxNorm code '8123' is not in the dictionary"),  # no source says that it is phenelzine
        (RXNORM, "1187728", "the brand Vasoflex HD, whose ingredients we do not know"),
        (SNOMED, "372666009", "SNOMED CT code '372666009' is not in the dictionary"),  # the class of relaxants
        (NDC, "12345-678-90", "NDC '12345-678-90' is not among the site codes of this service"),
        ("urn:example", "1", "code system 'urn:example' is not one we read"),
        ("", "", "code system '' is not one we read"),
    ],
)
def test_an_unknown_code_says_so(system: str, code: str, because: str) -> None:
    resolution = by_code(code, system=system)
    assert resolution.matched_by is MatchedBy.NONE
    assert because in resolution.why_not
    assert "no text was sent" in resolution.why_not


def test_nothing_sent_is_said() -> None:
    assert resolve(names(), Medication()).why_not == "no code was sent; no text was sent"


def test_an_unknown_code_beside_a_known_name_is_told() -> None:
    resolution = by_code("999999999", "Flexeril 10 mg tablet")
    assert resolution.rxcui == "828350"
    assert resolution.unread == ("RxNorm code '999999999' is not in the dictionary",)
    coded = by_code("828348", "the little yellow ones")
    assert coded.matched_by is MatchedBy.RXNORM_PRODUCT
    assert coded.unread == ("'the little yellow ones': no word of the text is a drug name we know",)
    assert coded.why_not == ""


SITE = "http://hospital.example/formulary"


@cache
def site_names() -> DrugNames:
    """The dictionary with three codes of a site."""
    return names().with_site_codes(
        {
            (NDC, "12345067890"): SiteCode("828348", ""),
            (SITE, "CYC-10"): SiteCode("", "cyclobenzaprine 10 mg tablet"),
            (SITE, "Perc"): SiteCode("", "oxycodone-acetaminophen 5-325 mg tablet"),
        }
    )


@pytest.mark.parametrize(
    ("system", "code"),
    [
        (NDC, "12345067890"),
        (NDC, "12345-0678-90"),
        (NDC, "12345-678-90"),
        ("ndc", " 12345-678-90 "),
        ("urn:oid:2.16.840.1.113883.6.69", "12345-678-90"),
        (SITE, "CYC-10"),
    ],
)
def test_a_site_code_is_read_in_every_form(system: str, code: str) -> None:
    resolution = resolve(site_names(), Medication((Coding(system, code),)))
    assert (resolution.matched_by, resolution.matched_on) == (MatchedBy.SITE_CODE, code.strip())
    assert strengths(resolution) == {"cyclobenzaprine": (10_000, "")}
    assert (resolution.form, resolution.route, resolution.release, resolution.rxcui) == (
        "tablet",
        "oral",
        "ir",
        "828348",
    )
    assert resolution.unread == ()


@pytest.mark.parametrize(
    ("system", "code", "because"),
    [
        (NDC, "1234567890", "NDC '1234567890' is not among the site codes of this service"),  # which part is short?
        (NDC, "99999-999-99", "NDC '99999-999-99' is not among the site codes of this service"),
        (SITE, "cyc-10", f"code 'cyc-10' of '{SITE}' is not among the site codes of this service"),
        ("http://other.example", "CYC-10", "code system 'http://other.example' is not one we read"),
    ],
)
def test_a_code_that_the_site_has_not_mapped_says_so(system: str, code: str, because: str) -> None:
    alone = resolve(site_names(), Medication((Coding(system, code),)))
    assert alone.matched_by is MatchedBy.NONE
    assert because in alone.unread
    with_text = resolve(site_names(), Medication((Coding(system, code),), "baclofen 10 mg tablet"))
    assert with_text.names == ("baclofen",)
    assert with_text.unread == (because,)


def test_a_site_code_goes_before_others_and_is_checked_against_the_text() -> None:
    both = resolve(site_names(), Medication((Coding(RXNORM, "197391"), Coding(SITE, "CYC-10"))))
    assert both.matched_by is MatchedBy.SITE_CODE
    assert both.conflict == "code CYC-10 is cyclobenzaprine; code 197391 is baclofen"
    text = resolve(site_names(), Medication((Coding(SITE, "CYC-10", "Baclofen 10 mg"),)))
    assert text.names == ("cyclobenzaprine",)
    assert text.conflict == "code CYC-10 is cyclobenzaprine; 'Baclofen 10 mg' names baclofen"


def test_a_site_code_may_stand_for_a_combination() -> None:
    resolution = resolve(site_names(), Medication((Coding(SITE, "Perc"),)))
    assert strengths(resolution) == {"acetaminophen": (325_000, ""), "oxycodone": (5_000, "")}


def test_site_codes_leave_the_dictionary_they_are_added_to_alone() -> None:
    assert (names().site_code_count(), site_names().site_code_count()) == (0, 3)
    assert resolve(names(), Medication((Coding(SITE, "CYC-10"),))).matched_by is MatchedBy.NONE
    assert len(names()) == len(site_names())


# --- code and text together -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "text", "conflict"),
    [
        ("197391", "Flexeril 10 mg", "code 197391 is baclofen; 'Flexeril 10 mg' names cyclobenzaprine"),
        (
            "828348",
            "cyclobenzaprine 5 mg tablet",
            "code 828348 is cyclobenzaprine 10 mg; 'cyclobenzaprine 5 mg tablet' says 5 mg",
        ),
        (
            "828348",
            "cyclobenzaprine ER 10 mg",
            "code 828348 is immediate release; 'cyclobenzaprine ER 10 mg' is extended release",
        ),
        (
            "994226",
            "carisoprodol",
            "code 994226 is aspirin, carisoprodol, codeine; 'carisoprodol' names carisoprodol",
        ),
        (
            "197446",
            "carisoprodol/aspirin/codeine",
            "code 197446 is carisoprodol; 'carisoprodol/aspirin/codeine' names aspirin, carisoprodol, codeine",
        ),
    ],
)
def test_code_and_text_that_disagree_are_reported_and_the_code_wins(code: str, text: str, conflict: str) -> None:
    coded = by_code(code)
    for resolution in (by_code(code, text), by_code(code, display=text)):
        assert resolution.conflict == conflict
        assert resolution.ingredients == coded.ingredients
        assert resolution.rxcui == code


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("828348", "Cyclobenzaprine hydrochloride 10 MG Oral Tablet"),
        ("828348", "Flexeril 10 mg tablet"),
        ("828353", "Amrix 30 mg"),
        ("994226", "Soma Compound with Codeine"),
        ("994226", "carisoprodol compound"),  # the unknown word may stand for the rest
        ("994521", "orphenadrine 100 mg tablet"),
        ("309844", "diazepam 25 mg/5 mL oral solution"),
        ("828348", "the little yellow ones"),
    ],
)
def test_code_and_text_that_agree_are_left_in_peace(code: str, text: str) -> None:
    assert by_code(code, text).conflict == ""


def test_text_fills_in_what_an_ingredient_code_leaves_open() -> None:
    resolution = by_code("21949", "cyclobenzaprine 30 mg ER capsule", display="cyclobenzaprine")
    assert resolution.matched_by is MatchedBy.RXNORM_INGREDIENT
    assert resolution.ingredients == (ResolvedIngredient("cyclobenzaprine", 30_000),)
    assert (resolution.form, resolution.route, resolution.release) == ("capsule", "oral", "er")
    generic = by_code("828348", "Flexeril 10 mg tablet")
    assert (generic.rxcui, generic.brand) == ("828348", "")  # a product's code says all there is to say
    pill = by_code("1155671", "baclofen 10 mg disintegrating tablet")  # "Baclofen Pill"
    assert (pill.form, strengths(pill)) == ("disintegrating tablet", {"baclofen": (10_000, "")})
    liquid = by_code("1155671", "baclofen 5 mg/5 mL oral solution")
    assert (liquid.form, strengths(liquid)) == ("pill", {"baclofen": (None, "")})


def test_an_ingredient_code_does_not_hide_the_rest_of_a_combination() -> None:
    combination = by_code("2101", "carisoprodol 200 mg / aspirin 325 mg / codeine 16 mg tablet")
    assert combination.names == ("carisoprodol",)
    assert combination.unrecognised == ("aspirin", "codeine")
    assert combination.conflict
    unknown = by_code("2101", "carisoprodol / foozol")
    assert unknown.unrecognised == ("foozol",)


def test_two_codes_that_disagree_are_reported_and_the_most_exact_wins() -> None:
    codes = (Coding(ATC, "M03BX01"), Coding(RXNORM, "21949"), Coding(RXNORM, "828348"))
    resolution = resolve(names(), Medication(codes))
    assert (resolution.matched_on, resolution.names) == ("828348", ("cyclobenzaprine",))
    assert resolution.conflict == "code 828348 is cyclobenzaprine; code M03BX01 is baclofen"
    assert resolution.classes_atc == ("M03BX01",)
    strength = resolve(names(), Medication((Coding(RXNORM, "828348"), Coding(RXNORM, "828320"))))
    assert strength.conflict == "code 828348 is cyclobenzaprine 10 mg; code 828320 is 5 mg"


def test_two_texts_that_disagree_are_reported() -> None:
    medication = Medication((Coding("urn:example", "1", "tizanidine 4 mg"),), "Flexeril 10 mg")
    resolution = resolve(names(), medication)
    assert resolution.names == ("cyclobenzaprine",)
    assert resolution.conflict == "one text names cyclobenzaprine; 'tizanidine 4 mg' names tizanidine"


def test_what_was_sent_is_echoed_short_and_on_one_line() -> None:
    reason = by_code("1\n" + "9" * 500).why_not
    assert "\n" not in reason
    assert len(reason) < 200


# --- properties -------------------------------------------------------------------------------------------

SEPARATORS = (" ", "  ", "\t", "\n", " - ", ", ", "; ", " (", ") ", "\u00a0")


@given(st.sampled_from([name for _, name in real_names()]), st.data())
def test_case_spacing_and_punctuation_change_nothing(name: str, data: st.DataObject) -> None:
    pieces = re.findall(r"[\d.]+|[A-Za-z]+|/", name)
    changed = ""
    for before, piece in zip(["", *pieces], pieces, strict=False):
        cased = data.draw(st.sampled_from([piece, piece.lower(), piece.upper()]))
        # "/" says per, so its neighbours stay; a dash between two numbers would make a list of them.
        if not changed:
            changed = cased
        elif "/" in (before, piece) or (before[-1].isdigit() and piece[0].isdigit()):
            changed += f" {cased}"
        else:
            changed += data.draw(st.sampled_from(SEPARATORS)) + cased
    assert by_text(changed) == by_text(name)


@given(st.text(alphabet="qxzjw", min_size=1, max_size=12), st.text(alphabet="qxzjw0123456789 .,/-", max_size=20))
def test_garbage_never_resolves(word: str, rest: str) -> None:
    assert by_text(f"{word} {rest}").ingredients == ()


@given(st.text(max_size=60))
def test_what_is_recognised_stands_in_the_text(text: str) -> None:
    resolution = read_drug_text(names(), text)
    words = [token for token in tokens(text) if token not in "/%#-"]
    for name in [resolution.brand] if resolution.brand else [each.name for each in resolution.ingredients]:
        stands = [phrase(" ".join(words[i:j])) for i in range(len(words)) for j in range(i, len(words) + 1)]
        assert any(names().ingredient(run) == name or run == phrase(name) for run in stands)


@given(st.text(), st.text(max_size=20), st.text(max_size=20), st.text())
def test_resolution_never_fails_and_always_says_something(text: str, system: str, code: str, display: str) -> None:
    medication = Medication((Coding(system, code, display), Coding(RXNORM, code)), text)
    resolution = resolve(names(), medication)
    assert resolution == resolve(names(), medication)
    assert bool(resolution.why_not) == (resolution.matched_by is MatchedBy.NONE)
    assert resolution.ingredients or resolution.matched_by in (MatchedBy.NONE, MatchedBy.ATC)


@given(
    st.lists(
        st.sampled_from(
            "soma 350 mg / 5-325 #3 no. 1,5 % per mL 12 HR tablet with codeine and or \u0663 \u00bd".split()
        )
    )
)
def test_any_mix_of_the_words_that_matter_is_read_without_failing(words: list[str]) -> None:
    assert read_drug_text(names(), " ".join(words)) == read_drug_text(names(), "  ".join(words))


# --- a code of other drugs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["N02BE01", "N02", "M03BX02", "N02BE99"])
def test_an_atc_code_of_other_drugs_beside_a_relaxant_is_a_conflict(code: str) -> None:
    by_name = by_code(code, "baclofen 10 mg", ATC) if code == "M03BX02" else by_code(code, "cyclobenzaprine 10 mg", ATC)
    assert code in by_name.conflict
    by_rxnorm = resolve(names(), Medication((Coding(RXNORM, "828348"), Coding(ATC, code))))
    assert (by_rxnorm.names, code in by_rxnorm.conflict) == (("cyclobenzaprine",), True)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("M03BX08", "cyclobenzaprine 10 mg"),
        ("M03BX", "cyclobenzaprine 10 mg"),
        ("M", "cyclobenzaprine 10 mg"),
        ("N02AA59", "carisoprodol / aspirin / codeine"),  # a combination may stand in another group
        ("N02CX02", "clonidine 0.1 mg"),  # not all codes of this drug are known here
        ("N02BE01", "zzyzxin 5 mg"),
    ],
)
def test_an_atc_code_that_may_be_of_the_drug_is_none(code: str, text: str) -> None:
    assert by_code(code, text, ATC).conflict == ""


def test_what_is_sent_under_the_name_of_its_group_is_no_other_drug() -> None:
    display = "Vitamin D (Cholecalciferol)"
    said = resolve(names(), Medication((Coding(RXNORM, "11253", display),), "Vitamin D"))
    assert (said.names, said.conflict) == (("vitamin d",), "")
    assert by_code("199362", "Vitamin D").conflict == ""
    assert by_code("199362", "ergocalciferol").conflict
    assert resolve(names(), Medication((Coding("", "", "ergocalciferol"),), "cholecalciferol")).conflict
