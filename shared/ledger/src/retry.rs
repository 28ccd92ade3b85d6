//! Backoff with full jitter inside a deadline: one policy for everything that may be tried again.

use crate::ports::PortError;
use std::time::Duration;

/// First pause at most, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(25);

/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_millis(1_000);

/// Tries so far against a time budget.
#[derive(Debug)]
pub struct Backoff {
    tries: u32,
    deadline: tokio::time::Instant,
}

impl Backoff {
    /// A fresh one that gives up after `budget`.
    #[must_use]
    pub fn within(budget: Duration) -> Self {
        Self {
            tries: 0,
            deadline: tokio::time::Instant::now() + budget,
        }
    }

    /// Waits before the next try; false, at once, when the pause would pass the deadline.
    pub async fn pause(&mut self) -> bool {
        let ceiling = FIRST_PAUSE
            .saturating_mul(1 << self.tries.min(10))
            .min(LONGEST_PAUSE);
        let pause = ceiling.mul_f64(rand::random::<f64>());
        self.tries += 1;
        if tokio::time::Instant::now() + pause >= self.deadline {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }
}

/// Calls until it succeeds, fails for good, or the budget is used up.
///
/// # Errors
/// The last error.
pub async fn retry<T>(
    budget: Duration,
    mut call: impl AsyncFnMut() -> Result<T, PortError>,
) -> Result<T, PortError> {
    let mut backoff = Backoff::within(budget);
    loop {
        match call().await {
            Err(error) if error.is_retryable() => {
                if !backoff.pause().await {
                    return Err(error);
                }
            }
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn retryable_is_tried_again_and_fatal_is_not() {
        let mut calls = 0;
        let answer = retry(Duration::from_secs(5), async || {
            calls += 1;
            if calls < 4 {
                Err(PortError::Retryable("busy".into()))
            } else {
                Ok(calls)
            }
        })
        .await;
        assert_eq!(answer, Ok(4));

        let mut calls = 0;
        let answer: Result<(), _> = retry(Duration::from_secs(5), async || {
            calls += 1;
            Err(PortError::Fatal("denied".into()))
        })
        .await;
        assert_eq!((answer, calls), (Err(PortError::Fatal("denied".into())), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_budget_ends_it() {
        let before = tokio::time::Instant::now();
        let answer: Result<(), _> = retry(Duration::from_secs(2), async || {
            Err(PortError::Retryable("busy".into()))
        })
        .await;
        assert!(answer.is_err());
        assert!(before.elapsed() <= Duration::from_secs(2));
    }
}
