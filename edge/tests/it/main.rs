//! Tests of the edge's parts on real ones.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod docker;
#[cfg(test)]
mod install;
#[cfg(test)]
#[path = "../../../scripts/lib/peers.rs"]
mod peers;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod runtime;
