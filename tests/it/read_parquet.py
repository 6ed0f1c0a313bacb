"""Compares a Parquet file, as DuckDB, Polars and pandas read it, with the JSON lines of the same run."""

import json
import sys
from datetime import datetime, timezone
from decimal import Decimal

import duckdb
import pandas
import polars

lines, parquet = sys.argv[1:]
TIMES = {
    "trade_time": "trade_time_ms",
    "start_time": "start_ms",
    "end_time": "end_ms",
    "first_trade_time": "first_trade_time_ms",
    "last_trade_time": "last_trade_time_ms",
}
# What is a string in JSON and a decimal in Parquet.
DECIMALS = set(
    "price qty delta cvd open high low close volume quote_volume buy_volume sell_volume min_delta max_delta cvd_open"
    " cvd_high cvd_low cvd_close vwap".split()
)

with open(lines, encoding="utf-8") as file:
    records = [json.loads(line) for line in file]
assert records, "no records"


def expected(record, column):
    value = record[TIMES.get(column, column)]
    return Decimal(value) if column in DECIMALS and value is not None else value


def milliseconds(moment):
    return round((moment - datetime(1970, 1, 1, tzinfo=timezone.utc)).total_seconds() * 1000)


def plain(value):
    if value is None or value is pandas.NaT or (isinstance(value, float) and value != value):
        return None
    return milliseconds(value) if isinstance(value, datetime) else value


def compare(reader, columns, rows):
    assert len(rows) == len(records), f"{reader}: {len(rows)} rows, not {len(records)}"
    for number, (row, record) in enumerate(zip(rows, records)):
        for column, value in zip(columns, row):
            wanted, got = expected(record, column), plain(value)
            # pandas has no whole numbers beside nothing: a column of both is one of doubles.
            if reader == "pandas" and isinstance(got, float) and isinstance(wanted, int):
                got = int(got)
            same = got == wanted and (got is None or isinstance(got, Decimal) == (column in DECIMALS))
            assert same, f"{reader}: row {number}, {column}: {got!r} is not {wanted!r}"


quoted = parquet.replace("'", "''")
described = duckdb.sql(f"describe select * from '{quoted}'").fetchall()
columns = [column for column, *_ in described]
assert len(columns) in (17, 29), columns
# DuckDB needs one more package to make Python's times of its own.
selected = ", ".join(f'epoch_ms("{column}")' if column in TIMES else f'"{column}"' for column in columns)
compare("duckdb", columns, duckdb.sql(f"select {selected} from '{quoted}'").fetchall())
for column, kind, *_ in described:
    assert (column in TIMES) == (kind == "TIMESTAMP WITH TIME ZONE"), (column, kind)

frame = polars.read_parquet(parquet)
assert frame.columns == columns
compare("polars", columns, frame.rows())

frame = pandas.read_parquet(parquet)
assert list(frame.columns) == columns
compare("pandas", columns, list(frame.astype(object).itertuples(index=False, name=None)))

keys = duckdb.sql(f"select key::varchar, value::varchar from parquet_kv_metadata('{quoted}')").fetchall()
assert dict(keys)["cvd_stream.rows"] == ("trades" if "agg_trade_id" in columns else "bars"), keys
print(f"{len(records)} rows of {len(columns)} columns are the same for duckdb, polars and pandas")
