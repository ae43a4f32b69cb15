"""The value sets. A drug left out of one is answered with "no": what must be in and out is listed by hand."""

import gzip
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

import rules_data
from safety_service.domain import Coding
from safety_service.knowledge.drug_names import base_ingredient
from safety_service.knowledge.drug_words import FORM_WORDS
from safety_service.knowledge.schema import ConditionSet, MedicationSet, SourceFile
from safety_service.knowledge.value_sets import condition_classes, drug_classes

DATA = Path(rules_data.__file__).parent
FILES = sorted((DATA / "value_sets").glob("*.yaml"))


def _load(path: Path) -> dict[str, object]:
    data = yaml.load(path.read_bytes(), yaml.CSafeLoader)
    assert isinstance(data, dict)
    return data


def _read(path: Path) -> MedicationSet | ConditionSet:
    data = _load(path)
    model = MedicationSet if data.get("kind") == "medication" else ConditionSet
    return model.model_validate(data, strict=False)  # lists become tuples


SETS = {path.stem: _read(path) for path in FILES}
DRUGS = {name: each for name, each in SETS.items() if isinstance(each, MedicationSet)}
CONDITIONS = {name: each for name, each in SETS.items() if isinstance(each, ConditionSet)}
BY_DRUG = drug_classes(tuple(DRUGS.values()))
BY_CONDITION = condition_classes(tuple(CONDITIONS.values()))


def _dictionary() -> tuple[frozenset[str], dict[str, str]]:
    """Every base ingredient of the drug dictionary, and what each code of a lone ingredient stands for."""
    with gzip.open(DATA / "drug_names" / "names.tsv.gz", "rt", encoding="utf-8") as lines:
        header = next(lines).rstrip("\n").split("\t")
        rows = [dict(zip(header, line.rstrip("\n").split("\t"), strict=True)) for line in lines]
    ingredients = frozenset(name for row in rows for name in row["ingredients"].split(";") if name)
    lone = {row["rxcui"]: row["ingredients"] for row in rows if row["kind"] == "i"}
    return ingredients, lone


INGREDIENTS, LONE_CODES = _dictionary()


def members(set_id: str) -> set[str]:
    return {row.name for row in DRUGS[set_id].ingredients}


def has_drug(set_id: str, name: str, route: str = "oral") -> bool:
    return bool(BY_DRUG.of_ingredient(name, route) & BY_DRUG.bit(set_id))


def has_atc(set_id: str, code: str) -> bool:
    return bool(BY_DRUG.of_atc(code) & BY_DRUG.bit(set_id))


def has_icd(set_id: str, code: str) -> bool:
    bits, recognised = BY_CONDITION.of((Coding("http://hl7.org/fhir/sid/icd-10-cm", code, ""),))
    assert recognised, code
    return bool(bits & BY_CONDITION.bit(set_id))


# --- each file ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_is_well_formed(path: Path) -> None:
    read = _read(path)
    assert read.id == path.stem
    assert read.note
    if isinstance(read, MedicationSet):
        names = [row.name for row in read.ingredients]
        codes = [row.code for row in (*read.atc_prefixes, *read.atc_excluded)]
        assert names
        of_rows = [code for row in read.ingredients for code in row.atc]
        assert [code for code in codes + of_rows if not re.fullmatch(r"[A-Z]\d\d[A-Z]([A-Z](\d\d)?)?", code)] == []
        routes = {words.route for words in FORM_WORDS.values()}
        assert set(read.routes_excluded) <= routes
    else:
        names = []
        codes = [*(row.code for row in read.icd10cm), *(row.code for row in read.snomed)]
        assert [row.code for row in read.icd10cm if not re.fullmatch(r"[A-Z]\d[0-9A-Z](\.\w{1,4})?", row.code)] == []
        assert [row.code for row in read.icd10cm if "billable code" not in (row.note or "")] == []
        assert [row.code for row in read.snomed if not _check_digit_holds(row.code)] == []
        assert codes
    assert [name for name, count in Counter(names + codes).items() if count > 1] == []


def _check_digit_holds(code: str) -> bool:
    """Whether a SNOMED CT code ends in the right Verhoeff digit, so that a slip of the pen is found."""
    permute = ["0123456789"]
    for _ in range(7):
        permute.append("".join(permute[-1]["1576283094".index(digit)] for digit in "0123456789"))
    step = "1576283094"
    rows = [step]
    while len(rows) < 8:
        rows.append("".join(rows[-1][int(digit)] for digit in step))
    table = ["0123456789", *rows]
    check = 0
    for i, digit in enumerate(reversed(code)):
        check = _dihedral(check, int(table[i % 8][int(digit)]))
    return check == 0


