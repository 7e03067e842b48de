//! Tests of the edge's parts on real ones.

mod bench;
mod docker;
mod runtime;
