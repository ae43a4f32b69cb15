"""A Parquet file as batches of rows; a row is written out as JSON when it has to be shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from safety_service.audit.files import InputError
from safety_service.audit.read_csv import Batch

_ROWS = 131_072


def read_parquet(path: Path) -> Iterator[Batch]:
    """Batches of rows, numbered from 1. Raises InputError for what is not a Parquet file."""
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path.name}: not a Parquet file, or a broken one: {error}") from None
    with file:
        first = 1
        batches = file.iter_batches(batch_size=_ROWS)
        empty = True
        for batch in batches:
            table = pa.Table.from_batches([batch])
            yield Batch(table, np.arange(first, first + len(batch), dtype=np.int64), _shown(table), len(batch))
            first += len(batch)
            empty = False
        if empty:
            yield Batch(file.schema_arrow.empty_table(), np.zeros(0, dtype=np.int64), lambda _: b"", 0)


def _shown(table: pa.Table) -> Callable[[int], bytes]:
    return lambda i: json.dumps(table.slice(i, 1).to_pylist()[0], default=str, ensure_ascii=False).encode()
