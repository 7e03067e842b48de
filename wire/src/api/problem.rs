//! Pure: what every refusal looks like (RFC 9457, `application/problem+json`).

use mamba_core::error::Invalid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Content type of a [`Problem`].
pub const CONTENT_TYPE: &str = "application/problem+json";

/// Why a request was not served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// `urn:mamba:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for every problem with this code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// For programs.
    pub code: Code,
    /// Names this request in the hub's log.
    pub request_id: String,
    /// Fields that break a rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Invalid>,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident $text:literal $status:literal $title:literal;)+) => {
        /// Kinds of problems. New ones are added; none changes its status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum Code { $($(#[doc = $doc])+ #[serde(rename = $text)] $name,)+ }

        impl Code {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Returns the code as it is sent.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// Returns its HTTP status.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }

            /// Returns its title.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }
        }
    };
}

codes! {
    /// The request is not HTTP or JSON as it should be.
    Malformed "malformed" 400 "The request is malformed";
    /// A field breaks a rule; `errors` names it.
    Invalid "invalid" 422 "A field breaks a rule";
    /// No token, or one that is not valid now.
    NotSignedIn "not_signed_in" 401 "Sign in first";
    /// Unknown address or wrong password: which of the two is not said.
    WrongCredentials "wrong_credentials" 401 "Address or password is wrong";
    /// Signed in, but not allowed.
    Forbidden "forbidden" 403 "This account may not do that";
    /// Allowed, once it is confirmed that whoever signed in is there: see `POST /api/v1/account/confirm`.
    ConfirmFirst "confirm_first" 403 "Confirm first that it is you";
    /// There is no such object, or the caller may not know of it.
    NotFound "not_found" 404 "There is no such thing";
    /// The path exists, the method does not; `allow` lists those that do.
    MethodNotAllowed "method_not_allowed" 405 "This path does not take that method";
    /// The state of the object does not allow it.
    Conflict "conflict" 409 "The present state does not allow that";
    /// The idempotency key was used with another request.
    KeyReused "key_reused" 409 "The idempotency key belongs to another request";
    /// A request with this idempotency key is still running, or the hub was stopped after its change
    /// and before its answer: look whether its result exists before trying again with a new key.
    KeyPending "key_pending" 409 "The first request with this key has no outcome yet";
    /// The object is not as `if-match` says: somebody changed it meanwhile.
    PreconditionFailed "precondition_failed" 412 "Somebody else changed that meanwhile";
    /// The body is over the limit.
    TooLarge "too_large" 413 "The request is too large";
    /// The body is not declared as JSON.
    NotJson "not_json" 415 "The body must be application/json";
    /// Too many attempts; `retry-after` says when to try again.
    Throttled "throttled" 429 "Too many attempts";
    /// The request took too long to arrive.
    Timeout "timeout" 408 "The request took too long to arrive";
    /// The hub did not finish in time; what was asked for may still happen.
    NoAnswer "no_answer" 504 "The hub did not finish in time";
    /// The hub cannot serve this now; nothing was done. Worth trying again.
    Unavailable "unavailable" 503 "The hub cannot do that now";
    /// The node is not connected.
    NodeOffline "node_offline" 503 "The node is not connected";
    /// Our mistake; the log names the request.
    Bug "internal" 500 "The hub made a mistake";
}

impl Problem {
    /// Makes a problem.
    pub fn new(code: Code, detail: impl Into<String>, request_id: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:mamba:problem:{}", code.text()),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            code,
            request_id: request_id.into(),
            errors: Vec::new(),
        }
    }
}
