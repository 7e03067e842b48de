//! Names that another system, such as one for billing, gave to what the hub keeps. Nodes know of none.
//!
//! Of the things of one kind at most one has a name: an index that is written in the same transaction as the
//! thing says which. Who may give names, decides who the other system takes a thing for: administrators only.

use crate::HubError;
use mamba_core::{
    db::{Key, Record, Snapshot, Table, Txn, TxnError},
    error::Invalid,
    server::check_text,
};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Longest name in bytes.
const BYTES_MAX: usize = 128;

/// A name in another system: 1 to 128 bytes without control characters. Upper and lower case are apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExternalId(String);

impl ExternalId {
    /// Reads what a change asks for: an empty text takes the name away.
    ///
    /// # Errors
    /// Names `external_id` and the rule.
    pub fn or_none(text: &str) -> Result<Option<Self>, Invalid> {
        (!text.is_empty()).then(|| text.parse()).transpose()
    }

    /// Returns it as the other system wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ExternalId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.to_owned().try_into()
    }
}

impl TryFrom<String> for ExternalId {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        check_text("external_id", &text, 1, BYTES_MAX)?;
        Ok(Self(text))
    }
}

impl From<ExternalId> for String {
    fn from(name: ExternalId) -> Self {
        name.0
    }
}

/// The names of the things of one kind, each with the thing that has it.
pub(crate) struct Names<O> {
    index: Table<String, O>,
    /// What such a thing is called in errors.
    what: &'static str,
}

impl<O: Record + PartialEq> Names<O> {
    pub(crate) const fn new(index: Table<String, O>, what: &'static str) -> Self {
        Self { index, what }
    }

    /// Returns what has a name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn find(&self, view: &impl Snapshot, name: &str) -> Result<Option<O>, TxnError> {
        view.get(self.index, &name.to_owned())
    }

    /// Returns the row of what has a name, out of the rows of a list behind a key: one or none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn row<K: Key + Ord, V: Record>(
        &self,
        view: &impl Snapshot,
        (rows, key_of): (Table<K, V>, impl Fn(O) -> K),
        name: &str,
        after: Option<&K>,
    ) -> Result<Vec<(K, V)>, TxnError> {
        let key = self.find(view, name)?.map(key_of);
        let Some(key) = key.filter(|key| after.is_none_or(|after| key > after)) else {
            return Ok(Vec::new());
        };
        let row = view.get(rows, &key)?;
        Ok(row.map(|row| (key, row)).into_iter().collect())
    }

    /// Gives a thing another name in the place of the one that it had, or takes that away.
    ///
    /// # Errors
    /// `Invalid` when something else has the name; nothing was changed.
    pub(crate) fn change(
        &self,
        txn: &mut Txn<'_>,
        owner: O,
        before: Option<&ExternalId>,
        after: Option<&ExternalId>,
    ) -> Result<(), HubError> {
        if before == after {
            return Ok(());
        }
        if let Some(ExternalId(after)) = after
            && txn.get(self.index, after)?.is_some_and(|other| other != owner)
        {
            let rule = format!("belongs to another {} already", self.what);
            return Err(HubError::invalid("external_id", rule));
        }
        if let Some(ExternalId(before)) = before
            && txn.get(self.index, before)?.is_some_and(|it| it == owner)
        {
            txn.delete(self.index, before)?;
        }
        if let Some(ExternalId(after)) = after {
            txn.put(self.index, after, &owner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_of_1_to_128_bytes() {
        let (longest, too_long) = ("x".repeat(128), "x".repeat(129));
        let wide = "é".repeat(64);
        let length = "`external_id`: must be 1 to 128 bytes long";
        let control = "`external_id`: must not contain control characters";
        for (text, refusal) in [
            ("7", None),
            ("whmcs-7/ä b", None),
            (longest.as_str(), None),
            (wide.as_str(), None),
            ("", Some(length)),
            (too_long.as_str(), Some(length)),
            ("é".repeat(65).as_str(), Some(length)),
            ("a\nb", Some(control)),
            ("a\0", Some(control)),
            ("\u{85}", Some(control)),
        ] {
            let read: Result<ExternalId, Invalid> = text.parse();
            let told = read.as_ref().err().map(ToString::to_string);
            assert_eq!(told.as_deref(), refusal, "{text:?}");
            assert_eq!(
                read.ok().as_ref().map(ExternalId::as_str),
                refusal.is_none().then_some(text)
            );
        }
        assert_eq!(ExternalId::or_none(""), Ok(None));
        assert_eq!(ExternalId::or_none("7"), Ok("7".parse().ok()));
        assert!(ExternalId::or_none(&too_long).is_err());
    }

    #[test]
    fn what_is_stored_is_the_text_and_is_checked_when_it_is_read() {
        let name: ExternalId = "whmcs-7".parse().unwrap();
        let bytes = postcard::to_allocvec(&name).unwrap();
        assert_eq!(bytes, postcard::to_allocvec("whmcs-7").unwrap());
        assert_eq!(postcard::from_bytes(&bytes), Ok(name));
        assert!(postcard::from_bytes::<ExternalId>(&postcard::to_allocvec("").unwrap()).is_err());
    }
}
