"""The value sets. A drug left out of one is answered with "no": what must be in and out is listed by hand."""

import gzip
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

import rules_data
from safety_service.domain import Coding
from safety_service.knowledge.drug_names import DrugNames, base_ingredient
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
    lone = {row["rxcui"]: row["ingredients"] for row in rows if row["kind"] == "i"}
    return frozenset(DrugNames().all_ingredients()), lone


INGREDIENTS, LONE_CODES = _dictionary()


def members(set_id: str) -> set[str]:
    return {row.name for row in DRUGS[set_id].ingredients}


def has_drug(set_id: str, name: str, route: str = "oral", form: str = "") -> bool:
    return bool(BY_DRUG.of_ingredient(name, route, form) & BY_DRUG.bit(set_id))


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
        assert [code for code in codes + of_rows if not re.fullmatch(r"[A-Z]\d\d([A-Z]([A-Z](\d\d)?)?)?", code)] == []
        assert set(read.routes_excluded) <= {words.route for words in FORM_WORDS.values()}
        assert set(read.forms_excluded) <= {words.form for words in FORM_WORDS.values()}
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
NOT_SOLD_IN_THE_US = """
    chlormezanone eperisone febarbamate fenyramidol mephenesin phenprobamate pridinol styramate thiocolchicoside
    tolperisone
""".split()
CYP1A2_BY_NAME = """
    acyclovir amiodarone cimetidine famotidine mexiletine propafenone ticlopidine verapamil zileuton
""".split()
FLUOROQUINOLONES = "levofloxacin moxifloxacin ofloxacin norfloxacin gemifloxacin lomefloxacin sparfloxacin".split()
CONTRACEPTIVES = [
    "ethinyl estradiol",
    *"norethindrone norgestrel levonorgestrel desogestrel norgestimate drospirenone dienogest ethynodiol".split(),
    *"mestranol norethynodrel".split(),
]
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
    "relaxant": [*RELAXANTS, *NOT_SOLD_IN_THE_US],
    "cyp1a2-moderate": [*CYP1A2_BY_NAME, *FLUOROQUINOLONES, "valacyclovir"],
    "antihypertensive": """
        lisinopril enalapril benazepril losartan valsartan sacubitril aliskiren amlodipine nifedipine diltiazem
        verapamil metoprolol atenolol carvedilol propranolol hydrochlorothiazide chlorthalidone furosemide
        torsemide spironolactone triamterene clonidine guanfacine methyldopa hydralazine minoxidil prazosin
        doxazosin terazosin reserpine guanethidine guanadrel bosentan tolvaptan benzthiazide
    """.split(),
    "serotonergic": [*SSRI, *SNRI, *TRICYCLICS, "bupropion", "meperidine", "verapamil", "vilazodone"],
    "estrogen": [
        *"estradiol estriol estropipate mestranol diethylstilbestrol chlorotrianisene tibolone estramustine".split(),
        "ethinyl estradiol",
        "estrogens, conjugated (usp)",
        "estrogens, esterified (usp)",
        "synthetic conjugated estrogens, a",
        "synthetic conjugated estrogens, b",
    ],
}
# Sets with fewer members than can be listed by halves: here is the whole of each.
WHOLE = {
    "maoi": """
        phenelzine tranylcypromine isocarboxazid selegiline rasagiline safinamide moclobemide linezolid
        methylene_blue pargyline furazolidone procarbazine
    """,
    "cyp1a2-strong": "fluvoxamine ciprofloxacin",
    "cyp1a2-strong-secondary": "enoxacin viloxazine",
    "oral-contraceptive": " ".join(name.replace(" ", "_") for name in CONTRACEPTIVES),
    "alpha2-agonist": "clonidine guanfacine moxonidine guanabenz methyldopa dexmedetomidine detomidine",
    "tramadol": "tramadol",
    "guanethidine-clonidine": "guanethidine guanadrel clonidine",
    "meprobamate": "meprobamate",
    "carbamate": """
        meprobamate methocarbamol felbamate tybamate ethinamate cenobamate phenprobamate febarbamate styramate
    """,
    "cyp2c19": "omeprazole fluvoxamine rifampin st._john's_wort",
    "hepatotoxic": "chlorzoxazone tizanidine",
    "verapamil": "verapamil",
    "cyp-diazepam": "cimetidine ketoconazole fluvoxamine fluoxetine omeprazole",
    "cyp2e1-chlorzoxazone": "isoniazid disulfiram",
    "oral-potassium": "potassium_chloride potassium_citrate",
    "anticholinesterase": "pyridostigmine neostigmine ambenonium distigmine edrophonium",
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
    "relaxant": [*BENZODIAZEPINES, "tetrazepam", "quinine", "meprobamate", "gabapentin", "clonidine", *HARMLESS],
    "maoi": [
        *SSRI,
        *SNRI,
        *"bupropion atomoxetine tedizolid nitrofurantoin carbidopa levodopa pramipexole entacapone".split(),
        "st. john's wort",
        *HARMLESS,
    ],
    "cyp1a2-strong": [*CYP1A2_BY_NAME, *FLUOROQUINOLONES, "enoxacin", "viloxazine", "fluoxetine", *HARMLESS],
    "cyp1a2-strong-secondary": [*CYP1A2_BY_NAME, *FLUOROQUINOLONES, "ciprofloxacin", "fluvoxamine", *HARMLESS],
    "cyp1a2-moderate": [
        *"ciprofloxacin enoxacin fluvoxamine viloxazine ranitidine nizatidine famciclovir ganciclovir".split(),
        *"clopidogrel lidocaine flecainide diltiazem amlodipine montelukast caffeine".split(),
        *HARMLESS,
    ],
    "oral-contraceptive": [
        *"medroxyprogesterone megestrol progesterone ulipristal etonogestrel norelgestromin estradiol".split(),
        *"tibolone raloxifene tamoxifen cyproterone testolactone".split(),
        *HARMLESS,
    ],
    "alpha2-agonist": [
        *"tizanidine midodrine phenylephrine yohimbine prazosin doxazosin guanethidine guanadrel".split(),
        *"reserpine hydralazine propranolol oxymetazoline guanidine".split(),
        *HARMLESS,
    ],
    "antihypertensive": [
        *"nitroglycerin ranolazine digoxin".split(),
        *"alfuzosin silodosin tamsulosin phenoxybenzamine tolazoline acetazolamide mannitol isosorbide".split(),
        *"pamabrom levobunolol metipranolol sildenafil tizanidine midodrine amiodarone".split(),
        *"acetaminophen ibuprofen aspirin naproxen metformin atorvastatin omeprazole".split(),
    ],
    "serotonergic": [
        *"tramadol trazodone nefazodone mirtazapine vortioxetine sibutramine buspirone sumatriptan fentanyl".split(),
        *"methadone dextromethorphan lithium tryptophan linezolid phenelzine selegiline cyclobenzaprine".split(),
        *"diltiazem ondansetron".split(),
        "methylene blue",
        "st. john's wort",
        *HARMLESS,
    ],
    "tramadol": [*(name for name in OPIOIDS if name != "tramadol"), *HARMLESS],
    "guanethidine-clonidine": "guanfacine guanabenz methyldopa moxonidine reserpine tizanidine guanidine".split()
    + HARMLESS,
    "meprobamate": "carisoprodol tybamate felbamate methocarbamol ethinamate diazepam buspirone".split() + HARMLESS,
    "carbamate": [
        *"carisoprodol metaxalone carbamazepine carbidopa carbromal neostigmine pyridostigmine rivastigmine".split(),
        *"bethanechol carbachol ezogabine loratadine mebendazole guaifenesin".split(),
        *HARMLESS,
    ],
    "cyp2c19": [
        *"esomeprazole pantoprazole lansoprazole fluoxetine rifabutin rifapentine carbamazepine phenytoin".split(),
        *"clopidogrel fluconazole cimetidine".split(),
        *(name for name in HARMLESS if name != "omeprazole"),
    ],
    "hepatotoxic": """
        carisoprodol cyclobenzaprine metaxalone methocarbamol orphenadrine baclofen dantrolene estradiol
        acetaminophen isoniazid valproate methotrexate amiodarone
    """.split(),
    "estrogen": [
        *"progesterone medroxyprogesterone norethindrone levonorgestrel tamoxifen raloxifene ospemifene".split(),
        *"bazedoxifene clomiphene anastrozole methyltestosterone danazol megestrol".split(),
        "soybean preparation",
        "red clover preparation",
        *HARMLESS,
    ],
    "verapamil": "diltiazem amlodipine nifedipine felodipine bepridil dronedarone".split() + HARMLESS,
    "cyp-diazepam": [
        *"esomeprazole pantoprazole famotidine itraconazole fluconazole clarithromycin sertraline".split(),
        *"erythromycin".split(),
        *(name for name in HARMLESS if name != "omeprazole"),
    ],
    "cyp2e1-chlorzoxazone": "rifampin pyrazinamide ethambutol acamprosate naltrexone ethanol".split() + HARMLESS,
    "oral-potassium": [
        "potassium",
        *(f"potassium {salt}" for salt in ("gluconate", "bicarbonate", "phosphate", "iodide", "aspartate")),
        *"spironolactone losartan".split(),
        "sodium chloride",
        "calcium citrate",
        *HARMLESS,
    ],
    "anticholinesterase": "donepezil rivastigmine galantamine tacrine guanidine bethanechol atropine".split()
    + HARMLESS,
}


