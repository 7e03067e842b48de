//! Pure: messages between edge and hub. One module per major version.

pub mod v1;
