"""Where something stands: file and line, for a rule made from a pattern too."""

from pathlib import Path

from safety_service.curation.places import Place, Places
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import RULES_DATA


def line(place: Place) -> str:
    return (RULES_DATA / place.file).read_text(encoding="utf-8").splitlines()[place.line - 1]


def test_every_rule_and_clause_is_found(knowledge: Knowledge, places: Places) -> None:
    for rule in knowledge.rules:
        assert places.rule(rule.id).line > 1, rule.id
        for at in range(len(rule.clauses)):
            assert "when:" in line(places.rule(rule.id, at))
    assert "hepatic.start-dose" in line(places.rule("hepatic.start-dose"))


def test_statements_rows_and_numbers(places: Places) -> None:
    assert line(places.statement("baclofen", "sedation.alcohol")).strip().startswith("authority:")
    assert "alfentanil" in line(places.value_set("opioid", "ingredients", 0))
    assert "value: 7" in line(places.policy("exposure.gap_days"))
    assert "44868003" in line(places.care_option("acupuncture", "snomed", 0))


def test_a_rule_made_from_a_pattern_stands_where_the_pattern_does(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "policy.yaml").write_text("numbers: {}\n")
    text = "families:\n  - id: pregnancy.{drug}\n    clauses:\n      - when: pregnant\n  - id: caution.<drug>.<x>\n"
    (tmp_path / "rules" / "families.yaml").write_text(text)
    places = Places(tmp_path)
    assert places.rule("pregnancy.baclofen") == Place("rules/families.yaml", 2)
    assert places.rule("pregnancy.baclofen", 0) == Place("rules/families.yaml", 4)
    assert places.rule("caution.baclofen.psychosis") == Place("rules/families.yaml", 5)
    assert places.rule("nowhere") == Place("rules", 1)
