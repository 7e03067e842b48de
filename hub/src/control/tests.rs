//! Tests of creating and changing servers.


