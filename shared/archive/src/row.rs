//! One received event as the archive keeps it, and its canonical bytes.

use crate::Fault;
use crate::leaf::Erased;
use vernier_ledger::digest::Fingerprint;
use vernier_ledger::disposition::Disposition;
use vernier_ledger::ids::ReceiptId;
use vernier_ledger::salt::Salt;
use vernier_ledger::segment::Place;
use vernier_ledger::time::Millis;

/// A row of a window's files. Columns without a value are none.
#[derive(Debug, Clone, PartialEq)]
pub struct Row<'a> {
    /// The event's own id.
    pub id: Option<&'a str>,
    /// Its type as a Caliper term, or a domain type.
    pub type_name: Option<&'a str>,
    /// Its action as a Caliper term.
    pub action: Option<&'a str>,
    /// The actor's id.
    pub actor: Option<&'a str>,
    /// The object's id.
    pub object: Option<&'a str>,
    /// The course section's (group's) id.
    pub group: Option<&'a str>,
    /// When it happened.
    pub event_time: Option<Millis>,
    /// The sensor that the token named.
    pub sensor: &'a str,
    /// `event`, `entity`, `domain` or `opaque`.
    pub kind: &'a str,
    /// The specification's verdict, `accepted` or `rejected`.
    pub strict: &'a str,
    /// The envelope's receipt.
    pub receipt: ReceiptId,
    /// Position in the envelope, from 0.
    pub index: u32,
    /// When the envelope was received: the receipt's time.
    pub received_at: Millis,
    /// How it ended.
    pub disposition: Disposition,
    /// Of a duplicate or conflict: where the stored event of its id is.
    pub first: Option<Place>,
    /// Why it was rejected, JSON.
    pub problems: Option<&'a str>,
    /// What lenient mode let pass, JSON.
    pub deviations: Option<&'a str>,
    /// The line's result, JSON.
    pub result: Option<&'a str>,
    /// The result's score.
    pub score: Option<f64>,
    /// The most that the score can be.
    pub score_maximum: Option<f64>,
    /// SHA-256 of the compacted event; zeros where the row is erased.
    pub fingerprint: [u8; 32],
    /// The compacted event; none for a duplicate in the bytes of its first.
    pub event: Option<&'a str>,
    /// What blinds its hashes; none before version 4, where its line had no key, and where it is erased.
    pub salt: Option<Salt>,
    /// Of an erased row: the hashes that stay.
    pub erased: Option<Erased>,
}

/// What rows are sorted by: group, actor, event time, receipt, index; what is absent comes first,
/// text by its UTF-8 bytes.
pub type SortKey<'a> = (
    Option<&'a str>,
    Option<&'a str>,
    Option<Millis>,
    ReceiptId,
    u32,
);

impl<'a> Row<'a> {
    /// What the row is sorted by.
    #[must_use]
    pub const fn sort_key(&self) -> SortKey<'a> {
        (
            self.group,
            self.actor,
            self.event_time,
            self.receipt,
            self.index,
        )
    }

    /// Where it is among all events.
    #[must_use]
    pub const fn place(&self) -> Place {
        (self.receipt, self.index)
    }

    /// The row with the fingerprint that its text gives it; as it is where it has no text.
    #[must_use]
    pub(crate) fn with_fingerprint_of_text(mut self) -> Self {
        if let Some(event) = self.event {
            self.fingerprint = Fingerprint::of(event.as_bytes()).0;
        }
        self
    }

    /// The row's data in the Merkle tree of versions 1 to 3: every column but `event`, which its
    /// fingerprint stands for. docs/seal.md has the encoding.
    pub fn write_leaf(&self, out: &mut Vec<u8>) {
        self.write_what_happened(out);
        self.write_how_it_came(out);
        self.write_findings(out);
        out.extend_from_slice(&self.fingerprint);
    }

    /// Id to event time, in the order of the columns.
    pub(crate) fn write_what_happened(&self, out: &mut Vec<u8>) {
        for text in [
            self.id,
            self.type_name,
            self.action,
            self.actor,
            self.object,
            self.group,
        ] {
            write_optional_text(out, text);
        }
        match self.event_time {
            None => out.push(0),
            Some(time) => {
                out.push(1);
                out.extend_from_slice(&time.0.to_be_bytes());
            }
        }
    }

    /// Writes the columns from the sensor to the first occurrence.
    pub(crate) fn write_how_it_came(&self, out: &mut Vec<u8>) {
        for text in [self.sensor, self.kind, self.strict] {
            write_text(out, text);
        }
        out.extend_from_slice(self.receipt.as_bytes());
        out.extend_from_slice(&self.index.to_be_bytes());
        out.extend_from_slice(&self.received_at.0.to_be_bytes());
        write_text(out, disposition_word(self.disposition));
        match self.first {
            None => out.push(0),
            Some((receipt, index)) => {
                out.push(1);
                out.extend_from_slice(receipt.as_bytes());
                out.extend_from_slice(&index.to_be_bytes());
            }
        }
    }

    /// Problems to the score's maximum.
    pub(crate) fn write_findings(&self, out: &mut Vec<u8>) {
        for text in [self.problems, self.deviations, self.result] {
            write_optional_text(out, text);
        }
        for number in [self.score, self.score_maximum] {
            out.push(u8::from(number.is_some()));
            if let Some(number) = number {
                out.extend_from_slice(&number.to_bits().to_be_bytes());
            }
        }
    }

    /// Reads what [`Self::write_leaf`] wrote, without the event, and the bytes that follow.
    ///
    /// # Errors
    /// When the bytes are no such data.
    pub fn read_leaf(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Fault> {
        let mut from = Bytes(bytes);
        let what = from.what_happened()?;
        let mut row = from.how_it_came()?;
        row.set_what_happened(what);
        from.findings(&mut row)?;
        row.fingerprint = from.array()?;
        Ok((row, from.0))
    }

    pub(crate) const fn set_what_happened(&mut self, what: WhatHappened<'a>) {
        [
            self.id,
            self.type_name,
            self.action,
            self.actor,
            self.object,
            self.group,
        ] = what.texts;
        self.event_time = what.event_time;
    }

    /// The sort key as bytes that compare as the key does.
    pub(crate) fn write_sort_key(&self, out: &mut Vec<u8>) {
        write_ordered_text(out, self.group);
        write_ordered_text(out, self.actor);
        match self.event_time {
            None => out.push(0),
            Some(time) => {
                out.push(1);
                // With the sign turned around, negative numbers come before the others.
                out.extend_from_slice(&(time.0 ^ i64::MIN).to_be_bytes());
            }
        }
        out.extend_from_slice(self.receipt.as_bytes());
        out.extend_from_slice(&self.index.to_be_bytes());
    }
}

