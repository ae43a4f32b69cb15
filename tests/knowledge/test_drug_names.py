"""The dictionary of drug names: how a RxNorm name is read, and what the dictionary holds."""

import gzip
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from safety_service.domain import ResolvedIngredient
from safety_service.knowledge import build_drug_names as build
from safety_service.knowledge.drug_names import (
    COLUMNS,
    DIRECTORY,
    DrugName,
    DrugNames,
    NameKind,
    base_ingredient,
    read_name,
    read_row,
    write_row,
)
from safety_service.knowledge.drug_words import EVERY, OPEN_BEFORE, SAYS_NOTHING, phrase, read_form, tokens

TEN = {
    "cyclobenzaprine",
    "methocarbamol",
    "carisoprodol",
    "metaxalone",
    "tizanidine",
    "baclofen",
    "orphenadrine",
    "chlorzoxazone",
    "dantrolene",
    "diazepam",
}


@pytest.fixture(scope="module")
def names() -> DrugNames:
    return DrugNames()


def held(*strengths: tuple[str, int | None, str]) -> tuple[ResolvedIngredient, ...]:
    return tuple(ResolvedIngredient(*strength) for strength in strengths)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "Cyclobenzaprine hydrochloride 7.5 MG Oral Tablet [Fexmid]",
            DrugName(NameKind.PRODUCT, held(("cyclobenzaprine", 7500, "")), "tablet", "oral", "ir", "Fexmid"),
        ),
        (
            "24 HR Cyclobenzaprine hydrochloride 30 MG Extended Release Oral Capsule",
            DrugName(NameKind.PRODUCT, held(("cyclobenzaprine", 30_000, "")), "capsule", "oral", "er"),
        ),
        ("Baclofen 20 MG", DrugName(NameKind.COMPONENT, held(("baclofen", 20_000, "")))),
        (
            "Carisoprodol 350 MG [Soma]",
            DrugName(NameKind.COMPONENT, held(("carisoprodol", 350_000, "")), brand="Soma"),
        ),
        (
            "aspirin 325 MG / carisoprodol 200 MG / codeine phosphate 16 MG Oral Tablet",
            DrugName(
                NameKind.PRODUCT,
                held(("aspirin", 325_000, ""), ("carisoprodol", 200_000, ""), ("codeine", 16_000, "")),
                "tablet",
                "oral",
                "ir",
            ),
        ),
        (
            "Aspirin / Carisoprodol / Codeine Pill",
            DrugName(
                NameKind.GROUP,
                held(("aspirin", None, ""), ("carisoprodol", None, ""), ("codeine", None, "")),
                "pill",
                "oral",
            ),
        ),
        ("cyclobenzaprine", DrugName(NameKind.INGREDIENT, held(("cyclobenzaprine", None, "")))),
        (
            "2 ML methotrexate 25 MG/ML Injection",
            DrugName(NameKind.PRODUCT, held(("methotrexate", 25_000, "mL")), "injection", "injection"),
        ),
        (
            "0.5 ML diazepam 5 MG/ML Rectal Gel [Diastat]",
            DrugName(NameKind.PRODUCT, held(("diazepam", 5_000, "mL")), "gel", "rectal", "", "Diastat"),
        ),
        (
            "12 HR CHLORPHENIRAMINE POLISTIREX 4 MG / HYDROCODONE POLISTIREX 5 MG Extended Release Oral Capsule",
            DrugName(
                NameKind.PRODUCT,
                held(("chlorpheniramine", 4_000, ""), ("hydrocodone", 5_000, "")),
                "capsule",
                "oral",
                "er",
            ),
        ),
        (
            "divalproex sodium 125 MG Delayed Release Oral Capsule [Depakote]",
            DrugName(
                NameKind.PRODUCT,
                held(("valproate", 125_000, "")),
                "delayed release capsule",
                "oral",
                "",
                "Depakote",
            ),
        ),
        (
            "72 HR fentanyl 0.025 MG/HR Transdermal System",
            DrugName(NameKind.PRODUCT, held(("fentanyl", 25, "h")), "patch", "transdermal"),
        ),
        # Not a whole number of micrograms, or no mass at all: never rounded, never guessed.
        (
            "levothyroxine sodium 0.0125 MG Oral Tablet",
            DrugName(NameKind.PRODUCT, held(("levothyroxine", None, "")), "tablet", "oral", "ir"),
        ),
        (
            "Potassium Chloride 20 MEQ Extended Release Oral Tablet",
            DrugName(NameKind.PRODUCT, held(("potassium chloride", None, "")), "tablet", "oral", "er"),
        ),
        # Two salts of one ingredient are added up.
        (
            "amphetamine aspartate 5 MG / amphetamine sulfate 5 MG / dextroamphetamine saccharate 5 MG"
            " / dextroamphetamine sulfate 5 MG Oral Tablet",
            DrugName(
                NameKind.PRODUCT,
                held(("amphetamine", 10_000, ""), ("dextroamphetamine", 10_000, "")),
                "tablet",
                "oral",
                "ir",
            ),
        ),
        (
            "0.25 MG, 0.5 MG Dose 1.5 ML semaglutide 1.34 MG/ML Pen Injector",
            DrugName(NameKind.PRODUCT, held(("semaglutide", 1_340, "mL")), "pen injector", "injection"),
        ),
        (
            "20/80 Release 24 HR methylphenidate hydrochloride 25 MG Extended Release Oral Capsule",
            DrugName(NameKind.PRODUCT, held(("methylphenidate", 25_000, "")), "capsule", "oral", "er"),
        ),
        # A pack: an ingredient keeps its strength only where all parts that hold it agree; placebos are left out.
        (
            "{21 (drospirenone 3 MG / ethinyl estradiol 0.03 MG Oral Tablet)"
            " / 5 (ethinyl estradiol 0.01 MG Oral Tablet) / 2 (inert ingredients 1 MG Oral Tablet) } Pack [Yaz]",
            DrugName(
                NameKind.PACK,
                held(("drospirenone", 3_000, ""), ("ethinyl estradiol", None, "")),
                "pack",
                "oral",
                "ir",
                "Yaz",
            ),
        ),
    ],
)
def test_a_rxnorm_name_is_taken_apart(name: str, expected: DrugName) -> None:
    assert read_name(name) == expected


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("Cyclobenzaprine hydrochloride", "cyclobenzaprine"),
        ("Dantrolene Sodium", "dantrolene"),
        ("Orphenadrine Citrate", "orphenadrine"),
        ("Codeine Phosphate", "codeine"),
        ("HYDROCODONE POLISTIREX", "hydrocodone"),
        ("morphine sulfate liposomal", "morphine"),
        ("gabapentin enacarbil", "gabapentin"),
        ("prednisolone sodium phosphate", "prednisolone"),
        ("penicillin V potassium", "penicillin v"),
        ("risedronate sodium", "risedronate"),
        ("valproic acid", "valproate"),
        # Salts of simple ions, and names that only look like a salt, stay whole.
        ("Potassium Chloride", "potassium chloride"),
        ("sodium phosphate", "sodium phosphate"),
        ("sodium chloride", "sodium chloride"),
        ("magnesium oxide", "magnesium oxide"),
        ("lithium carbonate", "lithium carbonate"),
        ("calcium gluconate", "calcium gluconate"),
        ("isosorbide mononitrate", "isosorbide mononitrate"),
        ("methylene blue", "methylene blue"),
        ("cetylpyridinium chloride", "cetylpyridinium chloride"),
    ],
)
def test_a_salt_is_removed_but_a_salt_that_is_the_drug_is_kept(name: str, base: str) -> None:
    assert base_ingredient(name) == base


