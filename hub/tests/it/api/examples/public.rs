//! Examples: what everybody may read.

use super::{Example, examples};
use mamba_wire::api::legal::LegalPath;

examples! {
    ShowStatus, _seed => Example::new((), (), ());
    ShowLegal, _seed => Example::new(LegalPath { page: "terms".to_owned() }, (), ());
}
