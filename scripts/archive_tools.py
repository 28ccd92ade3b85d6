"""Runs in the emulator's environment: what the demo does with sealed windows.

copy BUCKET TENANT DIR    the tenant's seals, the files that they name, and the public keys; prints figures
drop FILE                 writes a Parquet file anew without its first row
query DIR                 asks DuckDB what became of the events, prints a table
"""

import json
import sys
from pathlib import Path

#: As docs/analysts.md reads the files with events: columns by name, partitions as text, no describes, and of scores those of
#: whole attempts.
QUERY = """
SELECT type, disposition, count(*) AS events, count(DISTINCT actor) AS actors,
    round(avg(score) FILTER (WHERE (result ->> '$.part_of') IS NULL), 1) AS mean_score
FROM read_parquet({files}, union_by_name = true, hive_partitioning = true,
    hive_types = {{'tenant': VARCHAR, 'dt': VARCHAR, 'hour': VARCHAR}})
WHERE kind <> 'entity' GROUP BY ALL ORDER BY events DESC, type LIMIT 8
"""


def files_of(seal: dict, take) -> list[dict]:
    """Takes the files that a seal names, with its lists, and answers those with rows (docs/seal.md)."""
    if "files" in seal:
        sets = [{"inline": seal["files"]}]
    else:
        sets = [seal.get(name, {"inline": []}) for name in ("parts", "evidence", "missing")]
    found = []
    for files in sets:
        lines = [line for entry in files.get("lists", []) for line in take(entry["key"]).splitlines()]
        found.append(files.get("inline", [json.loads(line) for line in lines]))
    for file in sum(found, []):
        take(file["key"])
    return found[0]


def copy(bucket: str, tenant: str, folder: Path) -> dict:
    import boto3
    from botocore.config import Config

    s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))

    def take(key: str) -> bytes:
        path = folder / key
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        return path.read_bytes()

    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"seals/tenant={tenant}/")
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    # Only what a seal names: a window that is being sealed has files and no seal yet.
    seals = [json.loads(take(key)) for key in keys]
    named = [file for seal in seals for file in files_of(seal, take)]
    for seal in seals:
        take(f"keys/{seal['signature']['key']}.pem")
    return {
        "seals": len(seals),
        "events": sum(sum(seal.get("counts", {}).values()) for seal in seals if seal["kind"] != "day"),
        "files": len(named),
        "bytes": sum(file["bytes"] for file in named),
    }


def drop(file: Path) -> None:
    import duckdb

    rows = duckdb.execute("SELECT count(*) FROM read_parquet(?, hive_partitioning = false)", [str(file)]).fetchall()[0][0]
    other = file.with_suffix(".other")
    source = f"SELECT * FROM read_parquet('{file}', hive_partitioning = false) LIMIT {rows - 1} OFFSET 1"
    duckdb.execute(f"COPY ({source}) TO '{other}' (FORMAT parquet, COMPRESSION zstd)")
    other.replace(file)
    print(rows)


def query(folder: Path) -> None:
    import duckdb

    files = [str(path) for name in ("archive", "exceptions") for path in sorted((folder / name).rglob("*.parquet"))]
    duckdb.sql(QUERY.format(files=files)).show()


def plan(function: str) -> None:
    import boto3

    answer = boto3.client("lambda").invoke(FunctionName=function, Payload=b"{}")
    if "FunctionError" in answer:
        sys.exit(f"The planner failed: {answer['Payload'].read().decode()}")


def main() -> None:
    what, *rest = sys.argv[1:]
    if what == "copy":
        bucket, tenant, folder = rest
        print(json.dumps(copy(bucket, tenant, Path(folder))))
    elif what == "drop":
        drop(Path(rest[0]))
    elif what == "query":
        query(Path(rest[0]))
    elif what == "plan":
        plan(rest[0])
    else:
        sys.exit(__doc__)


main()
