//! Parts: how rows are written as Parquet.
//!
//! A row group is encoded by itself, so that several cores encode one part; the part is then its
//! row groups one after the other.

use crate::Fault;
use crate::blocks::{self, ActorTable, Blocks, BlocksWriter, Entry};
use crate::column_order::say_type_order;
use crate::columns::{Layout, RowsBuilder, SealedBy, schema};
use crate::id_table::{self, IdEntry};
use crate::limits;
use crate::merkle::{Span, leaf_hash};
use crate::row::Row;
use arrow_array::RecordBatch;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesPtr, WriterVersion,
};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use sha2::{Digest as _, Sha256};
use std::io::{self, Write};
use std::sync::Arc;
use vernier_ledger::event_id::EventId;

/// Columns that have a bloom filter. The fingerprint finds again what has no id.
const BLOOM_COLUMNS: [(&str, f64); 3] = [
    ("id", limits::BLOOM_FALSE_POSITIVES),
    ("actor", limits::BLOOM_FALSE_POSITIVES),
    ("fingerprint", limits::FINGERPRINT_BLOOM_FALSE_POSITIVES),
];

/// The footer's key that says that a part holds a UUID in mixed letters: its filter and bounds of ids then say
/// nothing of other spellings.
pub(crate) const UNUSUAL_IDS: &str = "vernier_unusual_ids";

/// What rows are sorted by, in order, as the file's metadata says it.
const SORTED_BY: [&str; 5] = ["group", "actor", "event_time", "receipt", "index"];

/// Whether a part's rows are in the order that its metadata may promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowOrder {
    /// Its rows come in the order of their keys.
    Sorted,
    /// Some rows are erased: of their sort keys only receipt and index are left.
    Erased,
}

fn properties(layout: Layout, order: RowOrder) -> Result<WriterPropertiesPtr, Fault> {
    let column = |name: &str| ColumnPath::from(name);
    let sorting = SORTED_BY.iter().filter_map(|name| {
        let at = crate::columns::position(name)?;
        Some(SortingColumn {
            column_idx: i32::try_from(at).ok()?,
            descending: false,
            nulls_first: true,
        })
    });
    let sorting = (order == RowOrder::Sorted).then(|| sorting.collect());
    let version = KeyValue::new("vernier_archive".to_owned(), layout.version().to_string());
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by("vernier".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(limits::ZSTD_LEVEL)?))
        .set_max_row_group_row_count(None)
        .set_data_page_row_count_limit(limits::PAGE_ROWS_MAX)
        .set_write_batch_size(128)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_sorting_columns(sorting)
        .set_key_value_metadata(Some(vec![version]));
    for (name, false_positives) in BLOOM_COLUMNS {
        builder = builder
            .set_column_bloom_filter_enabled(column(name), true)
            .set_column_bloom_filter_fpp(column(name), false_positives)
            .set_column_bloom_filter_max_ndv(column(name), limits::GROUP_ROWS_MAX as u64);
    }
    // Nearly every value is another one: a dictionary would only be begun and given up.
    for name in ["id", "fingerprint", "event"] {
        builder = builder.set_column_dictionary_enabled(column(name), false);
    }
    if layout.is_blind() {
        for name in ["salt", "erased"] {
            builder = builder
                .set_column_dictionary_enabled(column(name), false)
                .set_column_statistics_enabled(column(name), EnabledStatistics::None);
        }
    }
    let builder = builder
        .set_column_data_page_size_limit(column("event"), limits::EVENT_PAGE_BYTES_MAX)
        .set_column_statistics_enabled(column("event"), EnabledStatistics::None)
        .set_column_encoding(column("event_time"), Encoding::DELTA_BINARY_PACKED)
        .set_column_encoding(column("received_at"), Encoding::DELTA_BINARY_PACKED);
    Ok(Arc::new(builder.build()))
}

