//! Who may go on with what a provider keeps: a bounded ledger of the responses and conversations that each caller
//! got through this proxy.
//!
//! An entry is a keyed hash of the caller's identity and the id; the id itself is stored nowhere. Entries are in the
//! store that the proxy's workers share, in a table of fixed size: what has no place any more is forgotten, the oldest
//! of the caller that holds the most first, and what is forgotten, lost or spoilt is refused. It knows nothing of other
//! proxies and nothing of what was there before this one started.

use crate::authn::Principal;
use crate::host::{Fault, Host, SetOutcome};
use crate::quota::SharedKey;

/// Rows of the table. Full, with [`ENTRIES`] a row, it takes 1.6 MB.
const ROWS: u64 = 1024;
/// The most entries of one row.
const ENTRIES: usize = 64;
/// How often a row is tried again when another worker wrote first.
const ATTEMPTS: usize = 64;
/// Longer ids are no provider's.
const MAX_ID: usize = 512;
const VERSION: u8 = 1;

/// The ledger of one policy.
#[derive(Clone, Copy, Debug)]
pub struct Ledger<'p> {
    policy: &'p str,
}

/// One id of one caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    owner: [u8; 8],
    mark: [u8; 16],
}

/// What one caller got, as the ledger had it at one time.
#[derive(Debug)]
pub struct Owned {
    caller: Principal,
    key: SharedKey,
    entries: Vec<Entry>,
}

impl Owned {
    /// True when this id is the caller's.
    pub fn holds(&self, id: &str) -> bool {
        let is_id = !id.is_empty() && id.len() <= MAX_ID && !self.entries.is_empty();
        is_id && {
            let mark = mark(&self.caller, id, &self.key);
            self.entries.iter().any(|entry| entry.mark == mark)
        }
    }
}

/// A row, and how the entries of one owner begin there.
struct Row {
    key: String,
    owner: [u8; 8],
}

