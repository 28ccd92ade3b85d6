//! What the look-up of tokens reads, and what it answers without a read.

use super::*;
use futures::FutureExt;
use std::collections::BTreeMap;
use std::sync::Mutex;

const NOW: Millis = Millis(1_764_000_000_000);

/// Tokens by their hashes, and how many look-ups there were.
#[derive(Debug, Default)]
struct Tokens {
    tokens: Mutex<BTreeMap<[u8; 32], TokenInfo>>,
    reads: Mutex<usize>,
    is_down: Mutex<bool>,
}

impl Tokens {
    fn issue(&self) -> String {
        let token = NewToken::generate();
        let info = TokenInfo {
            token_id: token.token_id.clone(),
            tenant: "school".parse().expect("a tenant's name"),
            sensor: "lms".into(),
            scopes: vec![Scope::EventsRead],
            learner: None,
            label: None,
            created_at: NOW,
            revoked_at: None,
        };
        let mut tokens = self.tokens.lock().expect("unpoisoned");
        tokens.insert(token.sha256, info);
        token.secret
    }

    fn reads(&self) -> usize {
        *self.reads.lock().expect("unpoisoned")
    }
}

impl Directory for &Tokens {
    async fn token(&self, sha256: &[u8; 32]) -> Result<Option<TokenInfo>, PortError> {
        *self.reads.lock().expect("unpoisoned") += 1;
        if *self.is_down.lock().expect("unpoisoned") {
            return Err(PortError::Retryable("down".into()));
        }
        Ok(self.tokens.lock().expect("unpoisoned").get(sha256).cloned())
    }

    async fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>, PortError> {
        Ok(Some(Tenant::new(id.clone(), NOW)))
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, PortError> {
        Ok(Vec::new())
    }
}

fn ask(
    authenticator: &Authenticator<&Tokens>,
    token: &str,
    address: &str,
    seconds: i64,
) -> Result<Identity, Denied> {
    let caller = Caller {
        authorization: Some(token),
        address: Some(address),
        now: NOW.plus_seconds(seconds),
    };
    let answer = authenticator.authenticate(caller, Scope::EventsRead);
    answer.now_or_never().expect("nothing in it waits")
}

const MINUTE: LookUps = LookUps::trusting(Duration::from_secs(60));

#[test]
fn what_cannot_be_a_token_is_not_looked_up() {
    let tokens = Tokens::default();
    let authenticator = Authenticator::new(&tokens, MINUTE);
    for n in 0..1_000 {
        let answer = ask(&authenticator, &format!("vrn_guess{n}"), "192.0.2.1", 0);
        assert_eq!(answer, Err(Denied::Unknown));
    }
    assert_eq!(tokens.reads(), 0);
}

#[test]
fn an_unknown_token_is_looked_up_once_in_ten_seconds_and_works_after_it_was_issued() {
    let tokens = Tokens::default();
    let authenticator = Authenticator::new(&tokens, MINUTE);
    let secret = tokens.issue();
    let issued = std::mem::take(&mut *tokens.tokens.lock().expect("unpoisoned"));
    for _ in 0..100 {
        let answer = ask(&authenticator, &secret, "192.0.2.1", 0);
        assert_eq!(answer, Err(Denied::Unknown));
    }
    assert_eq!(tokens.reads(), 1);
    *tokens.tokens.lock().expect("unpoisoned") = issued;
    assert!(ask(&authenticator, &secret, "192.0.2.1", UNKNOWN_TOKEN_SECONDS).is_ok());
}

#[test]
fn only_so_many_unknown_tokens_of_an_address_are_looked_up() {
    let tokens = Tokens::default();
    let authenticator = Authenticator::new(&tokens, MINUTE);
    let mut refused = 0;
    for _ in 0..1_000 {
        match ask(&authenticator, &NewToken::generate().secret, "192.0.2.1", 0) {
            Err(Denied::Unknown) => {}
            Err(Denied::TooManyUnknown {
                retry_after_seconds,
            }) => {
                assert!((1..=60).contains(&retry_after_seconds));
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    let looked_up = UNKNOWN_TOKENS_PER_MINUTE as usize;
    assert_eq!((tokens.reads(), refused), (looked_up, 1_000 - looked_up));
    // After the time that it was told there is another look-up.
    assert!(ask(&authenticator, &tokens.issue(), "192.0.2.1", 2).is_ok());
}

#[test]
fn a_known_token_is_looked_up_again_whatever_its_address_did() {
    let tokens = Tokens::default();
    // Nothing is trusted: every request looks the token up.
    let authenticator = Authenticator::new(&tokens, LookUps::trusting(Duration::ZERO));
    let known = tokens.issue();
    assert!(ask(&authenticator, &known, "192.0.2.1", 0).is_ok());
    for _ in 0..100 {
        let guess = NewToken::generate().secret;
        assert!(ask(&authenticator, &guess, "192.0.2.1", 0).is_err());
    }
    let other = tokens.issue();
    let late = ask(&authenticator, &other, "192.0.2.1", 0);
    assert!(
        matches!(late, Err(Denied::TooManyUnknown { .. })),
        "{late:?}"
    );
    assert!(ask(&authenticator, &known, "192.0.2.1", 0).is_ok());
    assert!(ask(&authenticator, &other, "192.0.2.9", 0).is_ok());
    // From then on at its own address too.
    assert!(ask(&authenticator, &other, "192.0.2.1", 0).is_ok());
}

#[test]
fn known_tokens_and_failed_reads_use_nothing_up() {
    let tokens = Tokens::default();
    let authenticator = Authenticator::new(&tokens, MINUTE);
    for _ in 0..500 {
        assert!(ask(&authenticator, &tokens.issue(), "192.0.2.1", 0).is_ok());
    }
    *tokens.is_down.lock().expect("unpoisoned") = true;
    let secret = tokens.issue();
    for _ in 0..500 {
        let answer = ask(&authenticator, &secret, "192.0.2.1", 0);
        assert!(matches!(answer, Err(Denied::Port(_))), "{answer:?}");
    }
    *tokens.is_down.lock().expect("unpoisoned") = false;
    assert!(ask(&authenticator, &secret, "192.0.2.1", 0).is_ok());
}

#[test]
fn tokens_from_before_learners_had_their_own_read_as_the_tenants() {
    let mut info = TokenInfo {
        token_id: "0a1b".into(),
        tenant: "school".parse().expect("a tenant's name"),
        sensor: "lms".into(),
        scopes: vec![Scope::ReportsRead, Scope::AuditRead],
        learner: None,
        label: None,
        created_at: Millis(1),
        revoked_at: None,
    };
    let text = serde_json::to_string(&info).expect("serialises");
    assert!(!text.contains("learner"), "{text}");
    assert_eq!(serde_json::from_str(&text).ok().as_ref(), Some(&info));
    assert_eq!(info.scope_beyond_learner(), None);
    info.learner = Some("https://school.example/users/7".into());
    let text = serde_json::to_string(&info).expect("serialises");
    assert_eq!(serde_json::from_str(&text).ok().as_ref(), Some(&info));
    assert_eq!(info.scope_beyond_learner(), Some(Scope::AuditRead));
}

#[test]
fn scopes_have_one_name_each() {
    for scope in Scope::ALL {
        assert_eq!(scope.as_str().parse(), Ok(scope));
        assert_eq!(
            serde_json::to_value(scope).expect("a string"),
            scope.as_str()
        );
    }
    assert!("events:delete".parse::<Scope>().is_err());
}