def test_every_name_but_one_has_its_ingredients(
    names: DrugNames, record_property: Callable[[str, object], None]
) -> None:
    rows = gzip.decompress((DIRECTORY / "names.tsv.gz").read_bytes()).decode().splitlines()[1:]
    read = {rxcui: name for rxcui, name, _ in map(read_row, rows)}
    kinds = Counter(name.kind.name for name in read.values() if name.ingredients)
    without = [rxcui for rxcui, name in read.items() if not name.ingredients]
    origins = Counter(names.origin(rxcui) for rxcui in read)
    print(f"\n{len(read)} RxNorm names, {len(read) - len(without)} with ingredients: {dict(kinds)}; without: {without}")
    record_property("names_with_ingredients", len(read) - len(without))
    assert len(names) == len(read) == 27_751 + origins["codes"]
    assert without == ["1187728"]  # "Vasoflex HD Pill": a brand of which the list holds no product
    assert origins["codes"] == 106


def test_no_ingredient_is_a_salt_of_another(names: DrugNames) -> None:
    ingredients = set(names.all_ingredients())
    assert ingredients >= TEN | {"codeine", "hydrocodone", "oxycodone", "morphine", "potassium chloride"}
    assert [name for name in ingredients if base_ingredient(name) != name] == []
    assert [name for name in ingredients if name != name.strip().lower() or not name] == []


def test_a_row_comes_back_as_it_was_written(names: DrugNames) -> None:
    rows = gzip.decompress((DIRECTORY / "names.tsv.gz").read_bytes()).decode().splitlines()[1:]
    for row in rows[::50]:
        rxcui, name, origin = read_row(row)
        assert write_row(rxcui, name, origin) == row
        assert names.rxnorm(rxcui) == name


def test_codes_that_the_list_lacks_come_from_the_hand_kept_table(names: DrugNames) -> None:
    tizanidine = names.rxnorm("57258")
    assert tizanidine == DrugName(NameKind.INGREDIENT, held(("tizanidine", None, "")))
    assert names.origin("57258") == "codes"
    assert names.origin("2611794") == "dqm"
    assert names.rxnorm("8123") is None  # seen in public code as phenelzine, without a source
    assert names.origin("8123") == ""


