//! Tests of nodes and their join tokens.


