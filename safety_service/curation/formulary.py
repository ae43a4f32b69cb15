"""The knowledge as pages for people: an index, one page for each drug line, and those about no single drug."""

from __future__ import annotations

from collections.abc import Iterator

from safety_service.curation.catalogue_pages import options, policy, rules, sources, value_sets
from safety_service.curation.page import Block, Heading, Items, Link, Page, Paragraph, Strong, Table, Words
from safety_service.curation.page_words import (
    read_words,
    review_text,
    seen_words,
    source_table,
    source_words,
    spoken,
    unreviewed,
)
from safety_service.curation.written import in_words
from safety_service.knowledge.knowledge import Knowledge, Line, LiveClause, LiveRule
from safety_service.knowledge.schema import Figures, Product

MENU = (
    Link("Drugs", page="index"),
    Link("Non-drug options", page="options"),
    Link("Rules", page="rules"),
    Link("Value sets", page="value-sets"),
    Link("Policy", page="policy"),
    Link("Sources", page="sources"),
)


def pages(knowledge: Knowledge) -> tuple[Page, ...]:
    """Every page of the export; the index comes first."""
    return (
        _index(knowledge),
        *(_drug(knowledge, line) for line in knowledge.lines.values()),
        options(knowledge),
        rules(knowledge),
        value_sets(knowledge),
        policy(knowledge),
        sources(knowledge),
    )


# --- the index ---------------------------------------------------------------------------------------------------


def _index(knowledge: Knowledge) -> Page:
    rows = tuple(
        (
            (Link(line.name, page=line.id),),
            (line.ingredient,),
            (", ".join(line.file.brands) or "none listed",),
            (str(len(line.file.statements)),),
            (review_text(line.file.review),),
        )
        for line in knowledge.lines.values()
    )
    return Page(
        "index",
        "Formulary of muscle relaxants: what the service knows",
        (
            Paragraph(
                (
                    "Supports a professional's judgement; it is no substitute for the label. Each fact stands with "
                    "who says it, with which verb, where, and how it was read.",
                )
            ),
            *unreviewed(knowledge.reviewed),
            Table("Drug lines", ("Line", "Ingredient", "Brands", "Facts", "Review"), rows),
            Heading(2, "Also here", "also"),
            Items(tuple((each,) for each in MENU[1:])),
            Paragraph((f"Knowledge {knowledge.version}, digest {knowledge.digest}.",)),
        ),
    )


# --- a drug ------------------------------------------------------------------------------------------------------


def _drug(knowledge: Knowledge, line: Line) -> Page:
    file = line.file
    codes = "; ".join([f"RxNorm {file.rxcui}", *(f"ATC {code}" for code in file.atc)])
    used = {file.label: None} | dict.fromkeys(said.source for said in file.statements.values())
    blocks: list[Block] = [
        Paragraph((review_text(file.review) + ".",), warns=file.review.status != "reviewed"),
        Items(
            (
                (Strong("Ingredient: "), file.ingredient),
                (Strong("Labelled for: "), file.indication),
                (Strong("Brands: "), ", ".join(file.brands) or "none listed"),
                (Strong("Codes: "), codes),
                (Strong("Label: "), *source_words(knowledge.sources[file.label])),
                (Strong("Relaxant: "), _RELAXANT[file.relaxant]),
            )
        ),
        Table(
            "Products",
            ("Form", "Strengths, mg", "Release", "Can be halved", "Source", "Read in"),
            tuple(_product(knowledge, each) for each in file.products),
        ),
        Heading(2, "What the label says", "facts"),
    ]
    families: dict[str, list[str]] = {}
    for name in file.statements:
        families.setdefault(name.partition(".")[0], []).append(name)
    for family, names in families.items():
        blocks.append(Heading(3, family.capitalize(), f"facts-{family}"))
        rows = tuple(_fact(knowledge, line, name) for name in names)
        blocks.append(Table(f"Facts: {family}", _FACT_HEADER, rows))
    if file.figures is not None:
        blocks += _figures(knowledge, file.figures)
        used[file.figures.source] = None
    blocks += [
        Heading(2, "Its rules and their limits", "rules"),
        Paragraph(("In square brackets stands the limit that a number comes from. Unknown is never taken for no.",)),
        Table("Rules that can speak", _RULE_HEADER, tuple(_clauses(line))),
    ]
    if file.not_applicable:
        quiet = tuple(((rule_id,), (reason,)) for rule_id, reason in file.not_applicable.items())
        blocks.append(Table("Rules that have nothing to say on it", ("Rule or family", "Why"), quiet))
    blocks += [
        Heading(2, "Sources of this page", "sources"),
        source_table(knowledge.sources[each] for each in used),
    ]
    return Page(line.id, f"{file.name} ({line.id})", tuple(blocks))


