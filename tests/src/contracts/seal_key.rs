//! `SealKey`.

use vernier_archive::keys::PublicKey;
use vernier_ledger::ports::SealKey;

pub async fn what_it_signs_its_public_half_verifies(key: &impl SealKey) {
    let public = key.public_key().await.expect("read");
    assert_eq!(key.public_key().await, Ok(public.clone()));
    let public = PublicKey::read(&public).expect("a key that seals may have");
    // Longer than what a key service signs itself.
    for message in [&b"seal"[..], &[7; 6_000]] {
        let signature = key.sign(message).await.expect("signs");
        assert!(public.verifies(message, &signature));
        assert!(!public.verifies(&message[1..], &signature));
    }
}
