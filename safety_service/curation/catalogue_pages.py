"""The pages that are about no single drug: options, rules, value sets, policy and sources."""

from __future__ import annotations

from collections.abc import Iterator

from safety_service.curation.page import Block, Heading, Items, Link, Page, Paragraph, Strong, Table, Words
from safety_service.curation.page_words import (
    NO_LONGER,
    read_words,
    review_text,
    source_table,
    source_words,
    spoken,
    unreviewed,
)
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.schema import CareOption, Evidence, InlineStatement, MedicationSet, Rule

# --- non-drug options --------------------------------------------------------------------------------------------


def options(knowledge: Knowledge) -> Page:
    """What comes first, with every body's evidence; where they disagree stands on top."""
    options = knowledge.care.options.values()
    disputed = [(option, words) for option in options for words in option.conflicts]
    dated = [source for source in knowledge.sources.values() if source.status in NO_LONGER]
    blocks: list[Block] = [
        Paragraph(
            (
                "Each option stands with what each body says of it, as each grades it. Where bodies disagree, that is "
                "shown and not settled.",
            )
        ),
        *unreviewed(all(option.review.status == "reviewed" for option in options)),
        Heading(2, "Where bodies disagree", "conflicts"),
        Table(
            "Disagreements",
            ("Option", "What disagrees"),
            tuple(((Link(option.name, page="options", anchor=option.id),), (words,)) for option, words in disputed),
        ),
        Heading(2, "Guidance that no longer stands as it was", "standing"),
        source_table(dated),
    ]
    for option in options:
        blocks += _option(knowledge, option)
    return Page("options", "Non-drug options", tuple(blocks))


def _option(knowledge: Knowledge, option: CareOption) -> Iterator[Block]:
    yield Heading(2, option.name, option.id)
    yield Paragraph((option.what,))
    step = f"step {option.step} of the article's pathway" if option.step else "in no step of the article's pathway"
    yield Items(
        (
            (Strong("Offered as: "), f"{option.tier}, {step}"),
            (Strong("Phase: "), ", ".join(option.phases) or "none named"),
            (Strong("For the patient: "), option.patient_text),
            (Strong("Review: "), review_text(option.review)),
        )
    )
    yield Table(
        f"Evidence on {option.name}",
        ("Body", "Says", "Direction, strength", "Phase", "Pain", "Function", "Certainty", "Against", "How it was read"),
        tuple(_evidence(knowledge, each) for each in option.evidence),
    )
    yield from (Paragraph((Strong("Disagreement: "), words), warns=True) for words in option.conflicts)


def _evidence(knowledge: Knowledge, found: Evidence) -> tuple[Words, ...]:
    source = knowledge.sources[found.source]
    section = f"; {found.section}" if found.section else ""
    standing = f" ({source.status})" if source.status in NO_LONGER else ""
    return (
        (Link(f"{found.body}{standing}", address=source.url), section),
        (found.says,),
        (", ".join(filter(None, (found.direction.replace("-", " "), found.strength))),),
        (", ".join(found.phases) or "not said",),
        (found.pain or "not said",),
        (found.function or "not said",),
        (found.certainty or "not said",),
        (found.comparator or "not said",),
        read_words(source, found.read_as.value, ()),
    )


# --- rules, value sets, policy, sources --------------------------------------------------------------------------


def rules(knowledge: Knowledge) -> Page:
    """Every rule as it is written, with the statements that stand in it."""
    blocks: list[Block] = [
        Paragraph(("The rules as they are written. A name with drug. is a limit of the drug's own page.",)),
    ]
    for rule in knowledge.rules:
        blocks += _rule(knowledge, rule)
    return Page("rules", "Rules", tuple(blocks))


