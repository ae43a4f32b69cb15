"""Groups of records by rule and unit, against adding them up one by one."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from safety_service.audit import measures
from safety_service.audit.measures import ANSWERS, COUNTS, counts_table
from safety_service.audit.replay import Group

ANSWERED = st.dictionaries(st.sampled_from("pqrs"), st.sampled_from(ANSWERS)).map(lambda said: tuple(said.items()))
GROUP = st.tuples(
    st.sampled_from(("order", "dispensing")),
    *[st.sampled_from("xyz")] * 3,
    st.sampled_from((0, 31, 60)),
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
