//! Puts meters and their facts on disk, each server's together.

use super::{Kept, METERS, server::Entry};
use crate::{
    calendar::Remembered,
    outbox::{self, OutboxError},
};
use mamba_core::{
    clock::UnixMs,
    db::{Snapshot, TXN_BYTES_AIM, TXN_OPS_AIM, Txn},
    fact::UsageFact,
    ids::ServerId,
};
use std::collections::BTreeMap;

/// Facts in one transaction.
const FACTS_MAX: usize = 64;
/// Servers in one transaction.
const SERVERS_MAX: usize = 32;
/// Bytes in one transaction, by the estimates below.
const BYTES_MAX: usize = 256 << 10;
/// A meter without pending facts, with room.
const METER_BYTES: usize = 512;
/// A usage fact, with room: two ids, times and seven numbers.
const FACT_BYTES: usize = 192;

// Besides facts and rows: the outbox's own row and the calendar.
const _: () = assert!(FACTS_MAX + SERVERS_MAX + 2 <= TXN_OPS_AIM);
const _: () = assert!(BYTES_MAX + FACT_BYTES * 2_000 + METER_BYTES <= TXN_BYTES_AIM * 2);

/// One server's part of a transaction.
#[derive(Clone, Debug)]
pub(super) struct Part {
    server: ServerId,
    facts: Vec<UsageFact>,
    /// The row after it. `None` removes it.
    kept: Option<Kept>,
    /// Commits of the row after it.
    commit: u64,
}

/// A transaction.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    parts: Vec<Part>,
    calendar: Remembered,
    at: UnixMs,
}

impl Batch {
    /// Takes the next servers whose rows are older than their meters. `None` when there is none.
    /// `removed` are those whose rows go once they have no facts left.
    pub(super) fn next(
        entries: &BTreeMap<ServerId, Entry>,
        removed: impl Fn(&Entry) -> bool,
        calendar: Remembered,
        at: UnixMs,
    ) -> Option<Self> {
        let mut batch = Self { parts: Vec::new(), calendar, at };
        let (mut facts_left, mut bytes_left) = (FACTS_MAX, BYTES_MAX);
        for (&server, entry) in entries.iter().filter(|(_, entry)| entry.is_dirty) {
            if batch.parts.len() == SERVERS_MAX || facts_left == 0 || bytes_left == 0 {
                break;
            }
            let pending = entry.meter.pending();
            let count = pending.len().min(facts_left);
            facts_left -= count;
            bytes_left = bytes_left.saturating_sub(METER_BYTES + pending.len() * FACT_BYTES);
            let mut meter = entry.meter.clone();
            meter.forget(count);
            let commit = entry.commit + 1;
            // A row that was never written is not removed: a second try could not tell.
            let is_last = meter.pending().is_empty() && removed(entry) && entry.commit > 0;
            let kept = (!is_last).then_some(Kept { commit, meter });
            let facts = pending.iter().take(count).cloned().collect();
            batch.parts.push(Part { server, facts, kept, commit });
        }
        (!batch.parts.is_empty()).then_some(batch)
    }

    /// A transaction for the calendar alone.
    pub(super) fn calendar(calendar: Remembered, at: UnixMs) -> Self {
        Self { parts: Vec::new(), calendar, at }
    }

    /// Writes it, but for parts that are on disk already because this is the second try.
    pub(super) fn write(&self, txn: &mut Txn<'_>) -> Result<(), OutboxError> {
        self.calendar.save(txn)?;
        for part in &self.parts {
            let stored = txn.get(METERS, &part.server)?.map_or(0, |kept| kept.commit);
            // A row that is removed was there before: its absence means that it was done.
            let is_done =
                if part.kept.is_some() { stored >= part.commit } else { stored + 1 != part.commit };
            if is_done {
                continue;
            }
            for fact in &part.facts {
                outbox::append_usage(txn, self.at, fact)?;
            }
            match &part.kept {
                Some(kept) => txn.put(METERS, &part.server, kept)?,
                None => txn.delete(METERS, &part.server)?,
            }
        }
        Ok(())
    }

    /// It is on disk: takes its facts out of the meters.
    pub(super) fn settle(self, entries: &mut BTreeMap<ServerId, Entry>) {
        for part in self.parts {
            if part.kept.is_none() {
                entries.remove(&part.server);
                continue;
            }
            let Some(entry) = entries.get_mut(&part.server) else { continue };
            entry.commit = part.commit;
            entry.meter.forget(part.facts.len());
            entry.is_dirty = !entry.meter.pending().is_empty();
        }
    }
}
