//! The pages, one folder for each part of the panel.

pub(crate) mod account;
pub(crate) mod admin;
pub(crate) mod invitation;
pub(crate) mod public;
pub(crate) mod servers;
pub(crate) mod sign_in;
pub(crate) mod tenant;
