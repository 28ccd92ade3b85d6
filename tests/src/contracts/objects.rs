//! `Objects`.

use super::{long_text, unique};
use futures::future::join_all;
use vernier_ledger::clock;
use vernier_ledger::ports::{Inventory, Objects, PortError, PutOutcome, REMOVALS_MAX, Removal};

fn key() -> String {
    format!("quarantine/{}", unique("contract"))
}

async fn put(objects: &impl Objects, key: &str, bytes: &[u8]) -> PutOutcome {
    let answer = objects.put_new(key, bytes.to_vec(), None).await;
    answer.unwrap_or_else(|e| panic!("{key}: {e}"))
}

pub async fn an_object_is_written_once(objects: &impl Objects) {
    let key = key();
    assert_eq!(put(objects, &key, b"first").await, PutOutcome::Created);
    assert_eq!(put(objects, &key, b"second").await, PutOutcome::Exists);
    assert_eq!(
        put(objects, &key, b"first").await,
        PutOutcome::Exists,
        "the same bytes too"
    );
    assert_eq!(objects.get(&key, None).await, Ok(Some(b"first".to_vec())));
}

pub async fn concurrent_writers_have_one_winner(objects: &impl Objects) {
    let key = key();
    let bodies: Vec<Vec<u8>> = (0..8).map(|n| vec![n; 100]).collect();
    let puts = bodies
        .iter()
        .map(|b| objects.put_new(&key, b.clone(), None));
    let outcomes = join_all(puts).await;
    let created: Vec<usize> = (0..8)
        .filter(|n| outcomes[*n] == Ok(PutOutcome::Created))
        .collect();
    assert_eq!(created.len(), 1, "{outcomes:?}");
    // A service may answer "conflict, try again" while another writes.
    let sound = |o: &Result<PutOutcome, PortError>| {
        o.as_ref().map_or_else(PortError::is_retryable, |_| true)
    };
    assert!(outcomes.iter().all(sound), "{outcomes:?}");
    assert_eq!(
        objects.get(&key, None).await,
        Ok(Some(bodies[created[0]].clone()))
    );
}

pub async fn ranges_are_cut_at_the_end(objects: &impl Objects) {
    let key = key();
    let bytes: Vec<u8> = (0..100).collect();
    put(objects, &key, &bytes).await;
    for (offset, length, expected) in [
        (0, 100, &bytes[..]),
        (0, 1, &bytes[..1]),
        (99, 1, &bytes[99..]),
        (40, 20, &bytes[40..60]),
        (90, 1_000, &bytes[90..]),
        (0, 1 << 40, &bytes[..]),
        (50, 0, &[]),
    ] {
        let got = objects.get(&key, Some((offset, length))).await;
        assert_eq!(got, Ok(Some(expected.to_vec())), "{offset}, {length}");
    }
}

pub async fn a_range_behind_the_end_has_no_bytes(objects: &impl Objects) {
    let key = key();
    put(objects, &key, &[1; 100]).await;
    for offset in [100, 101, 1 << 40] {
        let got = objects.get(&key, Some((offset, 10))).await;
        assert_eq!(got, Ok(Some(Vec::new())), "{offset}");
    }
}

pub async fn what_is_not_there_is_none(objects: &impl Objects) {
    let key = key();
    assert_eq!(objects.get(&key, None).await, Ok(None));
    assert_eq!(objects.get(&key, Some((0, 10))).await, Ok(None));
    put(objects, &format!("{key}/below"), b"x").await;
    assert_eq!(
        objects.get(&key, None).await,
        Ok(None),
        "a prefix is no object"
    );
}

pub async fn an_empty_object_is_an_object(objects: &impl Objects) {
    let key = key();
    assert_eq!(put(objects, &key, b"").await, PutOutcome::Created);
    assert_eq!(put(objects, &key, b"x").await, PutOutcome::Exists);
    assert_eq!(objects.get(&key, None).await, Ok(Some(Vec::new())));
}

pub async fn keys_of_any_script_up_to_1024_bytes(objects: &impl Objects) {
    let start = key();
    let mut longest = format!("{start}/");
    longest.extend(std::iter::repeat_n('k', 1_024 - longest.len()));
    let keys = [
        format!("{start}/Größe 数学 🎓"),
        format!("{start}/a+b c%20d&e=f?g#h"),
        format!("{start}/dt=2026-11-21/x.jsonl.zst"),
        longest,
    ];
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(
            put(objects, key, key.as_bytes()).await,
            PutOutcome::Created,
            "{n}"
        );
    }
    for key in &keys {
        assert_eq!(
            objects.get(key, None).await,
            Ok(Some(key.as_bytes().to_vec())),
            "{key}"
        );
    }
}

/// A limit of the service that the emulator does not have.
pub async fn a_longer_key_is_refused_for_good(objects: &impl Objects) {
    let answer = objects.put_new(&"k".repeat(1_025), vec![1], None).await;
    assert!(matches!(answer, Err(PortError::Fatal(_))), "{answer:?}");
}

