//! Simulation tier: random histories with faults before and after every effect, judged from raw
//! storage alone. A failing history shrinks to a short list of operations and is kept as a
//! regression beside this file.

use proptest::prelude::*;
use std::collections::BTreeMap;
use vernier_fakes::{Fault, Operation};
use vernier_ledger::frame::Tally;
use vernier_ledger::ids::{ReceiptId, Sequence, Shard};
use vernier_ledger::ports::{NewRecord, Objects};
use vernier_ledger::segment::{self, BlockError};
use vernier_tests::bodies::sums;
use vernier_tests::envelopes::{bytes, event_with_id, invalid_event};
use vernier_tests::memory::{MemoryWorld, trigger_event};
use vernier_tests::{Call, Member, World};
use vernier_validation::{Mode, Profile};

/// What can happen.
#[derive(Debug, Clone)]
enum Step {
    /// A sensor posts events with these ids once; it may get no answer.
    Send(Vec<u8>),
    /// A sensor posts an event that is rejected.
    SendInvalid,
    /// The trigger delivers up to so many records of a shard from its own place.
    Deliver { shard: u8, records: u8 },
    /// The trigger delivers a range again that it delivered before, with other bounds.
    Redeliver { shard: u8, from: u8, records: u8 },
    /// A producer's time-out had written: a record stands on the stream again.
    CopyRecord { shard: u8, at: u8 },
    /// Something else writes to the stream.
    Garbage(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => proptest::collection::vec(0u8..12, 1..5).prop_map(Step::Send),
        1 => Just(Step::SendInvalid),
        5 => (0u8..2, 1u8..6).prop_map(|(shard, records)| Step::Deliver { shard, records }),
        2 => (0u8..2, 0u8..8, 1u8..6).prop_map(|(shard, from, records)| Step::Redeliver { shard, from, records }),
        1 => (0u8..2, 0u8..8).prop_map(|(shard, at)| Step::CopyRecord { shard, at }),
        1 => (0u8..4).prop_map(Step::Garbage),
    ]
}

/// Which calls fail how: by operation and number of call.
fn fault_plan() -> impl Strategy<Value = Vec<(Operation, u64, Fault)>> {
    let operation = prop_oneof![
        Just(Operation::Append),
        Just(Operation::Acknowledge),
        Just(Operation::Claim),
        Just(Operation::Commit),
        Just(Operation::PutObject),
        Just(Operation::Read),
    ];
    let fault = prop_oneof![Just(Fault::Before), Just(Fault::After), Just(Fault::Denied)];
    proptest::collection::vec((operation, 0u64..40, fault), 0..25)
}

struct History {
    world: MemoryWorld,
    member: Member,
    /// The trigger's place on each shard.
    places: BTreeMap<Shard, usize>,
    /// Receipts of 2xx answers with their events.
    acknowledged: BTreeMap<ReceiptId, u64>,
}

impl History {
    async fn new() -> Self {
        let world = MemoryWorld::default();
        let member = world.tenant(Mode::Strict, Profile::Generic).await;
        Self {
            world,
            member,
            places: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
        }
    }

    fn shard(&self, number: u8) -> (Shard, Vec<(Sequence, NewRecord)>) {
        let shards = self.world.stream.records();
        let count = shards.len();
        shards
            .into_iter()
            .nth(usize::from(number) % count)
            .expect("there are shards")
    }

    async fn take(&mut self, step: &Step) {
        match step {
            Step::Send(ids) => {
                let event =
                    |id: &u8| event_with_id(&format!("urn:uuid:00000000-0000-4000-8000-{id:012}"));
                self.send(bytes(&ids.iter().map(event).collect::<Vec<_>>()), ids.len())
                    .await;
            }
            Step::SendInvalid => self.send(bytes(&[invalid_event()]), 1).await,
            Step::Deliver { shard, records } => {
                let (shard, all) = self.shard(*shard);
                let place = self.places.get(&shard).copied().unwrap_or(0);
                let end = (place + usize::from(*records)).min(all.len());
                if place < end && self.invoke(&shard, &all[place..end]).await {
                    self.places.insert(shard, end);
                }
            }
            Step::Redeliver {
                shard,
                from,
                records,
            } => {
                let (shard, all) = self.shard(*shard);
                let place = self.places.get(&shard).copied().unwrap_or(0);
                let from = usize::from(*from).min(place);
                let end = (from + usize::from(*records)).min(place);
                if from < end {
                    self.invoke(&shard, &all[from..end]).await;
                }
            }
            Step::CopyRecord { shard, at } => {
                let (_, all) = self.shard(*shard);
                if let Some((_, record)) = all.get(usize::from(*at)) {
                    self.put(&record.partition_key, &record.data).await;
                }
            }
            Step::Garbage(lane) => self.put(&format!("x/{lane}"), b"{\"no\":\"frame\"}").await,
        }
    }

