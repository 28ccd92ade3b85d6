//! Every bound of the archive with its arithmetic (invariant 8). Units stand last in the names.

/// Rows of one part. At about 170 bytes a row (reference mix) a part has 170 MB.
pub const PART_ROWS_MAX: usize = 1_000_000;

/// Rows of one row group: what a reader that looks for one event reads of the `id` column (2 to 3 MB
/// before compression), and what one core encodes at a time.
pub const GROUP_ROWS_MAX: usize = 65_536;

/// Text that a row group holds before it is encoded, bytes. Groups of large events end here instead
/// of at their number of rows. One more event may go over it.
pub const GROUP_BYTES_MAX: usize = 96 * 1024 * 1024;

/// Texts of events that were too large for their frames, in one part, bytes: four of the largest (16 MiB), so that
/// such a part, however badly it compresses, is a file of 80 MiB on the disk and one upload, not of 200,000 such rows.
pub const PART_OVERSIZE_BYTES: u64 = 64 * 1024 * 1024;

/// Rows of one Arrow batch inside a row group: 2,048 events of 16 MiB would be 34 GB, beyond the
/// 2 GiB that a text column's offsets reach, so that a batch also ends at [`BATCH_BYTES_MAX`].
pub const BATCH_ROWS_MAX: usize = 2_048;

/// Event text of one batch, bytes; one more event (16 MiB) stays under 2 GiB.
pub const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A page of the event column before compression, bytes: what is read and decompressed for one
/// event.
pub const EVENT_PAGE_BYTES_MAX: usize = 256 * 1024;

/// Rows of a page of any other column: with 32 pages a row group, group and actor prune to 1 in 32.
pub const PAGE_ROWS_MAX: usize = 2_048;

/// False positives of the bloom filters on id and actor: of 1,000 new events one makes a row group's
/// ids be read for nothing. 16 to 21 bits a value.
pub const BLOOM_FALSE_POSITIVES: f64 = 0.001;

/// The same for fingerprints, which are asked for only where an event has no id: 8 to 10 bits.
pub const FINGERPRINT_BLOOM_FALSE_POSITIVES: f64 = 0.05;

/// Rows of a block before compression, bytes: what is read and decompressed for one actor's rows in a
/// section, about 150 events, 15 to 30 KB in the file. The last row may go over it.
pub const BLOCK_TEXT_BYTES: usize = 256 * 1024;

/// A block's text, bytes: with a last row of an event of 16 MiB and a line's 1 MB of columns.
pub const BLOCK_TEXT_BYTES_MAX: usize = 20 * 1024 * 1024;

/// Blocks that are read of one part for one actor, bytes; who has more there is looked for in the
/// columns, which are read a page at a time.
pub const BLOCKS_READ_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Compression level of blocks: level 3 takes twice as long for a tenth fewer bytes.
pub const BLOCK_ZSTD_LEVEL: i32 = 1;

/// Compression level of the parts.
pub const ZSTD_LEVEL: i32 = 3;

/// Compression level of runs on their way through the temporary directory.
pub const SPILL_ZSTD_LEVEL: i32 = 1;

/// Records that a sorter holds before it sorts and spills them, bytes: 160 runs for 20 GB (10 million
/// events), each read through a decompressor of about 1.5 MB.
pub const RUN_BYTES_DEFAULT: usize = 128 * 1024 * 1024;

/// Events that are asked for in earlier windows at a time: about 200 bytes each, 13 MB. A row group
/// in which any of them may lie is read once for all of them.
pub const PREVIOUS_BATCH: usize = 65_536;

/// A seal, bytes: one file for each million rows at about 300 bytes; 13 billion rows have 13,000 files.
pub const SEAL_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A list of files, bytes: 8,192 entries of at most 470 bytes are 3.9 MB.
pub const LIST_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Files of a list.
pub const LIST_ENTRIES_MAX: usize = 8_192;

/// Files of a set that a writer puts into the seal itself; of more it makes lists. Readers take either at any number.
pub const SET_INLINE_MAX: usize = 256;

/// Lists of a set: three sets of 4,096 lists of 289 bytes are 3.6 MB of a seal's 4 MiB.
pub const LISTS_MAX: usize = 4_096;

/// Lists of a set that a reader takes of one seal: 131,072 files, of each of which it keeps about 400 bytes, 52 MB. 15
/// million events a second for a quarter of an hour are 67,500 parts of 200,000 rows.
pub const LISTS_READ_MAX: usize = 16;

/// Shares of identities that a window is divided by.
pub const SHARES_MAX: u64 = 4_096;

/// Seals that a day's seal covers, 106 bytes each.
pub const COVERS_MAX: usize = 8_192;

/// Files that an erasure replaces, 610 bytes each.
pub const REPLACES_MAX: usize = 4_096;

/// An operator's words in a seal, bytes.
pub const REASON_BYTES_MAX: usize = 512;

/// Rows of a file of evidence, of missing receipts or of erased places.
pub const BESIDE_ROWS_MAX: usize = 1_000_000;