impl<'p> Ledger<'p> {
    /// The ledger of the policy of this name.
    pub fn of(policy: &'p str) -> Ledger<'p> {
        Ledger { policy }
    }

    /// Writes the empty rows that are not there yet; while a VM starts, as quotas do, because a first write is not
    /// compared with anything.
    ///
    /// # Errors
    /// A [`Fault`] when the store fails.
    pub fn prepare(&self, key: &SharedKey, host: &mut dyn Host) -> Result<(), Fault> {
        for row in 0..ROWS {
            let place = self.key(row);
            let found = host.shared_get(&place)?;
            if found.cas == 0 && found.value.is_empty() {
                host.shared_set(&place, &seal(key, &place, &[]), 0)?;
            }
        }
        Ok(())
    }

    /// Notes that this caller got this id.
    ///
    /// # Errors
    /// A [`Fault`] when the store fails. The id then counts as unknown.
    pub fn note(&self, caller: &Principal, id: &str, key: &SharedKey, host: &mut dyn Host) -> Result<(), Fault> {
        if caller.is_anonymous() || id.is_empty() || id.len() > MAX_ID {
            return Ok(());
        }
        let key = key.current(self.policy, host)?;
        let place = self.place(caller, &key);
        let mark = mark(caller, id, &key);
        Self::write(&place, mark, &key, host)
    }

    /// Notes that a store has this id for this tenant.
    ///
    /// # Errors
    /// A [`Fault`] when the store of the workers fails. The id then counts as unknown.
    pub fn note_of_tenant(&self, tenant: &str, id: &str, key: &SharedKey, host: &mut dyn Host) -> Result<(), Fault> {
        if id.is_empty() || id.len() > MAX_ID {
            return Ok(());
        }
        let key = key.current(self.policy, host)?;
        let (place, mark) = self.place_of_tenant(tenant, id, &key);
        let known = open(&key, &place.key, &host.shared_get(&place.key)?.value);
        if known.iter().any(|entry| entry.owner == place.owner && entry.mark == mark) {
            return Ok(());
        }
        Self::write(&place, mark, &key, host)
    }

    /// True when a store has this id for this tenant, as far as is known.
    ///
    /// # Errors
    /// A [`Fault`] when the store of the workers fails.
    pub fn holds_of_tenant(&self, tenant: &str, id: &str, key: &SharedKey, host: &mut dyn Host) -> Result<bool, Fault> {
        let key = key.current(self.policy, host)?;
        let (place, mark) = self.place_of_tenant(tenant, id, &key);
        let known = open(&key, &place.key, &host.shared_get(&place.key)?.value);
        Ok(known.iter().any(|entry| entry.owner == place.owner && entry.mark == mark))
    }

    /// Adds an entry, and forgets another where there is no room.
    fn write(place: &Row, mark: [u8; 16], key: &SharedKey, host: &mut dyn Host) -> Result<(), Fault> {
        let entry = Entry { owner: place.owner, mark };
        for _ in 0..ATTEMPTS {
            let found = host.shared_get(&place.key)?;
            let mut entries = open(key, &place.key, &found.value);
            if entries.last() == Some(&entry) {
                return Ok(());
            }
            entries.retain(|other| *other != entry);
            while entries.len() >= ENTRIES {
                forget_one(&mut entries);
            }
            entries.push(entry);
            if host.shared_set(&place.key, &seal(key, &place.key, &entries), found.cas)? == SetOutcome::Stored {
                return Ok(());
            }
        }
        Err(Fault("a row of the ledger never came to rest"))
    }

    /// True when this caller got this id through this proxy, and it is not forgotten. Callers without a credential are
    /// all one, so that nothing belongs to any of them.
    ///
    /// # Errors
    /// A [`Fault`] when the store fails.
    pub fn holds(&self, caller: &Principal, id: &str, key: &SharedKey, host: &mut dyn Host) -> Result<bool, Fault> {
        Ok(self.owned(caller, key, host)?.holds(id))
    }

    /// All that this caller got through this proxy, and is not forgotten.
    ///
    /// # Errors
    /// A [`Fault`] when the store fails.
    pub fn owned(&self, caller: &Principal, key: &SharedKey, host: &mut dyn Host) -> Result<Owned, Fault> {
        let key = key.current(self.policy, host)?;
        let place = self.place(caller, &key);
        let mut entries = Vec::new();
        if !caller.is_anonymous() {
            entries = open(&key, &place.key, &host.shared_get(&place.key)?.value);
            entries.retain(|entry| entry.owner == place.owner);
        }
        Ok(Owned { caller: caller.clone(), key, entries })
    }

    fn key(&self, row: u64) -> String {
        format!("{}/l/{row:x}", self.policy)
    }

    fn place(&self, caller: &Principal, key: &SharedKey) -> Row {
        let hash = key.bucket(b"owner in the ledger of responses", &caller.identity());
        self.row(hash, hash)
    }

    /// Tenants have more ids than callers: each has a row of its own.
    fn place_of_tenant(&self, tenant: &str, id: &str, key: &SharedKey) -> (Row, [u8; 16]) {
        let mut name = (tenant.len() as u64).to_le_bytes().to_vec();
        name.extend_from_slice(tenant.as_bytes());
        name.extend_from_slice(id.as_bytes());
        let mark = key.bucket(b"the id a tenant has in its store", &name);
        (self.row(key.bucket(b"tenant in the ledger of a store.", tenant.as_bytes()), mark), mark)
    }

    fn row(&self, owner: [u8; 16], row: [u8; 16]) -> Row {
        let [owner, row] =
            [owner.first_chunk::<8>(), row.last_chunk::<8>()].map(|half| half.copied().unwrap_or_default());
        Row { key: self.key(u64::from_le_bytes(row) % ROWS), owner }
    }
}

fn mark(caller: &Principal, id: &str, key: &SharedKey) -> [u8; 16] {
    let identity = caller.identity();
    let mut name = (identity.len() as u64).to_le_bytes().to_vec();
    name.extend_from_slice(&identity);
    name.extend_from_slice(id.as_bytes());
    key.bucket(b"entry in the ledger of responses", &name)
}

/// Takes the oldest entry of the caller that holds the most: nobody can push out what others hold by asking much.
fn forget_one(entries: &mut Vec<Entry>) {
    let share = |entry: &Entry| entries.iter().filter(|other| other.owner == entry.owner).count();
    let most = entries.iter().map(share).max();
    if let Some(oldest) = entries.iter().position(|entry| Some(share(entry)) == most) {
        entries.remove(oldest);
    }
}

fn seal(key: &SharedKey, place: &str, entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + 24 * entries.len() + 16);
    bytes.push(VERSION);
    for entry in entries {
        bytes.extend_from_slice(&entry.owner);
        bytes.extend_from_slice(&entry.mark);
    }
    key.seal(place, bytes)
}

