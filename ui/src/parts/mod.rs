//! The design system: what every page is built from. How it looks is in `ui/css/parts.css`.

mod ask;
mod badge;
mod button;
mod chart;
mod copy;
mod dialog;
mod field;
mod icon;
mod keys;
mod listing;
mod page;
mod qr;
mod rights;
mod states;
mod ticks;
mod toast;

pub(crate) use ask::{Question, ask};
pub(crate) use badge::{Badge, Fresh, Tone};
pub(crate) use button::{Action, IconButton, Kind, Submit};
pub(crate) use chart::{Points, Shape, bytes, chart, cores, rate, short};
pub(crate) use copy::Copyable;
pub(crate) use dialog::{confirm, dialog};
pub(crate) use field::{Choice, Field, Select, TextArea};
pub(crate) use icon::{Icon, icon};
pub(crate) use keys::Keys;
pub(crate) use listing::{listed, listing};
pub(crate) use page::{Crumb, head, menu, nothing, titled};
pub(crate) use qr::qr;
pub(crate) use rights::Picked;
pub(crate) use states::{complaint, empty, loading, notice, shown};
pub(crate) use ticks::{Chosen, Tick, ticks};
pub(crate) use toast::{Corner, Toasts};
