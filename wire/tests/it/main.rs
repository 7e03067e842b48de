//! Tests of what other programs rely on.

mod golden;