/// The entries of a row, oldest first; none of one that this key did not seal at this place.
fn open(key: &SharedKey, place: &str, sealed: &[u8]) -> Vec<Entry> {
    let Some((&VERSION, mut rest)) = key.open(place, sealed).and_then(<[u8]>::split_first) else { return Vec::new() };
    let mut entries = Vec::new();
    while let Some((owner, tail)) = rest.split_first_chunk::<8>() {
        let Some((mark, tail)) = tail.split_first_chunk::<16>() else { break };
        entries.push(Entry { owner: *owner, mark: *mark });
        rest = tail;
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::RoleIndex;
    use crate::host::MemoryHost;

    fn someone(name: &str) -> Principal {
        Principal::for_tests(name, vec![RoleIndex(0)])
    }

    #[test]
    fn an_id_is_its_callers_alone() {
        let mut host = MemoryHost::default();
        let key = SharedKey::obtain("p", &mut host).unwrap();
        let ledger = Ledger::of("p");
        ledger.prepare(&key, &mut host).unwrap();
        let (alice, bob, nobody) = (someone("alice"), someone("bob"), Principal::anonymous(RoleIndex(0)));
        ledger.note(&alice, "resp_1", &key, &mut host).unwrap();
        ledger.note(&nobody, "resp_2", &key, &mut host).unwrap();
        assert!(ledger.holds(&alice, "resp_1", &key, &mut host).unwrap());
        for (caller, id) in [(&bob, "resp_1"), (&alice, "resp_2"), (&nobody, "resp_2"), (&alice, ""), (&alice, "resp_")]
        {
            assert!(!ledger.holds(caller, id, &key, &mut host).unwrap(), "{id}");
        }
        assert!(!Ledger::of("q").holds(&alice, "resp_1", &key, &mut host).unwrap());
    }

    #[test]
    fn it_is_bounded_and_nobody_pushes_out_what_another_holds() {
        let mut host = MemoryHost::default();
        let key = SharedKey::obtain("p", &mut host).unwrap();
        let ledger = Ledger::of("p");
        ledger.prepare(&key, &mut host).unwrap();
        let alice = someone("alice");
        let row = ledger.place(&alice, &key).key;
        let neighbour = (0..).map(|number| someone(&format!("n{number}")));
        let neighbour = neighbour.into_iter().find(|other| ledger.place(other, &key).key == row).unwrap();
        ledger.note(&neighbour, "resp_n", &key, &mut host).unwrap();
        for number in 0..500 {
            ledger.note(&alice, &format!("resp_{number}"), &key, &mut host).unwrap();
        }
        assert!(ledger.holds(&neighbour, "resp_n", &key, &mut host).unwrap());
        let mut holds = |number: usize| ledger.holds(&alice, &format!("resp_{number}"), &key, &mut host).unwrap();
        assert!(holds(499) && holds(500 - ENTRIES + 1) && !holds(500 - ENTRIES));
        assert_eq!(host.names().len() as u64, ROWS + 1);
        assert_eq!(open(&key, &row, &host.shared_get(&row).unwrap().value).len(), ENTRIES);
    }

    #[test]
    fn what_others_write_there_lets_nothing_pass() {
        let mut host = MemoryHost::default();
        let key = SharedKey::obtain("p", &mut host).unwrap();
        let ledger = Ledger::of("p");
        ledger.prepare(&key, &mut host).unwrap();
        let alice = someone("alice");
        ledger.note(&alice, "resp_1", &key, &mut host).unwrap();
        let row = ledger.place(&alice, &key).key;
        let good = host.shared_get(&row).unwrap();
        let cut = good.value.len() - 1;
        for bad in [b"garbage".to_vec(), Vec::new(), good.value[..cut].to_vec()] {
            let cas = host.shared_get(&row).unwrap().cas;
            host.shared_set(&row, &bad, cas).unwrap();
            assert!(!ledger.holds(&alice, "resp_1", &key, &mut host).unwrap());
        }
        ledger.note(&alice, "resp_2", &key, &mut host).unwrap();
        assert!(ledger.holds(&alice, "resp_2", &key, &mut host).unwrap());
    }
}
