"""Runs in the readers' environment, in a folder with a copy of an archive: what one reader finds there, as JSON.

archive_readers.py READER LINES ACTOR SCORE TIME

LINES are Python, as docs/analysts.md has them for the reader; they leave `archive` and `days` behind: windows
and days of stored events. Of both the values are read and added up. Of the archive's row groups it counts how
many the reader reads for an actor, for scores of at least SCORE, and for an event time.
"""

import io
import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

#: What each row says, in this order; times as milliseconds since 1970.
COLUMNS = ("kind", "score", "event_time", "tenant", "dt", "hour")
#: More than any score.
SCORE_MAX = 1e9


class Wanted:
    """What the row groups are asked for."""

    def __init__(self, actor: str, score: str, time: str):
        self.actor, self.score, self.time = actor, float(score), time
        self.moment = datetime.fromisoformat(time)

    def conditions(self, time_literal: str) -> dict[str, str]:
        """As SQL, by column."""
        return {
            "actor": f"actor = '{self.actor}'",
            "score": f"score >= {self.score}",
            "event_time": f"event_time = {time_literal.format(self.time.removesuffix('Z').replace('T', ' '))}",
        }


class PyArrow:
    def __init__(self, names: dict[str, Any]):
        self.names = names

    def rows(self, table: str) -> Iterator[tuple]:
        import pyarrow as pa

        found = self.names[table].to_table()
        columns = [found[name] if name in found.column_names else [None] * len(found) for name in COLUMNS]
        columns[2] = found["event_time"].cast(pa.int64())
        return zip(*(c if isinstance(c, list) else c.to_pylist() for c in columns), strict=True)

    def bounds(self, table: str) -> list:
        import pyarrow.compute as pc

        found = self.names[table].to_table(columns=["score"])
        least_and_most = pc.min_max(found["score"]).as_py()
        return [self.names[table].count_rows(), least_and_most["min"], least_and_most["max"]]

    def groups_read(self, wanted: Wanted) -> dict[str, list[int]]:
        import pyarrow as pa
        from pyarrow.dataset import field

        moment = pa.scalar(wanted.moment, pa.timestamp("ms", tz="UTC"))
        conditions = {
            "actor": field("actor") == wanted.actor,
            "score": field("score") >= wanted.score,
            "event_time": field("event_time") == moment,
        }
        fragments = list(self.names["archive"].get_fragments())
        return {
            column: [sum(len(f.split_by_row_group(condition)) for f in fragments), sum(f.num_row_groups for f in fragments)]
            for column, condition in conditions.items()
        }


class Polars:
    def __init__(self, names: dict[str, Any]):
        self.names = names

    def rows(self, table: str) -> Iterator[tuple]:
        import polars as pl

        columns = set(self.names[table].collect_schema().names())
        shown = [pl.col(name) if name in columns else pl.lit(None).alias(name) for name in COLUMNS]
        shown[2] = pl.col("event_time").dt.epoch("ms")
        return self.names[table].select(shown).collect().iter_rows()

    def bounds(self, table: str) -> list:
        import polars as pl

        score = pl.col("score")
        return list(self.names[table].select(pl.len(), score.min().alias("min"), score.max().alias("max")).collect().row(0))

    def groups_read(self, wanted: Wanted) -> dict[str, list[int]]:
        import polars as pl

        conditions = {
            "actor": pl.col("actor") == wanted.actor,
            "score": pl.col("score").is_between(wanted.score, SCORE_MAX),
            "event_time": pl.col("event_time") == wanted.moment,
        }
        return {column: self._read(condition) for column, condition in conditions.items()}

    def _read(self, condition: Any) -> list[int]:
        log = said_during(self.names["archive"].filter(condition).collect)
        read = re.findall(r"Predicate pushdown: reading (\d+) / (\d+) row groups", log)
        return [sum(int(one) for one, _ in read), sum(int(of) for _, of in read)]


def said_during(act: Callable[[], Any]) -> str:
    """What is written to the standard error output meanwhile, in whatever language."""
    kept = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            act()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        log.seek(0)
        return log.read().decode("utf-8", "replace")