/// Makes column writers for row groups and writers for parts, all of one form.
#[derive(Debug)]
pub(crate) struct Form {
    layout: Layout,
    factory: ArrowRowGroupWriterFactory,
    properties: WriterPropertiesPtr,
}

impl Form {
    pub(crate) fn of(layout: Layout, order: RowOrder) -> Result<Self, Fault> {
        let properties = properties(layout, order)?;
        let like = open(io::sink(), layout, &properties)?;
        Ok(Self {
            layout,
            factory: ArrowRowGroupWriterFactory::new(&like, schema(layout)),
            properties,
        })
    }

    /// Begins a row group whose first row has these numbers in its part and in its window.
    pub(crate) fn group(&self, in_part: u64, in_window: u64) -> Result<GroupEncoder, Fault> {
        Ok(GroupEncoder {
            writers: self.factory.create_column_writers(0)?,
            layout: self.layout,
            builder: RowsBuilder::new(self.layout),
            batch_bytes: 0,
            rows: 0,
            unusual_ids: false,
            scratch: Vec::with_capacity(1_024),
            leaves: Span::starting_at(in_part),
            window_leaves: Span::starting_at(in_window),
            blocks: self.layout.is_day().then(BlocksWriter::default),
        })
    }

    /// Begins a part.
    pub(crate) fn part<W: Write + Send>(&self, to: W) -> Result<PartWriter<W>, Fault> {
        Ok(PartWriter {
            writer: open(Hashing::new(to), self.layout, &self.properties)?,
            rows: 0,
            unusual_ids: false,
            leaves: Span::starting_at(0),
            entries: self.layout.is_day().then(Vec::new),
            ids: (self.layout == Layout::BlindDay).then(Vec::new),
        })
    }
}

fn open<W: Write + Send>(
    to: W,
    layout: Layout,
    properties: &WriterPropertiesPtr,
) -> Result<SerializedFileWriter<W>, Fault> {
    let parquet_schema = ArrowSchemaConverter::new().convert(&schema(layout))?;
    Ok(SerializedFileWriter::new(
        to,
        parquet_schema.root_schema_ptr(),
        Arc::clone(properties),
    )?)
}

fn write_batch(writers: &mut [ArrowColumnWriter], batch: &RecordBatch) -> Result<(), Fault> {
    let mut writers = writers.iter_mut();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        for leaf in compute_leaves(field, column)? {
            if let Some(writer) = writers.next() {
                writer.write(&leaf)?;
            }
        }
    }
    Ok(())
}

/// What rows of a window's file say of their seal, which the file does not keep.
pub(crate) const NO_SEAL: SealedBy = SealedBy {
    seal: 0,
    part: None,
};

/// A row group under way.
pub(crate) struct GroupEncoder {
    writers: Vec<ArrowColumnWriter>,
    layout: Layout,
    builder: RowsBuilder,
    batch_bytes: usize,
    rows: usize,
    unusual_ids: bool,
    scratch: Vec<u8>,
    /// As leaves of the part's tree.
    leaves: Span,
    /// As leaves of the window's tree.
    window_leaves: Span,
    /// Of a day.
    blocks: Option<BlocksWriter>,
}

impl GroupEncoder {
    /// Adds the next row of a window's file.
    pub(crate) fn push(&mut self, row: &Row<'_>) -> Result<(), Fault> {
        self.push_sealed(row, NO_SEAL)
    }

    /// Adds the next row, which was sealed there.
    pub(crate) fn push_sealed(&mut self, row: &Row<'_>, by: SealedBy) -> Result<(), Fault> {
        self.scratch.clear();
        row.write_leaf_in(self.layout.leaf_form(), &mut self.scratch);
        let leaf = leaf_hash(&self.scratch);
        self.leaves.push(leaf);
        self.window_leaves.push(leaf);
        if let Some(blocks) = &mut self.blocks {
            match self.layout.is_blind() {
                true => blocks.push_blind(row)?,
                false => blocks.push(&self.scratch, row)?,
            }
        }
        self.unusual_ids |= row.id.is_some_and(|id| !EventId(id).is_usual());
        self.builder.push(row, by)?;
        self.rows += 1;
        self.batch_bytes += self.scratch.len() + row.event.map_or(0, str::len);
        if self.builder.rows() == limits::BATCH_ROWS_MAX
            || self.batch_bytes >= limits::BATCH_BYTES_MAX
        {
            self.end_batch()?;
        }
        Ok(())
    }

