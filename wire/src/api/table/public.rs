//! Pure: what everybody may read.

use super::prelude::*;
use crate::api::{legal, status};

endpoints! {
    /// What everybody may read.
    PUBLIC "public" for_each_public_endpoint;

    /// Says how the installation is and was, without names of nodes, servers or people.
    ShowStatus: Get "/api/v1/status", Permission::Public, 200,
        ((), (), ()) -> status::Status;
    /// Shows a legal page.
    ShowLegal: Get "/api/v1/legal/{page}", Permission::Public, 200,
        (legal::LegalPath, (), ()) -> legal::LegalPage;
}
