//! Printing: tables for people, JSON lines for programs.

use serde::Serialize;
use std::io::{self, Write};

/// One line on standard output.
///
/// # Errors
/// Standard output is gone.
pub(super) fn line(text: impl AsRef<str>) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", text.as_ref())
}

/// Text on standard output as it is.
///
/// # Errors
/// Standard output is gone.
pub(super) fn text(text: &str) -> io::Result<()> {
    io::stdout().lock().write_all(text.as_bytes())
}

/// One JSON document as one line on standard output.
///
/// # Errors
/// Standard output is gone.
pub(super) fn json<T: Serialize>(document: &T) -> io::Result<()> {
    let text = serde_json::to_string(document)?;
    line(text)
}

/// A table with a header, columns aligned, numbers to the right; two spaces between columns.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|r| r.get(column))
            .map(|c| c.chars().count());
        cells
            .chain([header[column].chars().count()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let number =
        |cell: &str| !cell.is_empty() && cell.bytes().all(|b| b.is_ascii_digit() || b == b',');
    let right: Vec<bool> = (0..header.len())
        .map(|c| {
            !rows.is_empty()
                && rows
                    .iter()
                    .all(|r| r.get(c).is_some_and(|cell| number(cell)))
        })
        .collect();
    let mut text = String::new();
    let names: Vec<String> = header.iter().map(|h| (*h).to_owned()).collect();
    for row in std::iter::once(&names).chain(rows) {
        let mut printed = String::new();
        for (column, cell) in row.iter().enumerate().take(widths.len()) {
            let pad = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
            let (before, after) = if right[column] {
                (pad.as_str(), "")
            } else {
                ("", pad.as_str())
            };
            printed.push_str(if column == 0 { "" } else { "  " });
            printed.push_str(before);
            printed.push_str(cell);
            printed.push_str(after);
        }
        text.push_str(printed.trim_end());
        text.push('\n');
    }
    text.pop();
    text
}

/// A number with thousands separated, e.g. `20,000`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes in the unit that fits, e.g. `1.5 MB`.
pub(super) fn bytes(number: u64) -> String {
    let number = number as f64;
    match number {
        n if n < 1e3 => format!("{n} B"),
        n if n < 1e6 => format!("{:.1} kB", n / 1e3),
        n if n < 1e9 => format!("{:.1} MB", n / 1e6),
        n => format!("{:.2} GB", n / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align_and_numbers_stand_to_the_right() {
        let rows = vec![
            vec!["a".to_owned(), "1".to_owned()],
            vec!["bcd".to_owned(), "1,000".to_owned()],
        ];
        assert_eq!(
            table(&["name", "events"], &rows),
            "name  events\na          1\nbcd    1,000"
        );
        assert_eq!(table(&["name"], &[]), "name");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(thousands),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [12, 1_500, 2_500_000, 3_210_000_000].map(bytes),
            ["12 B", "1.5 kB", "2.5 MB", "3.21 GB"]
        );
    }
}
