//! Signs the ends of chains every hour, and has old entries removed.

use super::{ANCHORS, Anchor, End, Grown, HEADS, OPEN};
use crate::{Hub, HubError};
use mamba_core::{
    clock::UnixMs,
    db::{Snapshot, Span, Txn},
    error::chain,
};
use std::time::Duration;
use tokio::{sync::watch, time::sleep};

/// Chains in one anchor: with their two writes each well below the bound of a transaction.
pub(super) const ENDS_MAX: usize = 40;
/// Time between two looks: what is not yet anchored could be changed unseen by who has the disk.
const EVERY_MS: u64 = 3_600_000;

/// Returns the hash over an anchor.
pub(super) fn hash_of(number: u64, at: UnixMs, before: &[u8; 32], ends: &[End]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&number.to_be_bytes());
    hasher.update(&at.0.to_be_bytes());
    hasher.update(before);
    for end in ends {
        hasher.update(&end.tenant.to_bytes());
        hasher.update(&end.number.to_be_bytes());
        hasher.update(&end.hash);
    }
    *hasher.finalize().as_bytes()
}

impl Hub {
    /// Signs the ends of all chains that grew; returns how many those were.
    ///
    /// # Errors
    /// What the store says. What was signed before that stays.
    pub async fn anchor_audit(&self) -> Result<u64, HubError> {
        let mut ends_count = 0;
        loop {
            let (hub, now) = (self.clone(), self.now());
            let done = self.write(move |txn| sign_some(&hub, txn, now)).await?;
            ends_count += u64::try_from(done).unwrap_or(u64::MAX);
            if done < ENDS_MAX {
                return Ok(ends_count);
            }
        }
    }
}

fn sign_some(hub: &Hub, txn: &mut Txn<'_>, at: UnixMs) -> Result<usize, HubError> {
    let open = txn.range(OPEN, Span::all(), ENDS_MAX)?;
    if open.is_empty() {
        return Ok(0);
    }
    let mut ends = Vec::with_capacity(open.len());
    for (tenant, Grown) in &open {
        if let Some(head) = txn.get(HEADS, tenant)? {
            ends.push(End { tenant: *tenant, number: head.last, hash: head.hash });
        }
        txn.delete(OPEN, tenant)?;
    }
    let newest = txn.last(ANCHORS, Span::all())?;
    let (number, before) = newest.map_or((1, [0; 32]), |(number, it)| (number + 1, it.hash));
    let hash = hash_of(number, at, &before, &ends);
    let signature = hub.keys().envelopes.attest(&hash);
    txn.put(ANCHORS, &number, &Anchor { at, before, ends, hash, signature })?;
    Ok(open.len())
}

/// Anchors every hour, and removes entries older than `retain_ms`, until told to stop.
pub async fn keep_audit(hub: Hub, retain_ms: u64, mut stop: watch::Receiver<bool>) {
    loop {
        let until = UnixMs(hub.now().0.saturating_sub(retain_ms));
        let work = async {
            hub.anchor_audit().await?;
            hub.prune_audit(until).await
        };
        match work.await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "old audit entries were removed"),
            Err(err) => tracing::warn!(cause = chain(&err), "audit could not be kept"),
        }
        tokio::select! {
            () = sleep(Duration::from_millis(EVERY_MS)) => {}
            ended = stop.wait_for(|stop| *stop) => {
                // An error means that nobody is left who could say stop.
                drop(ended);
                return;
            }
        }
    }
}
