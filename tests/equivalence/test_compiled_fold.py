"""The fold compiled says what it says as it stands, and both say what SQL says that was written apart."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from safety_service.engine import fold
from tests.equivalence.compiled_fold import Ints, answers, compiled, made, run
from tests.equivalence.sql_referee import connected, facts


@pytest.mark.parametrize("rows", [3_000, pytest.param(200_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("gap", [0, 1, 7, 30])
def test_compiled_it_answers_the_same_in_every_number(rows: int, gap: int, seed: int) -> None:
    table = made(rows, seed + gap)
    np.testing.assert_array_equal(answers(table, gap, compiled()), answers(table, gap, run))


@pytest.mark.parametrize("rows", [40_000, pytest.param(2_500_000, marks=pytest.mark.long)])
@pytest.mark.parametrize(("gap", "threads"), [(0, 2), (7, 2), (30, 2), (7, 1)])
def test_sql_written_apart_comes_to_the_same(rows: int, gap: int, threads: int, seed: int) -> None:
    table = made(rows, seed + gap)
    out = answers(table, gap, compiled())
    relaxants = np.flatnonzero(table["chain"] >= 0)
    said = refereed(table, gap, threads)
    mine = out[relaxants]
    for name, column in (
        ("episode_days", fold.EPISODE_LOW),
        ("in_hand", fold.IN_HAND_LOW),
        ("class_days", fold.CLASS_LOW),
    ):
        np.testing.assert_array_equal(mine[:, column], said[name], err_msg=name)
    assert (mine[:, fold.EPISODE_LOW] == mine[:, fold.EPISODE_HIGH]).all()
    np.testing.assert_array_equal(mine[:, fold.CONTINUES] == fold.YES, said["continues"] == 1)
    classes = mine[:, fold.OBSERVED + fold.SURE_BITS]
    np.testing.assert_array_equal(classes, said["classes"])
    np.testing.assert_array_equal(mine[:, fold.OBSERVED + fold.POSSIBLE_BITS], classes)
    assert set(np.unique(classes)) == {0, 1, 2, 3}
    assert 0 < said["continues"].mean() < 1
    assert (said["episode_days"] > 21).any()
    assert (said["episode_days"] <= 21).any()


def refereed(table: dict[str, Ints], gap: int, threads: int) -> dict[str, Ints]:
    columns = {**table, "record": np.arange(len(table["patient"]))}
    connection = connected(pa.table(columns), threads)
    rows = facts(connection, gap).order("record").fetchnumpy()
    return {name: np.asarray(column).astype(np.int64) for name, column in rows.items()}
