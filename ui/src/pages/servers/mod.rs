//! Servers: the list, each of them, and how one is made.

mod activity;
mod bulk;
mod condition;
mod console;
mod create;
mod fleet;
mod gauges;
mod give;
mod install;
mod left;
mod limits;
mod line;
mod list;
mod mounts;
mod needs;
mod moving;
mod network;
mod page;
mod pending;
mod people;
mod power;
mod remake;
mod settings;
mod starting;
mod startup;
mod tab;
mod usage;
mod variables;

pub(crate) use create::Create;
pub(crate) use list::List;
pub(crate) use page::Page;
pub(crate) use tab::Tab;