def _rule(knowledge: Knowledge, rule: Rule) -> Iterator[Block]:
    yield Heading(2, f"{rule.id} v{rule.version}", rule.id)
    yield Paragraph((rule.asks,))
    codes = f"DUR {', '.join(rule.codes.dur) or 'none'}; ActCode {', '.join(rule.codes.act) or 'none'}"
    absorbs = tuple((Strong("Absorbs: "), ", ".join(rule.absorbs)) for _ in rule.absorbs[:1])
    applies = tuple((Strong("Asked only where: "), rule.applies) for _ in (rule.applies,) if rule.applies)
    yield Items(((Strong("Kind: "), rule.kind), *applies, *absorbs, (Strong("Codes: "), codes)))
    rows = []
    for number, clause in enumerate(rule.clauses, start=1):
        said = clause.statement
        own = (f"by {said}",) if isinstance(said, str) else _inline(knowledge, said)
        more = tuple(word for each in clause.supporting for word in (" Also: ", *_inline(knowledge, each)))
        rows.append(((str(number),), (clause.when,), (clause.title,), (clause.do,), (*own, *more)))
    yield Table(f"Clauses of {rule.id}", ("Clause", "Fires when", "Title", "What to do", "By which right"), tuple(rows))


def _inline(knowledge: Knowledge, said: InlineStatement) -> Words:
    source = knowledge.sources[said.source]
    read = read_words(source, said.read_as.value, said.seen_in)
    return (f"{said.says} ({spoken(said)}; ", *source_words(source), f"; {said.section}; ", *read, ")")


def value_sets(knowledge: Knowledge) -> Page:
    """Every row of every set of drugs and conditions."""
    blocks: list[Block] = [
        Paragraph(("A drug or condition that was recognised and stands in no row is taken not to belong.",)),
    ]
    for drugs in knowledge.medication_sets:
        blocks += _drug_set(knowledge, drugs)
    for conditions in knowledge.condition_sets:
        blocks.append(Heading(2, f"{conditions.title} ({conditions.id})", conditions.id))
        blocks.append(Paragraph((conditions.note or "",)))
        rows = [((code.code,), ("ICD-10-CM",), (code.note or "",), (code.source,)) for code in conditions.icd10cm]
        rows += [((code.code,), ("SNOMED CT",), (code.display,), (code.source,)) for code in conditions.snomed]
        blocks.append(Table(f"Codes of {conditions.id}", ("Code", "System", "Meaning", "Source"), tuple(rows)))
    return Page("value-sets", "Value sets", tuple(blocks))


def _drug_set(knowledge: Knowledge, drugs: MedicationSet) -> Iterator[Block]:
    yield Heading(2, f"{drugs.title} ({drugs.id})", drugs.id)
    yield Paragraph((drugs.note or "",))
    rows = [
        ((row.name,), (row.rxcui or "",), (", ".join(row.atc),), source_words(knowledge.sources[row.source]))
        for row in drugs.ingredients
    ]
    yield Table(f"Ingredients of {drugs.id}", ("Ingredient", "RxNorm", "ATC", "Source"), tuple(rows))
    codes = [((each.code,), ("counts",), (each.note or "",), (each.source,)) for each in drugs.atc_prefixes]
    codes += [((each.code,), ("does not count",), (each.note or "",), (each.source,)) for each in drugs.atc_excluded]
    if codes:
        yield Table(f"ATC codes of {drugs.id}", ("Code", "", "Meaning", "Source"), tuple(codes))
    if drugs.routes_excluded:
        yield Paragraph((f"Given by these routes it does not count: {', '.join(drugs.routes_excluded)}.",))


def policy(knowledge: Knowledge) -> Page:
    """The numbers without a source, and why they are what they are."""
    rows = tuple(
        ((name,), (f"{number.value:g} {number.unit}".removesuffix(" 1"),), (number.why,))
        for name, number in knowledge.policy.numbers.items()
    )
    return Page(
        "policy",
        f"Policy: {knowledge.policy.title}",
        (
            Paragraph(("Numbers of this service without an outside source. Alerts name them as policy.",), warns=True),
            Table("Policy numbers", ("Name", "Value", "Why"), rows),
        ),
    )


def sources(knowledge: Knowledge) -> Page:
    """Every source, with its copies and how it stands today."""
    return Page("sources", "Sources", (source_table(knowledge.sources.values()),))