/// A disposition as the files spell it.
#[must_use]
pub const fn disposition_word(disposition: Disposition) -> &'static str {
    match disposition {
        Disposition::Stored => "stored",
        Disposition::Duplicate => "duplicate",
        Disposition::Conflict => "conflict",
        Disposition::Rejected => "rejected",
    }
}

/// The disposition that the files spell so.
#[must_use]
pub fn disposition_from(word: &str) -> Option<Disposition> {
    use Disposition::{Conflict, Duplicate, Rejected, Stored};
    [Stored, Duplicate, Conflict, Rejected]
        .into_iter()
        .find(|d| disposition_word(*d) == word)
}

pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    // A line has at most 1 MB, an event 16 MiB: no text comes near 4 GiB.
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn write_optional_text(out: &mut Vec<u8>, text: Option<&str>) {
    out.push(u8::from(text.is_some()));
    if let Some(text) = text {
        write_text(out, text);
    }
}

/// Text that ends in two zeros; a zero within it is followed by 0xFF. So a text comes before the
/// longer ones that begin with it, whatever follows in the key.
fn write_ordered_text(out: &mut Vec<u8>, text: Option<&str>) {
    out.push(u8::from(text.is_some()));
    let Some(text) = text else { return };
    for byte in text.bytes() {
        out.push(byte);
        if byte == 0 {
            out.push(0xFF);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

pub(crate) fn bad_leaf() -> Fault {
    Fault::Damaged("not a row's canonical bytes".to_owned())
}

/// Reads from the front.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

/// Id to event time.
#[derive(Default)]
pub(crate) struct WhatHappened<'a> {
    texts: [Option<&'a str>; 6],
    event_time: Option<Millis>,
}

impl<'a> Bytes<'a> {
    pub(crate) fn what_happened(&mut self) -> Result<WhatHappened<'a>, Fault> {
        let mut texts = [None; 6];
        for text in &mut texts {
            *text = self.optional_text()?;
        }
        let event_time = if self.flag()? {
            Some(self.millis()?)
        } else {
            None
        };
        Ok(WhatHappened { texts, event_time })
    }

    /// A row of these columns alone.
    pub(crate) fn how_it_came(&mut self) -> Result<Row<'a>, Fault> {
        Ok(Row {
            id: None,
            type_name: None,
            action: None,
            actor: None,
            object: None,
            group: None,
            event_time: None,
            sensor: self.text()?,
            kind: self.text()?,
            strict: self.text()?,
            receipt: self.receipt()?,
            index: u32::from_be_bytes(self.array()?),
            received_at: self.millis()?,
            disposition: disposition_from(self.text()?).ok_or_else(bad_leaf)?,
            first: if self.flag()? {
                Some((self.receipt()?, u32::from_be_bytes(self.array()?)))
            } else {
                None
            },
            problems: None,
            deviations: None,
            result: None,
            score: None,
            score_maximum: None,
            fingerprint: [0; 32],
            event: None,
            salt: None,
            erased: None,
        })
    }

    pub(crate) fn findings(&mut self, row: &mut Row<'a>) -> Result<(), Fault> {
        row.problems = self.optional_text()?;
        row.deviations = self.optional_text()?;
        row.result = self.optional_text()?;
        row.score = self.optional_float()?;
        row.score_maximum = self.optional_float()?;
        Ok(())
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(bad_leaf)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (taken, rest) = self.0.split_first_chunk().ok_or_else(bad_leaf)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn flag(&mut self) -> Result<bool, Fault> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(bad_leaf()),
        }
    }

    fn millis(&mut self) -> Result<Millis, Fault> {
        Ok(Millis(i64::from_be_bytes(self.array()?)))
    }

    fn optional_float(&mut self) -> Result<Option<f64>, Fault> {
        Ok(if self.flag()? {
            Some(f64::from_bits(u64::from_be_bytes(self.array()?)))
        } else {
            None
        })
    }

    fn receipt(&mut self) -> Result<ReceiptId, Fault> {
        receipt_from(self.array()?)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Fault> {
        let length = u32::from_be_bytes(self.array()?) as usize;
        std::str::from_utf8(self.take(length)?).map_err(|_| bad_leaf())
    }

    fn optional_text(&mut self) -> Result<Option<&'a str>, Fault> {
        Ok(if self.flag()? {
            Some(self.text()?)
        } else {
            None
        })
    }
}

