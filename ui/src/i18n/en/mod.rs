//! English.

pub(crate) mod account;
pub(crate) mod admin;
pub(crate) mod general;
pub(crate) mod invitation;
pub(crate) mod keys;
pub(crate) mod palette;
pub(crate) mod public;
pub(crate) mod servers;
pub(crate) mod sign_in;
pub(crate) mod tenant;
pub(crate) mod trail;
