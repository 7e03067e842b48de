//! Who is signed in. The access token lives in this page's memory only; the refresh token in a cookie that
//! no script can read.

use crate::{
    net::{Answer, Ask, Failure, exchange},
    storage, time,
};
use mamba_core::{
    access::{AdminRight, TenantRight},
    clock::UnixMs,
    ids::TenantId,
};
use mamba_wire::api::{
    Code, Endpoint, RequestBody,
    auth::{Me, Refresh, TokenPurpose, Tokens},
    table,
};
use std::rc::Rc;
use sycamore::prelude::*;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

/// Set in this browser's storage while it has a session: without it nothing has to be asked.
const HINT: &str = "mamba.session";
/// An access token is renewed so long before its end.
const RENEW_MS: u64 = 30_000;
/// Tries to renew before the page says that the hub is away.
const FIRST_TRY_PAUSE_MS: u32 = 2_000;

/// Where somebody is between signed out and signed in.
#[derive(Clone, PartialEq)]
pub(crate) enum Phase {
    /// Not known yet.
    Asking,
    /// Signed out.
    Out,
    /// Signed in, but only to set up a second factor.
    SettingUp(Rc<Me>),
    /// Signed in.
    In(Rc<Me>),
}

struct Access {
    token: String,
    until: UnixMs,
}

/// A promise of an answer, and what gives it.
#[derive(Clone)]
struct Waiting {
    promise: js_sys::Promise,
    give: js_sys::Function,
}

/// The session of this page.
#[derive(Clone, Copy)]
pub(crate) struct Session {
    /// Where it is.
    pub(crate) phase: Signal<Phase>,
    /// When the hub was heard last, while it gives no answer: how old all is that is shown. `None` while it
    /// does.
    pub(crate) lost_since: Signal<Option<UnixMs>>,
    /// When the hub was heard last; nobody follows it.
    heard_at: Signal<Option<UnixMs>>,
    access: Signal<Option<Access>>,
    /// There while tokens are being renewed: everybody waits for the same answer.
    renewing: Signal<Option<js_sys::Promise>>,
    /// While somebody is asked whether it is still there.
    pub(crate) confirming: Signal<bool>,
    /// Who waits for the answer: all for the same.
    waiting: Signal<Option<Waiting>>,
    /// While the hub is told of a sign-out: what is refused meanwhile begins nothing again.
    leaving: Signal<bool>,
}

impl Session {
    /// Begins: asks whether this browser still has a session. Call once, in the root.
    pub(crate) fn start() -> Self {
        let session = Self {
            phase: create_signal(Phase::Asking),
            lost_since: create_signal(None),
            heard_at: create_signal(None),
            access: create_signal(None),
            renewing: create_signal(None),
            confirming: create_signal(false),
            waiting: create_signal(None),
            leaving: create_signal(false),
        };
        provide_context(session);
        if storage::get(HINT).is_none() {
            session.phase.set(Phase::Out);
            return session;
        }
        sycamore::futures::spawn_local(async move {
            while session.phase.with_untracked(|it| *it == Phase::Asking) {
                session.renew().await;
                time::sleep(FIRST_TRY_PAUSE_MS).await;
            }
        });
        session
    }

    /// Asks for something.
    pub(crate) async fn call<E: Endpoint>(
        self,
        path: E::Path,
        query: E::Query,
        body: E::Body,
    ) -> Result<E::Out, Failure> {
        self.send(Ask::of::<E>(&path, &query, &body), E::PERMISSION.wanted_token())
            .await?
            .read::<E>()
    }

    /// Reads something; no value when it is as it was under this tag.
    pub(crate) async fn read<E>(
        self,
        path: &E::Path,
        query: &E::Query,
        known: Option<String>,
    ) -> Result<(Option<String>, Option<E::Out>), Failure>
    where
        E: Endpoint<Body = ()>,
        (): RequestBody,
    {
        let mut ask = Ask::of::<E>(path, query, &());
        ask.known = known;
        let answer = self.send(ask, E::PERMISSION.wanted_token()).await?;
        let value = if answer.is_unchanged { None } else { Some(answer.read::<E>()?) };
        Ok((answer.etag, value))
    }

