//! The only code that touches the network: requests and sockets; and what is called in JavaScript.

mod failure;
mod glue;
mod requests;
mod socket;

pub(crate) use failure::Failure;
pub(crate) use glue::{
    Device, Drawing, Terminal, ask_device, drawing, has_passkeys, matches_pattern, save_text,
    scrolled, show_current, terminal, typed_early,
};
pub(crate) use requests::{Answer, Ask, exchange};
pub(crate) use socket::Socket;
