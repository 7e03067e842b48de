//! Tests of whole parts of the hub, some with a real edge.

#[cfg(test)]
mod advisories;
#[cfg(test)]
mod api;
#[cfg(test)]
mod link;
#[cfg(test)]
mod mail;
#[cfg(test)]
#[path = "../../../scripts/lib/peers.rs"]
mod peers;
#[cfg(test)]
mod reconcile;
#[cfg(test)]
mod sim;
