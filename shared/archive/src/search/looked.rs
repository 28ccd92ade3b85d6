//! The columns that decide, batch by batch.

use super::{Column, ERASED, SEAL, Search};
use crate::Fault;
use crate::columns::{index, receipt};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{Array, FixedSizeBinaryArray, RecordBatch, StringArray};
use vernier_ledger::line::names_rule;
use vernier_ledger::segment::Place;
use vernier_ledger::time::Millis;

/// A column of times: which are there, and they.
type Times<'b> = (&'b dyn Array, &'b [i64]);

/// A batch of the deciding columns.
pub(super) struct Looked<'b> {
    equal: Vec<(Column, &'b StringArray, &'b str)>,
    ruled: Vec<(&'b StringArray, &'b str)>,
    times: Vec<(Times<'b>, (Millis, Millis))>,
    event_time: Times<'b>,
    receipt: &'b StringArray,
    index: &'b [i64],
    pub(super) texts: Vec<(Column, &'b StringArray)>,
    pub(super) fingerprints: Option<&'b FixedSizeBinaryArray>,
    /// None where no row of the part is erased.
    pub(super) erased: Option<&'b FixedSizeBinaryArray>,
    /// Which seals sealed the rows, and the one whose rows are wanted.
    seal: Option<(&'b [i64], u64)>,
}

impl<'b> Looked<'b> {
    pub(super) fn at(
        batch: &'b RecordBatch,
        wanted: &'b Search,
        columns: &[Column],
    ) -> Result<Self, Fault> {
        let lacking = |name: &str| Fault::Damaged(format!("column {name}"));
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| lacking(name));
        let text = |name: &str| {
            let texts = column(name)?.as_string_opt::<i32>();
            texts.ok_or_else(|| lacking(name))
        };
        let time = |name: &str| {
            let times = column(name)?.as_primitive_opt::<TimestampMillisecondType>();
            let times = times.ok_or_else(|| lacking(name))?;
            Ok::<_, Fault>((times as &dyn Array, times.values().as_ref()))
        };
        let index = column("index")?.as_primitive_opt::<Int64Type>();
        let seals = batch.column_by_name(SEAL).zip(wanted.sealed_by);
        let seal = seals.map(|(seals, wanted)| {
            let seals = seals.as_primitive_opt::<Int64Type>();
            let seals = seals.ok_or_else(|| lacking(SEAL))?;
            Ok::<_, Fault>((seals.values().as_ref(), wanted))
        });
        let mut looked = Self {
            equal: Vec::new(),
            ruled: Vec::new(),
            times: Vec::new(),
            event_time: time("event_time")?,
            receipt: text("receipt")?,
            index: index.ok_or_else(|| lacking("index"))?.values(),
            texts: Vec::new(),
            fingerprints: None,
            erased: batch
                .column_by_name(ERASED)
                .and_then(|erased| erased.as_fixed_size_binary_opt()),
            seal: seal.transpose()?,
        };
        for shown in columns {
            let name = shown.name();
            if *shown == Column::Fingerprint {
                let fingerprints = column(name)?.as_fixed_size_binary_opt();
                looked.fingerprints = Some(fingerprints.ok_or_else(|| lacking(name))?);
            } else {
                looked.texts.push((*shown, text(name)?));
            }
        }
        for (column, value) in &wanted.equal {
            let texts = text(column.name())?;
            looked.equal.push((*column, texts, value));
        }
        for (column, rule) in &wanted.ruled {
            looked.ruled.push((text(column.name())?, rule));
        }
        for (name, range) in wanted.times() {
            looked.times.push((time(name)?, range));
        }
        Ok(looked)
    }

    /// The row's place and event time when it is wanted.
    pub(super) fn passes(&self, at: usize) -> Result<Option<(Place, Option<Millis>)>, Fault> {
        let times = self.times.iter().all(|((array, values), (from, to))| {
            array.is_valid(at) && (from.0..to.0).contains(&values[at])
        });
        let is_of_seal = self
            .seal
            .is_none_or(|(seals, wanted)| u64::try_from(seals[at]) == Ok(wanted));
        let passes = times
            && is_of_seal
            && self.equal.iter().all(|(column, texts, value)| {
                texts.is_valid(at) && column.is_same(texts.value(at), value)
            })
            && self
                .ruled
                .iter()
                .all(|(texts, rule)| texts.is_valid(at) && names_rule(texts.value(at), rule));
        if !passes {
            return Ok(None);
        }
        let place = (
            receipt("receipt", self.receipt.value(at))?,
            index("index", self.index[at])?,
        );
        let (array, times) = self.event_time;
        Ok(Some((place, array.is_valid(at).then(|| Millis(times[at])))))
    }
}
