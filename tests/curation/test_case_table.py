"""The table by file, and what differs with its place."""

from dataclasses import replace

from safety_service.cases import Case
from safety_service.curation.case_table import cases_text, differing, merging_text
from safety_service.knowledge.knowledge import Knowledge
from safety_service.report.layout import plain


def test_all_hold(knowledge: Knowledge, cases: tuple[Case, ...]) -> None:
    some = [case for case in cases if case.file in ("article", "product")]
    assert differing(knowledge, some) == ()
    lines = plain(cases_text(some, ())).splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["cases/article.yaml", "cases/product.yaml"]
    assert all(line.split()[-1] == "0" for line in lines[1:3])
    assert lines[-1].startswith(f"All {len(some)} cases hold, with ")


def test_merging_shows_fewer_cards_than_alerts(knowledge: Knowledge, cases: tuple[Case, ...]) -> None:
    article = [case for case in cases if case.file == "article" and case.name == "what fires"]
    assert plain(merging_text(knowledge, article)).startswith(
        "1 of 1 orders raise alerts: 8.00 alerts an order, merged into 2.00 cards"
    )


def test_what_differs_is_told_with_file_and_line(knowledge: Knowledge, cases: tuple[Case, ...]) -> None:
    right = next(case for case in cases if case.file == "duration" and case.row.fired == ("duration.course",))
    wrong = replace(right, row=right.row.model_copy(update={"fired": ("sedation.alcohol",)}))
    found = differing(knowledge, [right, wrong])
    assert [case for case, _ in found] == [wrong]
    text = plain(cases_text([right, wrong], found))
    assert f"cases/{wrong.file}.yaml:{wrong.line}: {wrong.name}" in text
    assert "  sedation.alcohol: FIRED expected, PASSED found" in text
    assert text.endswith("1 of 2 cases differ")
