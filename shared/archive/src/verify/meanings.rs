//! Events of one identity in other bytes: whether they mean the same, where the first lies in the same seal.

use super::report::{Check, Finding};
use super::rows::Repeat;
use crate::Fault;
use crate::files::Source;
use crate::previous::Meanings;
use crate::reader::Part;
use crate::seal::{PartClass, Seal};
use vernier_ledger::disposition::Disposition;

/// A repeat in other bytes than its first's, and the file that has it.
pub(super) struct Wanted<'a> {
    pub(super) repeat: &'a Repeat,
    pub(super) file: &'a str,
}

/// Reads the firsts of these repeats again, and compares.
pub(super) fn check(
    source: &dyn Source,
    seal: &Seal,
    wanted: &[Wanted<'_>],
    findings: &mut Vec<Finding>,
) -> Result<(), Fault> {
    let mut firsts: Meanings = wanted
        .iter()
        .map(|wanted| (wanted.repeat.first, None))
        .collect();
    for file in seal
        .files_of(PartClass::Archive)
        .filter(|_| !wanted.is_empty())
    {
        let part = Part::open(source.open(&file.key)?)?;
        let rows = part.rows_at(|place| firsts.contains_key(&place))?;
        firsts.extend(part.meanings_of(&rows)?);
    }
    for Wanted { repeat, file } in wanted {
        let first = firsts[&repeat.first];
        let same = first.is_some() && first == repeat.meaning;
        let is_duplicate = repeat.disposition == Disposition::Duplicate;
        if same != is_duplicate {
            let what = match is_duplicate {
                true => "is a duplicate that means something else than its first",
                false => "is a conflict that means the same as its first",
            };
            let finding = Finding::new(Check::Disposition, what);
            findings.push(finding.in_file(file).at_row(repeat.row));
        }
    }
    Ok(())
}