def test_one_brand_may_hold_more_than_one_set_of_ingredients(names: DrugNames) -> None:
    lyumjev, flexeril = names.brand(phrase("Lyumjev")), names.brand(phrase("Flexeril"))
    assert lyumjev is not None
    assert flexeril is not None
    assert set(lyumjev.ingredient_sets) == {("insulin lispro",), ("insulin lispro-aabc",)}
    assert flexeril.ingredient_sets == (("cyclobenzaprine",),)
    assert (flexeril.form, flexeril.route, flexeril.release) == ("tablet", "oral", "ir")


def test_the_hand_kept_tables_name_known_ingredients_and_a_source(names: DrugNames) -> None:
    known = set(names.all_ingredients())
    sources = (DIRECTORY / "SOURCE.md").read_text()
    for table, ingredients_at in (("brands.tsv", 1), ("synonyms.tsv", 1), ("codes.tsv", 2)):
        for line in (DIRECTORY / table).read_text().splitlines()[1:]:
            cells = line.split("\t")
            assert cells[-1].startswith("http") or f"| {cells[-1]} |" in sources, line
            if table != "codes.tsv" or not cells[0].endswith("rxnorm"):
                assert {base_ingredient(each) for each in cells[ingredients_at].split(";")} <= known, line


def test_a_spoilt_table_is_refused_with_its_line(tmp_path: Path) -> None:
    shutil.copytree(DIRECTORY, tmp_path / "names")
    with open(tmp_path / "names" / "synonyms.tsv", "a") as table:
        table.write("asa\taspirin\n")
    with pytest.raises(ValueError, match=r"synonyms\.tsv:10: 2 columns, 3 wanted"):
        DrugNames(tmp_path / "names")
    (tmp_path / "names" / "names.tsv.gz").write_bytes(gzip.compress(b"rxcui\tname\n"))
    with pytest.raises(ValueError, match="other columns"):
        DrugNames(tmp_path / "names")


def test_the_dictionary_is_built_to_the_same_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "source.tsv"
    source.write_text(
        "rxcui\tname\torigin\n"
        "202109\tBaclofen 10 MG Oral Tablet [Lioresal]\ta\n"
        "1177393\tLioresal Pill\ta\n"
        "1155671\tBaclofen Pill\ta\n"
        "1187728\tVasoflex HD Pill\ta\n"
    )
    build.main(source, tmp_path / "one.gz")
    build.main(source, tmp_path / "two.gz")
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()
    header, *rows = gzip.decompress((tmp_path / "one.gz").read_bytes()).decode().splitlines()
    assert header == "\t".join(COLUMNS)
    read = {rxcui: name for rxcui, name, origin in map(read_row, rows) if origin == "a"}
    assert read["1177393"] == DrugName(NameKind.GROUP, held(("baclofen", None, "")), "pill", "oral", "", "Lioresal")
    assert read["1187728"] == DrugName(NameKind.GROUP, (), "pill", "oral", "", "Vasoflex HD")
    assert "no ingredient: brand not listed: 1187728 Vasoflex HD Pill" in capsys.readouterr().out


def test_words_are_cut_alike_however_they_are_written() -> None:
    assert tokens("10mg") == tokens("10 MG") == tokens("10\u00a0Mg") == ["10", "mg"]
    assert phrase("Vitamin B-12") == phrase("vitamin b 12") == phrase("VITAMIN B12")
    assert tokens("1,000 mg") == ["1000", "mg"]
    assert tokens("2,5 mg") == ["2,5", "mg"]  # two and a half, or two numbers: not to be read as 2 or as 5
    assert tokens("tab.10mg") == ["tab", "10", "mg"]
    assert tokens(".5 \u00b5g") == [".5", "\u03bcg"]


@pytest.mark.parametrize(
    ("words", "form", "route", "release"),
    [
        ("ER tab", "tablet", "oral", "er"),
        ("Disintegrating Oral Tablet", "disintegrating tablet", "oral", ""),
        ("Tablet for Oral Suspension", "tablet for suspension", "oral", ""),
        ("Sublingual Tablet", "tablet", "sublingual", ""),
        ("intrathecal injection", "injection", "intrathecal", ""),
        ("delayed-release capsule", "delayed release capsule", "oral", ""),
        ("tablet or capsule", "", "", ""),
        ("Mucous Membrane Topical Solution", "solution", "mucosal", ""),
    ],
)
def test_form_words_together_say_form_route_and_release(words: str, form: str, route: str, release: str) -> None:
    said = read_form(words)
    assert (said.form, said.route, said.release) == (form, route, release)


def test_no_drug_is_named_by_words_that_say_nothing(names: DrugNames) -> None:
    silent = SAYS_NOTHING | OPEN_BEFORE | EVERY
    assert [spelled for spelled, _ in names.all_words() if set(spelled.split()) <= silent] == []
