//! Pure: the contract table, one file for each area.
//!
//! A row is written so:
//!
//! ```text
//! /// What it does, in one sentence.
//! Name: Method "/path/{id}", Permission::.., 201 keyed confirmed,
//!     (Path, Query, Body) -> Out, [CodeOnlyThisEndpointGives];
//! ```
//!
//! `keyed`, `confirmed` and the list of codes may be missing. Codes that follow from the row (who may ask, what is
//! read, what can always fail) are in [`Row::codes`](super::Row::codes); the list names the others.
//! A new area is a file here, a line in `areas!` and nothing else. Each row needs its handler in the
//! hub and its example in the hub's tests (`hub/tests/it/api/examples`): without either they do not
//! compile.

/// Declares the endpoints of one area, one unit struct each, and what goes through all of them.
macro_rules! endpoints {
    (
        #[doc = $about:literal]
        $area:ident $tag:literal $for_each:ident;
        $(
            #[doc = $summary:literal]
            $name:ident: $method:ident $path:literal, $permission:expr, $status:literal $($mark:ident)*,
            ($in_path:ty, $in_query:ty, $in_body:ty) -> $out:ty $(, [$($code:ident),+])?;
        )+
    ) => {
        $(
            #[doc = $summary]
            #[derive(Clone, Copy, Debug)]
            pub struct $name;

            impl $crate::api::Endpoint for $name {
                const NAME: &'static str = stringify!($name);
                const TAG: &'static str = $tag;
                const METHOD: $crate::api::Method = $crate::api::Method::$method;
                const PATH: &'static str = $path;
                const SUMMARY: &'static str = $summary.trim_ascii();
                const PERMISSION: $crate::api::Permission = $permission;
                const STATUS: u16 = $status;
                const KEYED: bool = endpoints!(@keyed $($mark)*);
                const CONFIRMED: bool = endpoints!(@confirmed $($mark)*);
                const CODES: &'static [$crate::api::Code] = &[$($($crate::api::Code::$code),+)?];
                type Path = $in_path;
                type Query = $in_query;
                type Body = $in_body;
                type Out = $out;
            }
        )+

        #[doc = $about]
        pub const $area: $crate::api::Area = $crate::api::Area {
            tag: $tag,
            about: $about.trim_ascii(),
            rows: &[$($crate::api::Row::of::<$name>()),+],
        };

        /// Calls the macro `$callback` with the type names of this area's endpoints.
        #[macro_export]
        #[doc(hidden)]
        macro_rules! $for_each {
            ($callback:ident) => { $callback! { $($name)+ } };
        }
    };
    (@keyed) => { false };
    (@keyed keyed $($rest:ident)*) => { true };
    (@keyed confirmed $($rest:ident)*) => { endpoints!(@keyed $($rest)*) };
    (@confirmed) => { false };
    (@confirmed confirmed $($rest:ident)*) => { true };
    (@confirmed keyed $($rest:ident)*) => { endpoints!(@confirmed $($rest)*) };
}

/// Names the areas, each with its file, its constant and its macro.
macro_rules! areas {
    ($($file:ident $area:ident $for_each:ident;)+) => {
        $(mod $file; pub use $file::*;)+

        /// All areas, in the order of the documentation.
        pub const AREAS: &[Area] = &[$($file::$area),+];

        /// Calls the macro `$callback` with the type names of the endpoints in [`api::table`], once
        /// for each area.
        ///
        /// [`api::table`]: crate::api::table
        #[macro_export]
        macro_rules! for_each_endpoint {
            ($callback:ident) => { $($crate::$for_each! { $callback })+ };
        }
    };
}

/// What a file of rows needs.
mod prelude {
    pub(super) use crate::api::{Page, PageQuery, Permission, params::*};
    pub(super) use mamba_core::access::{AdminRight, ServerKey, TenantRight};
}

use super::{Area, Row};

areas! {
    account ACCOUNT for_each_account_endpoint;
    mail MAIL for_each_mail_endpoint;
    nodes NODES for_each_node_endpoint;
    registries REGISTRIES for_each_registry_endpoint;
    blueprints BLUEPRINTS for_each_blueprint_endpoint;
    tenants TENANTS for_each_tenant_endpoint;
    members MEMBERS for_each_member_endpoint;
    audit AUDIT for_each_audit_endpoint;
    servers SERVERS for_each_server_endpoint;
    allocations ALLOCATIONS for_each_allocation_endpoint;
    feed FEED for_each_feed_endpoint;
    users USERS for_each_user_endpoint;
    hub HUB for_each_hub_endpoint;
    health HEALTH for_each_health_endpoint;
    public PUBLIC for_each_public_endpoint;
}

const COUNT: usize = count();
static ALL: [Row; COUNT] = all();

/// All endpoints.
pub const ENDPOINTS: &[Row] = &ALL;

const fn count() -> usize {
    let (mut count, mut area) = (0, 0);
    while area < AREAS.len() {
        count += AREAS[area].rows.len();
        area += 1;
    }
    count
}

const fn all() -> [Row; COUNT] {
    let mut all = [AREAS[0].rows[0]; COUNT];
    let (mut at, mut area) = (0, 0);
    while area < AREAS.len() {
        let mut row = 0;
        while row < AREAS[area].rows.len() {
            all[at] = AREAS[area].rows[row];
            (at, row) = (at + 1, row + 1);
        }
        area += 1;
    }
    all
}