def _dihedral(a: int, b: int) -> int:
    """The product of two elements of the dihedral group of order ten, numbered as Verhoeff does."""
    if a < 5:
        return (a + b) % 5 if b < 5 else 5 + (a + b) % 5
    return 5 + (a - b) % 5 if b < 5 else (a - b) % 5


def test_check_digit_finds_a_slip() -> None:
    assert _check_digit_holds("278860009")
    assert not _check_digit_holds("278860008")
    assert not _check_digit_holds("287860009")


def test_every_row_has_a_source_that_is_described() -> None:
    described = {
        source.id
        for path in (DATA / "sources").glob("*.yaml")
        for source in SourceFile.model_validate(_load(path), strict=False).sources
    }
    for name, each in DRUGS.items():
        assert {row.source for row in each.ingredients} <= described, name
        assert {row.source for row in (*each.atc_prefixes, *each.atc_excluded)} <= described, name
    for name, condition in CONDITIONS.items():
        assert {row.source for row in condition.icd10cm} <= described, name
        assert {row.source for row in condition.snomed} <= described, name


@pytest.mark.parametrize("set_id", DRUGS)
def test_ingredients_are_spelled_as_the_dictionary_spells_them(set_id: str) -> None:
    assert members(set_id) - INGREDIENTS == set()
    assert [name for name in members(set_id) if base_ingredient(name) != name] == []


def test_ingredient_codes_agree_with_the_dictionary_and_between_sets() -> None:
    codes = {(row.name, row.rxcui) for each in DRUGS.values() for row in each.ingredients}
    assert len(codes) == len({name for name, _ in codes})
    assert [(name, code) for name, code in codes if code and LONE_CODES.get(code, name) != name] == []
    assert len([code for _, code in codes if code in LONE_CODES]) > 70


# --- drugs: by hand -------------------------------------------------------------------------------------

OPIOIDS = """
    morphine oxycodone hydrocodone hydromorphone oxymorphone codeine dihydrocodeine tramadol tapentadol
    meperidine methadone buprenorphine fentanyl sufentanil propoxyphene pentazocine butorphanol nalbuphine
    levorphanol meptazinol tilidine opium benzhydrocodone
""".split()
BENZODIAZEPINES = """
    diazepam alprazolam lorazepam clonazepam chlordiazepoxide clorazepate temazepam triazolam estazolam
    flurazepam quazepam oxazepam midazolam clobazam
""".split()
Z_DRUGS = "zolpidem zaleplon eszopiclone zopiclone".split()
ANTIPSYCHOTICS = "quetiapine olanzapine haloperidol clozapine prochlorperazine risperidone perphenazine".split()
TRICYCLICS = "amitriptyline nortriptyline doxepin imipramine desipramine clomipramine protriptyline".split()
SSRI = "fluoxetine sertraline paroxetine citalopram escitalopram fluvoxamine".split()
SNRI = "venlafaxine desvenlafaxine duloxetine milnacipran levomilnacipran".split()
GABAPENTINOIDS = "gabapentin pregabalin".split()
ANTIEPILEPTICS = "carbamazepine phenytoin valproate lamotrigine levetiracetam topiramate oxcarbazepine".split()
NAMED_ANTIHISTAMINES = "diphenhydramine hydroxyzine promethazine chlorpheniramine cyproheptadine meclizine".split()
LORATADINE_TYPE = "loratadine desloratadine cetirizine levocetirizine fexofenadine".split()
BEERS_SIX = "carisoprodol chlorzoxazone cyclobenzaprine metaxalone methocarbamol orphenadrine".split()
RELAXANTS = [*BEERS_SIX, "baclofen", "tizanidine", "dantrolene"]
HARMLESS = "acetaminophen ibuprofen aspirin naproxen metformin lisinopril atorvastatin omeprazole".split()

