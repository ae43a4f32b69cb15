"""The exported pages hold every fact with its right to speak; a folder is written as a whole or not at all."""

from html import unescape
from pathlib import Path

import pytest

from safety_service.curation.export import MARK, NotOursError, export
from safety_service.curation.formulary import pages
from safety_service.curation.page import Heading, Items, Link, Page, Paragraph, Table, Words, to_html
from safety_service.knowledge.knowledge import Knowledge
from safety_service.report.layout import READ_AS_WORDS


def words_of(words: Words) -> str:
    return "".join(each if isinstance(each, str) else each.text for each in words)


def text_of(page: Page) -> str:
    """All that a page says, one row of a table to a line."""
    lines = [page.title]
    for block in page.blocks:
        match block:
            case Heading(_, text, _):
                lines.append(text)
            case Paragraph(words, _):
                lines.append(words_of(words))
            case Items(rows):
                lines += map(words_of, rows)
            case Table(caption, header, rows):
                lines += [caption, " | ".join(header)]
                lines += [" | ".join(map(words_of, row)) for row in rows]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def texts(knowledge: Knowledge) -> dict[str, str]:
    return {page.name: text_of(page) for page in pages(knowledge)}


def test_every_fact_stands_with_verb_source_section_date_reading_and_review(
    knowledge: Knowledge, texts: dict[str, str]
) -> None:
    for line in knowledge.lines.values():
        rows = texts[line.id].partition("Its rules and their limits")[0].splitlines()
        for name, said in line.file.statements.items():
            (row,) = [each for each in rows if each.startswith((f"{name} |", f"{name} = "))]
            source = knowledge.sources[said.source]
            assert f": {said.verb.replace('-', ' ')} ({said.basis.value}" in row
            for wanted in (said.says, source.title, said.section, source.date, line.statements[name].severity.name):
                assert wanted in row, (line.id, name)
            assert (READ_AS_WORDS[said.read_as.value] or "in the source itself") in row
            assert "Not reviewed by a named clinician" in row
            assert all(copy in row for copy in said.seen_in)
        assert all(live.rule.id in texts[line.id] for live in line.program.rules)


def test_a_rule_stands_with_its_numbers_and_where_they_come_from(texts: dict[str, str]) -> None:
    text = texts["cyclobenzaprine-ir"]
    assert "single_dose_mg > 5 mg [drug.hepatic.mild_start_mg]" in text
    assert "hepatic_grade in ('moderate', 'severe') [drug.hepatic.not_recommended]" in text
    assert "Start with 5 mg, titrate slowly upward" in text
    assert "hepatic.monitor | no liver tests asked for" in text


def test_what_bodies_disagree_on_is_seen_first(knowledge: Knowledge, texts: dict[str, str]) -> None:
    text = texts["options"]
    first = text[: text.index("Guidance that no longer stands")]
    for option in knowledge.care.options.values():
        assert all(f"{option.name} | {words}" in first for words in option.conflicts)
    assert "NICE says not to offer it" in first
    assert "ACP 2017 supports heat for acute and subacute pain only; the article starts with it for chronic" in first
    assert "ACP 2017 (lapsed)" in text
    assert "VA/DoD 2017 (superseded)" in text


def test_sets_policy_and_sources(knowledge: Knowledge, texts: dict[str, str]) -> None:
    for drugs in knowledge.medication_sets:
        assert all(f"\n{row.name} | " in texts["value-sets"] for row in drugs.ingredients)
    for conditions in knowledge.condition_sets:
        codes = [each.code for each in conditions.icd10cm] + [each.code for each in conditions.snomed]
        assert all(f"\n{code} | " in texts["value-sets"] for code in codes)
    assert all(
        name in texts["policy"] and number.why in texts["policy"] for name, number in knowledge.policy.numbers.items()
    )
    assert all(source.title in texts["sources"] for source in knowledge.sources.values())
    assert all(clause.when in texts["rules"] for rule in knowledge.rules for clause in rule.clauses)


def test_every_link_within_leads_somewhere(knowledge: Knowledge) -> None:
    found = {page.name: page for page in pages(knowledge)}
    anchors = {name: [b.anchor for b in page.blocks if isinstance(b, Heading)] for name, page in found.items()}
    links = 0
    for page in found.values():
        assert len(set(anchors[page.name])) == len(anchors[page.name])
        for block in page.blocks:
            rows = block.rows if isinstance(block, Table) else ()
            for each in (word for row in rows for cell in row for word in cell if isinstance(word, Link)):
                if each.page:
                    links += 1
                    assert each.page in found
                    assert not each.anchor or each.anchor in anchors[each.page]
    assert links > 100


def test_the_index_leads_to_every_drug(knowledge: Knowledge) -> None:
    html = to_html(pages(knowledge)[0], ())
    assert all(f'<a href="{line_id}.html">' in html for line_id in knowledge.lines)


# --- writing -----------------------------------------------------------------------------------------------------


def test_both_forms_are_written_and_the_same_each_time(knowledge: Knowledge, tmp_path: Path) -> None:
    names = export(knowledge, tmp_path / "a" / "formulary")
    assert {f"{line_id}.{suffix}" for line_id in knowledge.lines for suffix in ("md", "html")} < set(names)
    export(knowledge, tmp_path / "b")
    for name in names:
        one = (tmp_path / "a" / "formulary" / name).read_text(encoding="utf-8")
        assert one == (tmp_path / "b" / name).read_text(encoding="utf-8")
        assert "Not reviewed by a named clinician" in unescape(one) or name.split(".")[0] not in knowledge.lines


def test_an_earlier_export_is_replaced_as_a_whole(knowledge: Knowledge, tmp_path: Path) -> None:
    export(knowledge, tmp_path / "out")
    (tmp_path / "out" / "withdrawn-drug.html").write_text("old")
    export(knowledge, tmp_path / "out")
    assert not (tmp_path / "out" / "withdrawn-drug.html").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_not_ours_is_left_alone(knowledge: Knowledge, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(NotOursError):
        export(knowledge, tmp_path)
    with pytest.raises(NotOursError):
        export(knowledge, tmp_path / "notes.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_page_that_cannot_be_written_leaves_the_earlier_export(
    knowledge: Knowledge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(knowledge, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    def full(*_: object, **__: object) -> int:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.write_text", full)
        with pytest.raises(OSError, match="no space left"):
            export(knowledge, tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert MARK in before
