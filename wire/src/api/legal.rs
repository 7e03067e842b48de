//! Pure: legal pages, as text with a little structure and no markup that a browser could run.

use super::params::params;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Short names of the pages, as they stand in addresses.
pub const LEGAL_PAGES: [&str; 5] = ["terms", "privacy", "refund", "aup", "dmca"];

params! {
    /// Names a legal page.
    LegalPath {
        /// Which: `terms`, `privacy`, `refund`, `aup` or `dmca`.
        page: String,
    }
}

/// One page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LegalPage {
    /// Its short name.
    pub page: String,
    /// Its title.
    pub title: String,
    /// Whether it is the template that comes with the program: nobody who runs this hub wrote it, and no
    /// lawyer looked at it.
    pub is_template: bool,
    /// Its text.
    pub blocks: Vec<Block>,
}

/// One piece of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// A heading below the title.
    Heading(Vec<Inline>),
    /// A heading below that.
    Subheading(Vec<Inline>),
    /// Some sentences.
    Paragraph(Vec<Inline>),
    /// Points without numbers.
    Points(Vec<Vec<Inline>>),
    /// Points with numbers, from 1.
    Steps(Vec<Vec<Inline>>),
}

/// One piece of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Inline {
    /// As it is.
    Text(String),
    /// With weight.
    Strong(String),
    /// With stress.
    Emphasis(String),
    /// Leads somewhere: to a page of this panel, to `https`, `http` or `mailto`.
    Link {
        /// What people read.
        text: String,
        /// Where.
        to: String,
    },
}
