"""Drills about what the trigger lost: the stream function away, and ten tenants in trouble at once."""

import base64
import json
import time
import uuid

#: How long the stream function is away, seconds: two hours would be the same work sixty times over, and `make bench`
#: plays them in simulated time.
AWAY_SECONDS = 120
#: Tenants that are in trouble at once.
TENANTS = 10


def _trigger(day) -> tuple[object, str]:
    """The client of the functions, and the id of what delivers the stream's records."""
    functions = day.client("lambda")
    mappings = functions.list_event_source_mappings(FunctionName=day.state["functions"]["stream"])["EventSourceMappings"]
    return functions, mappings[0]["UUID"]


def stream_away(day) -> None:
    """Nobody takes what is on the stream; then the trigger catches up with it by itself."""
    row = day.row("the stream function away")
    functions, mapping = _trigger(day)
    sensor = day.sensor(row, "away", 1200)
    since = time.time()
    functions.update_event_source_mapping(UUID=mapping, Enabled=False)
    try:
        sensor.start(0.5)
        day.watch.wait(lambda: time.time() >= since + AWAY_SECONDS, AWAY_SECONDS + 5)
    finally:
        functions.update_event_source_mapping(UUID=mapping, Enabled=True)
    begun = time.time()
    day.line(row, since, "window does not add up", "reconcile")
    day.alarm(row, since, "WindowsHeldAlarm")
    day.healed(row, sensor, begun, f"by the trigger, which kept its place for {AWAY_SECONDS} s")
    row.legs.append("two minutes for two hours; the bench `recovery` plays these")


def _give_up(day, taken: dict[str, str]) -> int:
    """Leaves what the stream has behind each shard's place as failed batches, as the trigger does; answers how many records."""
    stream, s3, name = day.client("kinesis"), day.client("s3"), day.state["stream"]
    given_up = 0
    for shard in stream.list_shards(StreamName=name)["Shards"]:
        shard_id = shard["ShardId"]
        start = {"ShardIteratorType": "TRIM_HORIZON"}
        if shard_id in taken:
            start = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": taken[shard_id]}
        iterator = stream.get_shard_iterator(StreamName=name, ShardId=shard_id, **start)["ShardIterator"]
        records = stream.get_records(ShardIterator=iterator, Limit=10_000)["Records"]
        if not records:
            continue
        taken[shard_id] = records[-1]["SequenceNumber"]
        given_up += len(records)
        kinesis = [
            {"kinesis": {"sequenceNumber": r["SequenceNumber"], "partitionKey": r["PartitionKey"], "data": base64.b64encode(r["Data"]).decode()}}
            for r in records
        ]
        batch = {
            "KinesisBatchInfo": {"shardId": shard_id, "streamArn": f"arn:aws:kinesis:us-east-1:000000000000:stream/{name}"},
            "payload": json.dumps({"Records": kinesis}),
        }
        at = time.strftime("%Y/%m/%d/%Y-%m-%dT%H.%M.%S", time.gmtime())
        s3.put_object(Bucket=day.state["bucket"], Key=f"aws/lambda/gameday/{shard_id}/{at}-{uuid.uuid4()}", Body=json.dumps(batch).encode())
    return given_up


def ten_tenants(day) -> None:
    """Everything that ten tenants sent in a while is given up by the trigger."""
    row = day.row("ten tenants in trouble at once")
    functions, mapping = _trigger(day)
    sensors = [day.sensor(row, f"trouble-{n}", 200) for n in range(TENANTS)]
    functions.update_event_source_mapping(UUID=mapping, Enabled=False)
    try:
        # What is under way ends, and its place is behind it.
        time.sleep(10)
        taken: dict[str, str] = {}
        _places(day, taken)
        since = time.time()
        for sensor in sensors:
            sensor.start()
        if not all(sensor.sent() for sensor in sensors):
            row.wrong.append("envelopes that never got a receipt")
        given_up = _give_up(day, taken)
        brought = lambda: sum(value for _, value in day.watch.points("FramesBroughtBack", since)) >= given_up  # noqa: E731
        seen = day.watch.wait(brought, 240)
        row.saw(f"FramesBroughtBack {given_up}" if seen else None, None, "FramesBroughtBack")
    finally:
        # What it still has of these records lies behind the fence, and is dropped.
        functions.update_event_source_mapping(UUID=mapping, Enabled=True)
    day.line(row, since, "failed batch", "reconcile")
    day.alarm(row, since, "FailedBatchesAlarm")
    for sensor in sensors:
        day.healed(row, sensor, since, f"by the workers of the shards, which brought {given_up} frames back")


def _places(day, taken: dict[str, str]) -> None:
    """Notes the last record of each shard."""
    stream, name = day.client("kinesis"), day.state["stream"]
    for shard in stream.list_shards(StreamName=name)["Shards"]:
        iterator = stream.get_shard_iterator(StreamName=name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        while True:
            answer = stream.get_records(ShardIterator=iterator, Limit=10_000)
            if not answer["Records"]:
                break
            taken[shard["ShardId"]] = answer["Records"][-1]["SequenceNumber"]
            iterator = answer["NextShardIterator"]