/// A receipt from its 16 bytes.
pub(crate) fn receipt_from(bytes: [u8; 16]) -> Result<ReceiptId, Fault> {
    uuid::Uuid::from_bytes(bytes)
        .try_into()
        .map_err(|_| Fault::Damaged("not the bytes of a receipt's id".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text() -> impl Strategy<Value = Option<String>> {
        // Few letters and zeros among them: many equal beginnings.
        proptest::option::of("[a\u{0}\u{1}é]{0,4}")
    }

    type Made = ([Option<String>; 3], Option<i64>, u64, u32, u8);

    fn made() -> impl Strategy<Value = Made> {
        (
            [text(), text(), text()],
            proptest::option::of(prop_oneof![any::<i64>(), -2i64..3]),
            0u64..4,
            0u32..3,
            0u8..4,
        )
    }

    fn row(made: &Made) -> Row<'_> {
        let (texts, time, receipt, index, disposition) = made;
        let at = Millis(i64::try_from(*receipt).unwrap_or(0));
        let receipt = ReceiptId::from_parts(at, 0, [7; 8]);
        let dispositions = ["stored", "duplicate", "conflict", "rejected"];
        Row {
            id: texts[2].as_deref(),
            type_name: texts[0].as_deref(),
            action: None,
            actor: texts[1].as_deref(),
            object: texts[2].as_deref(),
            group: texts[0].as_deref(),
            event_time: time.map(Millis),
            sensor: "lms",
            kind: "event",
            strict: "accepted",
            receipt,
            index: *index,
            received_at: at,
            disposition: disposition_from(dispositions[usize::from(*disposition)]).expect("one"),
            first: (*disposition == 1).then_some((receipt, 9)),
            problems: None,
            deviations: texts[1].as_deref(),
            result: None,
            score: time.filter(|t| *t < 2).map(|t| t as f64 / 4.0),
            score_maximum: None,
            fingerprint: [*disposition; 32],
            event: None,
            salt: None,
            erased: None,
        }
    }

    proptest! {
        #[test]
        fn canonical_bytes_come_back(made in made(), rest: Vec<u8>) {
            let mut bytes = Vec::new();
            row(&made).write_leaf(&mut bytes);
            let length = bytes.len();
            bytes.extend_from_slice(&rest);
            let (found, after) = Row::read_leaf(&bytes).expect("reads");
            prop_assert_eq!(found, row(&made));
            prop_assert_eq!(after, &rest[..]);
            for cut in 0..length {
                prop_assert!(Row::read_leaf(&bytes[..cut]).is_err());
            }
        }

        #[test]
        fn different_rows_have_different_bytes(a in made(), b in made()) {
            let (mut first, mut second) = (Vec::new(), Vec::new());
            row(&a).write_leaf(&mut first);
            row(&b).write_leaf(&mut second);
            prop_assert_eq!(row(&a) == row(&b), first == second);
        }

        #[test]
        fn key_bytes_compare_as_keys(a in made(), b in made()) {
            let (mut first, mut second) = (Vec::new(), Vec::new());
            row(&a).write_sort_key(&mut first);
            row(&b).write_sort_key(&mut second);
            prop_assert_eq!(row(&a).sort_key().cmp(&row(&b).sort_key()), first.cmp(&second));
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes: Vec<u8>) {
            let _ = Row::read_leaf(&bytes);
        }
    }
}
