//! Tests of whole parts of the hub, some with a real edge.

mod api;
mod link;
