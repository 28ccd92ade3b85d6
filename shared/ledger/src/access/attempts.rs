//! How many unknown tokens are looked up for one address, in the memory of one process.

use crate::time::Millis;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Addresses that are told apart, at most: 8 bytes each. Two that share a place share their look-ups;
/// which do is another matter in every process.
const PLACES: usize = 4_096;

/// The time in which an address that was silent has all of its look-ups again.
const MINUTE_MILLIS: i64 = 60_000;

/// The least time between two lines of the log that say how many tokens were refused.
const LOG_MILLIS: i64 = 10_000;

/// The look-ups that are left to each address.
#[derive(Debug)]
pub(super) struct Attempts {
    /// What one look-up uses up of a minute.
    cost_millis: i64,
    places: RandomState,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// For each place when all that it used will have come back.
    restored_at: Box<[i64]>,
    refused: u32,
    logged_at: Option<i64>,
}

impl Attempts {
    /// So many look-ups a minute for each address, at least one.
    pub(super) fn new(per_minute: u32) -> Self {
        Self {
            cost_millis: MINUTE_MILLIS / i64::from(per_minute.max(1)),
            places: RandomState::new(),
            state: Mutex::new(State {
                restored_at: vec![i64::MIN; PLACES].into(),
                refused: 0,
                logged_at: None,
            }),
        }
    }

    fn place(&self, address: Option<&str>) -> usize {
        let hash = self.places.hash_one(site(address));
        usize::try_from(hash % PLACES as u64).unwrap_or(0)
    }

    /// Uses up a look-up of an address.
    ///
    /// # Errors
    /// The seconds until the next one, when none is left.
    pub(super) fn take(&self, address: Option<&str>, now: Millis) -> Result<(), u32> {
        let place = self.place(address);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let restored_at = state.restored_at[place].max(now.0) + self.cost_millis;
        let over_millis = restored_at - now.0 - MINUTE_MILLIS;
        if over_millis <= 0 {
            state.restored_at[place] = restored_at;
            return Ok(());
        }
        state.refused = state.refused.saturating_add(1);
        if state.logged_at.is_none_or(|at| now.0 - at >= LOG_MILLIS) {
            // Neither the tokens nor the address: an address may be a person's.
            tracing::warn!(refused = state.refused, "unknown tokens not looked up");
            state.logged_at = Some(now.0);
            state.refused = 0;
        }
        Err(u32::try_from(over_millis.unsigned_abs().div_ceil(1_000)).unwrap_or(60))
    }

    /// Gives a look-up back: its token is known, or nothing was learnt.
    pub(super) fn give_back(&self, address: Option<&str>) {
        let place = self.place(address);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let restored_at = &mut state.restored_at[place];
        *restored_at = restored_at.saturating_sub(self.cost_millis);
    }
}

/// What counts as one address: an IPv4 address, or the 56 bits of an IPv6 address that a site is given,
/// whose holder may choose the others anew for each request.
fn site(address: Option<&str>) -> Option<IpAddr> {
    match address?.parse().ok()? {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => Some(v4.into()),
            None => Some(IpAddr::V6((v6.to_bits() >> 72 << 72).into())),
        },
        v4 @ IpAddr::V4(_) => Some(v4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_764_000_000_000);

    /// How many of a thousand are looked up.
    fn taken(attempts: &Attempts, address: &str, at: Millis) -> usize {
        let tries = (0..1_000).filter(|_| attempts.take(Some(address), at).is_ok());
        tries.count()
    }

    #[test]
    fn an_address_has_so_many_a_minute_and_they_come_back() {
        let attempts = Attempts::new(20);
        assert_eq!(taken(&attempts, "192.0.2.1", NOW), 20);
        assert_eq!(attempts.take(Some("192.0.2.1"), NOW), Err(3));
        assert_eq!(taken(&attempts, "192.0.2.1", NOW.plus_seconds(2)), 0);
        assert_eq!(taken(&attempts, "192.0.2.1", NOW.plus_seconds(3)), 1);
        assert_eq!(taken(&attempts, "192.0.2.1", NOW.plus_seconds(33)), 10);
        assert_eq!(taken(&attempts, "192.0.2.1", NOW.plus_seconds(9_999)), 20);
    }

    #[test]
    fn what_is_given_back_is_there_again() {
        let attempts = Attempts::new(1);
        for _ in 0..100 {
            assert_eq!(attempts.take(None, NOW), Ok(()));
            attempts.give_back(None);
        }
        assert_eq!(attempts.take(None, NOW), Ok(()));
        assert_eq!(attempts.take(None, NOW), Err(60));
    }

    #[test]
    fn memory_and_look_ups_are_bounded_whoever_asks() {
        let attempts = Attempts::new(2);
        let addresses = (0..20_000_u32).map(|n| std::net::Ipv4Addr::from(n).to_string());
        let tried = addresses.flat_map(|a| [0; 3].map(|_| attempts.take(Some(&a), NOW)));
        let passed = tried.filter(Result::is_ok).count();
        assert!((4_096..=2 * PLACES).contains(&passed), "{passed}");
    }

    #[test]
    fn a_site_is_one_address() {
        let same = [
            ("2001:db8:0:100::1", "2001:db8:0:1ff:ffff::2"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ];
        for (one, other) in same {
            assert_eq!(site(Some(one)), site(Some(other)), "{one}");
        }
        assert_ne!(
            site(Some("2001:db8:0:100::1")),
            site(Some("2001:db8:0:200::1"))
        );
        assert_eq!((site(Some("nowhere")), site(None)), (None, None));
    }
}