    fn end_batch(&mut self) -> Result<(), Fault> {
        self.batch_bytes = 0;
        write_batch(&mut self.writers, &self.builder.finish()?)
    }

    /// The encoded row group.
    pub(crate) fn finish(mut self) -> Result<EncodedGroup, Fault> {
        if self.builder.rows() > 0 {
            self.end_batch()?;
        }
        let close = |writer: ArrowColumnWriter| writer.close();
        Ok(EncodedGroup {
            chunks: self
                .writers
                .into_iter()
                .map(close)
                .collect::<Result<_, _>>()?,
            leaves: self.leaves,
            window_leaves: self.window_leaves,
            rows: self.rows,
            unusual_ids: self.unusual_ids,
            blocks: self.blocks.map(BlocksWriter::finish).transpose()?,
        })
    }
}

/// A row group as it goes into its part.
#[derive(Debug)]
pub(crate) struct EncodedGroup {
    chunks: Vec<ArrowColumnChunk>,
    leaves: Span,
    pub(crate) window_leaves: Span,
    rows: usize,
    unusual_ids: bool,
    blocks: Option<Blocks>,
}

/// What a finished part is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartFigures {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) sha256: [u8; 32],
    pub(crate) merkle_root: [u8; 32],
    pub(crate) actors: Option<ActorTable>,
    pub(crate) ids: Option<ActorTable>,
}

/// A part under way.
pub(crate) struct PartWriter<W: Write + Send> {
    writer: SerializedFileWriter<Hashing<W>>,
    rows: u64,
    unusual_ids: bool,
    leaves: Span,
    /// Of a day: which blocks have whose rows.
    entries: Option<Vec<Entry>>,
    /// Of a day of version 4: which blocks have which ids.
    ids: Option<Vec<IdEntry>>,
}

impl<W: Write + Send> PartWriter<W> {
    /// Adds the next row group.
    pub(crate) fn append(&mut self, group: EncodedGroup) -> Result<(), Fault> {
        if !self.leaves.join(&group.leaves) {
            return Err(Fault::Damaged(
                "row groups of a part out of order".to_owned(),
            ));
        }
        self.rows += group.rows as u64;
        self.unusual_ids |= group.unusual_ids;
        let mut writer = self.writer.next_row_group()?;
        for chunk in group.chunks {
            chunk.append_to_row_group(&mut writer)?;
        }
        writer.close()?;
        if let (Some(blocks), Some(entries)) = (group.blocks, &mut self.entries) {
            let start = self.writer.bytes_written() as u64;
            entries.extend(blocks.entries.into_iter().map(|entry| Entry {
                offset: start + entry.offset,
                ..entry
            }));
            if let Some(ids) = &mut self.ids {
                ids.extend(blocks.ids.into_iter().map(|entry| IdEntry {
                    offset: start + entry.offset,
                    ..entry
                }));
            }
            // Between the row groups, where Parquet's readers do not look.
            self.writer.write_all(&blocks.bytes)?;
        }
        Ok(())
    }

