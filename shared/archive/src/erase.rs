//! A file once more, with some of its rows erased.

use crate::Fault;
use crate::files::Sink;
use crate::merkle::Hash;
use crate::part::{Form, NO_SEAL, RowOrder};
use crate::reader::{Part, Reading};
use crate::seal::SealedFile;
use crate::write::close_part;
use vernier_ledger::segment::Place;

/// Writes a part of version 4 anew, of a window, a backfill or a day, the rows at these places erased, under the key that `key`
/// makes of its SHA-256. Rows, their order and the root are those of the part.
///
/// # Errors
/// When the part cannot be read, is none of version 4, or the file cannot be written.
pub fn erase_rows<S: Sink>(
    part: &Part,
    is_erased: impl Fn(Place) -> bool,
    key: impl FnOnce(&Hash) -> String,
    sink: &S,
) -> Result<SealedFile, Fault> {
    let form = Form::of(part.layout(), RowOrder::Erased)?;
    let mut writer = form.part(sink.create()?)?;
    let mut begin = 0;
    for number in 0..part.groups() {
        let mut group = form.group(begin, begin)?;
        part.for_each_sealed_by(number, Reading::Whole, |row, by| {
            begin += 1;
            let by = by.unwrap_or(NO_SEAL);
            match is_erased(row.place()) {
                true => group.push_sealed(&row.erase(), by),
                false => group.push_sealed(&row, by),
            }
        })?;
        writer.append(group.finish()?)?;
    }
    close_part(sink, |sha256| Ok(key(sha256)), writer)
}
