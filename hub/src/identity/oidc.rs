//! Signing in elsewhere: any OpenID Connect issuer, Google among them, and Discord.
//!
//! Authorisation code with PKCE (S256), `state` and `nonce`. What a browser begins, the same browser
//! ends: `begin` gives it a word that no other page has and `finish` wants back. An account elsewhere
//! is linked to one here by who is signed in here, or because both sides have proved the same mail
//! address; it never gets in by an address alone.

use super::{
    Caller, Client, Identity, IdentityError, Step,
    accounts::normal_email,
    factors,
    provider::{Provider, Remote},
    records::{ACCOUNTS, Account, LINKS, Link, LinkSubject, USER_LINKS},
    sessions::How,
    sign_in::find,
    throttle::Attempt,
    trail::note,
};
use crate::mail::{Letter, Way};
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use mamba_core::{
    audit::Change,
    clock::draw,
    db::{Snapshot as _, Txn},
    ids::UserId,
};
use mamba_wire::api::{
    account::LinkedAccount,
    auth::{Begun, Method, Provider as Shown, SecondFactorNeeded, SignIn},
};

/// Providers of one hub, and so links of one account.
pub const PROVIDERS_MAX: usize = 16;

/// A visit to a provider.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    provider: String,
    verifier: String,
    nonce: String,
    binding: String,
    /// Who links; nobody when it is a sign-in.
    link: Option<UserId>,
}

impl Identity {
    /// Returns where people may sign in elsewhere.
    #[must_use]
    pub fn providers(&self) -> Vec<Shown> {
        let shown = |it: &Provider| Shown { provider: it.id.clone(), name: it.name.clone() };
        self.inner.settings.providers.iter().map(shown).collect()
    }

    /// Begins a visit to a provider, to sign in or, by who is signed in, to link.
    ///
    /// # Errors
    /// `NotFound`, `Throttled`, or `Elsewhere` when the provider does not answer.
    pub async fn begin_visit(
        &self,
        client: &Client,
        provider: &str,
        link: Option<&Caller>,
    ) -> Result<Begun, IdentityError> {
        let provider = self.provider(provider)?;
        let at = format!("visit to {}", provider.id);
        self.count(Attempt { at: &at, peer: client.peer, is_known: true })?;
        let word = || URL_SAFE_NO_PAD.encode(draw::<32>(&*self.inner.entropy));
        let visit = Visit {
            provider: provider.id.clone(),
            verifier: word(),
            nonce: word(),
            binding: word(),
            link: link.map(|caller| caller.user),
        };
        let endpoints = provider.endpoints().await?;
        let (verifier, nonce, binding) =
            (visit.verifier.clone(), visit.nonce.clone(), visit.binding.clone());
        let state = self.begin_step(client, Step::Visit(Box::new(visit)));
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        let url = provider.authorization_url(
            &endpoints,
            &self.redirect_uri(),
            &[("state", &state), ("nonce", &nonce), ("code_challenge", &challenge)],
        )?;
        self.throttle().clear(Attempt { at: &at, peer: client.peer, is_known: true });
        Ok(Begun { url, binding })
    }

    /// Ends a visit that was a sign-in.
    ///
    /// # Errors
    /// `NotSignedIn` when the visit was not begun so, `Elsewhere` when the provider does not vouch,
    /// `Refused` when nobody here is linked, or what the store says.
    pub async fn finish_visit(
        &self,
        client: Client,
        state: &str,
        binding: &str,
        code: &str,
    ) -> Result<SignIn, IdentityError> {
        let (provider, remote) = self
            .complete(state, binding, code, None)
            .await
            .inspect_err(|_| self.attempted("auth:fail", None, client.peer))?;
        let how = How::Provider(provider.clone());
        let now = self.inner.clock.wall();
        let (from, letter) = (client.clone(), self.draw_id(now));
        let found = self
            .inner
            .store
            .write(move |txn| {
                let key = (provider.clone(), remote.subject.clone());
                let (user, account) = match txn.get(LINKS, &key)? {
                    Some(link) => {
                        let account = txn.get(ACCOUNTS, &link.user)?;
                        (link.user, account.ok_or(IdentityError::NotSignedIn)?)
                    }
                    None => {
                        let (user, account) = by_address(txn, &remote)?;
                        let link = Link { user, name: remote.name.clone(), made_at: now };
                        insert(txn, key.clone(), &link)?;
                        let told = Change::set("provider", provider.clone());
                        note(txn, now, from.who(user), "user:link.create", [told])?;
                        factors::tell(txn, now, letter, user, linked(&provider))?;
                        (user, account)
                    }
                };
                let has_totp = factors::of(txn, user)?.totp.is_some();
                Ok::<_, IdentityError>((user, account, has_totp))
            })
            .await?;
        let (user, account, has_totp) = found;
        if has_totp {
            let password = super::passwords::fingerprint(&account.password);
            self.attempted("auth:checkpoint", Some(user), client.peer);
            let challenge = self.begin_step(&client, Step::SecondFactor { user, password });
            let methods = vec![Method::Totp, Method::RecoveryCode];
            return Ok(SignIn::SecondFactor(SecondFactorNeeded { challenge, methods }));
        }
        self.sign_in(client, user, account.password, how).await.map(SignIn::SignedIn)
    }

