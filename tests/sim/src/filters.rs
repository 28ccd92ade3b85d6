//! Lists of tenants' filters, and who works at them.

use super::archive::TURN_SECONDS;
use super::invocation::{Caller, Ending, Invocation};
use super::oracle::Violation;
use super::world::World;
use crate::orchestra;
use std::rc::Rc;
use std::time::Duration;
use vernier_ledger::work::Owner;

impl World {
    /// The owners of the lists of tenants' filters, which no operation names.
    fn filters(&self) -> Vec<Owner> {
        let tenants = self.identities.iter().map(|i| &i.tenant.id);
        tenants.map(Owner::of_filters).collect()
    }

    /// Workers for the filters of whoever was nudged.
    pub(super) async fn work_of_filters(&mut self, seconds: u8) -> Result<(), Violation> {
        for owner in self.filters() {
            if self.queue.ready(self.now()).contains(&owner) {
                self.work_of(owner, seconds).await?;
            }
        }
        Ok(())
    }

    /// What was committed last is rolled up, in histories without planner and workers all that was.
    pub(super) async fn roll_up(&mut self) -> Result<(), Violation> {
        // By then all entries are due.
        self.pass(Duration::from_secs(60));
        for owner in self.filters() {
            let functions = Rc::clone(&self.functions);
            let process = self.archive.process(&functions.working.table);
            let settings = self.archive.settings();
            let (began, clock) = (self.now(), Rc::clone(&self.clock));
            let future = async move {
                let clock = || clock.get();
                let deadline = began.plus_seconds(i64::from(TURN_SECONDS));
                let (stores, process) = (&functions.working, &process);
                let turn = orchestra::turn_of(stores, process, &settings, &owner, &clock, deadline);
                Ending::Turned(Box::new(turn.await))
            };
            let caller = Caller::Queue { handle: None };
            self.invoke(Invocation::new(caller, began, future)).await?;
        }
        Ok(())
    }
}