def test_small_sets_hold_exactly_what_is_listed() -> None:
    assert {name: members(name) for name in WHOLE} == {
        name: {each.replace("_", " ") for each in whole.split()} for name, whole in WHOLE.items()
    }


def test_every_drug_set_is_listed_here() -> None:
    assert set(IN) | set(WHOLE) | {"opioid-use-disorder-treatment"} == set(DRUGS)
    assert set(OUT) | {"opioid-use-disorder-treatment"} == set(DRUGS)


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
        ("relaxant", "baclofen", "oral", True),
        ("relaxant", "baclofen", "intrathecal", False),
        ("relaxant", "methocarbamol", "injection", False),
        ("relaxant", "cyclobenzaprine", "topical", False),
        ("relaxant", "baclofen", "", True),
        ("maoi", "selegiline", "transdermal", True),
        ("maoi", "linezolid", "injection", True),
        ("maoi", "methylene blue", "ophthalmic", False),
        ("cyp1a2-strong", "ciprofloxacin", "injection", True),
        ("cyp1a2-strong", "ciprofloxacin", "otic", False),
        ("cyp1a2-moderate", "acyclovir", "topical", False),
        ("cyp1a2-moderate", "moxifloxacin", "ophthalmic", False),
        ("oral-contraceptive", "ethinyl estradiol", "oral", True),
        ("oral-contraceptive", "ethinyl estradiol", "vaginal", False),
        ("oral-contraceptive", "ethinyl estradiol", "transdermal", False),
        ("oral-contraceptive", "levonorgestrel", "intrauterine", False),
        ("oral-contraceptive", "levonorgestrel", "implant", False),
        ("estrogen", "ethinyl estradiol", "vaginal", True),
        ("estrogen", "estradiol", "transdermal", True),
        ("antihypertensive", "timolol", "oral", True),
        ("antihypertensive", "timolol", "ophthalmic", False),
        ("antihypertensive", "minoxidil", "topical", False),
        ("antihypertensive", "clonidine", "transdermal", True),
        ("alpha2-agonist", "clonidine", "topical", False),
        ("serotonergic", "doxepin", "topical", False),
        ("carbamate", "methocarbamol", "injection", True),  # an allergy is one by any route
        ("cyp-diazepam", "ketoconazole", "topical", False),
        ("oral-potassium", "potassium chloride", "injection", False),
        ("oral-potassium", "potassium chloride", "irrigation", False),
        ("anticholinesterase", "neostigmine", "ophthalmic", False),
    ],
)
def test_route_decides_where_it_matters(set_id: str, name: str, route: str, expected: bool) -> None:
    assert has_drug(set_id, name, route) is expected