    async fn put(&self, key: &str, data: &[u8]) {
        use vernier_ledger::ports::FrameStream;
        let record = NewRecord {
            partition_key: key.to_owned(),
            data: data.to_vec(),
        };
        // It may fail: then the record is not there, or it is.
        let _ = self.world.stream.append(&[record]).await;
    }

    async fn send(&mut self, body: Vec<u8>, events: usize) {
        let answer = self
            .world
            .call(Call::post(body).token(&self.member.secret))
            .await;
        if answer.status == 200 {
            let receipt = answer
                .header("vernier-receipt")
                .parse()
                .expect("a receipt id");
            self.acknowledged.insert(receipt, events as u64);
        }
    }

    async fn invoke(&self, shard: &Shard, records: &[(Sequence, NewRecord)]) -> bool {
        self.world
            .invoke("stream", trigger_event(shard, records))
            .await
            .is_ok()
    }

    /// No more faults: the trigger delivers what is left.
    async fn finish(&mut self) {
        self.world.faults.clear();
        for number in 0..2 {
            self.take(&Step::Deliver {
                shard: number,
                records: u8::MAX,
            })
            .await;
        }
    }

    /// Every stored line by its place, from the objects that records name; checks what each
    /// record says of its blocks, and the chain (invariants 2, 4 and 6).
    async fn stored(&self) -> BTreeMap<ReceiptId, Tally> {
        let mut places: BTreeMap<(ReceiptId, u32), u32> = BTreeMap::new();
        let mut tallies: BTreeMap<ReceiptId, Tally> = BTreeMap::new();
        let mut last: BTreeMap<Shard, (Sequence, String)> = BTreeMap::new();
        for record in self.world.table.all_records() {
            if let Some((sequence, hash)) = last.get(&record.shard) {
                assert!(
                    *sequence < record.first,
                    "invariant 4: committed ranges do not overlap"
                );
                assert_eq!(
                    record.previous.as_ref(),
                    Some(hash),
                    "invariant 6: the chain holds"
                );
            }
            last.insert(record.shard.clone(), (record.last.clone(), record.hash()));
            for block in &record.blocks {
                let key = record.object.as_deref().expect("blocks lie in an object");
                let bytes = self
                    .world
                    .bucket
                    .get(key, Some((block.offset, block.bytes)))
                    .await;
                let bytes = bytes
                    .expect("no faults")
                    .expect("invariant 4: a committed object is there");
                let lines = segment::open_block(block, &bytes).expect("sound");
                let mut sum = Tally::default();
                segment::for_each_line::<BlockError>(&lines, |head, event| {
                    let fingerprint = vernier_ledger::digest::Fingerprint::of(event);
                    assert_eq!(fingerprint.hex(), head.fingerprint);
                    *places.entry((head.receipt, head.index)).or_default() += 1;
                    let of_receipt = tallies.entry(head.receipt).or_default();
                    for tally in [of_receipt, &mut sum] {
                        tally.add_event(head.receipt, head.index, &fingerprint, head.verdict);
                    }
                    Ok(())
                })
                .expect("sound");
                let mut said = Tally::default();
                block.minutes.iter().for_each(|m| said.merge(&m.tally));
                assert_eq!(said, sum, "invariant 3: a record counts its lines");
            }
        }
        assert!(
            places.values().all(|n| *n == 1),
            "invariant 2: no place is stored twice"
        );
        tallies
    }

    async fn judge(&self) {
        let stored = self.stored().await;
        let receipts = self
            .world
            .table
            .all_receipts(&self.member.tenant.parse().expect("a name"));
        for (id, events) in &self.acknowledged {
            let receipt = receipts.iter().find(|r| r.id == *id);
            let receipt = receipt.expect("invariant 1: an acknowledged envelope has its receipt");
            assert_eq!(receipt.acknowledged.map(|(t, _)| t.events), Some(*events));
            assert_eq!(
                stored.get(id),
                Some(&receipt.received()),
                "invariant 3, receipt by receipt"
            );
        }
        let total: u64 = stored.values().map(|t| t.events).sum();
        let windows = self
            .world
            .call(Call::get("/windows").token(&self.member.secret))
            .await
            .json();
        let [received, rest @ ..] = sums(&windows);
        assert_eq!(
            (received, rest.iter().sum::<u64>()),
            (total, total),
            "invariant 3: {windows}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn any_history_with_faults_adds_up(
        steps in proptest::collection::vec(step(), 1..40),
        plan in fault_plan(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let mut history = History::new().await;
            history.world.faults.plan(move |operation, n| {
                plan.iter().find(|(o, at, _)| *o == operation && *at == n).map(|(_, _, fault)| *fault)
            });
            for step in &steps {
                history.take(step).await;
            }
            history.finish().await;
            history.judge().await;
        });
    }
}
