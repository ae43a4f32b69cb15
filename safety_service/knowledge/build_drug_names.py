"""Write names.tsv.gz: every RxNorm name of the source list, taken apart. SOURCE.md says what the source is.

    python -m safety_service.knowledge.build_drug_names SOURCE_TSV

SOURCE_TSV has the columns rxcui, name, origin. The RxNorm rows of codes.tsv, which the source
lacks, are merged in. The same input gives the same bytes.
"""

from __future__ import annotations

import gzip
import sys
from collections import Counter, defaultdict
from pathlib import Path

from safety_service.domain import ResolvedIngredient
from safety_service.knowledge.drug_names import (
    COLUMNS,
    DIRECTORY,
    RXNORM,
    DrugName,
    NameKind,
    read_name,
    write_row,
)

# RxNorm ingredients whose products are named by their salts; they stand alone in dose-form groups only.
ONLY_IN_GROUPS = {"isosorbide", "lithium"}


def main(source: Path, target: Path = DIRECTORY / "names.tsv.gz") -> None:
    """Take the names of `source` apart, write them to `target` and print what became of them."""
    listed = [line.split("\t") for line in source.read_text(encoding="utf-8").splitlines()[1:]]
    names = {rxcui: (name, origin) for rxcui, name, origin in listed}
    for line in (DIRECTORY / "codes.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        system, code, name, _, _ = line.split("\t")
        if system == RXNORM:
            names.setdefault(code, (name, "codes"))

    read = {rxcui: read_name(name) for rxcui, (name, _) in names.items()}
    ingredients = _known_ingredients(read, names)
    brands = _brands(read)
    rows: list[str] = []
    counts: Counter[str] = Counter()
    for rxcui in sorted(names, key=int):
        checked, verdict = _checked(names[rxcui][0], read[rxcui], ingredients, brands)
        counts[verdict] += 1
        if verdict.startswith("no "):
            print(f"{verdict}: {rxcui} {names[rxcui][0]}")
        rows.append(write_row(rxcui, checked, names[rxcui][1]))

    text = "\t".join(COLUMNS) + "\n" + "\n".join(rows) + "\n"
    with open(target, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        packed.write(text.encode())
    for verdict, count in sorted(counts.items()):
        print(f"{count:6d}  {verdict}")
    print(f"{len(rows):6d}  names, {len(ingredients)} ingredients, {len(brands)} brands")


def _known_ingredients(read: dict[str, DrugName], names: dict[str, tuple[str, str]]) -> set[str]:
    """Ingredients that stand with a strength somewhere, or alone and in lower case."""
    known = {
        ingredient.name
        for name in read.values()
        if name.kind in (NameKind.PRODUCT, NameKind.COMPONENT, NameKind.PACK)
        for ingredient in name.ingredients
    }
    for rxcui, name in read.items():
        written = names[rxcui][0]
        if name.kind is NameKind.INGREDIENT and written == written.lower():
            known.update(ingredient.name for ingredient in name.ingredients)
    return known | ONLY_IN_GROUPS


def _brands(read: dict[str, DrugName]) -> dict[str, set[tuple[str, ...]]]:
    """Brand in lower case -> the sets of ingredients sold under it."""
    brands: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
    for name in read.values():
        if name.brand:
            brands[name.brand.lower()].add(tuple(ingredient.name for ingredient in name.ingredients))
    return dict(brands)


def _checked(
    written: str, name: DrugName, ingredients: set[str], brands: dict[str, set[tuple[str, ...]]]
) -> tuple[DrugName, str]:
    """The name with a brand told apart from an ingredient, and a line for the count."""
    if all(ingredient.name in ingredients for ingredient in name.ingredients) and name.ingredients:
        return name, f"ingredients, {name.kind.name.lower()}"
    if name.kind not in (NameKind.GROUP, NameKind.INGREDIENT):
        return name, "no ingredient: only inert"
    brand = written.removesuffix(" Pill") if name.form == "pill" else written
    kind = NameKind.GROUP if name.kind is NameKind.GROUP else NameKind.BRAND
    sets = brands.get(brand.lower(), set())
    held = tuple(ResolvedIngredient(each) for each in next(iter(sets))) if len(sets) == 1 else ()
    verdict = (
        "ingredients, by brand"
        if held
        else "no one answer: brand of several"
        if sets
        else "no ingredient: brand not listed"
    )
    return DrugName(kind, held, name.form, name.route, name.release, brand), verdict


if __name__ == "__main__":
    main(Path(sys.argv[1]))
