//! Whoever has a work list, in the order of their numbers in scripts.

use super::world::World;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use vernier_ledger::work::Owner;

/// The owners of work lists: the ledger, then the tenants, then the shards.
#[derive(Debug, Default)]
pub(super) struct Owners {
    all: Vec<Owner>,
    places: BTreeMap<Owner, usize>,
}

impl Owners {
    fn of(all: Vec<Owner>) -> Self {
        let places = all.iter().cloned().enumerate();
        let places = places.map(|(n, owner)| (owner, n)).collect();
        Self { all, places }
    }

    pub(super) const fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn all(&self) -> &[Owner] {
        &self.all
    }

    /// The first place of one of these, from a place on.
    pub(super) fn first_of(&self, some: &[Owner], from: usize) -> Option<usize> {
        let places = some.iter().filter_map(|owner| self.places.get(owner));
        places.copied().filter(|n| *n >= from).min()
    }
}

impl World {
    /// Whoever has a work list now.
    pub(super) fn owners(&self) -> Rc<Owners> {
        let shards = self.stream.shards();
        let mut owners = self.archive.owners.borrow_mut();
        // Tenants stay what they are, and shards only become more.
        if owners.all.len() != 1 + self.identities.len() + shards.len() {
            *owners = Rc::new(Owners::of(self.list_owners()));
        }
        Rc::clone(&owners)
    }

    fn list_owners(&self) -> Vec<Owner> {
        let tenants = self.identities.iter().map(|i| i.tenant.id.clone());
        let tenants = tenants.map(Owner::Tenant);
        let shards = self.stream.shards().into_iter();
        let shards = shards.map(|description| Owner::of_shard(&description.shard.id));
        let ledger = std::iter::once(Owner::Ledger);
        ledger.chain(tenants).chain(shards).collect()
    }

    /// The places of the owners, but for the ledger, of whose work something was tried in vain.
    pub(super) fn tried_in_vain(&self) -> Vec<u16> {
        let entries = self.table.all_work().into_iter();
        let tried: BTreeSet<Owner> = { entries.filter(|(_, entry)| entry.tries > 0) }
            .map(|(owner, _)| owner)
            .collect();
        let owners = self.owners();
        let owners = owners.all.iter().enumerate().skip(1);
        let owners = owners.filter(|(_, owner)| tried.contains(owner));
        owners.filter_map(|(n, _)| u16::try_from(n).ok()).collect()
    }
}
