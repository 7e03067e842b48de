//! Pure: lists as pages, and how old what they show is.
//!
//! A page holds at most `limit` items in an order that does not change; `next` is the `after` of the
//! page that follows and is missing on the last one. An item made meanwhile appears on a later page
//! or not at all, never twice. A cursor is opaque, and belongs to the filter and order that it was
//! made with: with others it is refused. A list that can be filtered or sorted says so in its query:
//! each parameter lets through what fits, and `sort` names a field, with `-` in front from the end.

use super::params::params;
use mamba_core::clock::UnixMs;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Items of a page when nothing is asked for.
pub const PAGE_ITEMS_DEFAULT: u32 = 50;
/// Most items of a page; a larger `limit` is refused.
pub const PAGE_ITEMS_MAX: u32 = 200;

params! {
    /// Which part of a list.
    PageQuery {
        /// `next` of the page before; from the beginning without.
        after: Option<String>,
        /// Most items, 1 to [`PAGE_ITEMS_MAX`].
        limit: Option<u32> where 1..=PAGE_ITEMS_MAX,
    }
}

impl PageQuery {
    /// The first page.
    pub const FIRST: Self = Self { after: None, limit: None };
}

/// Lets a query with filters be asked for everything.
macro_rules! unfiltered {
    ($name:ident { $($filter:ident),+ }) => {
        impl From<$crate::api::PageQuery> for $name {
            fn from(page: $crate::api::PageQuery) -> Self {
                let $crate::api::PageQuery { after, limit } = page;
                Self { $($filter: None,)+ after, limit }
            }
        }
    };
}
pub(super) use unfiltered;

/// Part of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PageOf{T}")]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// `after` of the next page; `null` on the last one.
    pub next: Option<String>,
}

/// How old a view of something on a node is, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Freshness {
    /// When the node reported it last; `null` when it never did.
    pub as_of: Option<UnixMs>,
    /// State of the node's link.
    pub link: LinkState,
}

/// State of a node's link as the hub sees it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// Connected and heard from just now.
    Live,
    /// Connected, but not heard from for a while.
    Delayed,
    /// Not connected.
    Unreachable,
}