@pytest.mark.parametrize(
    ("form", "expected"),
    [("tablet", True), ("capsule", True), ("", True), ("solution", False), ("effervescent tablet", False)],
)
def test_dose_form_decides_where_it_matters(form: str, expected: bool) -> None:
    assert has_drug("oral-potassium", "potassium chloride", "oral", form) is expected
    assert has_drug("opioid", "morphine", "oral", form)


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
    ("serotonergic", r"(xetine|talopram|traline|faxine|nacipran|vilazodone)$", ["atomoxetine", "vortioxetine"]),
    ("serotonergic", r"(triptyline|ipramine|doxepin|oxapine|protiline|thiepin)$", ["loxapine"]),
    ("cyp1a2-moderate", r"oxacin$", ["ciprofloxacin", "enoxacin"]),
    (
        "antihypertensive",
        r"(olol|alol|dilol|pril|prilat|sartan|dipine|thiazide|azosin|thiazem|osentan|entan)$",
        ["levobunolol", "metipranolol"],
    ),
    ("antihypertensive", r"(semide|etanide|erenone|lactone|serpine|serpidine|dapamide)$", ["testolactone"]),
    ("estrogen", r"(estradiol|estriol|estranol|estrol|estropipate|trianisene)$|estrogens", ["megestrol"]),
    ("oral-contraceptive", r"(norgestrel|norgestimate|norethin|norethyn|spirenone|dienogest|sogestrel)", []),
    ("maoi", r"(giline|gyline|moclobemide|carboxazid|phenelzine|cypromine)$", []),
    ("alpha2-agonist", r"(onidine|guanfacine|guanabenz|etomidine)$", []),
    ("carbamate", r"bamate$", []),
    ("relaxant", r"(perisone|zoxazone|bamol|soprodol|benzaprine|xalone|phenesin|zanidine|dinol)$", []),
    ("anticholinesterase", r"stigmine$", ["rivastigmine"]),
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
        M62.830 M51.360 M51.362 M51.370 M51.372
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
    # the heart
    "hyperthyroidism": "E05.00 E05.01 E05.10 E05.11 E05.20 E05.30 E05.40 E05.80 E05.81 E05.90 E05.91 E06.2",
    "arrhythmia": """
        I47.0 I47.10 I47.11 I47.20 I47.21 I47.9 I48.0 I48.11 I48.21 I48.91 I48.92 I49.01 I49.3 I49.5 I49.9
    """,
    "heart-block": """
        I44.0 I44.1 I44.2 I44.30 I44.4 I44.60 I44.7 I45.0 I45.10 I45.2 I45.3 I45.5 I45.6 I45.81 I45.9 Q24.6
    """,
    "heart-failure": """
        I50.1 I50.20 I50.22 I50.31 I50.43 I50.810 I50.814 I50.82 I50.84 I50.9 I11.0 I13.0 I13.2 I09.81 I97.130 I97.131
    """,
    "myocardial-infarction": "I21.01 I21.09 I21.11 I21.29 I21.3 I21.4 I21.9 I21.A1 I21.A9 I21.B I22.0 I22.2 I22.9",
    "tachycardia": "R00.0 I47.0 I47.10 I47.11 I47.19 I47.20 I47.29 I47.9 G90.A",
    "coronary-insufficiency": """
        I20.0 I20.1 I20.81 I20.9 I21.4 I22.1 I23.7 I24.0 I24.1 I24.89 I24.9 I25.10 I25.110 I25.2 I25.5 I25.700 I25.9
    """,
    # breathing
    "lung-function-impaired": """
        J41.0 J42 J43.9 J44.0 J44.1 J44.89 J44.9 J45.20 J45.50 J45.909 J47.9 J4A.0 J60 J61 J67.9 J84.10 J84.112
        J95.3 J96.10 E84.0 D86.0 R94.2 Z99.81 Z99.11 J80
    """,
    "respiratory-insufficiency": """
        J96.00 J96.01 J96.02 J96.10 J96.11 J96.12 J96.20 J96.90 J96.91 J80 J95.821 J95.822 Z99.11
    """,
    "sleep-apnea": "G47.3 G47.30 G47.31 G47.32 G47.33 G47.34 G47.35 G47.36 G47.37 G47.39",
    # blood
    "porphyria-acute-intermittent": "E80.21",
    "porphyria-unspecified": "E80.20",
    "anemia-tendency": """
        D55.0 D55.21 D55.9 D56.0 D56.1 D56.3 D57.00 D57.1 D57.20 D57.40 D57.80 D58.0 D58.9 D59.0 D59.11 D59.2 D59.3
        D59.9 D52.1 D61.1 D61.810 D61.811 D64.2 D64.81 D75.A
    """,
    "anemia-other": "D50.0 D50.9 D51.0 D52.0 D53.9 D60.9 D61.3 D61.818 D61.9 D62 D63.0 D63.1 D64.0 D64.9",
    # eyes
    "glaucoma": """
        H40.10X0 H40.1110 H40.1212 H40.1394 H40.20X0 H40.211 H40.2230 H40.249 H40.30X0 H40.51X1 H40.62X3 H40.811
        H40.89
        H40.9 H42 H44.511 Q15.0 H40.031 H40.069
    """,
    "glaucoma-angle-closure": """
        H40.20X0 H40.20X3 H40.211 H40.212 H40.219 H40.2210 H40.2234 H40.231 H40.249 H40.031 H40.039 H40.061
    """,
    "glaucoma-acute-angle-closure": "H40.21 H40.211 H40.212 H40.213 H40.219",
    "glaucoma-unspecified": "H40.20 H40.20X0 H40.20X1 H40.20X2 H40.20X3 H40.20X4 H40.9",
    "raised-intraocular-pressure": """
        H40.041 H40.051 H40.053 H40.10X0 H40.1110 H40.1131 H40.1310 H40.1412 H40.151 H40.31X0 H40.43X1 H40.50X0
        H40.60X0 H40.811 H40.89 H40.9 H42 H44.513 Q15.0
    """,
    # stomach, bladder, prostate
    "gastric-obstruction": "K31.1 K31.5 Q40.0 Q41.0",
    "peptic-ulcer": "K25.0 K25.3 K25.7 K25.9 K26.0 K26.4 K26.7 K26.9 K27.1 K27.9 K28.0 K28.5 K28.9",
    "prostatic-hypertrophy": "N40 N40.0 N40.1 N40.2 N40.3",
    "bladder-neck-obstruction": "N32.0 Q64.31",
    "cardiospasm": "K22.0 Q39.5 B57.31",
    "urinary-retention": "R33 R33.0 R33.8 R33.9",
    # nerves and mind
    "myasthenia-gravis": "G70.0 G70.00 G70.01",
    "seizure-disorder": """
        G40.001 G40.009 G40.109 G40.209 G40.309 G40.311 G40.401 G40.509 G40.802 G40.901 G40.909 G40.A09 G40.B19 R56.1
        R56.9
    """,
    "psychosis": """
        F20.0 F20.5 F20.81 F20.9 F21 F22 F23 F24 F25.0 F25.9 F28 F29 F06.0 F06.2 F30.2 F31.2 F31.5 F31.64 F32.3 F33.3
        F53.1 F02.82 F03.92 F03.B2 F10.150 F12.259 F15.951 F19.959
    """,
    "autonomic-dysreflexia": "G90.4",
    "substance-use-disorder": """
        F10.10 F10.20 F10.21 F11.20 F11.23 F12.10 F12.20 F13.20 F14.20 F15.10 F16.20 F18.10 F19.20 F19.21 F10.920
    """,
    "end-of-life": "Z51.5",
    # kidneys
    "kidney-moderate": "N18.3 N18.30 N18.31 N18.32",
    "severe-heart-disease": "I50.84",
    "kidney-severe": "N18.4 N18.5 N18.6 Z99.2 I12.0 I13.11 I13.2 Z49.01 Z49.31 Z91.151 Z91.158",
    "kidney-unstaged": """
        N17.0 N17.9 N18.9 N19 N99.0 I12.9 I13.0 I13.10 E10.22 E11.21 E11.22 E13.22 N00.9 N02.B1 N03.2 N04.9 N05.9 N08
        N14.11 N25.1 N26.9 Q61.2 Q61.9 K76.7 Z94.0 Z90.5 D63.1 M32.14 O90.49
    """,
    # pregnancy
    "pregnancy": """
        O09.90 O10.011 O10.919 O11.2 O12.03 O13.9 O14.00 O14.93 O15.00 O15.9 O16.3 O20.0 O21.0 O22.41 O23.40 O24.011
        O24.410 O24.419 O25.10 O26.11 O26.619 O26.831 O26.86 O28.3 O29.011 O30.001 O32.1XX0 O34.211 O35.00X0 O36.5910
        O40.1XX0 O42.00 O44.00 O46.90 O47.9 O48.0 O60.00 O88.211 O91.011 O92.011 O98.411 O99.011 O99.810 O99.820
        O99.891 O9A.111
        Z32.01 Z33.1 Z33.3 Z34.00 Z34.90 Z36.9 Z3A.00 Z3A.20
    """,
    "lactation": "O91.03 O91.13 O91.23 O92.03 O92.13 O92.4 O92.70 O92.79 Z39.1",
    # what a relaxant is or is not for
    "stroke": "I60.9 I61.0 I61.9 I63.00 I63.411 I63.50 I63.81 I63.9 I69.051 I69.151 I69.351 I69.354 I69.398 I69.90",
    "cerebral-palsy": "G80 G80.0 G80.1 G80.2 G80.3 G80.4 G80.8 G80.9",
    "parkinson": "G20 G20.A1 G20.A2 G20.B1 G20.B2 G20.C",
    "low-back-pain": """
        M54.5 M54.50 M54.51 M54.59 M54.40 M54.41 M54.16 M54.17 M51.360 M51.372 S39.012A S39.012D M62.830
    """,
    "acute-spasm": "M62.830 M62.838 R25.2 S39.012A",
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
    "hyperthyroidism": "E03.9 E04.0 E04.1 E04.2 E06.0 E06.1 E06.3 E06.9 E07.9 P72.1 R94.6 Z86.39 O90.5",
    "arrhythmia": "I44.0 I44.7 I45.10 I45.6 I45.81 I46.9 R00.0 R00.1 R00.2 P29.11 Z95.0 I50.9 Q24.6 G90.A",
    "heart-block": "I47.10 I48.91 I49.5 I49.9 R00.1 Z95.0 I50.9 I42.0 I25.10 I46.9 R94.31 Q24.9",
    "heart-failure": "I11.9 I12.0 I13.10 I13.11 I42.0 I42.9 I51.7 I51.9 I09.89 I97.110 R60.9 J81.0 P29.0 I27.20",
    "myocardial-infarction": "I25.2 I20.0 I20.9 I23.0 I23.7 I24.0 I24.9 I25.10 I25.5 R07.9 Z86.79 Z95.5",
    "tachycardia": "R00.1 R00.2 R00.8 I48.91 I49.3 I49.5 I49.9 I44.0 I45.6 I50.9 F41.0 R55",
    "coronary-insufficiency": "I26.99 I27.20 I42.0 I50.9 I65.29 I70.0 I73.9 R07.9 Z95.1 Z95.5 I48.91 Z82.49 I11.9",
    "lung-function-impaired": """
        J06.9 J18.9 J20.9 J22 J30.9 J32.9 J40 J90 J93.9 G47.33 I26.99 R05.9 R06.02 D86.3 E84.19
    """,
    "respiratory-insufficiency": """
        J44.9 J45.909 J84.10 J95.1 J95.2 J95.3 J95.811 R06.00 R06.89 R09.02 R09.2 Z99.81 J18.9
    """,
    "sleep-apnea": "G47.00 G47.10 G47.20 G47.411 G47.50 G47.8 G47.9 R06.81 R06.83 R06.3 P28.30 E66.2",
    "porphyria-acute-intermittent": "E80.0 E80.1 E80.20 E80.29 E80.3 E80.4 E80.6 E80.7 E83.110 D64.0 T56.0X1A R82.0",
    "porphyria-unspecified": "E80.0 E80.1 E80.21 E80.29 E80.3 E80.4 E80.5 E80.6 E80.7 E83.110 D64.0 R82.0",
    "anemia-tendency": "D50.9 D51.0 D52.0 D53.9 D57.3 D60.9 D61.3 D61.818 D61.9 D62 D63.1 D64.0 D64.9 O99.011 D46.9",
    "anemia-other": "D55.0 D56.1 D57.1 D57.3 D59.9 D52.1 D61.1 D61.810 D64.2 D64.81 D75.A D46.9 O99.011 P61.4 D70.9",
    "glaucoma": "H40.001 H40.011 H40.021 H40.041 H40.051 H26.9 H44.50 H44.521 H47.011 H57.10 H35.30 Z83.511 Z98.83",
    "glaucoma-angle-closure": """
        H40.001 H40.011 H40.021 H40.041 H40.051 H40.10X0 H40.1110 H40.31X0 H40.811 H40.831 H40.9 H42 Q15.0
    """,
    "glaucoma-acute-angle-closure": """
        H40.20X0 H40.2210 H40.231 H40.241 H40.031 H40.061 H40.10X0 H40.1110 H40.9 H40.831 H42 Q15.0
    """,
    "glaucoma-unspecified": """
        H40.211 H40.2210 H40.231 H40.241 H40.031 H40.061 H40.10X0 H40.1131 H40.31X0 H40.811 H40.89 H42 H40.2
    """,
    "raised-intraocular-pressure": """
        H40.001 H40.011 H40.021 H40.031 H40.061 H40.1210 H40.20X0 H40.211 H40.2210 H40.241 H26.9 H44.521
    """,
    "gastric-obstruction": "K25.9 K26.9 K29.70 K31.0 K31.2 K31.3 K31.4 K31.84 K31.89 K56.609 K22.2 Q41.1 K21.9",
    "peptic-ulcer": "K21.9 K22.10 K22.11 K29.00 K29.70 K31.1 K31.5 K31.7 K31.82 K63.3 K92.2 Z87.11",
    "prostatic-hypertrophy": "N41.0 N41.1 N42.0 N42.30 N42.9 C61 D07.5 D29.1 R33.9 R97.20 N32.0 Z87.438",
    "bladder-neck-obstruction": "N13.8 N31.9 N32.1 N32.81 N32.89 N35.919 N40.1 Q64.2 Q64.32 Q64.39 R33.9 R39.14",
    "cardiospasm": "K20.90 K21.9 K22.10 K22.2 K22.4 K22.5 K22.9 Q39.0 Q39.4 B57.30 B57.32 R13.10",
    "urinary-retention": "R32 R34 R35.0 R39.11 R39.14 R39.16 N31.9 N32.0 N32.81 N40.1 N13.30 N39.0",
    "myasthenia-gravis": "G70.1 G70.2 G70.80 G70.81 G70.89 G70.9 G73.3 G71.00 G72.9 G61.0 P94.0 M62.81",
    "seizure-disorder": "R56.00 R56.01 F44.5 O15.9 P90 G43.909 R55 R25.2 G25.3 G47.419 Z82.0 G45.9",
    "psychosis": """
        F05 F10.20 F30.13 F31.13 F32.2 F32.9 F33.2 F33.9 F41.1 F43.10 F48.9 F60.1 F02.80 F03.90 R41.0 R44.3
    """,
    "autonomic-dysreflexia": "G90.09 G90.1 G90.2 G90.3 G90.50 G90.8 G90.9 G90.A I95.1 G82.20 G83.4 R55",
    "substance-use-disorder": """
        F17.200 F17.210 F55.0 F55.8 F50.00 F63.0 Z72.0 Z79.891 Z71.41 T40.2X1A F07.0 G89.4 R78.0
    """,
    "end-of-life": "Z51.0 Z51.11 Z51.81 Z51.89 Z66 Z63.4 C34.90 C79.9 G30.9 R54 R62.7 Z74.01",
    "kidney-moderate": "N18.1 N18.2 N18.4 N18.5 N18.6 N18.9 N17.9 N19 I12.9 E11.22 Z99.2 Z94.0",
    "severe-heart-disease": "I50.9 I50.22 I50.810 I25.5 I21.9 I42.0",
    "kidney-severe": "N18.1 N18.2 N18.30 N18.32 N18.9 N17.9 N19 I12.9 I13.0 I13.10 E11.22 Z94.0 I95.3",
    "kidney-unstaged": """
        N18.1 N18.2 N18.30 N18.31 N18.32 N18.4 N18.5 N18.6 Z99.2 I12.0 I13.11 I13.2 N10 N13.30 N20.0 N28.1 N39.0
        E11.9 E11.40
    """,
    "pregnancy": """
        O00.90 O02.1 O03.9 O04.89 O08.9 O10.02 O10.03 O12.04 O13.5 O14.95 O15.1 O15.2 O24.02 O24.430 O25.3 O26.63
        O60.10X0 O60.20X0 O62.0 O70.1 O72.1 O80 O82 O85 O86.4 O87.1 O88.23 O90.81 O91.02 O91.23 O92.13 O94
        O98.43 O99.03
        O99.03 O9A.13 Z32.02 Z33.2 Z37.0 Z39.2 Z87.59 Z30.09 N91.2
    """,
    "lactation": """
        O92.3 O92.5 O92.6 O91.011 O91.019 O91.02 O91.22 O92.02 O92.29 O85 O90.6 Z39.2 Z34.90 N64.4 N61.0 N64.3
    """,
    "stroke": "G45.9 G81.10 G82.20 I62.00 I62.9 I65.29 I66.9 I67.2 I67.9 Z86.73 S06.5X0A R47.01 G46.0",
    "cerebral-palsy": "G81.10 G82.20 G35.A G11.4 G83.0 G83.9 F84.0 P11.9 P91.60 G93.1 G04.1 R25.2",
    "parkinson": "G21.0 G21.11 G21.19 G21.4 G21.9 G23.1 G23.2 G24.01 G25.0 G25.81 G31.83 R25.1",
    "low-back-pain": """
        M54.2 M54.6 M54.89 M54.9 M54.12 M54.30 M51.361 M51.369 M51.26 M62.831 M62.838 R25.2 G89.29 M47.816
    """,
    "acute-spasm": "M62.831 S39.012D S39.012S M54.50 M54.59 M62.81 R25.1 R25.3 R29.0 G80.0 G35.A G89.29",
}


