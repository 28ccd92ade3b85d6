"""Drills about trouble that nobody can heal: windows that never add up, receipts that expire, three tenants of twenty.

A tenant's envelopes are committed while nobody else sends, so that no other tenant's events lie in the segments that a
drill takes away. Windows are a minute here: each is held as soon as it is closed, until an operator ends the hold.
"""

import json
import time

from client import run_vernier
from common import Failed, say

#: Tenants of the last drill, and how many of them are in trouble.
TENANTS, IN_TROUBLE = 20, 3
#: How long it may take until a window that was committed is closed and found not to add up, seconds.
CLOSING_SECONDS_MAX = 240
#: How long it may take until a worker has sealed a window whose hold was ended, seconds.
ENDING_SECONDS_MAX = 240
#: How long it may take until others' windows are sealed while a window is held, seconds.
SEAL_SECONDS_MAX = 420
REASON = "ended by the game day"


def _segments(day) -> set[str]:
    pages = day.client("s3").get_paginator("list_objects_v2").paginate(Bucket=day.state["bucket"], Prefix="segments/")
    return {found["Key"] for page in pages for found in page.get("Contents", [])}


def _committed_alone(day, row, name: str, events: int):
    """A sensor whose envelopes are committed early in a minute, with the segments that they lie in and nobody else's.

    It is not among those whose events must all be sealed in the end.
    """
    sensor = day.sensor(row, name, events)
    day.sensors.pop()
    time.sleep(60 - time.time() % 60)
    before = _segments(day)
    sensor.start()
    if not sensor.sent() or not day.watch.wait(sensor.settled, 60):
        raise Failed(f"What {sensor.tenant} sent is not stored.")
    segments = _segments(day) - before
    say(f"  {sensor.tenant}: {len(sensor.receipts)} envelopes in {len(segments)} segments of its own")
    return sensor, segments


def _lose(day, segments: set[str]) -> None:
    for key in segments:
        day.client("s3").delete_object(Bucket=day.state["bucket"], Key=key)


