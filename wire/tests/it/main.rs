//! Tests of what other programs rely on.

#[cfg(test)]
mod golden;