IN = {
    "opioid": OPIOIDS,
    "benzodiazepine": BENZODIAZEPINES,
    "cns-depressant": [
        *Z_DRUGS,
        *GABAPENTINOIDS,
        *ANTIPSYCHOTICS,
        *TRICYCLICS,
        *NAMED_ANTIHISTAMINES,
        *"phenobarbital butalbital primidone butabarbital secobarbital meprobamate".split(),
        *"dichloralphenazone suvorexant lemborexant ramelteon melatonin".split(),
        "chloral hydrate",
        "sodium oxybate",
    ],
    "cns-active": [
        *OPIOIDS,
        *BENZODIAZEPINES,
        *Z_DRUGS,
        *ANTIPSYCHOTICS,
        *TRICYCLICS,
        *SSRI,
        *SNRI,
        *GABAPENTINOIDS,
        *ANTIEPILEPTICS,
        *BEERS_SIX,
        "baclofen",
        "tizanidine",
    ],
    "anticholinergic": """
        amitriptyline paroxetine prochlorperazine promethazine brompheniramine diphenhydramine doxylamine
        hydroxyzine triprolidine darifenacin oxybutynin solifenacin tolterodine trospium benztropine
        trihexyphenidyl chlorpromazine clozapine atropine clidinium dicyclomine homatropine hyoscyamine
        scopolamine cyclobenzaprine orphenadrine
    """.split(),
}
OUT = {
    "opioid": [
        *"dextromethorphan noscapine naloxone naltrexone nalmefene naloxegol alvimopan samidorphan".split(),
        *"loperamide diphenoxylate nefopam apomorphine gabapentin diazepam carisoprodol".split(),
        *HARMLESS,
    ],
    "benzodiazepine": [
        *"buspirone carbamazepine oxcarbazepine olanzapine hydroxyzine meprobamate gabapentin".split(),
        *"clidinium phenobarbital trazodone tizanidine".split(),
        *Z_DRUGS,
        *HARMLESS,
    ],
    "cns-depressant": [
        *SSRI,
        *SNRI,
        *LORATADINE_TYPE,
        *RELAXANTS,
        *OPIOIDS,
        *BENZODIAZEPINES,
        *"bupropion trazodone carbamazepine topiramate ethanol caffeine".split(),
        "lithium carbonate",
        *HARMLESS,
    ],
    "cns-active": [
        *LORATADINE_TYPE,
        *NAMED_ANTIHISTAMINES,
        *"dantrolene bupropion trazodone mirtazapine buspirone butalbital meprobamate naloxone".split(),
        *"dextromethorphan melatonin gamma-aminobutyrate".split(),
        "lithium carbonate",
        *HARMLESS,
    ],
    "anticholinergic": [
        *LORATADINE_TYPE,
        *"baclofen tizanidine methocarbamol metaxalone sertraline quetiapine mirabegron donepezil".split(),
        *"chlordiazepoxide carbidopa".split(),
        *HARMLESS,
    ],
}


@pytest.mark.parametrize("set_id", IN)
def test_drugs_that_must_be_in(set_id: str) -> None:
    assert len(IN[set_id]) >= 12
    assert [name for name in IN[set_id] if not has_drug(set_id, name)] == []


@pytest.mark.parametrize("set_id", OUT)
def test_drugs_that_must_not_be_in(set_id: str) -> None:
    assert len(OUT[set_id]) >= 12
    assert [name for name in OUT[set_id] if has_drug(set_id, name)] == []


def test_what_must_not_be_in_is_known_to_the_dictionary() -> None:
    """Otherwise the list above would prove nothing."""
    assert {name for names in OUT.values() for name in names} - INGREDIENTS == set()


def test_opioids_for_use_disorder_are_opioids() -> None:
    """Too few to list twelve: the whole set."""
    assert members("opioid-use-disorder-treatment") == {
        "buprenorphine",
        "levomethadone",
        "levomethadyl",
        "methadone",
    }
    assert members("opioid-use-disorder-treatment") <= members("opioid")
    assert not has_drug("opioid-use-disorder-treatment", "buprenorphine", "transdermal")
    assert has_drug("opioid-use-disorder-treatment", "buprenorphine", "sublingual")
    assert has_drug("opioid", "buprenorphine", "transdermal")


def test_kinds_of_partner_do_not_mix() -> None:
    """A partner is an opioid, a benzodiazepine or another CNS depressant: one of them. No relaxant is any."""
    sets = [members(name) for name in ("opioid", "benzodiazepine", "cns-depressant")]
    assert Counter(name for each in sets for name in each).most_common(1)[0][1] == 1
    assert set().union(*sets) & set(RELAXANTS) == set()


def test_the_beers_count_holds_its_classes_whole_and_each_drug_once() -> None:
    assert members("opioid") | members("benzodiazepine") <= members("cns-active")
    names = [row.name for row in DRUGS["cns-active"].ingredients]
    assert names.count("clonazepam") == 1  # a benzodiazepine and an antiepileptic
    assert len(names) == len(set(names))
    assert members("cns-active") & set(RELAXANTS) == {*BEERS_SIX, "baclofen", "tizanidine"}


