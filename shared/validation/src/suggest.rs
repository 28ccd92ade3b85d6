//! "Did you mean": the nearest known name.

/// The nearest of `known` within a third of the name's length (at least 1, at most 4) of edits,
/// letter case not counted.
pub(crate) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    // Longer than any name there is: no near miss, and the work stays bounded.
    if name.is_empty() || name.len() > 64 {
        return None;
    }
    let limit = (name.chars().count() / 3).clamp(1, 4);
    let wanted: Vec<char> = name.chars().flat_map(char::to_lowercase).collect();
    known
        .filter(|candidate| *candidate != name)
        .map(|candidate| (distance(&wanted, candidate), candidate))
        .filter(|(edits, _)| *edits <= limit)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements (Levenshtein).
fn distance(a: &[char], b: &str) -> usize {
    let mut row: Vec<usize> = (0..=a.len()).collect();
    for (i, from) in b.chars().flat_map(char::to_lowercase).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in a.iter().enumerate() {
            let replace = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[a.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_misses_and_far_ones() {
        let known = ["WebPage", "Person", "Viewed"];
        assert_eq!(nearest("Webpage", known.into_iter()), Some("WebPage"));
        assert_eq!(nearest("Veiwed", known.into_iter()), Some("Viewed"));
        assert_eq!(nearest("Spaceship", known.into_iter()), None);
        assert_eq!(nearest(&"x".repeat(10_000), known.into_iter()), None);
    }
}
