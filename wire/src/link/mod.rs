//! Pure: messages between edge and hub. One module per major version.

pub mod token;
pub mod enrol;
pub mod v1;
