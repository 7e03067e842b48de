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

/// Pure: a number that looks random, the same for the same seed (splitmix64).
#[must_use]
pub const fn random(seed: u64) -> u64 {
    let mixed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Returns what a server used in a span, differently for each seed, as games do: what is allocated is
/// the same each time, memory moves by some percent, CPU time and traffic by more, the disk hardly.
#[must_use]
pub fn varied(server: (TenantId, ServerId), from: UnixMs, ms: u64, seed: u64) -> UsageFact {
    let draw = |place: u64, below: u64| u128::from(random(seed * 8 + place) % below);
    let span = u128::from(ms);
    let quantities = Quantities {
        memory_used: 60_000_000 * span + draw(0, 3_000_000) * span + draw(1, 1_000_000),
        cpu_used: 10 * span + draw(2, 10 * ms),
        disk_used: (100_000_000 + draw(3, 2) * 4_096) * span,
        egress: draw(4, ms),
        memory_allocated: 268_435_456 * span,
        cpu_allocated: 1_000 * span,
        disk_allocated: 1_073_741_824 * span,
    };
    let (tenant, server) = server;
    UsageFact { tenant, server, from, to: from.plus(ms), body: UsageBody::Measured(quantities) }
}

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
