//! CSV (RFC 4180) that a spreadsheet opens without running anything in it.

use std::borrow::Cow;
use vernier_ledger::time::Millis;

/// A cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing is known.
    Empty,
    /// A text, from wherever: spreadsheets take some for formulas, see `harmless`.
    Text(String),
    /// A whole number.
    Whole(u64),
    /// A number.
    Number(f64),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<Millis> for Cell {
    fn from(at: Millis) -> Self {
        Self::Text(at.rfc3339())
    }
}

impl<C: Into<Self>> From<Option<C>> for Cell {
    fn from(cell: Option<C>) -> Self {
        cell.map_or(Self::Empty, Into::into)
    }
}

impl Cell {
    /// As it is written; a number like JSON writes it.
    fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Empty => Cow::Borrowed(""),
            Self::Text(text) => harmless(text),
            Self::Whole(number) => Cow::Owned(number.to_string()),
            Self::Number(number) => Cow::Owned(serde_json::Value::from(*number).to_string()),
        }
    }
}

/// What begins a formula or moves one into the next cell, with the wide forms that some
/// spreadsheets take for the same.
const DANGEROUS: [char; 11] = [
    '=', '+', '-', '@', '\t', '\r', '\n', '\u{FF1D}', '\u{FF0B}', '\u{FF0D}', '\u{FF20}',
];

/// The text with an apostrophe before it where a spreadsheet could take it for a formula, also
/// behind spaces, which some leave out.
#[must_use]
fn harmless(text: &str) -> Cow<'_, str> {
    if text.trim_start_matches(' ').starts_with(DANGEROUS) {
        return Cow::Owned(format!("'{text}"));
    }
    Cow::Borrowed(text)
}

/// A table, in the making.
#[derive(Debug)]
pub struct Sheet(csv::Writer<Vec<u8>>);

impl Sheet {
    /// With its header row.
    #[must_use]
    pub fn new<C: Into<Cell>>(header: impl IntoIterator<Item = C>) -> Self {
        let mut builder = csv::WriterBuilder::new();
        builder.terminator(csv::Terminator::CRLF);
        let mut sheet = Self(builder.from_writer(Vec::new()));
        sheet.row(header.into_iter().map(Into::into));
        sheet
    }

    /// Adds a row of as many cells as the header has.
    ///
    /// # Panics
    /// When it has more or fewer.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        for cell in cells {
            let written = self.0.write_field(cell.text().as_bytes());
            written.expect("memory takes every field");
        }
        let written = self.0.write_record(None::<&[u8]>);
        written.expect("rows are as wide as the header");
    }

    /// The text.
    ///
    /// # Panics
    /// Never: what was written is text, in memory.
    #[must_use]
    pub fn finish(self) -> String {
        let bytes = self.0.into_inner().expect("memory takes every row");
        String::from_utf8(bytes).expect("cells are text")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_cell() -> impl Strategy<Value = Cell> {
        let text = prop_oneof![
            "[ =+\\-@\t\r\n',;\"a1\u{FF1D}]{0,6}",
            any::<String>(),
            Just("=HYPERLINK(\"https://evil.example\",\"x\")".to_owned()),
        ];
        prop_oneof![
            Just(Cell::Empty),
            text.prop_map(Cell::Text),
            any::<u64>().prop_map(Cell::Whole),
            (-1e300f64..1e300).prop_map(Cell::Number),
        ]
    }

    proptest! {
        #[test]
        fn read_back_it_has_the_cells_and_no_formula(
            rows in (1usize..5).prop_flat_map(|wide| {
                prop::collection::vec(prop::collection::vec(any_cell(), wide), 1..6)
            })
        ) {
            let mut sheet = Sheet::new(rows[0].clone());
            rows[1..].iter().for_each(|row| sheet.row(row.clone()));
            let text = sheet.finish();
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
            let read: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().expect("CSV");
            prop_assert_eq!(read.len(), rows.len());
            for (cells, row) in read.iter().zip(&rows) {
                prop_assert_eq!(cells.len(), row.len());
                for (cell, was) in cells.iter().zip(row) {
                    match was {
                        Cell::Empty => prop_assert_eq!(cell, ""),
                        Cell::Whole(number) => prop_assert_eq!(cell.parse(), Ok(*number)),
                        Cell::Number(number) => prop_assert_eq!(cell.parse(), Ok(*number)),
                        Cell::Text(text) => {
                            let first = text.chars().find(|c| *c != ' ');
                            let is_formula = first.is_some_and(|c| "=+-@\t\r\n＝＋－＠".contains(c));
                            let expected = if is_formula { format!("'{text}") } else { text.clone() };
                            prop_assert_eq!(cell, expected);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_of_one_empty_cell_is_a_row() {
        let mut sheet = Sheet::new(["only"]);
        sheet.row([Cell::Empty]);
        sheet.row([Cell::Number(-1.5)]);
        assert_eq!(sheet.finish(), "only\r\n\"\"\r\n-1.5\r\n");
    }
}
