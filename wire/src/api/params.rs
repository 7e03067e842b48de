//! Pure: what stands in paths and queries, as types.

use mamba_core::{
    clock::UnixMs,
    error::Invalid,
    ids::{AllocationId, NodeId, ServerId, TenantId, TokenId},
};

/// Named text values that become a type: the parts of a path or the parameters of a query.
pub trait Params: Sized + Send {
    /// All names, in order.
    const NAMES: &'static [&'static str];

    /// Reads them; `get` returns the value of a name when it is there.
    ///
    /// # Errors
    /// The first value that breaks a rule, by its name.
    fn read(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, Invalid>;

    /// Writes them; those without a value are left out.
    fn values(&self) -> Vec<(&'static str, String)>;
}

/// No parameters.
impl Params for () {
    const NAMES: &'static [&'static str] = &[];

    fn read(_get: &dyn Fn(&str) -> Option<String>) -> Result<Self, Invalid> {
        Ok(())
    }

    fn values(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// One value in a path or query.
pub(super) trait Value: Sized {
    fn read(name: &str, text: Option<String>) -> Result<Self, Invalid>;
    fn text(&self) -> Option<String>;
}

macro_rules! plain_values {
    ($($type:ty: $rule:literal),+ $(,)?) => { $(
        impl Value for $type {
            fn read(name: &str, text: Option<String>) -> Result<Self, Invalid> {
                let text = text.ok_or_else(|| Invalid::new(name, "must be given"))?;
                text.parse().map_err(|_| Invalid::new(name, $rule))
            }

            fn text(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )+ };
}

plain_values! {
    String: "must be text",
    bool: "must be `true` or `false`",
    u32: "must be a number from 0 to 4294967295",
    u64: "must be a number from 0 to 18446744073709551615",
    AllocationId: "must be an id",
    NodeId: "must be an id",
    ServerId: "must be an id",
    TenantId: "must be an id",
    TokenId: "must be an id",
}

impl Value for UnixMs {
    fn read(name: &str, text: Option<String>) -> Result<Self, Invalid> {
        let rule = "must be a time in milliseconds since 1970-01-01 UTC";
        text.and_then(|text| text.parse().ok()).map(Self).ok_or_else(|| Invalid::new(name, rule))
    }

    fn text(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

impl<T: Value> Value for Option<T> {
    fn read(name: &str, text: Option<String>) -> Result<Self, Invalid> {
        text.map(|text| T::read(name, Some(text))).transpose()
    }

    fn text(&self) -> Option<String> {
        self.as_ref().and_then(Value::text)
    }
}

/// Declares structs of named values; `Option` ones may be missing.
macro_rules! params {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)+ })+) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)+ }

        impl $crate::api::params::Params for $name {
            const NAMES: &'static [&'static str] = &[$(stringify!($field)),+];

            fn read(
                get: &dyn Fn(&str) -> Option<String>,
            ) -> Result<Self, mamba_core::error::Invalid> {
                Ok(Self { $($field: {
                    let name = stringify!($field);
                    $crate::api::params::Value::read(name, get(name))?
                },)+ })
            }

            fn values(&self) -> Vec<(&'static str, String)> {
                let all = [$((
                    stringify!($field),
                    $crate::api::params::Value::text(&self.$field),
                )),+];
                all.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
            }
        }
    )+ };
}
pub(super) use params;

params! {
    /// Names an allocation.
    AllocationPath {
        /// Which.
        allocation: AllocationId,
    }

    /// Names a blueprint.
    BlueprintPath {
        /// Which, by its short name.
        blueprint: String,
    }

    /// Names a node.
    NodePath {
        /// Which.
        node: NodeId,
    }

    /// Names a server.
    ServerPath {
        /// Which.
        server: ServerId,
    }

    /// Names a tenant.
    TenantPath {
        /// Which.
        tenant: TenantId,
    }

    /// Names a join token.
    TokenPath {
        /// Which.
        token: TokenId,
    }
}