def test_every_condition_set_with_icd_codes_is_listed_here() -> None:
    assert set(ICD_IN) == set(ICD_OUT) == {name for name, each in CONDITIONS.items() if each.icd10cm}


@pytest.mark.parametrize("set_id", ICD_IN)
def test_icd_codes_that_must_and_must_not_be_in(set_id: str) -> None:
    assert [code for code in ICD_IN[set_id].split() if not has_icd(set_id, code)] == []
    assert [code for code in ICD_OUT[set_id].split() if has_icd(set_id, code)] == []


def left_open(*codes: str, system: str = "http://hl7.org/fhir/sid/icd-10-cm") -> set[str]:
    bits = BY_CONDITION.left_open([Coding(system, code, "") for code in codes])
    return {name for name in BY_CONDITION.ids if bits & BY_CONDITION.bit(name)}


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (["N18"], {"kidney-moderate", "kidney-severe", "kidney-unstaged"}),
        (["n18 "], {"kidney-moderate", "kidney-severe", "kidney-unstaged"}),
        (["N18.3"], set()),  # any stage 3 is moderate
        (["N18.30"], set()),
        (["N18", "N18.4"], set()),  # the longer code settles it
        (["E80.2"], {"porphyria-acute-intermittent", "porphyria-unspecified"}),
        (["G80"], {"spasticity", "spasticity-diazepam"}),  # and it is cerebral palsy for certain
        (["M54.5"], set()),  # no longer billable, and back pain all the same
        (["E11"], {"kidney-unstaged"}),
        (["I10"], set()),
        ([], set()),
    ],
)
def test_a_code_too_short_to_tell_leaves_its_parts_open(codes: list[str], expected: set[str]) -> None:
    assert left_open(*codes) == expected


