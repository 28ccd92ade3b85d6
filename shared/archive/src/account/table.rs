//! Small tables in Parquet: text, numbers and hashes.

use crate::Fault;
use crate::files::{Chunks, Ranges};
use crate::limits;
use crate::reader::unreadable;
use arrow_array::builder::{FixedSizeBinaryBuilder, Int64Builder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterVersion};
use std::sync::Arc;

/// Bytes of a hash.
const HASH_BYTES: i32 = 32;

/// The type of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CellKind {
    Text,
    OptionalText,
    Number,
    Hash,
}

impl CellKind {
    fn field(self, name: &str) -> Field {
        let (data_type, nullable) = match self {
            Self::Text => (DataType::Utf8, false),
            Self::OptionalText => (DataType::Utf8, true),
            Self::Number => (DataType::Int64, false),
            Self::Hash => (DataType::FixedSizeBinary(HASH_BYTES), false),
        };
        Field::new(name, data_type, nullable)
    }
}

/// A value of a column, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    None,
    Text(String),
    Number(i64),
    Hash([u8; 32]),
}

impl Cell {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) const fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) const fn hash(&self) -> Option<[u8; 32]> {
        match self {
            Self::Hash(hash) => Some(*hash),
            _ => None,
        }
    }
}

/// Columns by name and type.
#[derive(Debug)]
pub(super) struct Table(pub(super) &'static [(&'static str, CellKind)]);

impl Table {
    pub(super) fn name(&self, column: usize) -> &'static str {
        self.0[column].0
    }

    fn schema(&self) -> SchemaRef {
        let fields = self.0.iter().map(|(name, kind)| kind.field(name));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// A file of these rows.
    pub(super) fn to_bytes(&self, rows: impl Iterator<Item = Vec<Cell>>) -> Result<Vec<u8>, Fault> {
        let version = crate::seal::SEAL_VERSION_4.to_string();
        let properties = WriterProperties::builder()
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_created_by("vernier".to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(limits::ZSTD_LEVEL)?))
            .set_max_row_group_row_count(Some(limits::GROUP_ROWS_MAX))
            .set_key_value_metadata(Some(vec![KeyValue::new(
                "vernier_archive".to_owned(),
                version,
            )]));
        let mut writer = ArrowWriter::try_new(Vec::new(), self.schema(), Some(properties.build()))?;
        let mut rows = rows.peekable();
        while rows.peek().is_some() {
            let batch: Vec<Vec<Cell>> = rows.by_ref().take(limits::BATCH_ROWS_MAX).collect();
            writer.write(&self.batch(&batch)?)?;
        }
        Ok(writer.into_inner()?)
    }

    fn batch(&self, rows: &[Vec<Cell>]) -> Result<RecordBatch, Fault> {
        let columns = self.0.iter().enumerate().map(|(at, (_, kind))| {
            let cells = rows.iter().map(|row| &row[at]);
            let column: ArrayRef = match kind {
                CellKind::Text | CellKind::OptionalText => {
                    let mut texts = StringBuilder::new();
                    cells.for_each(|cell| texts.append_option(cell.text()));
                    Arc::new(texts.finish())
                }
                CellKind::Number => {
                    let mut numbers = Int64Builder::new();
                    cells.for_each(|cell| numbers.append_option(cell.number()));
                    Arc::new(numbers.finish())
                }
                CellKind::Hash => {
                    let mut hashes = FixedSizeBinaryBuilder::new(HASH_BYTES);
                    for cell in cells {
                        hashes
                            .append_value(cell.hash().unwrap_or_default())
                            .map_err(unreadable)?;
                    }
                    Arc::new(hashes.finish())
                }
            };
            Ok::<_, Fault>(column)
        });
        let columns = columns.collect::<Result<_, _>>()?;
        RecordBatch::try_new(self.schema(), columns).map_err(unreadable)
    }

    /// Calls `each` with every row of a file.
    pub(super) fn for_each(
        &self,
        file: &Arc<dyn Ranges>,
        mut each: impl FnMut(&[Cell]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let other = || Fault::Damaged("its columns are not those of such a file".to_owned());
        let reader = ParquetRecordBatchReaderBuilder::try_new(Chunks(Arc::clone(file)))?;
        let same = |(found, (name, kind)): (&Arc<Field>, &(&str, CellKind))| {
            let wanted = kind.field(name);
            found.name() == wanted.name()
                && found.data_type() == wanted.data_type()
                && found.is_nullable() == wanted.is_nullable()
        };
        let fields = reader.schema().fields();
        if fields.len() != self.0.len() || !fields.iter().zip(self.0).all(same) {
            return Err(other());
        }
        let mut cells = Vec::with_capacity(self.0.len());
        for batch in reader.with_batch_size(limits::BATCH_ROWS_MAX).build()? {
            let batch = batch.map_err(unreadable)?;
            for at in 0..batch.num_rows() {
                cells.clear();
                for column in batch.columns() {
                    cells.push(cell(column, at).ok_or_else(other)?);
                }
                each(&cells)?;
            }
        }
        Ok(())
    }
}

fn cell(column: &ArrayRef, at: usize) -> Option<Cell> {
    if column.is_null(at) {
        return Some(Cell::None);
    }
    if let Some(texts) = column.as_string_opt::<i32>() {
        return Some(Cell::Text(texts.value(at).to_owned()));
    }
    if let Some(numbers) = column.as_primitive_opt::<Int64Type>() {
        return Some(Cell::Number(numbers.value(at)));
    }
    let hash = column.as_fixed_size_binary_opt()?.value(at);
    Some(Cell::Hash(hash.try_into().ok()?))
}