    /// Ends a visit that links.
    ///
    /// # Errors
    /// As [`Identity::finish_visit`]; `Refused` when the account elsewhere is linked to another.
    pub async fn finish_link(
        &self,
        caller: &Caller,
        state: &str,
        binding: &str,
        code: &str,
    ) -> Result<LinkedAccount, IdentityError> {
        let (provider, remote) = self.complete(state, binding, code, Some(caller.user)).await?;
        let now = self.inner.clock.wall();
        let link = Link { user: caller.user, name: remote.name, made_at: now };
        let shown =
            LinkedAccount { provider: provider.clone(), name: link.name.clone(), made_at: now };
        let (key, who) = ((provider, remote.subject), caller.who());
        let letter = self.draw_id(now);
        self.inner
            .store
            .write(move |txn| {
                insert(txn, key.clone(), &link)?;
                let provider = Change::set("provider", key.0.clone());
                note(txn, now, who, "user:link.create", [provider])?;
                factors::tell(txn, now, letter, link.user, linked(&key.0))
            })
            .await?;
        Ok(shown)
    }

    /// Returns the accounts elsewhere that a caller may sign in with.
    ///
    /// # Errors
    /// What the store says.
    pub fn links(&self, caller: &Caller) -> Result<Vec<LinkedAccount>, IdentityError> {
        self.inner.store.read(|view| {
            let mut found = Vec::new();
            for ((_, provider), own) in view.prefix(USER_LINKS, &(caller.user,), PROVIDERS_MAX)? {
                if let Some(link) = view.get(LINKS, &(provider.clone(), own.subject))? {
                    let Link { name, made_at, .. } = link;
                    found.push(LinkedAccount { provider, name, made_at });
                }
            }
            Ok(found)
        })
    }

    /// Forgets an account elsewhere.
    ///
    /// # Errors
    /// `NotFound`, or what the store says.
    pub async fn remove_link(&self, caller: &Caller, provider: &str) -> Result<(), IdentityError> {
        let (user, provider) = (caller.user, provider.to_owned());
        let (who, now) = (caller.who(), self.inner.clock.wall());
        let letter = self.draw_id(now);
        self.inner
            .store
            .write(move |txn| {
                let key = (user, provider.clone());
                let own = txn.get(USER_LINKS, &key)?.ok_or(IdentityError::NotFound("link"))?;
                txn.delete(USER_LINKS, &key)?;
                txn.delete(LINKS, &(provider.clone(), own.subject))?;
                let told = Change::set("provider", provider.clone());
                note(txn, now, who, "user:link.delete", [told])?;
                let removed = Letter::WayRemoved { way: Way::Provider, name: provider.clone() };
                factors::tell(txn, now, letter, user, removed)
            })
            .await?;
        Ok(())
    }

    /// Takes what a visit brought back to the provider and learns who it was.
    async fn complete(
        &self,
        state: &str,
        binding: &str,
        code: &str,
        link: Option<UserId>,
    ) -> Result<(String, Remote), IdentityError> {
        let visit = self.steps().take(self.inner.clock.boot(), state, |step| match step {
            Step::Visit(visit) if visit.binding == binding && visit.link == link => {
                Some(visit.clone())
            }
            _ => None,
        });
        let visit = visit.ok_or(IdentityError::NotSignedIn)?;
        let provider = self.provider(&visit.provider)?;
        let now = self.inner.clock.wall();
        let (redirect, nonce) = (self.redirect_uri(), &visit.nonce);
        let remote = provider.exchange(now, &redirect, code, &visit.verifier, nonce).await?;
        Ok((visit.provider, remote))
    }

    fn provider(&self, id: &str) -> Result<&Provider, IdentityError> {
        let found = self.inner.settings.providers.iter().find(|provider| provider.id == id);
        found.ok_or(IdentityError::NotFound("provider"))
    }

    /// The page of the panel to which providers send browsers back.
    fn redirect_uri(&self) -> String {
        format!("{}/auth/callback", self.inner.settings.public_url)
    }
}

fn linked(provider: &str) -> Letter {
    Letter::WayAdded { way: Way::Provider, name: provider.to_owned() }
}

/// Finds who has proved here the address that somebody has proved there.
fn by_address(txn: &Txn<'_>, remote: &Remote) -> Result<(UserId, Account), IdentityError> {
    let nobody = "no account here is linked to that one: sign in and link it first";
    let email = remote.verified_email.as_deref().map(normal_email);
    let found = email.map(|email| find(txn, &email)).transpose()?.flatten();
    let (user, account) = found.ok_or(IdentityError::Refused(nobody))?;
    if factors::of(txn, user)?.email_verified_at.is_none() {
        return Err(IdentityError::Refused(nobody));
    }
    Ok((user, account))
}

fn insert(txn: &mut Txn<'_>, key: (String, String), link: &Link) -> Result<(), IdentityError> {
    if txn.get(LINKS, &key)?.is_some_and(|other| other.user != link.user) {
        return Err(IdentityError::Refused("that account is linked to another one here"));
    }
    let own = (link.user, key.0.clone());
    if txn.get(USER_LINKS, &own)?.is_some_and(|other| other.subject != key.1) {
        return Err(IdentityError::Refused("another account of that provider is linked already"));
    }
    txn.put(USER_LINKS, &own, &LinkSubject { subject: key.1.clone() })?;
    Ok(txn.put(LINKS, &key, link)?)
}
