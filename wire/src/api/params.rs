//! Pure: what stands in paths and queries, as types.

use mamba_core::{
    clock::UnixMs,
    error::Invalid,
    ids::{
        AllocationId, EventId, IntentId, InvitationId, NodeId, RoleId, ServerId, SessionId,
        TenantId, TokenId, UserId,
    },
    server::Threads,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};

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

    /// Describes them, in order.
    fn describe(generator: &mut SchemaGenerator) -> Vec<Parameter>;
}

/// What one parameter is.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub about: String,
    /// Whether it must be given.
    pub is_required: bool,
    /// What values it takes.
    pub schema: Schema,
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

    fn describe(_generator: &mut SchemaGenerator) -> Vec<Parameter> {
        Vec::new()
    }
}

/// One value in a path or query.
pub(super) trait Value: Sized {
    /// Whether it may be missing.
    const IS_OPTIONAL: bool = false;

    /// Checks a value against bounds that its field declares.
    fn is_within(&self, _least: u64, _most: u64) -> bool {
        true
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema;
    fn read(name: &str, text: Option<String>) -> Result<Self, Invalid>;
    fn text(&self) -> Option<String>;
}

macro_rules! plain_values {
    ($($type:ty: $rule:literal),+ $(,)?) => { $(
        impl Value for $type {
            fn schema(generator: &mut SchemaGenerator) -> Schema {
                generator.subschema_for::<Self>()
            }

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
    AllocationId: "must be an id",
    EventId: "must be an id",
    NodeId: "must be an id",
    ServerId: "must be an id",
    IntentId: "must be an id",
    SessionId: "must be an id",
    TenantId: "must be an id",
    TokenId: "must be an id",
    RoleId: "must be an id",
    UserId: "must be an id",
    InvitationId: "must be an id",
}

impl Value for Threads {
    fn schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }

    fn read(name: &str, text: Option<String>) -> Result<Self, Invalid> {
        let text = text.ok_or_else(|| Invalid::new(name, "must be given"))?;
        text.parse().map_err(|err: Invalid| Invalid::new(name, err.rule))
    }

    fn text(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for u32 {
    fn is_within(&self, least: u64, most: u64) -> bool {
        (least..=most).contains(&u64::from(*self))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        Self::json_schema(generator)
    }

    fn read(name: &str, text: Option<String>) -> Result<Self, Invalid> {
        number(name, text, "must be a number from 0 to 4294967295")
    }

    fn text(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for u64 {
    fn is_within(&self, least: u64, most: u64) -> bool {
        (least..=most).contains(self)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        Self::json_schema(generator)
    }

    fn read(name: &str, text: Option<String>) -> Result<Self, Invalid> {
        number(name, text, "must be a number from 0 to 18446744073709551615")
    }

    fn text(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// Reads a number that is written with digits only: no sign and no blank.
fn number<T: std::str::FromStr>(
    name: &str,
    text: Option<String>,
    rule: &str,
) -> Result<T, Invalid> {
    let text = text.ok_or_else(|| Invalid::new(name, "must be given"))?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let read = text.parse().ok().filter(|_| is_plain);
    read.ok_or_else(|| Invalid::new(name, rule))
}

impl Value for UnixMs {
    fn is_within(&self, least: u64, most: u64) -> bool {
        (least..=most).contains(&self.0)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Self>()
    }

    fn read(name: &str, text: Option<String>) -> Result<Self, Invalid> {
        number(name, text, "must be a time in milliseconds since 1970-01-01 UTC").map(Self)
    }

    fn text(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

impl<T: Value> Value for Option<T> {
    const IS_OPTIONAL: bool = true;

    fn is_within(&self, least: u64, most: u64) -> bool {
        self.as_ref().is_none_or(|value| value.is_within(least, most))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        T::schema(generator)
    }

    fn read(name: &str, text: Option<String>) -> Result<Self, Invalid> {
        text.map(|text| T::read(name, Some(text))).transpose()
    }

    fn text(&self) -> Option<String> {
        self.as_ref().and_then(Value::text)
    }
}

/// Declares structs of named values; `Option` ones may be missing. `where least..=most` behind the
/// type of a number bounds it.
macro_rules! params {
    ($(
        $(#[$doc:meta])* $name:ident {
            $($(#[doc = $about:literal])+ $field:ident: $type:ty $(where $least:literal..=$most:expr)?,)+
        }
    )+) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name { $($(#[doc = $about])+ pub $field: $type,)+ }

        impl $crate::api::params::Params for $name {
            const NAMES: &'static [&'static str] = &[$(stringify!($field)),+];

            fn read(
                get: &dyn Fn(&str) -> Option<String>,
            ) -> Result<Self, mamba_core::error::Invalid> {
                use $crate::api::params::Value as _;
                Ok(Self { $($field: {
                    let name = stringify!($field);
                    let value = <$type>::read(name, get(name))?;
                    $(if !value.is_within($least, u64::from($most)) {
                        let rule = format!("must be {} to {}", $least, $most);
                        return Err(mamba_core::error::Invalid::new(name, rule));
                    })?
                    value
                },)+ })
            }

            fn values(&self) -> Vec<(&'static str, String)> {
                let all = [$((
                    stringify!($field),
                    $crate::api::params::Value::text(&self.$field),
                )),+];
                all.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
            }

            fn describe(
                generator: &mut schemars::SchemaGenerator,
            ) -> Vec<$crate::api::params::Parameter> {
                use $crate::api::params::Value as _;
                vec![$({
                    let schema = <$type>::schema(generator);
                    $(let schema = $crate::api::params::bounded(schema, $least, $most.into());)?
                    $crate::api::params::Parameter {
                        name: stringify!($field),
                        about: $crate::api::params::sentences(&[$($about),+]),
                        is_required: !<$type>::IS_OPTIONAL,
                        schema,
                    }
                }),+]
            }
        }
    )+ };
}
pub(super) use params;

/// Writes the bounds of a number into its schema.
pub(super) fn bounded(mut schema: Schema, least: u64, most: u64) -> Schema {
    schema.insert("minimum".to_owned(), least.into());
    schema.insert("maximum".to_owned(), most.into());
    schema
}

/// Joins the lines of a doc comment.
pub(super) fn sentences(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

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

    /// Names an allocation of a server.
    ServerAllocationPath {
        /// Which server.
        server: ServerId,
        /// Which of its allocations.
        allocation: AllocationId,
    }

    /// Names a power action of a server.
    IntentPath {
        /// Which server.
        server: ServerId,
        /// Which of its power actions.
        intent: IntentId,
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
