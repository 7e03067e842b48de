//! Pure: logins of image registries, each for one exact host.
//!
//! Only the exact host is given its password: a beginning such as `ghcr.io` would match
//! `ghcr.io.example.org` too.

use crate::{error::Invalid, server::check_text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Registry of an image that names none.
pub const DOCKER_HUB: &str = "docker.io";
/// Most logins of one hub: every node holds all of them, and takes all anew in one transaction, with two
/// operations each.
pub const LOGINS_MAX: usize = 48;
/// Most bytes of a host: a DNS name with a port.
pub const HOST_BYTES_MAX: usize = 255;
/// Most bytes of an account's name.
pub const USER_BYTES_MAX: usize = 255;
/// Most bytes of a password: tokens of the large registries have up to 2 KiB.
pub const PASSWORD_BYTES_MAX: usize = 8 * 1024;

/// Who one registry knows us as, with the password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Login {
    /// The host that images name, with its port where it is not the usual one.
    pub host: String,
    /// Name of the account.
    pub user: String,
    /// Password or token.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({} at {}, ..)", self.user, self.host)
    }
}

impl Login {
    /// Checks every part.
    ///
    /// # Errors
    /// The first field that breaks a rule. None of its text is told.
    pub fn check(&self) -> Result<(), Invalid> {
        check_host("host", &self.host)?;
        check_text("user", &self.user, 1, USER_BYTES_MAX)?;
        check_text("password", &self.password, 1, PASSWORD_BYTES_MAX)
    }
}

/// Checks a host as image references spell it.
///
/// # Errors
/// Names the field and the rule.
pub fn check_host(field: &str, host: &str) -> Result<(), Invalid> {
    let is_part = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || ".:-[]".contains(it);
    let is_sound = !host.is_empty() && host.len() <= HOST_BYTES_MAX && host.chars().all(is_part);
    // Whatever else stands before a slash is a part of a name on Docker Hub.
    if !is_sound || host_of(&format!("{host}/image")) != host {
        let rule = "must be the host that images name, such as `ghcr.io` or `localhost:5000`, and `docker.io` for Docker Hub";
        return Err(Invalid::new(field, rule));
    }
    Ok(())
}

/// Returns the registry that an image is pulled from. As the engine reads names: the part before the
/// first slash is a host when it holds a dot or a colon, or is `localhost`; since version 23 also when it
/// has a capital letter, which no name on Docker Hub has.
#[must_use]
pub fn host_of(image: &str) -> &str {
    match image.split_once('/') {
        Some(("index.docker.io" | "registry-1.docker.io", _)) => DOCKER_HUB,
        Some((host, _)) if is_host(host) => host,
        _ => DOCKER_HUB,
    }
}

fn is_host(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost" || part.to_lowercase() != part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_the_exact_host_that_an_image_names() {
        for (image, expected) in [
            ("minetest", "docker.io"),
            ("library/minetest:5", "docker.io"),
            ("docker.io/library/minetest", "docker.io"),
            ("index.docker.io/a/b", "docker.io"),
            ("ghcr.io/a/b:1", "ghcr.io"),
            ("ghcr.io.example.org/a/b", "ghcr.io.example.org"),
            ("localhost/a", "localhost"),
            ("registry:5000/a@sha256:00", "registry:5000"),
            ("[::1]:5000/a", "[::1]:5000"),
            ("ghcr.io", "docker.io"),
            ("Games/a", "Games"),
        ] {
            assert_eq!(host_of(image), expected, "{image}");
        }
    }

    #[test]
    fn a_host_that_no_image_can_name_is_refused() {
        for (host, is_good) in [
            ("ghcr.io", true),
            ("docker.io", true),
            ("localhost", true),
            ("localhost:5000", true),
            ("[::1]:5000", true),
            ("index.docker.io", false),
            ("myorg", false),
            ("https://ghcr.io", false),
            ("ghcr.io/org", false),
            ("GHCR.io", false),
            ("Games", false),
            ("*.io", false),
            ("", false),
        ] {
            assert_eq!(check_host("host", host).is_ok(), is_good, "{host}");
        }
        assert!(check_host("host", &format!("{}.io", "a".repeat(HOST_BYTES_MAX))).is_err());
    }

    #[test]
    fn what_is_wrong_is_told_without_the_password() {
        let login = |user: &str, password: &str| Login {
            host: "ghcr.io".to_owned(),
            user: user.to_owned(),
            password: password.to_owned(),
        };
        assert_eq!(login("bot", "s3cret").check(), Ok(()));
        let long = format!("s3cret{}", "x".repeat(PASSWORD_BYTES_MAX));
        for (it, field) in [
            (login("", "s3cret"), "user"),
            (login("bot", ""), "password"),
            (login("bot", "s3cret\n"), "password"),
            (login("bot", &long), "password"),
        ] {
            let err = it.check().unwrap_err();
            assert_eq!(err.field, field);
            assert!(!err.to_string().contains("s3cret") && !format!("{it:?}").contains("s3cret"));
        }
    }
}
