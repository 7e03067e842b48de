//! Pure: what an operator decides about accounts.

use super::provider::Provider;
use reqwest::Url;
use std::fmt;

/// What is decided about accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where people find the panel: the only origin of browsers, the name that passkeys are bound to,
    /// and the beginning of links in mails.
    pub public_url: PublicUrl,
    /// Whether anybody may make an account.
    pub registration: Registration,
    /// Who must have a second factor.
    pub second_factor: SecondFactorPolicy,
    /// Where people may sign in elsewhere.
    pub providers: Vec<Provider>,
    /// Whether mails are sent. Otherwise administrators read them.
    pub has_smtp: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            public_url: PublicUrl::local(),
            registration: Registration::default(),
            second_factor: SecondFactorPolicy::default(),
            providers: Vec::new(),
            has_smtp: false,
        }
    }
}

/// Whether anybody may make an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Registration {
    /// Accounts are made by administrators and by invitations.
    #[default]
    Closed,
    /// Who has a mail address may have an account, and a tenant of its own.
    Open,
}

/// Who must have a second factor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecondFactorPolicy {
    /// Nobody.
    #[default]
    None,
    /// Administrators.
    Admins,
    /// Everybody.
    All,
}

impl SecondFactorPolicy {
    /// Whether it asks an account for a second factor.
    #[must_use]
    pub fn requires(self, is_admin: bool) -> bool {
        match self {
            Self::None => false,
            Self::Admins => is_admin,
            Self::All => true,
        }
    }
}

/// Address of the panel: scheme, host and port, nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(Url);

impl PublicUrl {
    /// Returns the panel of a hub that only its own machine reaches.
    #[must_use]
    pub fn local() -> Self {
        #[expect(clippy::expect_used, reason = "a constant, parsed by every test")]
        Self(Url::parse("http://localhost:8080").expect("a URL"))
    }

    /// Parses an origin such as `https://panel.example.org`. Without encryption only a machine's own
    /// name will do: browsers give passkeys and cookies to nobody else.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const RULE: &str = "must be an origin such as `https://panel.example.org`, with `https` \
                            unless the host is `localhost` or an address of loopback";
        let url = Url::parse(text).map_err(|_| RULE)?;
        let is_bare = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        let host = url.host_str().unwrap_or_default();
        if is_bare && is_safe(&url) && !host.is_empty() { Ok(Self(url)) } else { Err(RULE) }
    }

    /// Returns the origin as browsers send it.
    #[must_use]
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// Returns a page of the panel. A token goes behind `#`, which browsers send to nobody.
    #[must_use]
    pub fn page(&self, path: &str, token: &str) -> String {
        format!("{}{path}#{token}", self.origin())
    }

    /// Whether a browser's `origin` is this. Where the panel is only for its own machine, any name of
    /// that machine will do.
    #[must_use]
    pub fn accepts(&self, origin: &str) -> bool {
        if origin == self.origin() {
            return true;
        }
        Url::parse(origin).is_ok_and(|other| {
            self.is_local()
                && Self(other.clone()).is_local()
                && other.scheme() == self.0.scheme()
                && other.port_or_known_default() == self.0.port_or_known_default()
        })
    }

    pub(super) fn url(&self) -> &Url {
        &self.0
    }

    /// Whether only its own machine reaches it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        is_local(self.0.host_str().unwrap_or_default())
    }

    /// Whether browsers reach it over TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }
}

/// Whether what is sent there is encrypted, or stays on this machine.
pub(crate) fn is_safe(url: &Url) -> bool {
    let is_local = || is_local(url.host_str().unwrap_or_default());
    url.scheme() == "https" || (url.scheme() == "http" && is_local())
}

fn is_local(host: &str) -> bool {
    let is_loopback = |ip: std::net::Ipv4Addr| ip.is_loopback();
    host == "localhost" || host == "[::1]" || host.parse().is_ok_and(is_loopback)
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_an_origin_that_browsers_trust() {
        for (text, origin) in [
            ("https://panel.example.org", "https://panel.example.org"),
            ("https://panel.example.org:8443/", "https://panel.example.org:8443"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ] {
            assert_eq!(PublicUrl::parse(text).unwrap().origin(), origin);
        }
        for text in [
            "",
            "panel.example.org",
            "http://panel.example.org",
            "ftp://localhost",
            "https://panel.example.org/path",
            "https://panel.example.org/?query",
            "https://name@panel.example.org",
        ] {
            assert!(PublicUrl::parse(text).is_err(), "{text}");
        }
        let page = PublicUrl::parse("https://a.org").unwrap().page("/reset", "secret");
        assert_eq!(page, "https://a.org/reset#secret");
    }

    #[test]
    fn names_of_the_own_machine_are_one_origin() {
        let local = PublicUrl::local();
        assert!(local.accepts("http://localhost:8080") && local.accepts("http://127.0.0.1:8080"));
        for other in ["http://localhost", "https://localhost:8080", "http://127.0.0.1.evil:8080"] {
            assert!(!local.accepts(other), "{other}");
        }
        let public = PublicUrl::parse("https://a.org").unwrap();
        assert!(public.accepts("https://a.org") && !public.accepts("https://localhost"));
    }

    #[test]
    fn the_policy_asks_whom_it_names() {
        for (policy, of_admin, of_user) in [
            (SecondFactorPolicy::None, false, false),
            (SecondFactorPolicy::Admins, true, false),
            (SecondFactorPolicy::All, true, true),
        ] {
            assert_eq!((policy.requires(true), policy.requires(false)), (of_admin, of_user));
        }
    }
}
