"""RxNorm-style drug names: what a name says, and the dictionary of the names we know.

RxNorm writes a product as `24 HR Cyclobenzaprine hydrochloride 30 MG Extended Release Oral Capsule [Amrix]`:
qualifiers, then ingredients with strength joined by " / ", then the dose form, then the brand in brackets.
`read_name` takes such a name apart. `DrugNames` is the dictionary made from some 27,800 of them, read from
``rules_data/drug_names/names.tsv.gz`` (written by ``build_drug_names``; SOURCE.md beside it says where they come from).
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

from safety_service.domain import ResolvedIngredient
from safety_service.knowledge.drug_words import (
    MASS_UNITS,
    PER,
    SALT_ENDINGS,
    SAYS_NOTHING,
    immediate_unless_said,
    phrase,
    read_form,
)


class NameKind(StrEnum):
    """What sort of thing a name stands for. The value is the letter stored in the dictionary file."""

    PRODUCT = "p"  # ingredients, strengths and dose form
    PACK = "k"  # several products in one package
    COMPONENT = "c"  # ingredients and strengths, no dose form
    GROUP = "g"  # ingredients or a brand with a dose form, no strength: "Baclofen Pill"
    INGREDIENT = "i"  # ingredients alone
    BRAND = "b"  # a brand alone


@dataclass(frozen=True, slots=True)
class DrugName:
    """A drug name taken apart. Empty text means that the name does not say.

    Strengths are micrograms, per dosage unit when `per` is "", else per mL, mg, h or actuation. None: not
    stated, or not a whole number of micrograms (units, milliequivalents, parts by volume). Ingredients are
    in alphabetical order; salts of one ingredient are added up.
    """

    kind: NameKind
    ingredients: tuple[ResolvedIngredient, ...]
    form: str = ""  # "tablet", "delayed release capsule", "disintegrating tablet", "solution" ...
    route: str = ""  # "oral", "injection", "topical" ...
    release: str = ""  # "ir" or "er"; "" also for what is neither, such as liquids and delayed release
    brand: str = ""


# --- ingredients ------------------------------------------------------------------------------------------

# Ions that are themselves the ingredient: "potassium chloride" is no chloride salt of a drug called
# potassium.
_SIMPLE_IONS = frozenset(
    "aluminum ammonium bismuth butyl calcium cesium choline chromium chromous copper cupric cuprous dicalcium"
    " ethyl ferric ferrous glyceryl hydrogen iron isosorbide lanthanum lithium magnesium manganese methyl"
    " monobasic nickel nitrous phenyl potassium selenious silver sodium stannous strontium tricalcium"
    " trolamine zinc".split()
)

INERT = "inert ingredients"  # placebo tablets of a pack

# Names that end like a salt form but are the ingredient itself.
_WHOLE_NAMES = frozenset(
    (
        "benzalkonium chloride",
        "benzethonium chloride",
        "cetylpyridinium chloride",
        "cholestyramine resin",
        "dimethyl fumarate",
        "pyridoxal phosphate",
    )
)

# One ingredient under two names within RxNorm (its products use the left one, its ingredient or dose-form
# groups the right one, or the other way round); the right-hand name is used everywhere in the service.
_SAME_INGREDIENT = {
    "4-aminobenzoic acid": "4-aminobenzoate",
    "alendronic acid": "alendronate",
    "alpha tocopherol": "vitamin e",
    "alpha-tocopherol acetate": "vitamin e",
    "alpha-tocopherol succinate": "vitamin e",
    "azelaic acid": "azelate",
    "benzoic acid": "benzoate",
    "calcium pantothenate": "pantothenate",
    "chondroitin sulfate a": "chondroitin sulfates",
    "cyclosporine, modified": "cyclosporine",
    "dehydrocholic acid": "dehydrocholate",
    "divalproex": "valproate",
    "dl-alpha tocopheryl acetate": "vitamin e",
    "docosahexaenoic acid": "docosahexaenoate",
    "eicosapentaenoic acid": "eicosapentaenoate",
    "ethacrynic acid": "ethacrynate",
    "heparin sodium, porcine": "heparin",
    "hyaluronic acid": "hyaluronate",
    "ibandronic acid": "ibandronate",
    "insulin aspart, human": "insulin aspart",
    "insulin glulisine, human": "insulin glulisine",
    "insulin isophane, human": "insulin isophane",
    "levomefolic acid": "levomefolate",
    "mefenamate": "mefenamic acid",
    "monofluorophosphate": "sodium monofluorophosphate",
    "nitrofurantoin, macrocrystals": "nitrofurantoin",
    "pantothenic acid": "pantothenate",
    "pentaerythritol": "pentaerythritol tetranitrate",
    "phenylbutyrate": "sodium phenylbutyrate",
    "pyridoxal": "pyridoxal phosphate",
    "selenite": "sodium selenite",
    "sodium phosphate,monobasic,monohydrate": "sodium phosphate, monobasic",
    "thioctic acid": "thioctate",
    "thyroxine": "levothyroxine",
    "tocopherol acetate": "vitamin e",
    "tocopherol,dl-alpha": "vitamin e",
    "trichloroacetaldehyde": "chloral hydrate",
    "triiodothyronine": "liothyronine",
    "ursodeoxycholate": "ursodiol",
    "valproic acid": "valproate",
    "vitamin b12": "vitamin b 12",
    "vitamin e d-alpha": "vitamin e",
}


def base_ingredient(name: str) -> str:
    """The ingredient without its salt, ester or hydrate, lower case: "Dantrolene Sodium" -> "dantrolene".

    Salts of simple ions keep their whole name ("potassium chloride", "lithium carbonate", "magnesium oxide").
    """
    name = " ".join(name.lower().split())
    while (same := _SAME_INGREDIENT.get(name)) is None:
        head, _, ending = name.rpartition(" ")
        first = head.partition(" ")[0]
        if not head or ending not in SALT_ENDINGS or name in _WHOLE_NAMES or first in _SIMPLE_IONS:
            return name
        name = head.rstrip(",")
    return same


# --- one name ---------------------------------------------------------------------------------------------

_BRAND = re.compile(r"\s*\[([^\]]*)\]\s*$")
# What may stand before an ingredient: "24 HR", "20/80 Release 24 HR", "2 ML", "1 MG Dose 1.5 ML",
# "Abuse-Deterrent" ...
_QUALIFIER = re.compile(
    r"(?:.*?(?P<hours>\d[\d.]* (?:HR|Hour))"
    r"|(?:[\d.]+ (?:MG|UNT)(?:,| Doses?) )*[\d.]+ ML"
    r"|[\d.]+ (?:ACTUAT|UNT)|\d+ Day|\d+-Month"
    r"|Abuse-Deterrent|Micronized|Modified|Once-daily|PMDD|Sensor|Sprinkle)\s+",
    re.IGNORECASE,
)
_STRENGTH = re.compile(
    r"(?P<name>.+?) (?P<amount>\d+(?:\.\d+)?) "
    r"(?P<unit>MG|MCG|G|UNT|MEQ|MMOL|ML|IR|BAU|CELLS|%|Amb a 1-U)(?:/(?P<per>ML|MG|HR|ACTUAT|UNT))?"
    r"(?: (?P<form>.+))?"
)
_GROUP_FORM = re.compile(
    r"(?P<names>.+?) (?P<form>Pill|(?:Oral|Injectable|Inhalant|Topical|Oral Liquid) Product|"
    r"(?:(?:Extended|Delayed) Release )?(?:Oral (?:Tablet|Capsule|Solution|Suspension)|Suspension)|"
    r"Injectable (?:Solution|Suspension)|Injection|Inhalation Powder|Pen Injector|Auto-Injector|Cartridge)"
)
_PACK = re.compile(r"\{(?P<parts>.*)\} Pack\b.*")
_PACK_PART = re.compile(r"(?:^| / )\d+ (?:\([\d.]+ \w+\) )?\((?P<name>.*?)\) ?(?= / \d+ \(|$)")


def read_name(name: str) -> DrugName:
    """Take a RxNorm-style name apart. Never raises: a name of another shape is read as an ingredient's.

    Whether the words of an ingredient or brand are known is for the caller to check: "Lioresal Pill" is
    read as a group with the ingredient "lioresal".
    """
    if pack := _PACK.fullmatch(name):
        return _read_pack(name, pack["parts"])
    found = _BRAND.search(name)
    brand = found[1] if found else ""
    rest = name[: found.start()] if found else name

    ingredients: list[ResolvedIngredient] = []
    hours = False
    form_words = ""
    for part in rest.split(" / "):
        while (qualifier := _QUALIFIER.match(part)) is not None:
            hours = hours or qualifier["hours"] is not None
            part = part[qualifier.end() :]
        read = _STRENGTH.fullmatch(part)
        if read is None:
            break
        ingredients.append(
            ResolvedIngredient(base_ingredient(read["name"]), *_micrograms(read["amount"], read["unit"], read["per"]))
        )
        form_words = read["form"] or form_words
    else:
        if not form_words:
            return DrugName(NameKind.COMPONENT, _together(ingredients), brand=brand)
        said = read_form(form_words)
        release = "er" if hours and said.route == "oral" else immediate_unless_said(said)
        return DrugName(NameKind.PRODUCT, _together(ingredients), said.form, said.route, release, brand)

    kind, form, route, release = NameKind.INGREDIENT, "", "", ""
    if group := _GROUP_FORM.fullmatch(rest):
        kind, rest = NameKind.GROUP, group["names"]
        said = read_form(group["form"])
        form, route, release = (
            said.form,
            said.route or ("oral" if said.form == "pill" else ""),
            immediate_unless_said(said),
        )
    names = [ResolvedIngredient(base_ingredient(part)) for part in rest.split(" / ")]
    return DrugName(kind, _together(names), form, route, release, brand)


def _read_pack(name: str, parts: str) -> DrugName:
    """A pack holds every ingredient of its parts; a strength where all parts with it agree."""
    inside = [read_name(part["name"]) for part in _PACK_PART.finditer(parts)]
    strengths: dict[str, set[ResolvedIngredient]] = {}
    for part in inside:
        for ingredient in part.ingredients:
            strengths.setdefault(ingredient.name, set()).add(ingredient)
    strengths.pop(INERT, None)
    ingredients = [held.pop() if len(held) == 1 else ResolvedIngredient(key) for key, held in strengths.items()]
    routes = {part.route for part in inside}
    releases = {part.release for part in inside}
    found = _BRAND.search(name)
    return DrugName(
        NameKind.PACK,
        _together(ingredients),
        "pack",
        routes.pop() if len(routes) == 1 else "",
        releases.pop() if len(releases) == 1 else "",
        found[1] if found else "",
    )


def _micrograms(amount: str, unit: str, per: str | None) -> tuple[int | None, str]:
    scale = MASS_UNITS.get(unit.lower())
    per_word = "" if per is None else PER.get(per.lower())
    whole = None if scale is None or per_word is None else whole_micrograms(Decimal(amount) * scale)
    return (None, "") if whole is None or per_word is None else (whole, per_word)


def whole_micrograms(amount: Decimal) -> int | None:
    """`amount` as an integer, or None when it is not a whole number: a strength is never rounded."""
    return int(amount) if amount == amount.to_integral_value() else None


def _together(ingredients: list[ResolvedIngredient]) -> tuple[ResolvedIngredient, ...]:
    """Alphabetical, each ingredient once; several salts of one ingredient are added up."""
    merged: dict[str, ResolvedIngredient] = {}
    for new in ingredients:
        old = merged.get(new.name)
        if old is None:
            merged[new.name] = new
        elif old.strength_ug is None or new.strength_ug is None or old.per != new.per:
            merged[new.name] = ResolvedIngredient(new.name)
        else:
            merged[new.name] = ResolvedIngredient(new.name, old.strength_ug + new.strength_ug, old.per)
    return tuple(merged[name] for name in sorted(merged))


# --- the dictionary ---------------------------------------------------------------------------------------

RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
COLUMNS = ("rxcui", "kind", "ingredients", "strengths", "form", "route", "release", "brand", "origin")
DIRECTORY = Path(__file__).parents[2] / "rules_data" / "drug_names"


def write_row(rxcui: str, name: DrugName, origin: str) -> str:
    """One line of names.tsv.gz. Strengths are micrograms, "/per" behind, empty when there is none."""
    strengths = (
        "" if each.strength_ug is None else f"{each.strength_ug}/{each.per}" if each.per else str(each.strength_ug)
        for each in name.ingredients
    )
    held = ";".join(each.name for each in name.ingredients)
    return "\t".join(
        (rxcui, name.kind, held, ";".join(strengths), name.form, name.route, name.release, name.brand, origin)
    )


def read_row(row: str) -> tuple[str, DrugName, str]:
    """The code, the name and the origin in a line of names.tsv.gz."""
    rxcui, kind, held, strengths, form, route, release, brand, origin = row.split("\t")
    ingredients = []
    if held:
        for name, strength in zip(held.split(";"), strengths.split(";"), strict=True):
            amount, _, per = strength.partition("/")
            ingredients.append(ResolvedIngredient(name, int(amount) if amount else None, per))
    return rxcui, DrugName(NameKind(kind), tuple(ingredients), form, route, release, brand), origin


@dataclass(frozen=True, slots=True)
class CodedIngredient:
    """What an ATC or SNOMED CT code stands for; `beside`: what else it includes, in its own words."""

    ingredients: tuple[str, ...]
    beside: str


@dataclass(frozen=True, slots=True)
class Brand:
    """A brand and what is sold under it. With more than one set of ingredients, the brand does not say which.

    Form, route and release are set only where a source gives them for the brand as such.
    """

    name: str
    ingredient_sets: tuple[tuple[str, ...], ...]
    form: str = ""
    route: str = ""
    release: str = ""


@dataclass(frozen=True, slots=True)
class SiteCode:
    """What a code of the site stands for: a RxNorm code of the dictionary, or else a name that it understands."""

    rxcui: str
    name: str


class DrugNames:
    """The dictionary: codes, ingredient names and brands, and the codes that a site has added.

    What it answers never changes, so one object serves all threads.
    """

    __slots__ = (
        "_brands",
        "_broader",
        "_codes",
        "_codes_of",
        "_ingredients",
        "_longest_from",
        "_products",
        "_rows",
        "_rows_holding",
        "_site_codes",
        "_site_systems",
    )

    def __init__(self, directory: Path = DIRECTORY) -> None:
        """Read the files of `directory` (see SOURCE.md). Raises OSError or ValueError if one is bad."""
        text = gzip.decompress((directory / "names.tsv.gz").read_bytes()).decode()
        header, *rows = text.splitlines()
        if header != "\t".join(COLUMNS):
            raise ValueError(f"{directory / 'names.tsv.gz'}: other columns than {', '.join(COLUMNS)}")
        self._site_codes: Mapping[tuple[str, str], SiteCode] = {}
        self._site_systems: frozenset[str] = frozenset()
        self._rows: dict[str, str] = {}
        self._rows_holding: dict[str, list[str]] = {}
        brand_sets: dict[str, dict[str, None]] = {}
        for row in rows:
            rxcui, _, held, _, _, _, _, brand, _ = row.split("\t")
            self._rows[rxcui] = row
            if held:
                self._rows_holding.setdefault(held, []).append(row)
                if brand:
                    brand_sets.setdefault(brand, {})[held] = None

        self._ingredients = {phrase(name): name for held in self._rows_holding for name in held.split(";")}
        self._codes: dict[tuple[str, str], CodedIngredient] = {}
        self._codes_of: dict[tuple[str, str], tuple[str, ...]] = {}
        for system, code, name, beside, _ in _table(directory / "codes.tsv"):
            if system != RXNORM:
                held_names = tuple(base_ingredient(each) for each in name.split(";"))
                self._codes[system, code] = CodedIngredient(held_names, beside)
                for each in held_names:
                    self._codes_of[system, each] = (*self._codes_of.get((system, each), ()), code)
                self._ingredients.update((phrase(each), each) for each in held_names)
        for old, new in _SAME_INGREDIENT.items():
            self._ingredients.setdefault(phrase(old), new)
        for synonym, ingredient, _ in _table(directory / "synonyms.tsv"):
            self._ingredients[phrase(synonym)] = ingredient

        self._broader = {narrow: broad for narrow, broad, _ in _table(directory / "broader.tsv")}

        self._brands: dict[tuple[str, ...], Brand] = {}
        for brand, sets in brand_sets.items():
            self._add_brand(Brand(brand, tuple(tuple(each.split(";")) for each in sets)))
        for brand, held, form, route, release, _ in _table(directory / "brands.tsv"):
            self._add_brand(Brand(brand, (tuple(held.split(";")),), form, route, release))
        self._products: dict[tuple[str, ...], tuple[tuple[str, DrugName], ...]] = {}
        self._longest_from: dict[str, int] = {}
        for words in (*self._ingredients, *self._brands):
            self._longest_from[words[0]] = max(len(words), self._longest_from.get(words[0], 0))

    def _add_brand(self, new: Brand) -> None:
        """Two spellings of one brand are one brand; what a later entry says about the form is kept."""
        key = phrase(new.name)
        if all(word in SAYS_NOTHING or word.isdecimal() for word in key):
            return  # "Chew-Q", "A-25": in a text these are directions
        old = self._brands.get(key, new)
        sets = dict.fromkeys((*old.ingredient_sets, *new.ingredient_sets))
        self._brands[key] = Brand(
            old.name, tuple(sets), new.form or old.form, new.route or old.route, new.release or old.release
        )

    def __len__(self) -> int:
        return len(self._rows)

    def with_site_codes(self, codes: Mapping[tuple[str, str], SiteCode]) -> DrugNames:
        """The same dictionary and the codes of a site, by (system, code) as `resolve.code_key` writes them."""
        added = copy(self)
        added._site_codes = dict(codes)
        added._site_systems = frozenset(system for system, _ in codes)
        return added

    def site_code(self, system: str, code: str) -> SiteCode | None:
        """What a code of the site stands for, or None when the site has not mapped it."""
        return self._site_codes.get((system, code))

    def site_code_count(self) -> int:
        """How many codes the site has added."""
        return len(self._site_codes)

    def has_site_system(self, system: str) -> bool:
        """Whether the site has mapped any code of this system."""
        return system in self._site_systems

    def rxnorm(self, rxcui: str) -> DrugName | None:
        """What a RxNorm code stands for, or None when it is not in the dictionary."""
        row = self._rows.get(rxcui)
        return None if row is None else read_row(row)[1]

    def origin(self, rxcui: str) -> str:
        """The list a RxNorm code was read from (SOURCE.md); "" when it is not in the dictionary."""
        row = self._rows.get(rxcui, "")
        return row.rpartition("\t")[2]

    def coded(self, system: str, code: str) -> CodedIngredient | None:
        """What an ATC or SNOMED CT code stands for, or None when it is not in the dictionary."""
        return self._codes.get((system, code))

    def codes_of(self, system: str, ingredient: str) -> tuple[str, ...]:
        """The ATC or SNOMED CT codes of an ingredient that the dictionary holds, seldom all there are."""
        return self._codes_of.get((system, ingredient), ())

    def broader(self, ingredient: str) -> str | None:
        """The name of the group that an ingredient is one of and is also sent as; None when there is none."""
        return self._broader.get(ingredient)

    def longest_from(self, word: str) -> int:
        """Words in the longest ingredient name or brand that begins with `word`; 0 when none does."""
        return self._longest_from.get(word, 0)

    def ingredient(self, words: tuple[str, ...]) -> str | None:
        """The base ingredient that `words` (see `drug_words.phrase`) name exactly, salt left out."""
        return self._ingredients.get(words)

    def brand(self, words: tuple[str, ...]) -> Brand | None:
        """The brand that `words` name exactly."""
        return self._brands.get(words)

    def holding(self, ingredients: tuple[str, ...]) -> tuple[tuple[str, DrugName], ...]:
        """Code and name of every product with exactly these ingredients, given in alphabetical order."""
        products = self._products.get(ingredients)
        if products is None:
            read = (read_row(row) for row in self._rows_holding.get(";".join(ingredients), ()))
            products = tuple((rxcui, name) for rxcui, name, _ in read if name.kind is NameKind.PRODUCT)
            if products:  # kept: taking rows apart is most of the work of reading a text
                self._products[ingredients] = products
        return products

    def all_ingredients(self) -> tuple[str, ...]:
        """Every base ingredient, alphabetically: what class membership has to be decided for."""
        return tuple(sorted(set(self._ingredients.values())))

    def all_words(self) -> Iterator[tuple[str, str]]:
        """Every ingredient name and brand as one lower-case string, with its usual spelling."""
        for words, ingredient in self._ingredients.items():
            yield " ".join(words), ingredient
        for words, brand in self._brands.items():
            yield " ".join(words), brand.name


def _table(path: Path) -> list[list[str]]:
    """The rows of a small hand-kept TSV file below its heading."""
    heading, *lines = path.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines]
    for number, row in enumerate(rows, start=2):
        if len(row) != heading.count("\t") + 1:
            raise ValueError(f"{path}:{number}: {len(row)} columns, {heading.count(chr(9)) + 1} wanted")
    return rows
