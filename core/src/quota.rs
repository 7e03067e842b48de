//! Pure: what a tenant may use at most, and whether something more fits.

use crate::server::Limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! amounts {
    ($($(#[$doc:meta])* $field:ident,)+) => {
        /// Most that a tenant may have at once. What is missing is not limited.
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
        )]
        #[serde(deny_unknown_fields)]
        pub struct Quota { $($(#[$doc])* #[serde(default)] pub $field: Option<u64>,)+ }

        /// What something has or takes.
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
        )]
        pub struct Amounts { $($(#[$doc])* pub $field: u64,)+ }

        impl Quota {
            /// Returns the first limit that `used` is above. A limit of which nothing is used is
            /// never exceeded.
            #[must_use]
            pub fn exceeded(&self, used: &Amounts) -> Option<Exceeded> {
                $(if let Some(limit) = self.$field && used.$field > limit {
                    return Some(Exceeded { what: stringify!($field), limit, used: used.$field });
                })+
                None
            }

            /// Returns the first thing that is not limited.
            #[must_use]
            pub fn unlimited(&self) -> Option<&'static str> {
                $(if self.$field.is_none() { return Some(stringify!($field)); })+
                None
            }

            /// Returns what this quota takes out of the pool of the tenant above.
            #[must_use]
            pub fn amounts(&self) -> Amounts {
                Amounts { $($field: self.$field.unwrap_or(0),)+ }
            }

            /// Returns the first thing that `above` limits and this does not.
            #[must_use]
            pub fn looser_than(&self, above: &Self) -> Option<&'static str> {
                $(if above.$field.is_some() && self.$field.is_none() {
                    return Some(stringify!($field));
                })+
                None
            }
        }

        impl Amounts {
            /// Adds.
            #[must_use]
            pub fn plus(self, other: Self) -> Self {
                Self { $($field: self.$field.saturating_add(other.$field),)+ }
            }
        }
    };
}

amounts! {
    /// Memory of servers, in MiB.
    memory_mib,
    /// CPU of servers, in thousandths of a core.
    cpu_millicores,
    /// Disk of servers, in MiB.
    disk_mib,
    /// Number of servers.
    servers,
    /// Number of backups that servers may have.
    backups,
    /// Number of ports.
    allocations,
}

/// A limit that does not allow something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tenant's quota allows {limit} {what}, this would make it {used}")]
pub struct Exceeded {
    /// Name of the field in [`Quota`].
    pub what: &'static str,
    /// What is allowed.
    pub limit: u64,
    /// What it would be.
    pub used: u64,
}

impl Amounts {
    /// Returns what one server takes. Backups count as many as it may have, so that what was promised to
    /// one server is there for it.
    #[must_use]
    pub fn of_server(limits: &Limits, allocations: usize, backup_limit: u32) -> Self {
        Self {
            memory_mib: u64::from(limits.memory_mib.0),
            cpu_millicores: u64::from(limits.cpu_millicores.0),
            disk_mib: u64::from(limits.disk_mib.0),
            servers: 1,
            backups: u64::from(backup_limit),
            allocations: u64::try_from(allocations).unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_exceeded_by_one_more_and_not_by_as_much() {
        let quota = Quota { servers: Some(2), memory_mib: Some(100), ..Quota::default() };
        let used = |servers, memory_mib| Amounts { servers, memory_mib, ..Amounts::default() };
        for (used, expected) in [
            (used(2, 100), None),
            (used(0, 0), None),
            (used(3, 100), Some(("servers", 2, 3))),
            (used(2, 101), Some(("memory_mib", 100, 101))),
            (Amounts { backups: u64::MAX, ..Amounts::default() }, None),
        ] {
            let found = quota.exceeded(&used).map(|it| (it.what, it.limit, it.used));
            assert_eq!(found, expected, "{used:?}");
        }
    }

    #[test]
    fn a_child_of_a_limited_tenant_is_limited_too() {
        let above = Quota { servers: Some(2), ..Quota::default() };
        assert_eq!(Quota::default().looser_than(&above), Some("servers"));
        assert_eq!(above.looser_than(&Quota::default()), None);
        assert_eq!(above.amounts().servers, 2);
        assert_eq!(above.unlimited(), Some("memory_mib"));
    }
}
