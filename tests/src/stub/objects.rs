//! A bucket: objects under their keys, put once, read whole or in part, listed and removed.

use super::Counts;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The objects.
#[derive(Debug, Default)]
pub(super) struct Objects(BTreeMap<String, Vec<u8>>);

/// The first step of a key, which says what the object is.
fn family(key: &str) -> String {
    let step = key.split('/').next().unwrap_or_default();
    format!("{step}/")
}

impl Objects {
    /// Keeps an object under its key unless one is there; whether it was new.
    pub(super) fn put_new(&mut self, key: &str, bytes: &[u8], counts: &mut Counts) -> bool {
        counts.count("PutObject", &family(key));
        counts.puts += 1;
        if self.0.contains_key(key) {
            return false;
        }
        let length = bytes.len() as u64;
        Counts::pay(&mut counts.object_bytes, &family(key), length);
        self.0.insert(key.to_owned(), bytes.to_vec());
        true
    }

    /// An object, or the part of it that `range` names (`bytes=first-last`).
    pub(super) fn get(
        &self,
        key: &str,
        range: Option<&str>,
        counts: &mut Counts,
    ) -> Option<Vec<u8>> {
        counts.count("GetObject", &family(key));
        counts.gets += 1;
        let bytes = self.0.get(key)?;
        let ends = range.and_then(|r| r.strip_prefix("bytes=")?.split_once('-'));
        let number = |text: &str| text.parse::<usize>().ok();
        let Some((Some(first), Some(last))) = ends.map(|(a, b)| (number(a), number(b))) else {
            return Some(bytes.clone());
        };
        let end = (last + 1).min(bytes.len());
        Some(bytes.get(first..end)?.to_vec())
    }

    /// Removes an object, if it is there. Removing is not billed.
    pub(super) fn remove(&mut self, key: &str, counts: &mut Counts) {
        counts.count("DeleteObject", &family(key));
        self.0.remove(key);
    }

    /// The keys under a prefix and after a key, as `ListObjectsV2` answers: 1,000 at most.
    pub(super) fn list(&self, prefix: &str, after: &str, counts: &mut Counts) -> String {
        counts.count("ListObjects", &family(prefix));
        counts.puts += 1;
        let listed = self.0.range(prefix.to_owned()..);
        let listed = listed.take_while(|(key, _)| key.starts_with(prefix));
        let listed = listed.filter(|(key, _)| key.as_str() > after).take(1_000);
        let mut text = String::from("<?xml version=\"1.0\"?><ListBucketResult>");
        for (key, bytes) in listed {
            // Nothing is old enough to be removed for being unknown.
            let _ = write!(
                text,
                "<Contents><Key>{key}</Key><Size>{}</Size>\
                 <LastModified>2099-01-01T00:00:00.000Z</LastModified></Contents>",
                bytes.len()
            );
        }
        text.push_str("</ListBucketResult>");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_put_once_and_read_in_part() {
        let (mut objects, mut counts) = (Objects::default(), Counts::default());
        assert!(objects.put_new("a/b", b"0123456789", &mut counts));
        assert!(!objects.put_new("a/b", b"other", &mut counts));
        let mut part = |range| objects.get("a/b", range, &mut counts);
        assert_eq!(part(None).as_deref(), Some(&b"0123456789"[..]));
        assert_eq!(part(Some("bytes=2-4")).as_deref(), Some(&b"234"[..]));
        assert_eq!(part(Some("bytes=8-99")).as_deref(), Some(&b"89"[..]));
        let list = objects.list("a/", "", &mut counts);
        assert!(list.contains("<Key>a/b</Key><Size>10</Size>"), "{list}");
        assert!(!objects.list("a/", "a/b", &mut counts).contains("<Key>"));
        objects.remove("a/b", &mut counts);
        assert_eq!(objects.get("a/b", None, &mut counts), None);
        assert_eq!((counts.puts, counts.gets), (4, 4));
        assert_eq!(counts.object_bytes["a/"], 10);
    }
}
