//! A tenant's rates, as its sensors and its neighbours see them.

use crate::bodies::post;
use crate::envelopes::{bytes, events};
use crate::world::{Call, World};
use std::num::NonZeroU32;
use vernier_ledger::rates::Rates;
use vernier_validation::{Mode, Profile};

/// Invariant 7: one tenant's rate is its own, what is refused is counted, and the next second takes it.
pub async fn a_tenant_over_its_rate_waits_and_its_neighbour_does_not<W: World>(world: &W) {
    let member = world.tenant(Mode::Strict, Profile::Generic).await;
    let neighbour = world.tenant(Mode::Strict, Profile::Generic).await;
    let rates = Rates {
        events_per_second: NonZeroU32::new(4),
        ..Rates::default()
    };
    world.set_rates(&member, rates).await;
    // Larger than a second's events: it is taken, and costs the five seconds after it.
    post(world, &member, bytes(&events(20))).await;
    let call = || Call::post(bytes(&events(1))).token(&member.secret);
    let refused = world.call(call()).await;
    assert_eq!(refused.status, 429);
    let problem = refused.json();
    assert_eq!(problem["type"], "urn:vernier:problem:rate-exceeded");
    let wait: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((1..=5).contains(&wait), "{wait}");
    assert_eq!(refused.header("vernier-receipt"), "");
    for _ in 0..3 {
        post(world, &neighbour, bytes(&events(20))).await;
    }
    let report = Call::get("/deviations").token(&member.secret);
    let report = world.call(report).await.json();
    assert_eq!(report["refused"][0]["rule"], "limit.rate", "{report}");
    // What Retry-After says is enough.
    tokio::time::sleep(std::time::Duration::from_secs(wait)).await;
    post(world, &member, bytes(&events(1))).await;
}

/// Requests count one by one, whether they can be read or not; bytes as they are without compression.
pub async fn requests_and_bytes_have_rates_of_their_own<W: World>(world: &W) {
    let two_requests = world.tenant(Mode::Strict, Profile::Generic).await;
    let rates = Rates {
        requests_per_second: NonZeroU32::new(1),
        ..Rates::default()
    };
    world.set_rates(&two_requests, rates).await;
    // At once: a slow stack takes one a second.
    let calls = (0..12).map(|_| world.call(Call::post("{").token(&two_requests.secret)));
    let answers = futures::future::join_all(calls).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    for status in [400, 429] {
        assert!(statuses.contains(&status), "{statuses:?}");
    }
    let few_bytes = world.tenant(Mode::Strict, Profile::Generic).await;
    let rates = Rates {
        bytes_per_second: NonZeroU32::new(100),
        ..Rates::default()
    };
    world.set_rates(&few_bytes, rates).await;
    post(world, &few_bytes, bytes(&events(2))).await;
    let call = Call::post(bytes(&events(1))).token(&few_bytes.secret);
    assert_eq!(world.call(call).await.status, 429);
}
