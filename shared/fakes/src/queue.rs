//! A queue of nudges in memory, as an SQS FIFO queue is: groups in order, one message of a group under way at a time.

use crate::faults::{Faults, Operation};
use crate::lock;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use vernier_ledger::ports::PortError;
use vernier_ledger::time::Millis;
use vernier_ledger::work::{Nonce, Nudge, NudgeQueue, Owner};

/// How long a nudge that was sent is not taken again, seconds (SQS).
pub const DEDUPLICATED_SECONDS: i64 = 300;

/// How long a received message is nobody else's, seconds: as long as a worker may
/// run (the template's `VisibilityTimeout` is `ReconcileTimeoutSeconds`).
pub const VISIBILITY_SECONDS: i64 = 120;

/// How often a message is received before it is a dead letter (the template's `maxReceiveCount`).
pub const RECEIVES_MAX: u32 = 2;

#[derive(Debug, Clone)]
struct Message {
    nudge: Nudge,
    receives: u32,
    /// Nobody receives it before that.
    visible_at: Millis,
    /// Of the last receive; none before the first.
    handle: Option<u64>,
}

#[derive(Debug, Default)]
struct QueueState {
    /// The clock of the service, when a nudge is sent.
    now: Millis,
    sent: BTreeMap<Nonce, Millis>,
    /// In the order in which they were sent.
    messages: Vec<Message>,
    dead: Vec<Nudge>,
    handles: u64,
}

/// A message that somebody received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The nudge that the message says.
    pub nudge: Nudge,
    /// Which receive this was; what deletes the message.
    pub handle: u64,
    /// How often the message was received, this time included.
    pub receives: u32,
}

/// A queue; clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryQueue {
    state: Arc<Mutex<QueueState>>,
    faults: Faults,
}

impl MemoryQueue {
    /// A queue that nothing was sent to.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self {
            state: Arc::default(),
            faults,
        }
    }

    /// Sets the service's clock, by which it forgets what it was sent.
    pub fn set_clock(&self, now: Millis) {
        lock(&self.state).now = now;
    }

    /// Owners with a message that can be received at an instant, in the order of their first messages.
    #[must_use]
    pub fn ready(&self, at: Millis) -> Vec<Owner> {
        let mut state = lock(&self.state);
        state.bury(at);
        state.firsts(at).map(|m| m.nudge.owner().clone()).collect()
    }

    /// Receives the first message that can be received at an instant.
    #[must_use]
    pub fn receive(&self, at: Millis) -> Option<Delivery> {
        let owner = self.ready(at).into_iter().next()?;
        self.receive_of(&owner, at)
    }

    /// Receives an owner's first message, unless one of the owner's is under way at that instant.
    #[must_use]
    pub fn receive_of(&self, owner: &Owner, at: Millis) -> Option<Delivery> {
        let mut state = lock(&self.state);
        state.bury(at);
        state.handles += 1;
        let handle = state.handles;
        let first = state.messages.iter_mut().find(|m| m.nudge.owner() == owner);
        let message = first.filter(|m| m.visible_at <= at)?;
        message.receives += 1;
        message.visible_at = at.plus_seconds(VISIBILITY_SECONDS);
        message.handle = Some(handle);
        Some(Delivery {
            nudge: message.nudge.clone(),
            handle,
            receives: message.receives,
        })
    }

    /// Deletes a message by its last receive; false where it was received again since, or is not there.
    pub fn delete(&self, handle: u64) -> bool {
        let mut state = lock(&self.state);
        let before = state.messages.len();
        state.messages.retain(|m| m.handle != Some(handle));
        state.messages.len() < before
    }

    /// Ends a message's time with its receiver at an instant, as the trigger does when a function fails.
    pub fn expire(&self, handle: u64, at: Millis) {
        let mut state = lock(&self.state);
        let own = |m: &&mut Message| m.handle == Some(handle);
        if let Some(message) = state.messages.iter_mut().find(own) {
            message.visible_at = at;
        }
    }

    /// Puts a second copy of each message behind all others, as a queue does that forgot what it was sent.
    pub fn double(&self) {
        let mut state = lock(&self.state);
        let copies: Vec<Message> = state.messages.iter().map(Message::copy).collect();
        state.messages.extend(copies);
    }

    /// Lets nobody receive before an instant what nobody has received.
    pub fn delay(&self, until: Millis) {
        let mut state = lock(&self.state);
        for message in state.messages.iter_mut().filter(|m| m.receives == 0) {
            message.visible_at = message.visible_at.max(until);
        }
    }

    /// Loses every message that nobody has received.
    pub fn lose(&self) {
        lock(&self.state).messages.retain(|m| m.receives > 0);
    }

    /// What is neither deleted nor dead, in the order in which it was sent.
    #[must_use]
    pub fn queued(&self) -> Vec<Nudge> {
        let state = lock(&self.state);
        state.messages.iter().map(|m| m.nudge.clone()).collect()
    }

    /// What was received too often, in the order in which it was given up.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<Nudge> {
        lock(&self.state).dead.clone()
    }
}

impl Message {
    const fn new(nudge: Nudge) -> Self {
        Self {
            nudge,
            receives: 0,
            visible_at: Millis(i64::MIN),
            handle: None,
        }
    }

