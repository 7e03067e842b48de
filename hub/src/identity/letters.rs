//! Which letters somebody wants: those that only inform can be turned off, those about the account's own
//! safety always go out.

use super::{
    Caller, Identity, IdentityError,
    records::{LETTERS, LettersRecord},
};
use mamba_core::{
    db::{Snapshot, TxnError},
    ids::UserId,
};
use mamba_wire::api::account::Letters;

/// What a letter is about that can be turned off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    /// Access that was given or taken back.
    Access,
    /// Servers that were installed or crashed.
    Servers,
}

/// Whether somebody wants letters about this; who never chose wants all.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn wants(view: &impl Snapshot, user: UserId, topic: Topic) -> Result<bool, TxnError> {
    let Letters { access, servers } = chosen(view, user)?;
    Ok(match topic {
        Topic::Access => access,
        Topic::Servers => servers,
    })
}

pub(super) fn chosen(view: &impl Snapshot, user: UserId) -> Result<Letters, TxnError> {
    let record = view.get(LETTERS, &user)?;
    Ok(record
        .map_or(Letters { access: true, servers: true }, |LettersRecord { access, servers }| {
            Letters { access, servers }
        }))
}

impl Identity {
    /// Chooses which letters the caller gets.
    ///
    /// # Errors
    /// What the store says.
    pub async fn choose_letters(
        &self,
        caller: &Caller,
        letters: Letters,
    ) -> Result<Letters, IdentityError> {
        let (user, Letters { access, servers }) = (caller.user, letters);
        let record = LettersRecord { access, servers };
        let change = move |txn: &mut mamba_core::db::Txn<'_>| {
            Ok::<_, IdentityError>(txn.put(LETTERS, &user, &record)?)
        };
        self.inner.store.write(change).await?;
        Ok(letters)
    }
}
