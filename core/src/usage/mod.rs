//! Pure: how usage is integrated, cut into facts, and claimed once.
//!
//! The edge integrates readings ([`integrate`]) into windows ([`window`]) and reports each window as
//! one fact. The hub claims each fact's span against what it billed before ([`coverage`]). All sums
//! are integers and every division says what becomes of the remainder, so that what the edge counted
//! equals what the hub billed plus what it clipped, to the unit.

pub mod integrate;
pub mod window;
pub mod coverage;
pub mod owners;

/// Returns `floor(quantity * part / whole)`, and all of `quantity` when `part` is at least `whole`.
///
/// Shares of adjoining parts are taken as differences of two such values, so that they add up to
/// exactly `quantity`. Never overflows: the result is at most `quantity`.
#[must_use]
pub fn share(quantity: u128, part: u64, whole: u64) -> u128 {
    if part >= whole {
        return quantity;
    }
    let (part, whole) = (u128::from(part), u128::from(whole));
    // With quantity = a * whole + r this is a * part + floor(r * part / whole); r and part are below
    // 2^64, so that the product fits.
    quantity / whole * part + quantity % whole * part / whole
}

#[cfg(test)]
mod tests {
    use super::share;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_share_is_the_floor_of_the_exact_one(quantity: u64, part: u32, whole: u32) {
            prop_assume!(part < whole);
            let exact = u128::from(quantity) * u128::from(part) / u128::from(whole);
            prop_assert_eq!(share(quantity.into(), part.into(), whole.into()), exact);
        }
    }

    #[test]
    fn the_largest_quantities_do_not_overflow() {
        assert_eq!(share(u128::MAX, u64::MAX, u64::MAX), u128::MAX);
        assert_eq!(share(u128::MAX, 1, 2), u128::MAX / 2);
        assert!(share(u128::MAX, u64::MAX - 1, u64::MAX) < u128::MAX);
        assert_eq!(share(7, 0, 0), 7);
    }
}
