"""What `validate` refuses beyond what loading refuses, each with file and line; the knowledge here is in order."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from safety_service.curation.sound import count, sound_text, unsound
from safety_service.domain import Severity
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import RULES_DATA, load_knowledge
from safety_service.report.layout import plain

OXYCODONE = '{name: oxycodone, rxcui: "7804",'
MORPHINE = "{name: morphine,"
TRAMADOL = '{name: tramadol, rxcui: "10689", atc: [N02AX02,'
UNREACHED = """rules:
  - id: sedation.never
    version: 1
    kind: SEDATION
    asks: Is this asked of a drug that states two limits which no drug states together?
    clauses:
      - when: course_days > drug.duration.studied_days and course_days > drug.duration.benefit_review_days
        statement: drug.duration.studied_days
        title: never
        says: never
        do: never
    codes: {dur: [MX], act: []}
"""


def test_the_knowledge_is_in_order(knowledge: Knowledge) -> None:
    assert unsound(knowledge, RULES_DATA) == ()


WRONG = (
    (
        "value_sets/opioid.yaml",
        OXYCODONE,
        OXYCODONE.replace("7804", "07804"),
        "'07804' has not the form of a RxNorm",
    ),
    (
        "value_sets/opioid.yaml",
        TRAMADOL,
        TRAMADOL.replace("N02AX02", "N2AX02"),
        "'N2AX02' has not the form of an ATC",
    ),
    (
        "value_sets/opioid.yaml",
        MORPHINE,
        MORPHINE.replace("morphine", "morphin"),
        "'morphin' is not in the drug",
    ),
    ("value_sets/opioid.yaml", "{code: N02A,", "{code: N02AAA,", "'N02AAA' has not the form of an ATC"),
    ("value_sets/liver-active.yaml", "{code: K70.1,", "{code: K701,", "'K701' has not the form of an ICD-10-CM"),
    ("value_sets/liver-active.yaml", '"19943007"', '"19943008"', "'19943008' has not the form of a SNOMED CT"),
    ("care_options/acupuncture.yaml", '"44868003"', '"44868030"', "'44868030' has not the form of a SNOMED CT"),
    ("medications/baclofen.yaml", "atc: [M03BX01]", "atc: [M03BX1]", "'M03BX1' has not the form of an ATC"),
    ("rules/duration.yaml", "codes: {dur: [MX]", "codes: {dur: [MXX]", "'MXX' has not the form of a DUR"),
    ("rules/duration.yaml", "act: [DOSEDURH]", "act: [dosedurh]", "'dosedurh' has not the form of an ActCode"),
    (
        "medications/cyclobenzaprine-ir.yaml",
        "arithmetic: 3 x 7 d",
        "arithmetic: 3 x 8 d",
        "duration.max_days: 3 x 8 d gives 24, not 21",
    ),
    (
        "medications/baclofen.yaml",
        "review: {status: not_reviewed}",
        'review: {status: reviewed, reviewer: "A. Name", "on": "2999-01-01"}',
        "reviewed on 2999-01-01, a day that has not come",
    ),
    (
        "medications/tizanidine.yaml",
        "review: {status: not_reviewed}",
        'review: {status: reviewed, reviewer: "A. Name", "on": last week}',
        "'last week' is not a date",
    ),
)


def test_everything_that_is_wrong_is_told_with_its_line(edited: Callable[..., Path]) -> None:
    root = edited(*((file, old, new) for file, old, new, _ in WRONG))
    found = unsound(load_knowledge(root), root)
    assert len(found) == len(WRONG)
    for file, _, new, told in WRONG:
        (problem,) = [each for each in found if told in each.reason]
        assert problem.file == file
        if not file.startswith("rules/"):  # a rule's codes are told at its beginning
            text = (root / file).read_text(encoding="utf-8").splitlines()
            near = "\n".join(text[problem.line - 1 : problem.line + 10])  # a statement begins above its arithmetic
            assert new in near
    assert list(found) == sorted(found, key=lambda each: (each.file, each.line))


def test_a_statement_and_a_number_nobody_uses(edited: Callable[..., Path]) -> None:
    """The rule that asks for alcohol and the one for early refills are gone; what they used is left over."""
    root = edited()
    for name, rule_id in (("sedation", "sedation.alcohol"), ("duration", "duration.early-refill")):
        path = root / "rules" / f"{name}.yaml"
        head, _, rest = path.read_text(encoding="utf-8").partition(f"  - id: {rule_id}\n")
        path.write_text(f"{head}  - id: {rest.partition('  - id: ')[2]}", encoding="utf-8")
    found = unsound(load_knowledge(root), root)
    assert {each.reason for each in found} == {
        "sedation.alcohol: nobody uses it, no rule names it",
        "duration.early_refill_days: nobody uses it, no rule names it",
    }
    assert {each.file for each in found} == {"policy.yaml"} | {
        f"medications/{p.name}" for p in (root / "medications").glob("*.yaml")
    }


def test_a_rule_no_drug_can_reach(edited: Callable[..., Path]) -> None:
    root = edited()
    (root / "rules" / "never.yaml").write_text(UNREACHED, encoding="utf-8")
    (problem,) = unsound(load_knowledge(root), root)
    assert (
        str(problem) == "rules/never.yaml:2: sedation.never: no drug can reach this rule: none states what it asks for"
    )


def test_a_severity_that_does_not_follow(knowledge: Knowledge) -> None:
    line = knowledge.lines["cyclobenzaprine-ir"]
    said = replace(line.statements["duration.max_days"], severity=Severity.LOW)
    wrong = replace(line, statements={**line.statements, "duration.max_days": said})
    (problem,) = unsound(replace(knowledge, lines={**knowledge.lines, line.id: wrong}), RULES_DATA)
    assert problem.reason == "duration.max_days: LOW does not follow from (label, not-recommended): HIGH does"
    assert problem.file == "medications/cyclobenzaprine-ir.yaml"


def test_everything_is_counted(knowledge: Knowledge) -> None:
    found = count(knowledge)
    assert found.statements == sum(found.by_basis.values()) == sum(found.by_read_as.values())
    assert found.reviewed + found.not_reviewed == found.statements + found.evidence
    text = plain(sound_text(knowledge))
    assert f"reviewed {found.reviewed}, not reviewed {found.not_reviewed}" in text
    assert "payer-criteria" in text
    assert "two-secondary" in text
