"""The same facts in SQL windows, written apart from the fold: an independent referee, and what the benchmark beats.

Episodes without a cap: with S the days supplied so far, the end in hand is S + max(start - S before), which needs no
recursion. For ingredient, class, what is in hand, a new start, and which classes share the first day.
"""

from __future__ import annotations

from typing import Any

import duckdb

FACTS = """
with one as (
    select *, sum(days) over item as s from rx where chain >= 0
    window item as (partition by patient, key order by start, record rows unbounded preceding)
), two as (
    select *, s + max(start - (s - days)) over item as e from one
    window item as (partition by patient, key order by start, record rows unbounded preceding)
), three as (
    select *,
        lag(e) over item as before,
        max(e) over (partition by patient, key order by start range between unbounded preceding and 1 preceding)
            as earlier,
        max(e) over (partition by patient order by start, record rows between unbounded preceding and 1 preceding)
            as any_before
    from two
    window item as (partition by patient, key order by start, record)
), four as (
    select *,
        sum(case when before is null or start > before + {gap} then 1 else 0 end) over
            (partition by patient, key order by start, record rows unbounded preceding) as episode,
        sum(case when any_before is null or start > any_before + {gap} then 1 else 0 end) over
            (partition by patient order by start, record rows unbounded preceding) as class_episode,
        case when any_before is null or start > any_before + {gap} then e - start
             else greatest(0, e - greatest(start, any_before)) end as covered
    from three
), shared as (
    select record,
        max(case when bits & 1 > 0 then start + days end) over earlier as opioid,
        max(case when bits & 2 > 0 then start + days end) over earlier as benzodiazepine
    from rx
    window earlier as (partition by patient order by start, record rows between unbounded preceding and 1 preceding)
)
select four.record,
    sum(days) over (partition by patient, key, episode order by start, four.record rows unbounded preceding)
        as episode_days,
    coalesce(greatest(0, before - start), 0) as in_hand,
    sum(covered) over (partition by patient, class_episode order by start, four.record rows unbounded preceding)
        as class_days,
    coalesce(earlier > start - {gap}, false) as continues,
    coalesce(opioid > start, false)::int + 2 * coalesce(benzodiazepine > start, false)::int as classes
from four join shared using (record)
"""


def facts(connection: duckdb.DuckDBPyConnection, gap: int) -> duckdb.DuckDBPyRelation:
    """One row for each relaxant of the table `rx`, by `record`; nothing is computed before it is asked for."""
    return connection.sql(FACTS.format(gap=gap))


def connected(table: Any, threads: int = 2) -> duckdb.DuckDBPyConnection:
    """A connection that has `table` (Arrow) as rx."""
    connection = duckdb.connect(config={"threads": threads})
    connection.register("rx", table)
    return connection
