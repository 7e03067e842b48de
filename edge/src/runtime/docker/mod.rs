//! The Docker Engine.