def test_only_icd_codes_can_be_too_short() -> None:
    assert left_open("128188000", system="http://snomed.info/sct") == set()
    assert left_open("N18", system="http://example.org/codes") == set()
    both = (Coding("http://hl7.org/fhir/sid/icd-10-cm", "G80", ""), Coding("http://snomed.info/sct", "230773005", ""))
    assert BY_CONDITION.left_open(both) == 0


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


@pytest.mark.parametrize(
    ("part", "whole"),
    [
        ("low-back-pain", "back-pain"),
        ("acute-spasm", "muscle-spasm"),
        ("opioid-use-disorder", "substance-use-disorder"),
        ("respiratory-insufficiency", "lung-function-impaired"),
        ("myocardial-infarction", "coronary-insufficiency"),
        ("glaucoma-acute-angle-closure", "glaucoma-angle-closure"),
        ("glaucoma-angle-closure", "glaucoma"),
        ("glaucoma-unspecified", "glaucoma"),
        ("spasticity-diazepam", "cerebral-palsy"),
    ],
)
def test_a_part_lies_in_its_whole(part: str, whole: str) -> None:
    inside = {row.code for row in CONDITIONS[part].icd10cm if has_icd(whole, row.code)}
    outside = {row.code for row in CONDITIONS[part].icd10cm} - inside
    assert outside == ({"G25.82"} if part == "spasticity-diazepam" else set())
    if part != "acute-spasm":  # acute low back pain is no spasm
        assert {row.code for row in CONDITIONS[part].snomed} <= {row.code for row in CONDITIONS[whole].snomed}


@pytest.mark.parametrize(
    "names",
    [
        ("kidney-moderate", "kidney-severe", "kidney-unstaged"),
        ("porphyria-acute-intermittent", "porphyria-unspecified"),
        ("anemia-tendency", "anemia-other"),
        ("glaucoma-angle-closure", "raised-intraocular-pressure"),
        ("glaucoma-acute-angle-closure", "glaucoma-unspecified"),
        ("arrhythmia", "heart-block"),
        ("pregnancy", "lactation"),
        ("gastric-obstruction", "peptic-ulcer"),
    ],
)
def test_sets_that_exclude_each_other_share_no_code(names: tuple[str, ...]) -> None:
    for name in names:
        for row in CONDITIONS[name].icd10cm:
            assert [other for other in names if has_icd(other, row.code)] == [name], row.code


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
