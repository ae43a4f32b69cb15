"""A site's own codes: read whole or refused with every line, and part of what a decision rests on."""

from functools import cache
from pathlib import Path

import pytest

from safety_service.domain import CheckRequest, Coding, Decision, MatchedBy, Medication, Patient, Prescription
from safety_service.engine.check import check
from safety_service.knowledge.drug_names import DrugNames, SiteCode
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import load_knowledge
from safety_service.knowledge.read import KnowledgeError
from safety_service.knowledge.resolve import NDC
from safety_service.knowledge.site_codes import MOST_PROBLEMS, read_site_codes

SITE = "http://hospital.example/formulary"
HEADING = "system,code,rxcui,name\n"


@cache
def names() -> DrugNames:
    return DrugNames()


def read(rows: str) -> dict[tuple[str, str], SiteCode]:
    return read_site_codes("site.csv", (HEADING + rows).encode(), names())


def problems(content: str | bytes) -> list[str]:
    data = content if isinstance(content, bytes) else content.encode()
    with pytest.raises(KnowledgeError) as refused:
        read_site_codes("site.csv", data, names())
    return [str(each) for each in refused.value.problems]


# --- the file -------------------------------------------------------------------------------------------


def test_rows_are_read_by_code_and_by_name() -> None:
    rows = f"""ndc,12345-678-90,828348,
http://hl7.org/fhir/sid/ndc,00781123401,197391,

{SITE},CYC-10,,Cyclobenzaprine 10 mg tablet
{SITE},"a, b",,"oxycodone/acetaminophen 5-325 mg tablet"
rxnorm,99999999,,baclofen 15 mg oral tablet
"""
    assert read(rows) == {
        (NDC, "12345067890"): SiteCode("828348", ""),
        (NDC, "00781123401"): SiteCode("197391", ""),
        (SITE, "CYC-10"): SiteCode("", "Cyclobenzaprine 10 mg tablet"),
        (SITE, "a, b"): SiteCode("", "oxycodone/acetaminophen 5-325 mg tablet"),
        ("http://www.nlm.nih.gov/research/umls/rxnorm", "99999999"): SiteCode("", "baclofen 15 mg oral tablet"),
    }


def test_a_spreadsheet_may_have_written_it() -> None:
    content = "\ufeffSystem,Code,RXCUI,Name\r\nndc,12345-678-90,828348,\r\n".encode()
    assert read_site_codes("site.csv", content, names()) == {(NDC, "12345067890"): SiteCode("828348", "")}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("ndc,1,828348,cyclobenzaprine", "give rxcui or name, one of them"),
        ("ndc,1,,", "give rxcui or name, one of them"),
        ("ndc,1,828348", "3 cells, 4 wanted: system,code,rxcui,name"),
        ("ndc,1,828348,,", "5 cells, 4 wanted: system,code,rxcui,name"),
        (",1,828348,", "system: String should have at least 1 character"),
        ("ndc, ,828348,", "code: String should have at least 1 character"),
        (f"{SITE},{'x' * 257},828348,", "code: String should have at most 256 characters"),
        ("ndc,1.23E+10,828348,", "code: an NDC holds digits and hyphens only"),
        ("ndc,1,99999999,", "rxcui: RxNorm code '99999999' is not in the dictionary; give the name instead"),
        ("ndc,1,82x,", "rxcui: RxNorm code '82x' is not in the dictionary"),
        ("ndc,1,1187728,", "rxcui: RxNorm code '1187728' is a brand whose ingredients we do not know"),
        ("ndc,1,,zzyqx 10 mg", "name: 'zzyqx 10 mg': no word of the text is a drug name we know"),
        ("ndc,1,,cyclobenzaprine and zzyqx", "not recognised beside the rest: zzyqx"),
        ("atc,M03BX08,828348,", "an ATC code is read by itself and cannot be mapped"),
        ("rxnorm,828348,828320,", "RxNorm code '828348' is in the dictionary already"),
        ("snomed,373440006,828348,", "SNOMED CT code '373440006' is in the dictionary already"),
        ('ndc,"1,828348,', "not CSV"),
    ],
)
def test_a_bad_row_is_refused_with_its_line(row: str, reason: str) -> None:
    found = problems(HEADING + f"ndc,99999-999-99,197391,\n{row}\n")
    assert len(found) == 1
    assert found[0].startswith("site.csv:3: ")
    assert reason in found[0]


def test_all_bad_rows_come_together() -> None:
    found = problems(HEADING + f"{SITE},A,0,\n{SITE},B,828348,\n{SITE},B,197391,\n{SITE},C,,zzyqx\n")
    assert [each.split(": ")[0] for each in found] == ["site.csv:2", "site.csv:4", "site.csv:5"]
    assert f"'B' of '{SITE}' is given twice, first in line 3" in found[1]


