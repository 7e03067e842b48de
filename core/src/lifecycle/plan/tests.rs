//! Pure decisions in tables and properties.