class Sql:
    """A reader that is asked in SQL: `run` gives rows."""

    millis = ""
    time_literal = ""

    def __init__(self, names: dict[str, Any]):
        self.names = names

    def run(self, sql: str) -> list[tuple]:
        raise NotImplementedError

    def rows(self, table: str) -> Iterator[tuple]:
        hour = "hour" if table == "archive" else "NULL"
        return iter(self.run(f"SELECT kind, score, {self.millis}, tenant, dt, {hour} FROM {table}"))

    def bounds(self, table: str) -> list:
        return list(self.run(f"SELECT count(*), min(score), max(score) FROM {table}")[0])

    def groups_read(self, wanted: Wanted) -> dict[str, list[int]]:
        conditions = wanted.conditions(self.time_literal)
        asked = "SELECT max(event) FROM archive WHERE"
        return {column: self.read_for(f"{asked} {condition}") for column, condition in conditions.items()}

    def read_for(self, sql: str) -> list[int]:
        raise NotImplementedError


class DataFusion(Sql):
    millis = "CAST(event_time AS BIGINT)"
    time_literal = "TIMESTAMP '{}Z'"

    def run(self, sql: str) -> list[tuple]:
        return [tuple(row.values()) for row in self.names["ctx"].sql(sql).to_pylist()]

    def read_for(self, sql: str) -> list[int]:
        plan = str(self.run(f"EXPLAIN ANALYZE {sql}"))
        # A file of one row group is skipped as a file.
        of, read = re.search(r"files_ranges_pruned_statistics=(\d+) total → (\d+) matched", plan).groups()
        return [int(read), int(of)]


class DuckDb(Sql):
    millis = "epoch_ms(event_time)"
    time_literal = "TIMESTAMPTZ '{}Z'"

    def run(self, sql: str) -> list[tuple]:
        # The lines' variables are tables to it.
        import duckdb

        archive, days = self.names["archive"], self.names["days"]  # noqa: F841
        return duckdb.sql(sql).fetchall()

    def read_for(self, sql: str) -> list[int]:
        read, of = re.search(r"Row Groups Scanned: (\d+) / (\d+)", self.run(f"EXPLAIN ANALYZE {sql}")[0][1]).groups()
        return [int(read), int(of)]


class Chdb(Sql):
    millis = "toUnixTimestamp64Milli(event_time)"
    time_literal = "toDateTime64('{}', 3, 'UTC')"

    def run(self, sql: str) -> list[tuple]:
        text = str(self.names["session"].query(sql, "JSONCompactEachRow"))
        return [tuple(json.loads(line)) for line in io.StringIO(text) if line.strip()]

    def read_for(self, sql: str) -> list[int]:
        before = self._counted()
        self.run(sql)
        after = self._counted()
        read, pruned = ((after - before)[f"Parquet{what}RowGroups"] for what in ("Read", "Pruned"))
        return [read, read + pruned]

    def _counted(self) -> Counter:
        return Counter({name: int(value) for name, value in self.run("SELECT event, value FROM system.events")})


READERS = {"pyarrow": PyArrow, "Polars": Polars, "DataFusion": DataFusion, "DuckDB": DuckDb, "chdb": Chdb}


def added_up(reader: Any, table: str) -> dict:
    """What the reader's rows come to, and what it says itself of their number and their scores' bounds."""
    count, least, most = reader.bounds(table)
    rows = [(kind, score, None if at is None else int(at), *names) for kind, score, at, *names in reader.rows(table)]
    scores = [score for _, score, *_ in rows if score is not None]
    times = [at for _, _, at, *_ in rows if at is not None]
    assert count == len(rows), f"{count} rows are counted, {len(rows)} read"
    return {
        "rows": len(rows),
        "describes": sum(kind == "entity" for kind, *_ in rows),
        "scores": len(scores),
        "zeros": sum(score == 0 for score in scores),
        "score_bounds": [float(least), float(most)],
        "score_sum_thousandths": round(sum(scores) * 1000),
        "without_time": len(rows) - len(times),
        "time_sum_millis": str(sum(times)),
        "partitions": Counter("/".join(name for name in names if name is not None) for _, _, _, *names in rows),
    }


def main() -> None:
    reader_name, lines, actor, score, time = sys.argv[1:]
    if reader_name == "Polars":
        os.environ["POLARS_VERBOSE"] = "1"
    names: dict[str, Any] = {}
    exec(compile(lines, f"docs/analysts.md, {reader_name}", "exec"), names)
    reader = READERS[reader_name](names)
    found = {table: added_up(reader, table) for table in ("archive", "days")}
    print(json.dumps({**found, "read": reader.groups_read(Wanted(actor, score, time))}))


if __name__ == "__main__":
    main()
