//! Facts and bodies as a busy node makes them.

use mamba_core::{
    clock::UnixMs,
    fact::{Chain, Quantities, UsageBody, UsageFact},
    ids::{ServerId, TenantId},
    seq::{Epoch, Seq},
};

/// What a server of 256 MiB and one core uses in 300 s.
pub const QUANTITIES: Quantities = Quantities {
    memory_used: 60_000_000 * 300_000,
    cpu_used: 3_000_000,
    disk_used: 100_000_000 * 300_000,
    egress: 200_000,
    memory_allocated: 268_435_456 * 300_000,
    cpu_allocated: 300_000_000,
    disk_allocated: 1_073_741_824 * 300_000,
};

/// Returns what a server used in a span.
#[must_use]
pub fn usage((tenant, server): (TenantId, ServerId), from: UnixMs, ms: u64) -> UsageFact {
    UsageFact { tenant, server, from, to: from.plus(ms), body: UsageBody::Measured(QUANTITIES) }
}

/// Returns the chain hash after `bodies`, which follow `before`.
#[must_use]
pub fn chain_over(epoch: Epoch, before: (Seq, Chain), bodies: &[Vec<u8>]) -> Chain {
    let (last, chain) = before;
    let seqs = (last.0 + 1..).map(Seq);
    seqs.zip(bodies).fold(chain, |chain, (seq, body)| chain.then(epoch, seq, body))
}