def test_loratadine_is_in_no_set() -> None:
    assert [set_id for set_id in DRUGS if has_drug(set_id, "loratadine") or has_atc(set_id, "R06AX13")] == []


@pytest.mark.parametrize(
    ("set_id", "name", "route", "expected"),
    [
        ("cns-depressant", "diphenhydramine", "oral", True),
        ("cns-depressant", "diphenhydramine", "", True),  # a route that is not known excludes nothing
        ("cns-depressant", "diphenhydramine", "injection", True),
        ("cns-depressant", "diphenhydramine", "topical", False),
        ("cns-depressant", "doxepin", "topical", False),
        ("cns-active", "doxepin", "topical", False),
        ("anticholinergic", "atropine", "ophthalmic", False),
        ("anticholinergic", "atropine", "oral", True),
        ("anticholinergic", "scopolamine", "transdermal", True),
        ("anticholinergic", "oxybutynin", "topical", True),
        ("opioid", "fentanyl", "transdermal", True),
    ],
)
def test_route_decides_where_it_matters(set_id: str, name: str, route: str, expected: bool) -> None:
    assert has_drug(set_id, name, route) is expected


# Endings that names of a class share, the set it belongs to, and the names that only sound alike.
CLASS_ENDINGS = [
    ("benzodiazepine", r"(zepam|zolam|zepate|zepoxide|bazam)$", []),
    (
        "opioid",
        r"(codone|morphone|morphine|fentan[iy]l|adone|codeine|codine|orphanol|azocine|adol)$",
        ["apomorphine"],
    ),
    ("opioid", r"opium|papaveretum|peridine$", []),
    ("cns-depressant", r"(barbital|albital|albutal|thiopental)$", []),
    ("cns-depressant", r"(triptyline|ipramine|doxepin|oxapine)$", []),
    ("cns-depressant", r"(peridol|piprazole|thixene|thixol|sulpiride|sulpride)$", ["dapiprazole"]),
    (
        "cns-depressant",
        r"(apine|peridone|asidone)$",
        ["domperidone", "mirtazapine", "nevirapine", "noscapine"],
    ),
    (
        "cns-depressant",
        r"(perazine|promazine|ridazine|ciazine|phenazine)$",
        ["piperazine", "thiethylperazine"],
    ),
    ("cns-depressant", r"(clone|plon|pidem|orexant|melteon)$", []),
    (
        "cns-depressant",
        r"(gabalin|gabapentin|oxybate)$",
        [f"{salt} oxybate" for salt in ("calcium", "magnesium", "potassium")],
    ),
    (
        "cns-active",
        r"(racetam|ytoin|antoin|ethotoin|suximide|bazepine|trigine)$",
        ["allantoin", "nitrofurantoin"],
    ),
    ("cns-active", r"(xetine|talopram|traline|faxine|nacipran)$", ["atomoxetine", "vortioxetine"]),
]


@pytest.mark.parametrize(("set_id", "ending", "alike"), CLASS_ENDINGS)
def test_no_name_of_a_class_is_left_out(set_id: str, ending: str, alike: list[str]) -> None:
    named = {name for name in INGREDIENTS if re.search(ending, name)}
    assert named & members(set_id)
    assert named - members(set_id) == set(alike)


def test_other_oxybates_come_with_sodium_oxybate() -> None:
    """Why it is enough that the set holds sodium oxybate."""
    with gzip.open(DATA / "drug_names" / "names.tsv.gz", "rt", encoding="utf-8") as lines:
        mixed = [line.split("\t")[2].split(";") for line in lines if "potassium oxybate" in line]
    assert mixed
    assert [names for names in mixed if "sodium oxybate" not in names] == []


# --- drugs: ATC -----------------------------------------------------------------------------------------

