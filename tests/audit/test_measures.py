"""Groups of records by rule and unit, against adding them up one by one."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st

from safety_service.audit import measures
from safety_service.audit.measures import ANSWERS, COUNTS, Stored, added_up, counts_table, write_counts
from safety_service.audit.replay import Group

ANSWERED = st.dictionaries(st.sampled_from("pqrs"), st.sampled_from(ANSWERS)).map(lambda said: tuple(said.items()))
GROUP = st.tuples(
    st.sampled_from(("order", "dispensing")),
    *[st.sampled_from("xyz")] * 3,
    st.sampled_from((0, 31, 59)),
    ANSWERED,
)


@given(st.dictionaries(GROUP, st.integers(1, 9)), st.integers(1, 20))
def test_counts_are_the_records_of_each_rule_level_and_unit(groups: dict[Group, int], chunk: int) -> None:
    expected: Counter[tuple[object, ...]] = Counter()
    for (kind, drug, prescriber, practice, month, answers), number in groups.items():
        for rule, answer in answers:
            for level, unit in (("all", ""), ("practice", practice), ("prescriber", prescriber), ("drug", drug)):
                expected[rule, kind, level, unit, month, answer] += number
    usual = measures.CHUNK
    measures.CHUNK = chunk
    try:
        table = counts_table(groups)
    finally:
        measures.CHUNK = usual
    assert table.schema == COUNTS
    found: Counter[tuple[object, ...]] = Counter()
    for *key, number in zip(*(table.column(name).to_pylist() for name in COUNTS.names), strict=True):
        found[tuple(key)] += number
    assert found == expected


@settings(max_examples=15)
@given(st.lists(st.dictionaries(GROUP, st.integers(1, 9), max_size=4), min_size=1, max_size=3), st.integers(1, 40))
def test_measures_do_not_depend_on_how_counts_are_parted_and_read(parts: list[dict[Group, int]], most: int) -> None:
    """What was counted and is taken back leaves nothing, neither a month nor a practice."""
    taken_back: dict[Group, int] = {("order", "x", "gone", "gone", 396, (("p", "fired"),)): 3}
    whole: Counter[Group] = Counter()
    for each in parts:
        whole.update(each)
    with TemporaryDirectory() as folder:

        def stored(name: str, tables: Sequence[pa.Table], most: int) -> Stored:
            paths = [Path(folder) / f"{name}{i}.parquet" for i in range(len(tables))]
            for path, table in zip(paths, tables, strict=True):
                write_counts(path, table)
            return Stored(paths, most)

        once = counts_table(taken_back)
        back = once.set_column(6, "records", pc.negate(once.column("records")))
        several = [once, *(counts_table(each) for each in parts), back]
        rules = {"p": 1, "q": 2, "r": 3, "s": 4}
        plain = stored("whole", [added_up([counts_table(whole)])], 1 << 20)
        kept: list[pa.Table] = []
        expected = list(measures.measures(plain, rules, kept.append))
        assert pa.concat_tables(kept).equals(added_up([counts_table(whole)]))
        wanted = [("", None), (None, "all"), ("q", "practice")]
        for name, held in (("all", 1 << 20), ("some", most)):
            found = stored(name, several, held)
            assert list(measures.measures(found, rules)) == expected
            assert found.where(wanted).equals(plain.where(wanted))
    units = {row["unit"] for table in expected for row in table.to_pylist()}
    assert "gone" not in units
