//! The supervisor on a fake engine under virtual time.
