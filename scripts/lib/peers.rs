//! Servers of others that tests speak to, prepared by `scripts/test`.

/// Set where nothing may be skipped.
const ALL: &str = "MAMBA_TEST_ALL";

/// Returns where a server is that a variable names. Without the variable the test is to be left out, which
/// is said, and is a failure where nothing may be.
pub(crate) fn peer(variable: &str) -> Option<String> {
    let named = std::env::var(variable).ok();
    let may_skip = std::env::var_os(ALL).is_none();
    assert!(
        named.is_some() || may_skip,
        "{variable} is not set, and {ALL} lets no test be skipped"
    );
    if named.is_none() {
        eprintln!("skipped: {variable} is not set");
    }
    named
}
