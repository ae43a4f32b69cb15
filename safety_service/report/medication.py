"""What the knowledge holds on a drug, as text: every statement with its verb, source, section and how it was read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.text import Text

from safety_service.domain import Medication, ResolvedIngredient
from safety_service.knowledge.knowledge import Knowledge, Line
from safety_service.knowledge.resolve import Resolution, did_you_mean, resolve
from safety_service.knowledge.schema import Arm, Figures, Product, Review, Source, Statement
from safety_service.report.layout import AUTHORITY_WORDS, BODY, READ_AS_WORDS, headed, noted, wrapped
from safety_service.rules.vocabulary import Unit


class UnknownDrugError(Exception):
    """Nothing is known by this name. `near` are names spelled like it."""

    def __init__(self, why: str, near: tuple[str, ...]) -> None:
        super().__init__(why)
        self.near = near


def drug_text(knowledge: Knowledge, name: str) -> Iterator[Text]:
    """Every line that `name` (an id, a brand, an ingredient, a product) can mean. Raises UnknownDrugError."""
    if name in knowledge.lines:
        return _line(knowledge.lines[name], knowledge.sources)
    resolution = resolve(knowledge.names, Medication(text=name))
    if not resolution.ingredients:
        why = next(iter(resolution.unread), "not recognised")
        raise UnknownDrugError(why, did_you_mean(knowledge.names, name))
    return _drug(knowledge, resolution)


def _drug(knowledge: Knowledge, resolution: Resolution) -> Iterator[Text]:
    for number, ingredient in enumerate(resolution.ingredients):
        if number:
            yield Text()
        lines = _fitting(knowledge.lines_of.get(ingredient.name, ()), resolution, ingredient)
        for place, line in enumerate(lines):
            if place:
                yield Text()
            yield from _line(line, knowledge.sources)
        if not lines:
            yield from _partner(knowledge, ingredient.name)


def _fitting(lines: tuple[Line, ...], resolution: Resolution, ingredient: ResolvedIngredient) -> tuple[Line, ...]:
    """The lines with a product of this release and strength; all of them where none has."""

    def fits(product: Product) -> bool:
        strengths = {round(each * 1000) for each in product.strengths_mg}
        return resolution.release in ("", product.release) and ingredient.strength_ug in (None, *strengths)

    return tuple(line for line in lines if any(map(fits, line.file.products))) or lines


def _partner(knowledge: Knowledge, ingredient: str) -> Iterator[Text]:
    """A drug without a line of its own: what it counts as beside a relaxant."""
    bits = knowledge.drugs.of_ingredient(ingredient, "")
    sets = [each.title for each in knowledge.medication_sets if bits & knowledge.drugs.bit(each.id)]
    yield Text(ingredient, style="bold")
    counts = f"Counts beside a muscle relaxant as: {'; '.join(sets)}." if sets else "It is in no set a rule asks for."
    yield from wrapped(f"Not a muscle relaxant with a label here. {counts}", "", "")


def _line(line: Line, sources: Mapping[str, Source]) -> Iterator[Text]:
    file = line.file
    yield Text.assemble((file.name, "bold"), f"  {line.id}")
    yield from wrapped(review_words(file.review), "", "  ", "yellow")
    yield from wrapped(f"Labelled for: {file.indication}", "", "  ")
    if file.brands:
        yield from wrapped(f"Brands: {', '.join(file.brands)}", "", "  ")
    for product in file.products:
        yield from wrapped(f"Product: {product_words(product)}", "", "  ")
    yield from wrapped(f"Codes: {'; '.join([f'RxNorm {file.rxcui}', *(f'ATC {each}' for each in file.atc)])}", "", "  ")
    used: dict[str, int] = {}
    for name, said in file.statements.items():
        yield Text()
        yield from _statement(name, said, line.statements[name].severity.name, _mark(used, said.source))
        limit = line.limits[f"drug.{name}"]
        if limit.default:
            yield from noted("Policy", f"the site puts {limit.value} {limit.unit} in its place", "yellow")
    if file.figures is not None:
        yield Text()
        yield from _figures(file.figures, _mark(used, file.figures.source))
    if file.not_applicable:
        yield Text()
        yield Text("Rules that have nothing to say on it", style="bold")
        for rule, reason in file.not_applicable.items():
            yield from wrapped(f"{rule}: {reason}", "  ", "    ")
    yield Text()
    for source_id, number in used.items():
        source = sources[source_id]
        standing = f"; {source.status}" if source.status in ("lapsed", "superseded") else ""
        text = f"{source.title} ({source.date}{standing}) {source.url}"
        yield from wrapped(text, f"{f'[{number}]':<5}", " " * 5, "dim")


def product_words(product: Product) -> str:
    """`ER tablet, 10, 20 mg`."""
    strengths = ", ".join(f"{each:g}" for each in product.strengths_mg)
    release = "" if product.release == "any" else f"{product.release.upper()} "
    return f"{release}{' or '.join(product.forms)}, {strengths} mg"


def arm_words(arm: Arm) -> str:
    """One arm of a trial with its percentages."""
    number = f" (n = {arm.n})" if arm.n is not None else ""
    effects = ", ".join(f"{effect} {percent}" for effect, percent in arm.percent.items())
    return f"{arm.arm}{number}: {effects}"


def value_words(said: Statement) -> str:
    """The value of a statement with its unit; "" for one that has none."""
    match said.value:
        case None:
            return ""
        case tuple() as values:
            return ", ".join(values)
        case number:
            unit = "" if said.unit in (None, Unit.COUNT.value) else f" {said.unit}"
            return f"{number:g}{unit}"


def _statement(name: str, said: Statement, severity: str, mark: str) -> Iterator[Text]:
    value = f" = {told}" if (told := value_words(said)) else ""
    yield from headed(severity, f"{name}{value}")
    yield from wrapped(said.says, BODY, BODY)
    if said.arithmetic is not None:
        yield from noted("Derived", said.arithmetic)
    for other in said.also:
        yield from noted("Also", other)
    authority = AUTHORITY_WORDS.get(said.authority.value, said.authority.value)
    parts = [f"{authority}: {said.verb.replace('-', ' ')}", said.section, read_words(said.read_as.value, said.seen_in)]
    yield from noted("Source", f"{' · '.join(filter(None, parts))} {mark}", "dim")


def _figures(figures: Figures, mark: str) -> Iterator[Text]:
    yield from wrapped(f"Percent of patients, {figures.trial}", "", "  ", "bold")
    for arm in figures.arms:
        yield from wrapped(arm_words(arm), "  ", "    ")
    parts = [figures.section, read_words(figures.read_as.value, figures.seen_in)]
    yield from wrapped(f"{' · '.join(filter(None, parts))} {mark}", "  ", "  ", "dim")


def _mark(used: dict[str, int], source: str) -> str:
    return f"[{used.setdefault(source, len(used) + 1)}]"


def read_words(read_as: str, seen_in: tuple[str, ...]) -> str:
    """How a statement was read, and where."""
    how = READ_AS_WORDS[read_as]
    return f"{how} ({', '.join(seen_in)})" if how and seen_in else how


def review_words(review: Review) -> str:
    """Who answers for it."""
    if review.status == "reviewed":
        return f"Reviewed by {review.reviewer}, {review.on}"
    return "Not reviewed by a named clinician"
