//! The design system: what every page is built from. How it looks is in `ui/css/parts.css`.

mod ask;
mod badge;
mod button;
mod changes;
mod chart;
mod copy;
mod dialog;
mod drop;
mod field;
mod gauge;
mod icon;
mod keys;
mod listing;
mod page;
mod qr;
mod rights;
mod sight;
mod states;
mod table;
mod ticks;
mod toast;
mod trail;

pub(crate) use ask::{Question, ask, rename};
pub(crate) use badge::{Badge, Fresh, Tone, badge};
pub(crate) use button::{Action, IconButton, Kind, Submit};
pub(crate) use changes::{Known, field_title};
pub(crate) use chart::{Points, Shape, bytes, chart, cores, rate, short};
pub(crate) use copy::{Copyable, copier, elided};
pub(crate) use dialog::{confirm, dialog};
pub(crate) use drop::FileDrop;
pub(crate) use field::{Choice, Field, Select, TextArea};
pub(crate) use gauge::{gauge, size};
pub(crate) use icon::{Icon, icon};
pub(crate) use keys::{choose_keys, chosen_keys, matrix};
pub(crate) use listing::{listed, listing, more};
pub(crate) use page::{Crumb, head, menu, nothing, titled};
pub(crate) use qr::qr;
pub(crate) use rights::Picked;
pub(crate) use sight::in_sight;
pub(crate) use states::{
    aged, behind, complaint, empty, empty_page, known, loading, notice, refused, shown,
};
pub(crate) use table::{numbers, table};
pub(crate) use ticks::{Chosen, Tick, ticks};
pub(crate) use toast::{Corner, Toasts};
pub(crate) use trail::trail;