_RELAXANT = {
    "always": "whatever it is ordered for",
    "by-indication": "only when ordered for a spasm, back pain or spasticity",
}
_FACT_HEADER = (
    "Fact",
    "What it says",
    "Severity",
    "Who says it, how",
    "Source, section, date",
    "Read as, review",
)
_RULE_HEADER = ("Rule", "Asks", "Fires when", "Severity", "What to do")


def _product(knowledge: Knowledge, product: Product) -> tuple[Words, ...]:
    return (
        (" or ".join(product.forms),),
        (", ".join(f"{each:g}" for each in product.strengths_mg),),
        ("either" if product.release == "any" else product.release.upper(),),
        ("yes" if product.divisible else "no",),
        source_words(knowledge.sources[product.source]),
        seen_words(knowledge.sources[product.source], product.seen_in) or ("the source itself",),
    )


def _fact(knowledge: Knowledge, line: Line, name: str) -> tuple[Words, ...]:
    said = line.file.statements[name]
    match said.value:
        case None:
            value = ""
        case tuple() as values:
            value = f" = {', '.join(values)}"
        case number:
            value = f" = {number:g} {said.unit or ''}".rstrip()
    also = tuple(f" Also: {each}." for each in said.also)
    source = knowledge.sources[said.source]
    return (
        (f"{name}{value}",),
        (said.says, *also),
        (line.statements[name].severity.name,),
        (spoken(said),),
        (*source_words(source), f"; {said.section}; {source.date}"),
        (*read_words(source, said.read_as.value, said.seen_in), f". {review_text(line.file.review)}."),
    )


def _figures(knowledge: Knowledge, figures: Figures) -> Iterator[Block]:
    effects = tuple(dict.fromkeys(effect for arm in figures.arms for effect in arm.percent))
    rows = tuple(
        ((arm.arm,), (str(arm.n or "not given"),), *((str(arm.percent.get(each, "")),) for each in effects))
        for arm in figures.arms
    )
    source = knowledge.sources[figures.source]
    yield Heading(2, "Percentages for counselling", "figures")
    yield Table(f"Percent of patients, {figures.trial}", ("Arm", "Patients", *effects), rows)
    read = read_words(source, figures.read_as.value, figures.seen_in)
    yield Paragraph((Strong("Source: "), *source_words(source), f"; {figures.section}; ", *read))


def _clauses(line: Line) -> Iterator[tuple[Words, ...]]:
    for live in line.program.rules:
        for number, clause in enumerate(live.clauses):
            name = f"{live.rule.id} v{live.rule.version}" + (f", {number + 1}" if len(live.clauses) > 1 else "")
            yield (
                (Link(name, page="rules", anchor=live.rule.id),),
                (live.rule.asks,),
                (_fires(live, clause),),
                (clause.statement.severity.name,),
                (clause.do.render(lambda place: _place(line, place)),),
            )


def _fires(live: LiveRule, clause: LiveClause) -> str:
    when = in_words(clause.when, numbers=True)
    return when if live.applies is None else f"{when}; asked only where {in_words(live.applies, numbers=True)}"


def _place(line: Line, name: str) -> str:
    """What stands at a place of a text before there is a patient: a limit's value, else the name of the fact."""
    limit = line.limits.get(name)
    return line.name if name == "drug" else limit.value if limit is not None and limit.value else f"({name})"