    fn copy(&self) -> Self {
        Self::new(self.nudge.clone())
    }
}

impl QueueState {
    fn send(&mut self, nudge: &Nudge) {
        let forgotten = self.now.plus_seconds(-DEDUPLICATED_SECONDS);
        self.sent.retain(|_, sent_at| *sent_at > forgotten);
        if !self.sent.contains_key(&nudge.first.nonce) {
            self.sent.insert(nudge.first.nonce, self.now);
            self.messages.push(Message::new(nudge.clone()));
        }
    }

    /// Each owner's first message, of those that can be received.
    fn firsts(&self, at: Millis) -> impl Iterator<Item = &Message> {
        let mut seen = BTreeSet::new();
        let first = move |m: &&Message| seen.insert(m.nudge.owner().clone());
        let firsts = self.messages.iter().filter(first);
        firsts.filter(move |m| m.visible_at <= at)
    }

    /// Takes away what would be received once too often.
    fn bury(&mut self, at: Millis) {
        let is_dead = |m: &Message| m.receives >= RECEIVES_MAX && m.visible_at <= at;
        let dead = self.messages.extract_if(.., |m| is_dead(m));
        self.dead.extend(dead.map(|m| m.nudge));
    }
}

impl NudgeQueue for MemoryQueue {
    async fn send(&self, nudges: &[Nudge]) -> Vec<Result<(), PortError>> {
        self.faults.give_way().await;
        let send = |nudge| {
            let effect = || lock(&self.state).send(nudge);
            self.faults.decide(Operation::SendNudge, effect)
        };
        let answers = nudges.iter().map(send).collect();
        self.faults.give_way().await;
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vernier_ledger::work::DueItem;

    fn nudge(owner: &str, nonce: u8) -> Nudge {
        Nudge::from(DueItem {
            due: Millis(7),
            owner: owner.parse().expect("an owner"),
            nonce: Nonce([nonce; 16]),
            lone_since: None,
        })
    }

    fn send(queue: &MemoryQueue, nudges: &[Nudge]) {
        let sent = futures_of(queue.send(nudges));
        assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    }

    /// Without a plan and without interleaving no call waits.
    fn futures_of<T>(future: impl Future<Output = T>) -> T {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).poll(&mut context) {
            std::task::Poll::Ready(answer) => answer,
            std::task::Poll::Pending => panic!("the call waits"),
        }
    }

    #[test]
    fn an_owner_has_one_message_under_way_and_others_do_not_wait_for_it() {
        let queue = MemoryQueue::default();
        let all = [nudge("a", 1), nudge("a", 2), nudge("b", 3)];
        send(&queue, &all);
        let first = queue.receive(Millis(0)).expect("one");
        let second = queue.receive(Millis(0)).expect("one");
        assert_eq!([&first.nudge, &second.nudge], [&all[0], &all[2]]);
        assert_eq!(queue.receive(Millis(0)), None);
        assert!(queue.delete(first.handle) && !queue.delete(first.handle));
        let third = queue.receive(Millis(0)).map(|d| d.nudge);
        assert_eq!(third.as_ref(), Some(&all[1]));
        assert_eq!(queue.queued(), all[1..]);
    }

    #[test]
    fn the_same_nonce_is_taken_again_after_five_minutes() {
        let queue = MemoryQueue::default();
        let one = [nudge("a", 1)];
        send(&queue, &one);
        let delivery = queue.receive(Millis(0)).expect("one");
        assert!(queue.delete(delivery.handle));
        queue.set_clock(Millis(DEDUPLICATED_SECONDS * 1_000 - 1));
        send(&queue, &one);
        assert_eq!(queue.queued(), []);
        queue.set_clock(Millis(DEDUPLICATED_SECONDS * 1_000));
        send(&queue, &one);
        assert_eq!(queue.queued(), one);
    }

    #[test]
    fn what_is_not_deleted_comes_again_and_then_is_a_dead_letter() {
        let queue = MemoryQueue::default();
        let all = [nudge("a", 1), nudge("a", 2)];
        send(&queue, &all);
        let first = queue.receive(Millis(0)).expect("one");
        let later = Millis(VISIBILITY_SECONDS * 1_000);
        assert_eq!(queue.receive(Millis(later.0 - 1)), None);
        let again = queue.receive(later).expect("the same");
        assert_eq!((&again.nudge, again.receives), (&first.nudge, 2));
        assert!(!queue.delete(first.handle), "an old handle deletes nothing");
        queue.expire(again.handle, later);
        let next = queue.receive(later).expect("the group goes on");
        assert_eq!(next.nudge, all[1]);
        assert_eq!(queue.dead_letters(), all[..1]);
    }

    #[test]
    fn messages_are_doubled_delayed_and_lost() {
        let queue = MemoryQueue::default();
        send(&queue, &[nudge("a", 1)]);
        queue.double();
        assert_eq!(queue.queued().len(), 2);
        queue.delay(Millis(9));
        assert_eq!(queue.receive(Millis(8)), None);
        let first = queue.receive(Millis(9)).expect("one");
        queue.lose();
        assert_eq!(queue.queued(), [first.nudge]);
    }
}