def _damage(day, segments: set[str]) -> None:
    """Changes a byte in the middle of each segment."""
    s3, bucket = day.client("s3"), day.state["bucket"]
    for key in segments:
        content = bytearray(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        content[len(content) // 2] ^= 1
        s3.put_object(Bucket=bucket, Key=key, Body=bytes(content))


def _expire_receipts(day, sensor) -> int:
    """Removes a tenant's receipts from the table, as its TTL does; answers how many."""
    table = day.client("dynamodb")
    pages = table.get_paginator("scan").paginate(
        TableName=day.state["table"], ConsistentRead=True,
        FilterExpression="begins_with(pk, :own)",
        ExpressionAttributeValues={":own": {"S": f"receipts#{sensor.tenant}#"}},
        ProjectionExpression="pk, sk",
    )  # fmt: skip
    keys = [item for page in pages for item in page["Items"]]
    for key in keys:
        table.delete_item(TableName=day.state["table"], Key=key)
    return len(keys)


def _held(day, sensor, since: float) -> list[str]:
    """The windows of a tenant that a worker could not seal, by their beginnings."""
    lines = day.watch.find("window not sealed", since, tenant=sensor.tenant)
    return sorted({line.fields["window"] for line in lines})


def _await_held(day, row, sensor, since: float) -> list[str]:
    held = day.watch.wait(lambda: _held(day, sensor, since), CLOSING_SECONDS_MAX)
    row.saw(held and 'reconcile\'s line "window not sealed"', time.time() - since, f"that a window of {sensor.tenant} is held")
    # Its envelopes may lie in two windows, the second of which is closed a minute later.
    time.sleep(75)
    held = _held(day, sensor, since)
    say(f"  held of {sensor.tenant}: {', '.join(held)}")
    return held


def _end_holds(day, row, sensor, held: list[str]) -> None:
    """Ends the holds of a tenant's windows, and holds their seals against what was sent."""
    for start in held:
        day.vernier("window", "seal", sensor.tenant, start, "--short", "--reason", REASON)
    windows = lambda: [window for window in sensor.get("/windows")["windows"] if window["start"] in held]  # noqa: E731
    short = lambda: all(window["state"] == "short" for window in windows())  # noqa: E731
    if not day.watch.wait(short, ENDING_SECONDS_MAX):
        row.wrong.append(f"not sealed with a shortfall: {[(w['start'], w['state']) for w in windows()]}")
        return
    told = windows()
    named = {missing["receipt"] for window in told for missing in window["missing"]}
    if named != set(sensor.receipts):
        right = len(named & set(sensor.receipts))
        row.wrong.append(
            f"the shortfalls of {sensor.tenant} name {len(named)} receipts, {right} of them of its {len(sensor.receipts)}"
        )
    reasons = {window["shortfall"]["reason"] for window in told}
    if reasons != {REASON}:
        row.wrong.append(f"the shortfalls of {sensor.tenant} give the reasons {reasons}")
    say(f"  {sensor.tenant}: {len(told)} windows are short and name {len(named)} of {len(sensor.receipts)} receipts")
    _check_archive(day, row, sensor, len(held))


def _check_archive(day, row, sensor, windows: int) -> None:
    """`vernier verify` finds a tenant's archive sound, tells of so many short windows, and takes them for wrong where it is told to."""
    asked = ("verify", f"s3://{day.state['bucket']}", "--own-keys", "--all", "--later-files", "--tenant", sensor.tenant)
    report = json.loads(run_vernier(day.state, ("--format", "json", *asked), ok=(0, 1), quiet=True))
    if not report["sound"] or len(report["shortfalls"]) != windows:
        row.wrong.append(f"vernier verify of {sensor.tenant}: {report['findings'][:3]}, {len(report['shortfalls'])} shortfalls")
    strict = json.loads(run_vernier(day.state, ("--format", "json", *asked, "--no-shortfall"), ok=(0, 1), quiet=True))
    if strict["sound"] or len(strict["findings"]) != windows:
        row.wrong.append(f"vernier verify --no-shortfall of {sensor.tenant} finds {len(strict['findings'])} of {windows}")
    say(f"  {sensor.tenant}: vernier verify says sound, with {len(report['shortfalls'])} shortfalls; --no-shortfall fails")


def _sealed(sensor) -> bool:
    """Whether all that a sensor sent is in seals."""
    received = sensor.totals()["received"]
    return received == sensor.events and sum(seal["events"] for seal in sensor.get("/seals")["seals"]) == received


def window_held(day) -> None:
    """A segment is gone: its window never adds up, holds nobody back, and is ended by an operator."""
    row = day.row("a window that never adds up")
    hurt, segments = _committed_alone(day, row, "held", 100)
    since = time.time()
    _lose(day, segments)
    other = day.sensor(row, "beside", 200).start(0.1)
    held = _await_held(day, row, hurt, since)
    day.alarm(row, since, "WindowsHeldAlarm")
    if not other.sent() or not day.watch.wait(lambda: _sealed(other), SEAL_SECONDS_MAX):
        row.wrong.append("another tenant's windows were not sealed meanwhile")
    begun = time.time()
    _end_holds(day, row, hurt, held)
    row.healed = f"by `vernier window seal --short`, {time.time() - begun:.0f} s; what is missing is named by receipt"
    row.account = f"{len(hurt.receipts)} receipts are named; {len(other.receipts)} of another tenant are sealed"


def receipts_expired(day) -> None:
    """The receipts of a window that is held go before it is sealed, as the table's TTL has them go: its evidence has them."""
    row = day.row("receipts that expire before their window is sealed")
    hurt, segments = _committed_alone(day, row, "expired", 100)
    since = time.time()
    _lose(day, segments)
    held = _await_held(day, row, hurt, since)
    removed = _expire_receipts(day, hurt)
    say(f"  {removed} receipts removed from the table")
    if removed != len(hurt.receipts):
        row.wrong.append(f"{removed} receipts were in the table, and {len(hurt.receipts)} were given")
    begun = time.time()
    _end_holds(day, row, hurt, held)
    row.healed = f"by the window's evidence, {time.time() - begun:.0f} s: the seal names receipts that the table has no longer"
    row.account = f"{removed} receipts"


def three_of_twenty(day) -> None:
    """Of twenty tenants three lose a segment, a segment and their receipts, and the bytes of a block: all others seal as ever."""
    row = day.row("three of twenty tenants in trouble")
    hurt = []
    since = time.time()
    for name, harm in (("gone", _lose), ("forgotten", _lose), ("damaged", _damage)):
        sensor, segments = _committed_alone(day, row, f"twenty-{name}", 60)
        harm(day, segments)
        hurt.append(sensor)
    others = [day.sensor(row, f"twenty-{n}", 60) for n in range(TENANTS - IN_TROUBLE)]
    begun = time.time()
    for sensor in others:
        sensor.start(0.2)
    held = {sensor.tenant: _await_held(day, row, sensor, since) for sensor in hurt}
    _expire_receipts(day, hurt[1])
    day.alarm(row, since, "WindowsHeldAlarm")
    behind = [sensor.tenant for sensor in others if not sensor.sent() or not day.watch.wait(lambda s=sensor: _sealed(s), SEAL_SECONDS_MAX)]
    if behind:
        row.wrong.append(f"not sealed beside the three: {', '.join(behind)}")
    say(f"  {len(others) - len(behind)} of {len(others)} others sealed within {time.time() - begun:.0f} s")
    ended = time.time()
    for sensor in hurt:
        _end_holds(day, row, sensor, held[sensor.tenant])
    for sensor in others:
        _check_sound(day, row, sensor)
    row.healed = f"by `vernier window seal --short`, {time.time() - ended:.0f} s; every seal is sound"
    named = sum(len(sensor.receipts) for sensor in hurt)
    row.account = f"{named} receipts of three tenants are named; {len(others)} tenants are sealed whole"


def _check_sound(day, row, sensor) -> None:
    """`vernier verify --no-shortfall` finds a tenant's archive sound."""
    options = ("--own-keys", "--later-files", "--no-shortfall", "--tenant", sensor.tenant)
    asked = ("--format", "json", "verify", f"s3://{day.state['bucket']}", *options)
    report = json.loads(run_vernier(day.state, asked, ok=(0, 1), quiet=True))
    if not report["sound"]:
        row.wrong.append(f"vernier verify of {sensor.tenant}: {report['findings'][:3]}")
