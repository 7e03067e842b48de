//! The hub's and the edge's end of the link, joined over real QUIC on the loopback interface, with
//! stores in memory.

mod fakes;
mod identity;
mod rig;
mod sessions;