def test_the_same_ndc_in_two_forms_is_given_twice() -> None:
    found = problems(HEADING + "ndc,12345-678-90,828348,\nNDC,12345067890,828348,\n")
    assert found == ["site.csv:3: '12345067890' of 'http://hl7.org/fhir/sid/ndc' is given twice, first in line 2"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "site.csv:1: the first line must be system,code,rxcui,name"),
        (b"code,system,rxcui,name\n", "site.csv:1: the first line must be system,code,rxcui,name"),
        (b"system;code;rxcui;name\n", "site.csv:1: the first line must be system,code,rxcui,name"),
        (HEADING.encode(), "site.csv:1: the file holds no code"),
        (HEADING.encode() + b"ndc,1,828348,\n\xff\n", "site.csv:3: not UTF-8"),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused(content: bytes, reason: str) -> None:
    assert problems(content) == [reason]


def test_a_file_full_of_errors_tells_the_first_and_how_many_more() -> None:
    found = problems(HEADING + "".join(f"ndc,{i},0,\n" for i in range(MOST_PROBLEMS + 7)))
    assert len(found) == MOST_PROBLEMS + 1
    assert found[-1] == f"site.csv:{MOST_PROBLEMS + 2}: and 7 more problems from here"


# --- part of the knowledge ------------------------------------------------------------------------------


def write(folder: Path, rows: str) -> Path:
    path = folder / "site.csv"
    path.write_text(HEADING + rows)
    return path


def decide(knowledge: Knowledge, *codings: Coding) -> Decision:
    order = Prescription(Medication(codings), ordered_on=20_000, days_supply=28)
    return check(knowledge, CheckRequest(order, Patient(), as_of=20_000))


def test_a_site_code_decides_as_the_product_does(tmp_path: Path) -> None:
    knowledge = load_knowledge(site_codes_file=write(tmp_path, "ndc,12345-678-90,828348,\n"))
    by_site = decide(knowledge, Coding(NDC, "12345-678-90"))
    by_product = decide(knowledge, Coding("http://www.nlm.nih.gov/research/umls/rxnorm", "828348"))
    assert by_site.resolved_medications[0].matched_by is MatchedBy.SITE_CODE
    assert [alert.rule_id for alert in by_site.alerts] == [alert.rule_id for alert in by_product.alerts]
    assert "duration.course" in [alert.rule_id for alert in by_site.alerts]
    assert by_site.checks == by_product.checks


def test_what_the_site_has_not_mapped_is_named_and_never_silent(tmp_path: Path) -> None:
    knowledge = load_knowledge(site_codes_file=write(tmp_path, f"{SITE},CYC,828348,\n"))
    answer = decide(knowledge, Coding(SITE, "OTHER"))
    assert [each.path for each in answer.not_processed] == ["prescription.medication"]
    assert f"code 'OTHER' of '{SITE}' is not among the site codes of this service" in answer.not_processed[0].reason
    assert not answer.complete


def test_the_digest_tells_whether_and_which_site_codes_decided(tmp_path: Path) -> None:
    """Equal digests must mean equal decisions: a code mapped otherwise is another knowledge."""
    plain = load_knowledge()
    one = load_knowledge(site_codes_file=write(tmp_path, "ndc,12345-678-90,828348,\n"))
    again = load_knowledge(site_codes_file=write(tmp_path, "ndc,12345-678-90,828348,\n"))
    other = load_knowledge(site_codes_file=write(tmp_path, "ndc,12345-678-90,197391,\n"))
    assert len({plain.digest, one.digest, other.digest}) == 3
    assert one.digest == again.digest
    asked = Coding(NDC, "12345-678-90")
    assert decide(one, asked).knowledge_digest == one.digest
    assert decide(one, asked) == decide(again, asked)
    assert decide(one, asked).alerts != decide(other, asked).alerts
    assert (plain.names.site_code_count(), one.names.site_code_count()) == (0, 1)


def test_bad_site_codes_stop_the_whole_knowledge(tmp_path: Path) -> None:
    with pytest.raises(KnowledgeError, match=r"site\.csv:2: rxcui: RxNorm code '0' is not in the dictionary"):
        load_knowledge(site_codes_file=write(tmp_path, "ndc,1,0,\n"))
    with pytest.raises(KnowledgeError, match=r"missing\.csv:1: the file cannot be read: No such file"):
        load_knowledge(site_codes_file=tmp_path / "missing.csv")
