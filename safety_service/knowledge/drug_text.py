"""A drug named in free text: "Flexeril 10mg tablet", "oxycodone-acetaminophen 5-325", "METAXALONE 800MG TAB".

Names are matched word by word, the longest first, and exactly: no spelling is guessed, so that tizanidine
never becomes tiagabine. Words that are not understood are handed back. A text that leaves open which drug is
meant (two brands, a negation, a brand with an unknown word behind it) is not recognised, with the reason.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise, zip_longest

from safety_service.domain import MatchedBy, ResolvedIngredient
from safety_service.knowledge.drug_names import INERT, Brand, DrugName, DrugNames, whole_micrograms
from safety_service.knowledge.drug_words import (
    COUNTING,
    EVERY,
    HOURS,
    JOINING,
    LIQUIDS,
    MARKS,
    MASS_UNITS,
    OPEN_BEFORE,
    OPEN_BEHIND,
    OTHER_UNITS,
    PACKAGES,
    PER,
    SALT_ABBREVIATIONS,
    SALT_ENDINGS,
    SAYS_NOTHING,
    VOLUME_UNITS,
    FormWords,
    form_at,
    merge,
    phrase,
    tokens,
)

LONGEST_TEXT = 1000  # characters; a drug's name is shorter
MOST_WORDS = 10  # unrecognised words reported
# "Tylenol 3", "Tylenol #3": with codeine, another product than the brand alone.
_CODEINE_NUMBERS = [(Decimal(number),) for number in (1, 2, 3, 4)]


@dataclass(frozen=True, slots=True)
class DrugText:
    """What a text says. `matched_by` NONE: no drug could be made out, and `why_not` says why."""

    matched_by: MatchedBy
    matched_on: str = ""
    ingredients: tuple[ResolvedIngredient, ...] = ()
    form: str = ""
    route: str = ""
    release: str = ""
    brand: str = ""
    rxcui: str = ""  # of the one product in the dictionary that the text describes in full
    unrecognised: tuple[str, ...] = ()
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class _Drug:
    at: int  # index of the first token; `end` is behind the last one
    end: int
    ingredient: str = ""
    brand: Brand | None = None


@dataclass(frozen=True, slots=True)
class _Strength:
    at: int
    ug: int | None
    per: str


@dataclass(frozen=True, slots=True)
class _Number:
    """A number without a unit, or the numbers of a list such as 5-325."""

    at: int
    values: tuple[Decimal, ...]


@dataclass(frozen=True, slots=True)
class _Unknown:
    at: int
    word: str


_Item = _Drug | _Strength | _Number | _Unknown


@lru_cache(maxsize=8192)
def read_drug_text(names: DrugNames, text: str) -> DrugText:
    """Which drug `text` names. Never raises; the same text always gives the same answer."""
    if len(text) > LONGEST_TEXT:
        return DrugText(MatchedBy.NONE, why_not=f"the text is longer than {LONGEST_TEXT} characters")
    cut = tokens(text)
    items, said, open_words = _scan(names, cut)
    unknown = tuple(dict.fromkeys(item.word for item in items if isinstance(item, _Unknown)))
    drugs = [item for item in items if isinstance(item, _Drug) and item.ingredient != INERT]
    held, brand, why_not = _which(drugs, items, open_words, cut)
    if why_not:
        return DrugText(MatchedBy.NONE, unrecognised=unknown[:MOST_WORDS], why_not=why_not)
    if brand is not None:
        said = FormWords(said.form or brand.form, said.route or brand.route, said.release or brand.release)
    ingredients = _strengths(names, held, drugs, items)
    if said.form in LIQUIDS:  # an amount that is not per volume is a dose, not a strength
        ingredients = tuple(each if each.per else ResolvedIngredient(each.name) for each in ingredients)
    said = FormWords(said.form, said.route, said.release or _only_release(names, ingredients, brand, said))
    # An unknown word may name a further ingredient, and a pack is not the product in it.
    rxcuis = [] if unknown or not PACKAGES.isdisjoint(cut) else _described(names, ingredients, brand, said)
    by_name = MatchedBy.INGREDIENT_NAME if brand is None else MatchedBy.BRAND_NAME
    return DrugText(
        MatchedBy.PRODUCT_NAME if rxcuis else by_name,
        " / ".join(held) if brand is None else brand.name,
        ingredients,
        said.form,
        said.route,
        said.release,
        "" if brand is None else brand.name,
        rxcuis[0] if len(rxcuis) == 1 else "",
        unknown[:MOST_WORDS],
    )


def strange_words(names: DrugNames, text: str) -> frozenset[str]:
    """The words of `text`, as `tokens` cuts it, that no dictionary here holds: they could be anything, a name too."""
    if len(text) > LONGEST_TEXT:
        return frozenset(tokens(text))
    cut = tokens(text)
    items, _, _ = _scan(names, cut)
    before_free = (word for word, behind in pairwise(cut) if behind == "free" and not _is_number(word))
    return frozenset([*(item.word for item in items if isinstance(item, _Unknown)), *before_free])


# --- from tokens to items ---------------------------------------------------------------------------------


def _scan(names: DrugNames, cut: list[str]) -> tuple[list[_Item], FormWords, list[_Unknown]]:
    """Drugs, strengths, numbers and unknown words in order; what the form words say; words such as "not"."""
    items: list[_Item] = []
    forms: list[FormWords] = []
    open_words: list[_Unknown] = []
    at = 0
    while at < len(cut):
        word = cut[at]
        behind = cut[at + 1] if at + 1 < len(cut) else ""
        if word in MARKS or word in JOINING:
            at += 1
        elif (drug := _drug_at(names, cut, at)) is not None:
            items.append(drug)
            at = drug.end
        elif _is_number(word):
            at = _scan_number(cut, at, items, forms)
        elif (form := form_at(cut, at)) is not None:
            forms.append(form[0])
            at = form[1]
        elif word in OPEN_BEFORE:
            if not (word in ("no", "or") and _is_number(behind)):  # "no. 3", "1 or 2"
                open_words.append(_Unknown(at, word))
            at += 1
        elif behind == "free":  # sugar free, dye free
            at += 2
        else:
            if word not in SAYS_NOTHING and not (word in SALT_ENDINGS and cut[at - 1 : at] == ["as"]):
                items.append(_Unknown(at, word))
            at += 1
    return items, merge(forms), open_words


def _drug_at(names: DrugNames, cut: list[str], start: int) -> _Drug | None:
    """The longest ingredient name or brand that begins at `start`, with the salt behind an ingredient."""
    longest = names.longest_from(cut[start])
    words: list[str] = []
    best: _Drug | None = None
    at = start
    while at < len(cut) and len(words) < longest:
        if cut[at] not in MARKS and cut[at] not in JOINING:
            words.append(cut[at])
            key = tuple(words)
            if (ingredient := names.ingredient(key)) is not None:
                best = _Drug(start, at + 1, ingredient)
            elif (brand := names.brand(key)) is not None:
                best = _Drug(start, at + 1, "", brand)
        at += 1
    if best is None or not best.ingredient:
        return best
    return _Drug(start, _behind_salt(names, cut, best.end), best.ingredient)


def _behind_salt(names: DrugNames, cut: list[str], end: int) -> int:
    """Where the salt behind an ingredient ends. "Aspirin zinc oxide" has no salt: zinc oxide is a drug."""
    while True:
        at = end + 1 if cut[end : end + 1] == ["-"] else end
        pair = tuple(cut[at : at + 2])
        if pair in (("sodium", "phosphate"), ("sodium", "succinate")):
            end = at + 2
        elif not pair or (len(pair) == 2 and names.ingredient(pair) is not None):
            return end
        elif pair[0] in SALT_ENDINGS or pair[0] in SALT_ABBREVIATIONS:
            end = at + 1
        else:
            return end


def _scan_number(cut: list[str], at: int, items: list[_Item], forms: list[FormWords]) -> int:
    """Read the number at `at` with what belongs to it; returns the token behind."""
    before = cut[at - 1] if at else ""
    values = [Decimal(cut[at])]
    end = at + 1
    while end + 1 < len(cut) and cut[end] in "-/" and _is_number(cut[end + 1]):
        values.append(Decimal(cut[end + 1]))
        end += 2
    unit_at = end + 1 if cut[end : end + 1] == ["-"] else end
    unit = cut[unit_at] if unit_at < len(cut) else ""
    if unit in MASS_UNITS:
        behind = unit_at + 1
        for value in values:
            ug, per, behind = _per(cut, unit_at + 1, value * MASS_UNITS[unit])
            items.append(_Strength(at, ug, per))
        return behind
    if unit in OTHER_UNITS or unit in VOLUME_UNITS:
        _, per, behind = _per(cut, unit_at + 1, Decimal(1))
        if per or unit in OTHER_UNITS:  # else a volume such as "2 ML", which is no strength
            items.append(_Strength(at, None, ""))
        return behind
    if unit in HOURS:
        if values in ([12], [24]) and before not in EVERY:
            forms.append(FormWords(release="er"))
        return unit_at + 1
    if before not in COUNTING or values[0] < 10:  # the 3 of "#3" says which product it is
        items.append(_Number(at, tuple(values)))
    return end


def _is_number(token: str) -> bool:
    """Whether `token` is a number that can be read; "2,5" is not."""
    return (token[:1].isdecimal() and "," not in token) or token[:1] == "."


def _per(cut: list[str], at: int, ug: Decimal) -> tuple[int | None, str, int]:
    """Micrograms, what they are per, and the token behind: "/mL", "/5 mL", "per tablet", or nothing."""
    per, by, end = "", Decimal(1), at
    if cut[at : at + 1] in (["/"], ["per"]):
        after = cut[at + 1 : at + 3]
        if after and after[0] in PER:
            per, end = PER[after[0]], at + 2
        elif len(after) == 2 and _is_number(after[0]) and (after[1] in VOLUME_UNITS or after[1] in HOURS):
            per, by, end = PER[after[1]], Decimal(after[0]), at + 3
    whole = whole_micrograms(ug / by) if by else None
    return (whole, per, end) if whole else (None, "", end)


# --- from items to one drug -------------------------------------------------------------------------------

_Which = tuple[tuple[str, ...], Brand | None, str]


def _which(drugs: list[_Drug], items: list[_Item], open_words: list[_Unknown], cut: list[str]) -> _Which:
    """The ingredients meant, in alphabetical order, and the brand; or why that cannot be said."""
    if not drugs:
        return _cannot_say("no word of the text is a drug name we know")
    for open_word in open_words:
        if open_word.at < drugs[-1].at or open_word.word in OPEN_BEHIND:
            return _cannot_say(f"the text says '{open_word.word}': it is open which drug is meant")
    if tied := _tied_in_front(drugs, items, cut):
        return _cannot_say(f"'{tied}' is not a drug name we know")
    named = {drug.ingredient for drug in drugs if drug.ingredient}
    brands = [drug.brand for drug in drugs if drug.brand is not None]
    if not brands:
        return tuple(sorted(named)), None, ""
    for drug in drugs:
        if drug.brand is not None and (behind := _line_extension(drug.end, drug.brand, items, cut)):
            longer = f"{drug.brand.name} {behind}"
            return _cannot_say(f"'{longer}' is not a drug name we know, and may differ from {drug.brand.name}")
    sets = [held for held in brands[0].ingredient_sets if named <= set(held)]
    sets = [held for held in sets if all(held in brand.ingredient_sets for brand in brands)]
    sets = [held for held in sets if named == set(held)] or sets
    as_sent = " and ".join(dict.fromkeys((*(brand.name for brand in brands), *sorted(named))))
    if not sets:
        return _cannot_say(f"the text names {as_sent}, which do not go together")
    if len(sets) > 1:
        choices = " or as ".join(", ".join(held) for held in sets)
        return _cannot_say(f"{as_sent} is sold as {choices}: send the ingredients or a code")
    return sets[0], brands[0], ""


def _cannot_say(why: str) -> _Which:
    return (), None, why


def _tied_in_front(drugs: list[_Drug], items: list[_Item], cut: list[str]) -> str:
    """A name such as "desmethyl-diazepam": an unknown word tied to the front of a known one, or ""."""
    ends = {drug.at: drug.end for drug in drugs}
    for item in items:
        if isinstance(item, _Unknown) and item.at + 2 in ends and cut[item.at + 1] == "-":
            return f"{item.word}-{' '.join(cut[item.at + 2 : ends[item.at + 2]])}"
    return ""


def _line_extension(end: int, brand: Brand, items: list[_Item], cut: list[str]) -> str:
    """The unknown word or small number right behind a brand that makes it another product, or ""."""
    while end < len(cut) and (cut[end] in "-#" or cut[end] in JOINING or cut[end] == "no"):
        end += 1
    for item in items:
        if isinstance(item, _Unknown) and item.at == end:
            return item.word
        if isinstance(item, _Number) and item.at == end and item.values in _CODEINE_NUMBERS:
            return "" if all("codeine" in held for held in brand.ingredient_sets) else cut[end]
    return ""


def _strengths(
    names: DrugNames, held: tuple[str, ...], drugs: list[_Drug], items: list[_Item]
) -> tuple[ResolvedIngredient, ...]:
    """The ingredients with the strengths that the text gives them without doubt."""
    given = [item for item in items if isinstance(item, _Strength)]
    doubt = any(isinstance(item, _Unknown) for item in items)  # a strength may be another ingredient's
    unstated = tuple(ResolvedIngredient(name) for name in held)
    if len(held) == 1 and given:
        said = {(each.ug, each.per) for each in given}
        behind_drug = any(isinstance(one, _Drug) and two is given[0] for one, two in pairwise(items))
        certain = len(said) == 1 and (behind_drug or not doubt)
        return (ResolvedIngredient(held[0], *said.pop()),) if certain else unstated
    if (each_its_own := _each_its_own(held, items)) is not None:
        return each_its_own
    amounts = [each.ug for each in given if not each.per] if given else _bare_amounts(drugs, items)
    if doubt or len(amounts) != len(held):
        return unstated
    in_order = [drug.ingredient for drug in drugs]
    fitting = set()
    for _, product in names.holding(held):
        strengths = {each.name: each.strength_ug for each in product.ingredients if not each.per}
        if sorted(in_order) == list(held):
            fits = strengths == dict(zip(in_order, amounts, strict=True))
        else:  # named by a brand: the order is not known
            fits = Counter(strengths.values()) == Counter(amounts)
        if fits:
            fitting.add(product.ingredients)
    return fitting.pop() if len(fitting) == 1 else unstated


def _each_its_own(held: tuple[str, ...], items: list[_Item]) -> tuple[ResolvedIngredient, ...] | None:
    """Strengths where each ingredient is followed by its own, as in RxNorm names; else None."""
    order = [item for item in items if not isinstance(item, _Number) and not (isinstance(item, _Drug) and item.brand)]
    stated: dict[str, ResolvedIngredient] = {}
    for drug, strength in zip_longest(order[::2], order[1::2]):
        if not isinstance(drug, _Drug) or not isinstance(strength, _Strength) or drug.ingredient in stated:
            return None
        stated[drug.ingredient] = ResolvedIngredient(drug.ingredient, strength.ug, strength.per)
    return tuple(stated[name] for name in held) if sorted(stated) == list(held) else None


def _bare_amounts(drugs: list[_Drug], items: list[_Item]) -> list[int | None]:
    """The first number without a unit behind a drug, read as mg, to be checked against the products.

    A single whole number below 100 may be a count of tablets and is never a strength.
    """
    for item in items:
        if isinstance(item, _Number) and item.at >= drugs[0].end:
            count = len(item.values) == 1 and item.values[0] < 100 and item.values[0] % 1 == 0
            return [] if count else [whole_micrograms(value * 1000) for value in item.values]
    return []


def _only_release(
    names: DrugNames, ingredients: tuple[ResolvedIngredient, ...], brand: Brand | None, said: FormWords
) -> str:
    """The release of all products that fit the strength, form and brand; "" when they differ."""
    if said.route not in ("", "oral"):
        return ""
    fitting = [
        product
        for _, product in names.holding(tuple(each.name for each in ingredients))
        if said.form in ("", product.form) and (brand is None or _is_sold_as(product, brand))
    ]
    of_strength = [product for product in fitting if product.ingredients == ingredients]
    if not of_strength and not said.form and brand is None:
        return ""
    releases = {product.release for product in of_strength or fitting}
    return releases.pop() if len(releases) == 1 else ""


def _described(
    names: DrugNames, ingredients: tuple[ResolvedIngredient, ...], brand: Brand | None, said: FormWords
) -> list[str]:
    """The codes of the products that the text describes in full: strength, form, release and brand."""
    if not said.form or any(each.strength_ug is None for each in ingredients):
        return []
    return [
        rxcui
        for rxcui, product in names.holding(tuple(each.name for each in ingredients))
        if product.ingredients == ingredients
        and (product.form, product.route, product.release) == (said.form, said.route, said.release)
        and (not product.brand if brand is None else _is_sold_as(product, brand))
    ]


def _is_sold_as(product: DrugName, brand: Brand) -> bool:
    return phrase(product.brand) == phrase(brand.name)