ATC_IN = {
    "opioid": """
        N02AA05 N02AB03 N02AJ06 N02AX02 N07BC01 N07BC02 R05DA04 R05DA03 N01AH01 A07DA02 R05FA02 N02AA59
    """,
    "opioid-use-disorder-treatment": "N07BC01 N07BC02 N07BC05 N07BC51",
    "benzodiazepine": "N05BA01 N05BA12 N05CD07 N05CD08 N03AE01",
    "cns-depressant": """
        N05CF02 N02BF01 N05AH04 N06AA09 N05BC01 N03AA02 N05CA01 N05CM09 R06AA02 N05BB01 N06CA01 A03CA02
    """,
    "cns-active": """
        N03AF01 N03AE01 N02BF02 N06AB06 N06AX21 N06AA09 N05AH03 N05BA06 N05CF01 N02AA01 M03BX08 M03BX02
    """,
    "anticholinergic": """
        N06AA09 R06AA02 G04BD04 N04AA01 A03BA01 A03AA07 N05AH02 M03BC01 M03BX08 A03CA02 R06AX07 N06AB05
    """,
}
ATC_OUT = {
    "opioid": """
        R05DA09 R05DA07 N07BC04 N07BB04 V03AB15 A07DA03 A07DA01 N02BE01 N02BG06 R05DB01 N05BA01 M03BA02
    """,
    "opioid-use-disorder-treatment": "N07BC04 N07BB04 N02AA05 N02AB03 N02AE01 R05DA04",
    "benzodiazepine": """
        N05CF02 N05BE01 N03AF01 N05BB01 N05CM02 N05BC01 N03AX09 M03BX02 N05AH03 N06AX05 N05CH01 N02BF01
    """,
    "cns-depressant": """
        N06AB03 N06AX16 R06AX13 N05AN01 N02AA05 N05BA12 N05CD07 N03AE01 M03BX08 N03AF01 N06AX12 N02BE01
    """,
    "cns-active": """
        R05DA09 N07BC04 N05AN01 N06AX12 N06AX05 N05BE01 M03CA01 R06AA02 N05CH01 N05BC01 N02BE01 R06AX13
    """,
    "anticholinergic": """
        R06AX13 M03BX02 N06AB06 N05AH04 G04BD12 N04BA02 N06DA02 S01FA01 A03BB01 N02BE01 C08DA01 M03BA03
    """,
}


@pytest.mark.parametrize("set_id", ATC_IN)
def test_atc_codes_that_must_and_must_not_be_in(set_id: str) -> None:
    assert [code for code in ATC_IN[set_id].split() if not has_atc(set_id, code)] == []
    assert [code for code in ATC_OUT[set_id].split() if has_atc(set_id, code)] == []


def test_an_ingredient_is_where_its_own_atc_codes_are() -> None:
    """A code that names a member must not be excluded from the same set."""
    for set_id, each in DRUGS.items():
        assert [code for row in each.ingredients for code in row.atc if not has_atc(set_id, code)] == []


# --- conditions -----------------------------------------------------------------------------------------

ICD_IN = {
    "back-pain": """
        M54.5 M54.50 M54.51 M54.59 M54.40 M54.42 M54.16 M54.17 M54.6 M54.89 M54.9 S39.012A S39.012D
        M62.830
    """,
    "chronic-pain": "G89.21 G89.22 G89.28 G89.29 G89.4",
    "muscle-spasm": "M62.830 M62.831 M62.838 R25.2 S39.012A",
    "spasticity": """
        G35 G35.A G35.B0 G35.C2 G35.D G80.0 G80.1 G80.2 G80.8 G80.9 G81.10 G82.20 G82.54 G11.4 G04.1
        G12.21
    """,
    "spasticity-diazepam": "G80.3 G25.82",
    "liver-cirrhosis": "K70.30 K70.31 K71.7 K74.3 K74.4 K74.5 K74.60 K74.69",
    "liver-floor": "K70.40 K70.41 K72.10 K72.11 K72.90 K72.91 K76.7 K91.82 B19.0 B19.11 B19.21",
    "liver-minor": "K70.0 K76.0 K74.00 K74.01 K74.02 K75.0 K76.1",
    "liver-active": """
        K70.10 K70.31 K70.41 K71.0 K71.9 K72.00 K73.2 K74.3 K74.60 K75.2 K75.4 K75.81 K75.89 B15.9 B18.2
        B19.20
    """,
    "liver-any": """
        K70.0 K70.9 K71.10 K72.01 K73.9 K74.1 K75.1 K75.9 K76.6 K76.82 K77 K91.82 B16.9 B17.10 B18.1
    """,
    "falls-history": "Z91.81",
    "opioid-use-disorder": "F11.10 F11.11 F11.20 F11.21 F11.23 F11.90",
}
ICD_OUT = {
    "back-pain": "M54.2 M54.12 M54.30 M54.81 M62.831 M62.838 R25.2 G89.29 S39.011A M47.816 S33.5XXA M79.1",
    "chronic-pain": "G89.0 G89.11 G89.18 G89.3 R52 M54.50 M79.7 G43.909 R51.9 M25.50 F45.41 G90.50",
    "muscle-spasm": "S39.012D S39.012S M54.50 G80.0 G81.11 M62.81 M62.84 R25.1 R25.3 R29.0 M62.40 G35.A",
    "spasticity": "G80.3 G80.4 G25.82 G81.00 G81.90 G83.4 G12.20 G11.1 G04.00 G20.A1 I69.351 M62.830 G36.0",
    "spasticity-diazepam": "G80.0 G80.4 G80.9 G35.A G25.81 G25.83 G25.3 M62.830 G82.20 G81.11 R25.2 G24.9",
    "liver-cirrhosis": "K70.2 K70.40 K71.6 K71.8 K74.00 K74.1 K74.2 K75.81 K76.6 K76.9 B18.2 I85.10",
    "liver-floor": "I85.00 I85.11 I86.4 K76.6 K76.5 K72.00 K74.60 K70.30 K70.0 B19.10 B19.20 B19.9",
    "liver-minor": "K70.2 K71.7 K74.1 K74.2 K74.60 K75.81 K76.2 K76.6 K76.9 K70.9 K75.1 K76.89",
    "liver-active": "K70.0 K70.2 K70.9 K74.00 K74.1 K75.0 K75.1 K75.9 K76.0 K76.1 K76.6 K77",
    "liver-any": "K80.20 K83.1 K85.90 I85.00 C22.0 Z94.4 K65.0 K69 K78 B20 B25.1 R74.01",
    "falls-history": "Z91.82 Z91.89 W19.XXXA R29.6 Z91.19 Z87.81 R26.81 R27.0 Z74.09 R54 M81.0 Z91.83",
    "opioid-use-disorder": """
        F10.20 F12.20 F13.20 F14.20 F15.20 F17.210 F19.20 T40.2X1A Z79.891 F55.8 G89.4 F16.20
    """,
}