/// Notes quote what made a record undecodable; whatever that was, the record is kept.
pub async fn any_note_is_taken(objects: &impl Objects) {
    let notes = [
        String::new(),
        "two\nlines\r\n".to_owned(),
        "nul \0, bell \u{7}, delete \u{7f}".to_owned(),
        long_text(500),
        "n".repeat(1_500),
    ];
    for note in notes {
        let key = key();
        let answer = objects.put_new(&key, vec![1], Some(&note)).await;
        assert_eq!(answer, Ok(PutOutcome::Created), "{note:?}");
        assert_eq!(objects.get(&key, None).await, Ok(Some(vec![1])), "{note:?}");
    }
}

pub async fn large_objects_come_back_whole(objects: &impl Objects) {
    let key = key();
    let bytes: Vec<u8> = (0..9_000_000_u32)
        .map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[2])
        .collect();
    assert_eq!(put(objects, &key, &bytes).await, PutOutcome::Created);
    let whole = objects.get(&key, None).await.expect("read");
    assert!(whole.as_deref() == Some(&bytes[..]));
    let tail = objects
        .get(&key, Some((8_999_000, 5_000)))
        .await
        .expect("read");
    assert!(tail.as_deref() == Some(&bytes[8_999_000..]));
}

pub async fn keys_are_listed_in_order_page_by_page(objects: &(impl Objects + Inventory)) {
    let prefix = format!("quarantine/{}/", unique("list"));
    let mut wanted: Vec<String> = (0..1_003).map(|n| format!("{prefix}{n:05}")).collect();
    wanted.push(format!("{prefix}é Ω+&=%"));
    wanted.sort();
    for some in wanted.chunks(64) {
        let puts = some.iter().map(|key| put(objects, key, b"x"));
        join_all(puts).await;
    }
    put(objects, &prefix.replace("/list", "/other"), b"x").await;
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        let page = objects.listed(&prefix, found.last().map(String::as_str));
        let page = page.await.expect("lists");
        if page.is_empty() {
            break;
        }
        pages += 1;
        found.extend(page.into_iter().map(|object| object.key));
    }
    assert!(pages > 1, "{pages}");
    assert_eq!(found, wanted);
    let all = objects.all_listed(&prefix).await.expect("lists");
    let keys: Vec<String> = all.into_iter().map(|object| object.key).collect();
    assert_eq!(keys, wanted);
}

pub async fn an_object_is_listed_with_its_size_and_time_until_it_is_removed(
    objects: &(impl Objects + Inventory + Removal),
) {
    let prefix = format!("quarantine/{}/", unique("sizes"));
    let sizes = [0, 1, 1_000_000];
    for bytes in sizes {
        put(objects, &format!("{prefix}{bytes:07}"), &vec![7; bytes]).await;
    }
    let listed = objects.all_listed(&prefix).await.expect("lists");
    let found: Vec<u64> = listed.iter().map(|object| object.bytes).collect();
    assert_eq!(found, sizes.map(|bytes| bytes as u64));
    let age = clock::now().0 - listed[0].written_at.0;
    assert!((-5_000..60_000).contains(&age), "{age} ms old");
    let behind = objects.listed(&prefix, Some(&listed[1].key)).await;
    assert_eq!(behind.as_deref(), Ok(&listed[2..]));
    for object in &listed {
        assert_eq!(objects.remove(&object.key).await, Ok(()));
    }
    assert_eq!(objects.all_listed(&prefix).await, Ok(Vec::new()));
}

pub async fn what_is_removed_is_gone_and_may_be_removed_again(objects: &(impl Objects + Removal)) {
    let (key, other) = (key(), key());
    for key in [&key, &other] {
        put(objects, key, b"some").await;
    }
    for _ in 0..2 {
        assert_eq!(objects.remove(&key).await, Ok(()));
        assert_eq!(objects.get(&key, None).await, Ok(None));
    }
    assert_eq!(objects.get(&other, None).await, Ok(Some(b"some".to_vec())));
}

pub async fn many_objects_are_removed_by_one_request(
    objects: &(impl Objects + Inventory + Removal),
) {
    let prefix = format!("quarantine/{}/", unique("many"));
    let mut keys: Vec<String> = (0..REMOVALS_MAX - 2)
        .map(|n| format!("{prefix}{n:05}"))
        .collect();
    // What an XML document would have to escape.
    keys.push(format!("{prefix}<é> &amp; \"Ω\"+%20='"));
    for some in keys.chunks(64) {
        let puts = some.iter().map(|key| put(objects, key, b"x"));
        join_all(puts).await;
    }
    let stays = prefix.replace("/many", "/other");
    put(objects, &stays, b"x").await;
    // That there is none is as good.
    keys.push(format!("{prefix}never"));
    for _ in 0..2 {
        assert_eq!(objects.remove_all(&keys).await, Ok(Vec::new()));
        assert_eq!(objects.all_listed(&prefix).await, Ok(Vec::new()));
    }
    assert_eq!(objects.get(&stays, None).await, Ok(Some(b"x".to_vec())));
    assert_eq!(objects.remove_all(&[]).await, Ok(Vec::new()));
    let many = vec![stays.clone(); REMOVALS_MAX + 1];
    let refused = objects.remove_all(&many).await;
    assert!(matches!(refused, Err(PortError::Fatal(_))), "{refused:?}");
    assert_eq!(objects.get(&stays, None).await, Ok(Some(b"x".to_vec())));
}