    /// Writes the tables and the footer.
    pub(crate) fn finish(mut self) -> Result<(W, PartFigures), Fault> {
        if self.unusual_ids {
            let marked = KeyValue::new(UNUSUAL_IDS.to_owned(), "yes".to_owned());
            self.writer.append_key_value_metadata(marked);
        }
        let mut actors = None;
        if let Some(entries) = self.entries.take() {
            let table = blocks::table(entries);
            let start = self.writer.bytes_written() as u64;
            actors = Some(ActorTable::of(start, &table));
            self.writer.write_all(&table)?;
        }
        let mut ids = None;
        if let Some(entries) = self.ids.take() {
            let table = id_table::table(entries);
            ids = Some(id_table::place(self.writer.bytes_written() as u64, &table));
            self.writer.write_all(&table)?;
        }
        let columns = self.writer.schema_descr().num_columns();
        self.writer.flush()?;
        self.writer.inner_mut().hold();
        let mut out = self.writer.into_inner()?;
        out.release(|end| say_type_order(end, columns))?;
        let figures = PartFigures {
            rows: self.rows,
            bytes: out.bytes,
            sha256: out.hash.finalize().into(),
            merkle_root: self.leaves.root().unwrap_or_default(),
            actors,
            ids,
        };
        Ok((out.to, figures))
    }
}

/// A part of the given rows, as they are: whether they are in order, or belong together, is not
/// looked at. For parts that fit memory; windows are written by [`crate::window`].
///
/// # Errors
/// When the rows cannot be encoded.
pub fn to_bytes(rows: &[Row<'_>]) -> Result<Vec<u8>, Fault> {
    window_to_bytes(Layout::Window, RowOrder::Sorted, rows)
}

/// As [`to_bytes`] with the columns of a window's part of any version.
///
/// # Errors
/// When the rows cannot be encoded, or need columns that the layout does not have.
pub fn window_to_bytes(
    layout: Layout,
    order: RowOrder,
    rows: &[Row<'_>],
) -> Result<Vec<u8>, Fault> {
    let rows: Vec<(&Row<'_>, SealedBy)> = rows.iter().map(|row| (row, NO_SEAL)).collect();
    Ok(encode(&Form::of(layout, order)?, &rows)?.0)
}

/// As [`to_bytes`] a part of a day, each row with the sequence of the seal that sealed it, and where its
/// table of actors lies.
///
/// # Errors
/// When the rows cannot be encoded.
pub fn day_to_bytes(rows: &[(Row<'_>, u64)]) -> Result<(Vec<u8>, Option<ActorTable>), Fault> {
    let by = |seal| SealedBy { seal, part: None };
    let rows: Vec<(&Row<'_>, SealedBy)> = rows.iter().map(|(row, seal)| (row, by(*seal))).collect();
    encode(&Form::of(Layout::Day, RowOrder::Sorted)?, &rows)
}

fn encode(
    form: &Form,
    rows: &[(&Row<'_>, SealedBy)],
) -> Result<(Vec<u8>, Option<ActorTable>), Fault> {
    let mut part = form.part(Vec::new())?;
    for (number, rows) in rows.chunks(limits::GROUP_ROWS_MAX).enumerate() {
        let begin = (number * limits::GROUP_ROWS_MAX) as u64;
        let mut group = form.group(begin, begin)?;
        for (row, by) in rows {
            group.push_sealed(row, *by)?;
        }
        part.append(group.finish()?)?;
    }
    let (bytes, figures) = part.finish()?;
    Ok((bytes, figures.actors))
}

/// Hashes and counts what passes.
struct Hashing<W> {
    to: W,
    hash: Sha256,
    bytes: u64,
    /// What was written since the part's end was asked for: indexes and footer.
    held: Option<Vec<u8>>,
}

impl<W> Hashing<W> {
    fn new(to: W) -> Self {
        Self {
            to,
            hash: Sha256::new(),
            bytes: 0,
            held: None,
        }
    }

    /// Keeps what is written from now on, until it is released.
    fn hold(&mut self) {
        self.held = Some(Vec::new());
    }
}

impl<W: Write> Hashing<W> {
    /// Lets what was held pass after a change.
    fn release(&mut self, change: impl FnOnce(&mut [u8])) -> io::Result<()> {
        let mut held = self.held.take().unwrap_or_default();
        change(&mut held);
        self.write_all(&held)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(held) = &mut self.held {
            held.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        let written = self.to.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
