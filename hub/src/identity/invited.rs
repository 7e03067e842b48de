//! Accounts of people who were invited: made with the token of their letter, also where nobody registers.
//! The letter proves the address; the token that who invited may hand over proves nothing and makes none.

use super::{
    Client, Identity, IdentityError,
    accounts::{check_password, insert},
    records::{Account, EMAILS, FACTORS, Factors},
    trail::note,
};
use crate::{
    HubError,
    tenants::{Answer, give_answer, mailed_to},
};
use mamba_core::{
    access::Administration, audit::Change, clock::draw, db::Snapshot as _, ids::UserId,
};
use zeroize::Zeroizing;

/// What who has an account already is told; the letter proves that the address is its own.
const HAS_ACCOUNT: &str = "the address has an account: sign in with it and accept there";

impl Identity {
    /// Makes the account that an invitation's letter went to, its address proved, and accepts. Returns
    /// the address.
    ///
    /// # Errors
    /// `Invalid` for a bad password, `Refused` when the address has an account, `Busy`, what the store
    /// says, or `NotFound` for a token that is unknown, used, expired or was not in the letter, or when
    /// who invited may not any more: which of these is not told.
    pub async fn register_invited(
        &self,
        client: Client,
        token: &str,
        password: Zeroizing<String>,
    ) -> Result<String, IdentityError> {
        check_password("password", &password)?;
        let now = self.inner.clock.wall();
        // Looked up first, so that nobody makes the hub hash with tokens that are none.
        let (token, email) = self.inner.store.read(|view| {
            let (token, email) = mailed_to(view, now, token)?;
            match view.contains(EMAILS, &email)? {
                true => Err(IdentityError::Refused(HAS_ACCOUNT)),
                false => Ok((token, email)),
            }
        })?;
        let password = self.inner.passwords.hash(password, draw(&*self.inner.entropy)).await?;
        let user = UserId::new(now, draw(&*self.inner.entropy));
        let account = Account::new(email.clone(), Administration::None, password, now);
        let who = client.who(user);
        let answer =
            Answer { user, email: email.clone(), origin: who.origin, token, accepts: true };
        let is_made = self
            .inner
            .store
            .write(move |txn| {
                if txn.contains(EMAILS, &account.email)? {
                    return Err(IdentityError::Refused(HAS_ACCOUNT));
                }
                if give_answer(txn, now, &answer)?.is_none() {
                    return Ok(false);
                }
                insert(txn, user, &account)?;
                let proved = Factors { email_verified_at: Some(now), ..Factors::default() };
                txn.put(FACTORS, &user, &proved)?;
                note(txn, now, who, "user:create", [Change::set("email", &*account.email)])?;
                Ok::<_, IdentityError>(true)
            })
            .await?;
        if is_made { Ok(email) } else { Err(HubError::NotFound { what: "invitation" }.into()) }
    }
}