    async fn send(self, mut ask: Ask, wants: bool) -> Result<Answer, Failure> {
        if wants {
            ask.token = Some(self.token().await?);
        }
        let mut result = exchange(&ask).await;
        let is_over = self.leaving.get_untracked();
        if wants && code_of(&result) == Some(Code::NotSignedIn) && !is_over && self.renew().await {
            ask.token = self.held();
            result = exchange(&ask).await;
        } else if result.as_ref().is_err_and(|it| *it == Failure::Unreachable)
            && ask.may_be_repeated()
        {
            result = exchange(&ask).await;
        }
        if wants && code_of(&result) == Some(Code::ConfirmFirst) && self.confirm().await {
            ask.token = Some(self.token().await?);
            result = exchange(&ask).await;
        }
        self.notice(&result);
        result
    }

    /// Asks whoever sits here to prove it; says whether that was done. What was refused for want of it is
    /// then asked again by itself.
    async fn confirm(self) -> bool {
        let waiting = self.waiting.with_untracked(Clone::clone);
        let promise = waiting.map(|it| it.promise).unwrap_or_else(|| {
            let mut giving = None;
            let promise = js_sys::Promise::new(&mut |give, _| giving = Some(give));
            self.waiting.set(giving.map(|give| Waiting { promise: promise.clone(), give }));
            self.confirming.set(true);
            promise
        });
        JsFuture::from(promise).await.is_ok_and(|it| it.is_truthy())
    }

    /// Ends the question whether somebody is still there.
    pub(crate) fn answer(self, is_there: bool) {
        if let Some(Waiting { give, .. }) = self.waiting.take_silent() {
            // A function that only gives a promise its value does not fail.
            give.call1(&JsValue::UNDEFINED, &is_there.into()).ok();
        }
        if self.confirming.get_untracked() {
            self.confirming.set(false);
        }
    }

    /// Takes over what a sign-in gave.
    pub(crate) fn enter(self, tokens: Tokens) {
        storage::set(HINT, "1");
        let me = Rc::new(tokens.me);
        let phase = match tokens.purpose {
            TokenPurpose::Api => Phase::In(me),
            TokenPurpose::SetUp => Phase::SettingUp(me),
        };
        self.access.set(Some(Access { token: tokens.access_token, until: tokens.access_until }));
        if self.phase.with_untracked(|old| *old != phase) {
            self.phase.set(phase);
        }
    }

    /// Forgets everything, as after signing out.
    pub(crate) fn leave(self) {
        storage::remove(HINT);
        self.access.set(None);
        self.phase.set(Phase::Out);
    }

    /// Signs out here and at the hub.
    pub(crate) async fn sign_out(self) {
        self.leaving.set(true);
        // Also when the hub is away: this browser is to forget.
        self.call::<table::Logout>((), (), ()).await.ok();
        self.leave();
        self.leaving.set(false);
    }

    /// Asks again who is signed in, for example after the account was changed.
    pub(crate) async fn renew(self) -> bool {
        let promise = self.renewing.with_untracked(Clone::clone).unwrap_or_else(|| {
            let promise = future_to_promise(async move {
                self.renew_once().await;
                self.renewing.set(None);
                Ok(JsValue::UNDEFINED)
            });
            self.renewing.set(Some(promise.clone()));
            promise
        });
        JsFuture::from(promise).await.ok();
        self.held().is_some()
    }

    async fn renew_once(self) {
        self.access.set(None);
        let ask = Ask::of::<table::Refresh>(&(), &(), &Refresh::default());
        let result = exchange(&ask).await;
        self.notice(&result);
        match result.and_then(|answer| answer.read::<table::Refresh>()) {
            Ok(tokens) => self.enter(tokens),
            Err(failure) if failure.code() == Some(Code::NotSignedIn) => self.leave(),
            Err(_) => {}
        }
    }

    async fn token(self) -> Result<String, Failure> {
        if let Some(token) = self.held() {
            return Ok(token);
        }
        self.renew().await;
        self.held().ok_or(Failure::Unreachable)
    }

    /// Returns the access token while it is good for a while.
    fn held(self) -> Option<String> {
        let last = time::now().plus(RENEW_MS);
        self.access.with_untracked(|access| {
            access.as_ref().filter(|it| it.until > last).map(|it| it.token.clone())
        })
    }

