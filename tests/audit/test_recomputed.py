"""The measures worked out again in SQL, from the files that were read and the answers and alerts that came out.

Unit, month, kind and drug of a record come from its line; nothing of the audit's own counting is asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from safety_service.audit.synth import Plan, write
from safety_service.knowledge.knowledge import Knowledge
from tests.audit.records import run

RELAXANTS = (
    "baclofen", "carisoprodol", "chlorzoxazone", "cyclobenzaprine", "dantrolene", "metaxalone", "methocarbamol",
    "orphenadrine", "tizanidine",
)  # fmt: skip
RECORDS = """
create view records as select patient_id as patient, record_id as record, practice_id as practice,
    prescriber_id as prescriber, trim(regexp_extract(drug_name, '^[^0-9]+')) as drug,
    case when dispensed_on <> '' then 'dispensing' else 'order' end as kind,
    date_trunc('month', coalesce(nullif(ordered_on, ''), dispensed_on)::date)::date as month
    from read_csv('{source}/medications.csv', all_varchar = true, nullstr = '\\N')
"""
UNITS = """
create view units as
    select *, 'all' as level, '' as unit from records union all
    select *, 'practice', practice from records union all
    select *, 'prescriber', prescriber from records union all
    select *, 'drug', drug from records
"""
OF_RULES = """
select rule_id, kind, level, unit, month, count(*) filter (status = 'fired') as fired,
    count(*) filter (status in ('fired', 'passed')) as decided, count(*) filter (status = 'not_evaluated') as open
from '{out}/statuses.parquet' as answers join units on index_record = record and answers.patient = units.patient
group by all having decided + open > 0
"""
MEASURED = """
select rule_id, record_kind, level, unit, month, numerator, denominator, not_evaluable from '{out}/measures.parquet'
where rule_id <> '' and denominator + not_evaluable > 0
"""
ANY_ALERT = """
with told as (
    select distinct patient, index_record from '{out}/alerts.parquet'
    where severity in ('moderate', 'high', 'contraindicated')
)
select kind, unit, month, count(index_record) as fired, count(*) as records
from units left join told on record = index_record and units.patient = told.patient
where level = 'drug' and unit in {relaxants} group by all
"""
ANY_MEASURED = """
select record_kind, unit, month, numerator, denominator + not_evaluable from '{out}/measures.parquet'
where rule_id = '' and level = 'drug' and unit in {relaxants} and denominator + not_evaluable > 0
"""
BY_LEVEL = """
select record_kind, rule_id, month, level, sum(numerator), sum(denominator), sum(not_evaluable)
from '{out}/measures.parquet' group by all having sum(denominator) + sum(not_evaluable) > 0
"""


@pytest.fixture(scope="module")
def ask(knowledge: Knowledge, tmp_path_factory: pytest.TempPathFactory, seed: int) -> Any:
    folder = tmp_path_factory.mktemp("recomputed")
    write(knowledge, Plan(300, seed % 1000 + 5), folder / "in", "csv")
    run(folder / "out", folder / "in", statuses=True, buckets=2)
    connection = duckdb.connect()
    names = {"source": Path(folder / "in"), "out": Path(folder / "out"), "relaxants": RELAXANTS}
    connection.sql(RECORDS.format(**names))
    connection.sql(UNITS)
    yield lambda query: connection.sql(query.format(**names)).fetchall()
    connection.close()


def test_each_rules_measures_at_every_level(ask: Any) -> None:
    found, expected = ask(MEASURED), ask(OF_RULES)
    assert len(expected) > 10_000
    assert {row[2] for row in expected} == {"all", "practice", "prescriber", "drug"}
    assert len(set(found)) == len(found)
    assert set(found) == set(expected)


def test_any_alert_of_moderate_or_above_by_drug(ask: Any) -> None:
    found, expected = ask(ANY_MEASURED), ask(ANY_ALERT)
    assert len(expected) > 20
    assert 0 < sum(row[3] for row in expected) < sum(row[4] for row in expected)
    assert set(found) == set(expected)


def test_all_levels_add_up_to_the_same(ask: Any) -> None:
    by_level: dict[str, set[tuple[Any, ...]]] = {}
    for kind, rule, month, level, *sums in ask(BY_LEVEL):
        by_level.setdefault(level, set()).add((kind, rule, month, *map(int, sums)))
    assert len(by_level["all"]) > 1_000
    assert by_level["all"] == by_level["practice"] == by_level["prescriber"] == by_level["drug"]
