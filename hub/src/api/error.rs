//! What a refusal becomes: the only place where an error of the hub turns into a status.

use crate::{HubError, identity::IdentityError};
use mamba_core::{
    error::{Invalid, chain},
    placement::Rejected,
};
use mamba_wire::api::Code;

/// Why a request was not served, ready to be told.
#[derive(Debug, thiserror::Error)]
#[error("{}: {detail}", code.text())]
pub(crate) struct ApiError {
    pub(crate) code: Code,
    pub(crate) detail: String,
    /// Fields that break a rule.
    pub(crate) errors: Vec<Invalid>,
    /// When to try again.
    pub(crate) retry_after_s: Option<u64>,
    /// Value of the `allow` header.
    pub(crate) allow: Option<String>,
    /// For the log only: what a client must not be told.
    pub(crate) cause: Option<String>,
}

impl ApiError {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let (errors, retry_after_s, allow, cause) = (Vec::new(), None, None, None);
        Self { code, detail: detail.into(), errors, retry_after_s, allow, cause }
    }

    /// Something that does not exist, or that the caller may not know of.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("{what} does not exist"))
    }

    pub(crate) fn not_signed_in() -> Self {
        Self::new(Code::NotSignedIn, "the request needs a valid token")
    }

    /// Our mistake: the cause goes to the log.
    pub(crate) fn bug(cause: impl Into<String>) -> Self {
        let mut err = Self::new(Code::Bug, "the hub's log has more under this request's id");
        err.cause = Some(cause.into());
        err
    }

    /// Something that may work later.
    fn unavailable(cause: String) -> Self {
        let mut err = Self::new(Code::Unavailable, "the hub cannot use its store now");
        err.cause = Some(cause);
        err.retry_after_s = Some(1);
        err
    }
}

impl From<Invalid> for ApiError {
    fn from(err: Invalid) -> Self {
        let mut answer = Self::new(Code::Invalid, err.to_string());
        answer.errors = vec![err];
        answer
    }
}

impl From<IdentityError> for ApiError {
    fn from(err: IdentityError) -> Self {
        match err {
            IdentityError::WrongCredentials => {
                Self::new(Code::WrongCredentials, "address or password is wrong")
            }
            IdentityError::NotSignedIn => Self::not_signed_in(),
            IdentityError::Throttled { retry_after_ms } => {
                let mut answer = Self::new(Code::Throttled, err.to_string());
                answer.retry_after_s = Some(retry_after_ms.div_ceil(1_000));
                answer
            }
            IdentityError::Busy => {
                let mut answer = Self::new(Code::Unavailable, err.to_string());
                answer.retry_after_s = Some(1);
                answer
            }
            IdentityError::Invalid(err) => err.into(),
            IdentityError::WrongCode => Invalid::new("code", "is wrong, or was used before").into(),
            IdentityError::Hub(err) => (*err).into(),
            IdentityError::Elsewhere(_) => Self::new(Code::Unavailable, err.to_string()),
            IdentityError::NotFound(what) => Self::not_found(what),
            IdentityError::Refused(detail) => Self::new(Code::Conflict, detail),
            IdentityError::Forbidden(detail) => Self::new(Code::Forbidden, detail),
            IdentityError::EmailTaken(_) | IdentityError::OnlyOwner(_) => {
                Self::new(Code::Conflict, err.to_string())
            }
            IdentityError::Unavailable(_) => Self::unavailable(chain(&err)),
            IdentityError::Read(err) => HubError::from(err).into(),
            IdentityError::Broken(_) => Self::bug(chain(&err)),
        }
    }
}

impl From<HubError> for ApiError {
    fn from(err: HubError) -> Self {
        match err {
            HubError::Invalid(err) => err.into(),
            HubError::NotFound { what } => Self::not_found(what),
            HubError::Forbidden(_) => Self::new(Code::Forbidden, err.to_string()),
            HubError::NoNode(rejected) => {
                let reason = |it: &Rejected| Invalid::new(format!("node.{}", it.name), &*it.reason);
                let mut answer = Self::new(Code::Conflict, "no node can take the server");
                answer.errors = rejected.iter().map(reason).collect();
                answer
            }
            HubError::Refused(_) | HubError::NeedsForce { .. } => {
                Self::new(Code::Conflict, err.to_string())
            }
            HubError::Unavailable(_) => Self::unavailable(chain(&err)),
            HubError::Bug(cause) => Self::bug(cause),
        }
    }
}