    /// Notes whether the hub answers.
    fn notice<T>(self, result: &Result<T, Failure>) {
        match result {
            Err(Failure::Unreachable) => self.lose(),
            Ok(_) | Err(Failure::Refused(_)) => self.hear(),
            // Something between may answer for one address only.
            Err(Failure::Strange(_) | Failure::NoPasskey) => {}
        }
    }

    /// The hub gave a sign of life.
    pub(crate) fn hear(self) {
        self.heard_at.set_silent(Some(time::now()));
        if self.lost_since.with_untracked(Option::is_some) {
            self.lost_since.set(None);
        }
    }

    /// The hub gives none: what is shown is as old as its last one.
    pub(crate) fn lose(self) {
        if self.lost_since.with_untracked(Option::is_none) {
            let heard_at = self.heard_at.with_untracked(|it| *it);
            self.lost_since.set(Some(heard_at.unwrap_or_else(time::now)));
        }
    }

    /// Whether the hub was not heard for longer than this.
    pub(crate) fn is_silent(self, ms: u64) -> bool {
        self.heard_at.with_untracked(|it| it.is_none_or(|at| time::now().since(at) > ms))
    }

    /// Returns who is signed in.
    pub(crate) fn me(self) -> Option<Rc<Me>> {
        self.phase.with(|phase| match phase {
            Phase::In(me) | Phase::SettingUp(me) => Some(me.clone()),
            Phase::Asking | Phase::Out => None,
        })
    }

    /// Whether this account has a right over the installation.
    pub(crate) fn may_admin(self, right: AdminRight) -> bool {
        self.me().is_some_and(|me| may_admin(&me, right))
    }

    /// Whether this account has a right over a tenant, as far as it can be told here.
    pub(crate) fn may_tenant(self, tenant: TenantId, right: TenantRight) -> bool {
        self.me().is_some_and(|me| may_tenant(&me, tenant, right))
    }
}

fn code_of<T>(result: &Result<T, Failure>) -> Option<Code> {
    result.as_ref().err().and_then(Failure::code)
}

/// Whether an account has a right over the installation.
fn may_admin(me: &Me, right: AdminRight) -> bool {
    let rights = me.admin.rights();
    rights.contains(&right) || rights.contains(&right.write())
}

/// Whether an account has a right over a tenant. A tenant's own roles and tenants above are known to the
/// hub only: what might be allowed is offered, and the hub decides.
fn may_tenant(me: &Me, tenant: TenantId, right: TenantRight) -> bool {
    let by_role = me.tenants.iter().find(|it| it.tenant == tenant).map(|it| it.role);
    may_admin(me, right.included_in())
        || by_role.is_none_or(|role| role.rights().is_none_or(|it| it.tenant.contains(&right)))
}

/// Whether an endpoint takes a token.
trait WantsToken {
    fn wanted_token(self) -> bool;
}

impl WantsToken for mamba_wire::api::Permission {
    fn wanted_token(self) -> bool {
        match self {
            Self::Public | Self::Ticket => false,
            Self::SettingUp
            | Self::SignedIn
            | Self::Admin(_)
            | Self::Tenant(_)
            | Self::Server(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::{
        access::{Administration, Role},
        ids::{SessionId, UserId},
    };
    use mamba_wire::api::auth::Membership;

    #[test]
    fn what_is_offered_follows_role_and_administration() {
        let (own, other) = (TenantId::from_bytes([1; 16]), TenantId::from_bytes([2; 16]));
        let me = |admin, role| Me {
            user: UserId::from_bytes([0; 16]),
            email: String::new(),
            admin,
            tenants: vec![Membership { tenant: own, name: String::new(), role }],
            session: SessionId::from_bytes([0; 16]),
        };
        let viewer = me(Administration::None, Role::Viewer);
        assert!(may_tenant(&viewer, own, TenantRight::TenantRead));
        assert!(!may_tenant(&viewer, own, TenantRight::ServerCreate));
        assert!(may_tenant(&viewer, other, TenantRight::ServerCreate), "perhaps by a tenant above");
        assert!(!may_admin(&viewer, AdminRight::NodesRead));
        let root = me(Administration::Root, Role::Viewer);
        assert!(may_tenant(&root, own, TenantRight::ServerCreate));
        let nodes = me(Administration::Some([AdminRight::NodesWrite].into()), Role::Viewer);
        assert!(may_admin(&nodes, AdminRight::NodesRead));
        assert!(!may_tenant(&nodes, own, TenantRight::MemberWrite));
    }
}