def test_every_condition_set_with_icd_codes_is_listed_here() -> None:
    assert set(ICD_IN) == set(ICD_OUT) == {name for name, each in CONDITIONS.items() if each.icd10cm}


@pytest.mark.parametrize("set_id", ICD_IN)
def test_icd_codes_that_must_and_must_not_be_in(set_id: str) -> None:
    assert [code for code in ICD_IN[set_id].split() if not has_icd(set_id, code)] == []
    assert [code for code in ICD_OUT[set_id].split() if has_icd(set_id, code)] == []


def test_phase_of_back_pain_is_coded_in_snomed_alone() -> None:
    acute, chronic = ({row.code for row in CONDITIONS[f"{phase}-back-pain"].snomed} for phase in ("acute", "chronic"))
    assert acute.isdisjoint(chronic)
    assert acute | chronic <= {row.code for row in CONDITIONS["back-pain"].snomed}
    assert not CONDITIONS["acute-back-pain"].icd10cm
    assert not CONDITIONS["chronic-back-pain"].icd10cm


@pytest.mark.parametrize("part", ["liver-cirrhosis", "liver-floor", "liver-minor", "liver-active"])
def test_every_liver_code_is_liver_disease(part: str) -> None:
    assert [row.code for row in CONDITIONS[part].icd10cm if not has_icd("liver-any", row.code)] == []
    assert {row.code for row in CONDITIONS[part].snomed} <= {row.code for row in CONDITIONS["liver-any"].snomed}


def test_liver_sets_do_not_contradict_each_other() -> None:
    """Cirrhosis is active disease; what lowers a severity is neither active, nor cirrhosis, nor failure."""
    assert [row.code for row in CONDITIONS["liver-cirrhosis"].icd10cm if not has_icd("liver-active", row.code)] == []
    for minor in CONDITIONS["liver-minor"].icd10cm:
        assert not any(has_icd(name, minor.code) for name in ("liver-active", "liver-cirrhosis", "liver-floor"))


def test_uses_of_a_relaxant_do_not_overlap() -> None:
    for name in ("spasticity", "spasticity-diazepam"):
        others = [
            other for other in ("spasticity", "spasticity-diazepam", "muscle-spasm", "back-pain") if other != name
        ]
        for row in CONDITIONS[name].icd10cm:
            assert not any(has_icd(other, row.code) for other in others), row.code


def test_no_prefix_repeats_a_shorter_one_of_its_set() -> None:
    for each in CONDITIONS.values():
        codes = [row.code for row in each.icd10cm]
        assert [(a, b) for a in codes for b in codes if a != b and b.startswith(a)] == []
