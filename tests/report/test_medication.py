"""`knowledge show`: everything the knowledge holds on a drug, with its right to speak."""

from __future__ import annotations

import pytest

from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import load_knowledge
from safety_service.report.layout import WIDTH, plain
from safety_service.report.medication import UnknownDrugError, drug_text


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


def shown(knowledge: Knowledge, name: str) -> str:
    return plain(drug_text(knowledge, name))


def lines_in(text: str, knowledge: Knowledge) -> list[str]:
    """The ids of the medication lines that have a heading."""
    return [each for line in text.splitlines() for each in knowledge.lines if line.endswith(f"  {each}")]


def test_every_statement_of_every_line_is_shown_with_value_verb_section_and_source(knowledge: Knowledge) -> None:
    for line in knowledge.lines.values():
        text = shown(knowledge, line.id)
        words = " ".join(text.split())
        for name, said in line.file.statements.items():
            says = " ".join(said.says.split())
            unit = "" if said.unit == "1" else f" {said.unit}"  # a count is a bare number
            value = f" = {said.value:g}{unit} {says}" if isinstance(said.value, int | float) else ""
            assert f"{line.statements[name].severity.name} {name}{value}" in words
            assert f": {said.verb.replace('-', ' ')} · {' '.join(said.section.split())}" in words
            assert says in words
            assert knowledge.sources[said.source].url in words
        assert (line.file.review.status == "reviewed") != ("Not reviewed by a named clinician" in words)
        assert all(rule in words for rule in line.file.not_applicable)
        assert all(len(each) <= WIDTH or "http" in each for each in text.splitlines())


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("cyclobenzaprine-er", ["cyclobenzaprine-er"]),
        ("Flexeril", ["cyclobenzaprine-ir"]),
        ("Amrix", ["cyclobenzaprine-er"]),
        ("cyclobenzaprine", ["cyclobenzaprine-er", "cyclobenzaprine-ir"]),
        ("metaxalone 640 mg", ["metaxalone-640"]),
        ("metaxalone 800 mg tablet", ["metaxalone"]),
        ("Soma", ["carisoprodol"]),
    ],
)
def test_a_drug_is_found_by_id_brand_ingredient_and_product(knowledge: Knowledge, name: str, lines: list[str]) -> None:
    assert lines_in(shown(knowledge, name), knowledge) == lines


def test_how_a_statement_was_read_is_said_where_it_was_not_the_document(knowledge: Knowledge) -> None:
    words = " ".join(shown(knowledge, "cyclobenzaprine-ir").split())
    assert "PRECAUTIONS, Impaired Hepatic Function · read in a copy (C6, C7, C8, C12) [1]" in words
    assert "PRECAUTIONS, General [1]" in words  # read in the document itself


def test_the_labels_percentages_are_shown(knowledge: Knowledge) -> None:
    assert "10 mg (n = 249): drowsiness 38, dry mouth 32" in shown(knowledge, "Flexeril")


def test_a_partner_drug_says_what_it_counts_as(knowledge: Knowledge) -> None:
    text = shown(knowledge, "oxycodone")
    assert text.startswith("oxycodone\n")
    assert "Opioids" in text


def test_an_unknown_name_offers_the_nearest(knowledge: Knowledge) -> None:
    with pytest.raises(UnknownDrugError) as caught:
        drug_text(knowledge, "cyclobenzaprin")
    assert "cyclobenzaprine" in caught.value.near
    with pytest.raises(UnknownDrugError) as caught:
        drug_text(knowledge, "qqqqqqqq")
    assert caught.value.near == ()
