//! Every bound of the ledger with its arithmetic (invariant 8). Units stand last in the names.

/// Request body as received, bytes. A Lambda request is 6 MiB at most and carries the body as
/// base64 (4/3): 4 MiB become 5.6 MB, which leaves 0.7 MB for headers and the request context.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Body after decompression, bytes: 10,000 events of 1.6 KB. The input function holds it as sent, as
/// lines (with columns and problems up to 10 times as much where every event is rejected at length)
/// and as frames: under 256 MB.
pub const BODY_DECOMPRESSED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Lines of one frame before compression, bytes. A frame is never longer than its text (it is left
/// uncompressed where zstd does not shrink it), so that with its partition key (256 bytes at most)
/// it is always under the 1 MiB (1,048,576) of a Kinesis record.
pub const FRAME_LINES_BYTES_MAX: usize = 1_000_000;

/// Header of a frame, bytes, taken from the frame's budget.
pub const FRAME_HEADER_BYTES_MAX: usize = 2_048;

/// One event's line inside a frame, bytes; a larger event goes to S3 and leaves a pointer.
pub const LINE_BYTES_MAX: usize = FRAME_LINES_BYTES_MAX - FRAME_HEADER_BYTES_MAX;

/// A Kinesis record with its partition key, bytes (default limit of a stream).
pub const RECORD_BYTES_MAX: usize = 1_048_576;

/// Records of one `PutRecords` call (service limit).
pub const PUT_RECORDS_COUNT_MAX: usize = 500;

/// Bytes of one `PutRecords` call: the service takes 10 MiB, older endpoints and emulators 5.
pub const PUT_RECORDS_BYTES_MAX: usize = 5 * 1024 * 1024;

/// Lines, uncompressed, that one commit step of the stream function holds, bytes. Held once as
/// lines and once compressed: under 64 MB of the function's 256.
pub const STEP_LINES_BYTES_MAX: usize = 24 * 1024 * 1024;

/// Lines of one chunk of a block before compression, bytes: 270 events of 1.9 KB, 50 KB compressed, which one learner's
/// events of five seconds mostly fit into. In chunks of half as much a block takes a tenth more (docs/decisions/005).
pub const CHUNK_LINES_BYTES: usize = 512 * 1024;

/// A segment record, bytes: 1,024 and the hashes of at most [`COMMIT_BLOCKS_MAX`] items, each of 185 with the longest
/// name, are 19 KB. A DynamoDB item has at most 400.
pub const SEGMENT_RECORD_BYTES_MAX: usize = 20 * 1024;

/// Block items that one commit writes: a transaction takes 100 items (service limit), and the cursor and the
/// segment record are two of them. 98 items of 2 KB (five minutes' tallies, the longest name) are 196 KB;
/// a transaction takes 4 MB.
pub const COMMIT_BLOCKS_MAX: usize = 98;

/// Partitions of a tenant's block items of an hour, by shard. Each takes 1,000 write units a second and an item costs 2.
/// A shard at its full 1 MB/s fills the 4.4 MB of a batch in 4.4 s: 15 million events a second of one tenant, 4,400
/// shards, are 1,000 items a second, half of what four partitions take. A reader asks each of them for each hour.
pub const BLOCK_SLOTS: u8 = 4;

/// How long a commit's record and its block items are kept, days: long after its windows must have been sealed and the
/// shard checked, which alarm within hours when they are not.
pub const COMMIT_DAYS: u32 = 400;

/// How long a window's account is kept after it was last drawn up, days: reports ask for 31 of them, and a window that is
/// held is drawn up again each hour.
pub const ACCOUNT_DAYS: u32 = 400;

/// Partitions of the due index, by owner. Each takes 1,000 write units a second, and an entry's item costs one when it is
/// put and one when it is removed: 8,000 entries a second. The planner reads each of them in every run.
pub const WORK_SLOTS: u8 = 16;

/// A checkpoint of the shards, bytes. 20,000 shards of 253 bytes (an id of 128, a position of 16, a hash of 64) are 5.1 MB;
/// usual ids have 20 characters.
pub const CHECKPOINT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Cursors that the planner reads at once: 4,400 shards, 15 million events a second, at 5 ms a read take 0.35 s.
pub const CURSORS_IN_FLIGHT_MAX: usize = 64;

/// Over how long the closings of one window are spread, by tenant, seconds.
pub const CLOSE_SPREAD_SECONDS_MAX: i64 = 60;

/// Claims under way at once in one stream function: a batch of 10,000 frames at 5 ms a claim
/// takes 1.6 s.
pub const CLAIMS_IN_FLIGHT_MAX: usize = 32;

/// Partitions of one section's results, by learner. Each takes 1,000 write units a second and a
/// result costs one: 16,000 results a second for one section. 100,000 learners who finish one exam at
/// the same moment take 6.3 s.
pub const RESULT_SLOTS: u8 = 16;

/// An id in a result (section, assignment, learner, attempt, who scored it), bytes. Browsers and
/// proxies cut IRIs at about 2,000; real ids have 20 to 120. An item stays under 20 KB of DynamoDB's
/// 400 (docs/tables.md has the arithmetic).
pub const RESULT_ID_BYTES_MAX: usize = 1_024;

/// An action in a result, bytes: Caliper's longest term has 24.
pub const RESULT_ACTION_BYTES_MAX: usize = 256;

/// An event's id in the cause of a value, bytes; `urn:uuid:` ids have 45 and take 16. An event with a
/// longer id goes by its fingerprint.
pub const CAUSE_ID_BYTES_MAX: usize = 256;

/// Writes of results under way at once in one stream function: at 5 ms each 6,400 a second, which is
/// less than one section's partitions take.
pub const RESULTS_IN_FLIGHT_MAX: usize = 32;

/// Results that one read gives back: about 64 MB of items. A class of 1,000 with 30 assignments of two
/// attempts has 60,000.
pub const RESULTS_READ_MAX: usize = 64_000;

/// Partitions of an hour's segment records of earlier versions.
pub const SEGMENT_SLOTS: u8 = 8;

/// Lanes of one tenant: partitions of its receipts; a receipt's id has a byte for them. An envelope costs
/// its receipt's partition two write units (acknowledgement and claim) of 1,000 a second: 500
/// envelopes a second and lane, 128,000 in all.
pub const LANES_MAX: u16 = 256;

/// Partition keys of one tenant on the stream. 15 million events a second need 4,406 shards (docs/limits.md): 952 keys
/// each, by whose hashes the fullest shard has about an eighth more than the average; a fifth of each is kept free.
pub const STREAM_KEYS_MAX: u32 = 1 << 22;

/// Events of one page.
pub const PAGE_EVENTS_MAX: usize = 1_000;

/// Bytes of raw events in one page. A Lambda answer is 6 MB at most and carries the body as a JSON
/// string, in which every quote takes two bytes: Caliper grows by a fifth to a quarter, 4 MiB to
/// 5.2 MB.
pub const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Range of one query or account over live segments, seconds (24 hours).
pub const RANGE_SECONDS_MAX: i64 = 24 * 3600;

/// No window is longer: where one that holds an instant can begin, seconds before it.
pub const WINDOW_SECONDS_MAX: i64 = 24 * 3600;

/// Windows that the head of a chain from before version 4 lists at most. All of them become items with the chain's head
/// and a seal's entry in one transaction of at most 100 items.
pub const HELD_WINDOWS_MAX: usize = 96;

/// Windows that a tenant's chain holds at most: those of a minute each of a week in which nothing was committed. With more
/// the chain waits. Each seal reads all of them, here 1.5 MB, 190 read units.
pub const HELD_ITEMS_MAX: u64 = 7 * 24 * 60;

/// How far back live segments are looked at, seconds (72 hours): beyond it lies the archive.
pub const LIVE_SECONDS_MAX: i64 = 72 * 3600;

/// Segment objects that one request reads.
pub const SEGMENTS_READ_MAX: usize = 2_000;

/// Compressed segment bytes that one request reads and holds, bytes (64 MiB: about 250,000
/// events of the reference mix).
pub const LIVE_READ_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How far before a range an event's first occurrence is looked for, seconds (2 hours).
pub const LOOKBACK_SECONDS: i64 = 2 * 3600;

/// Bytes of one object of rolled-up filters: about the five minutes of a tenant with 10,000 events a second, 180 blocks of
/// 33 KB. A worker holds it twice while it writes it anew, and a reader four of them at once.
pub const FILTER_OBJECT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Blocks of five minutes whose filters are rolled up, as many as one request reads: four characters each and 10 KB for
/// those without an index in an item of 400 KB.
pub const ROLLED_BLOCKS_MAX: usize = SEGMENTS_READ_MAX;

/// Blocks without an index of five minutes whose filters are made and rolled up: a batch that reaches from one five
/// minutes into the next has few events of one of them, so that a tenant on 20 shards has 40. 160 bytes each.
pub const MADE_FILTERS_MAX: usize = 64;

/// Storage calls under way at once in one read request.
pub const READS_IN_FLIGHT_MAX: usize = 16;

/// Event types of its own that one tenant may register: Caliper, the work of a whole field, has 30.
pub const TENANT_SCHEMA_TYPES_MAX: usize = 100;

/// A tenant's compiled schemas, bytes, estimated from above: 100 types of 4 KB (128 KB compiled)
/// with a few usual patterns are 20 MB.
pub const TENANT_SCHEMA_WEIGHT_BYTES_MAX: usize = 24 * 1024 * 1024;

/// Compiled schemas of all tenants that one input function holds, bytes: any tenant's fit, so that
/// none is compiled for every request.
pub const SCHEMA_CACHE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Tries to register a version while others register the same type.
pub const SCHEMA_PUT_ATTEMPTS_MAX: u32 = 4;

/// Missing receipts named in one window's account; the count says how many there are.
pub const MISSING_NAMED_MAX: usize = 100;

/// Receipts that one playback names: 40 KB of the 400 of its item.
pub const PLAYBACK_RECEIPTS_MAX: usize = 1_000;

/// A column in a playback's filter, bytes.
pub const PLAYBACK_COLUMN_BYTES_MAX: usize = 1_024;

/// Seals that one playback goes through: a year of windows of 15 minutes is 35,040, whose list is
/// 12 MB.
pub const PLAYBACK_SEALS_MAX: usize = 40_000;

/// Playbacks of one tenant that have not ended.
pub const PLAYBACKS_OPEN_MAX: usize = 10;

/// Events a second of a playback onto the stream for which nobody asked for a rate. A shard takes 1 MB/s, which is about
/// 4,000 events of 235 bytes: a playback takes an eighth of one, and a minute's events at once are 7 MB.
pub const PLAYBACK_STREAM_RATE: u32 = 500;

/// How long a playback is remembered after it was last written, days.
pub const PLAYBACK_DAYS: u32 = 90;

/// Results that one dry run compares: held in memory, under 2 KB each at usual ids, 200 MB of
/// reconcile's 1,024.
pub const DRY_RUN_RESULTS_MAX: usize = 100_000;

/// Changed results that a dry run shows. Four ids of 1,024 bytes whose every byte is escaped six-fold
/// are 25 KB each, 125 KB of the item's 400.
pub const DRY_RUN_EXAMPLES_MAX: usize = 5;
