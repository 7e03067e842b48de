//! Credentials for image registries: from the node's own settings, or else those that the hub told.

use crate::{registries::HubRegistries, runtime::RuntimeError};
use bollard::{BollardRequest, auth::DockerCredentials};
use mamba_core::registry::{DOCKER_HUB, PASSWORD_BYTES_MAX, host_of};
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Name under which the engine knows Docker Hub.
const DOCKER_HUB_ADDRESS: &str = "https://index.docker.io/v1/";
/// Most bytes of a password file.
const PASSWORD_MAX: u64 = PASSWORD_BYTES_MAX as u64;

/// Who one registry knows us as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryLogin {
    /// Name of the account.
    pub user: String,
    /// Holds the password or token; read at each pull, so that a new one needs no restart.
    pub password_file: PathBuf,
}

/// Logins by the host that an image names, with its port. Only the exact host is given its password:
/// a beginning such as `ghcr.io` would match `ghcr.io.example.org` too.
pub type Registries = BTreeMap<String, RegistryLogin>;

/// A login for the engine, and who set it.
#[derive(Debug, PartialEq)]
pub(super) struct FoundLogin {
    pub(super) credentials: DockerCredentials,
    pub(super) by: SetBy,
}

/// Who set a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SetBy {
    Node,
    Hub,
}

/// Returns what the engine is told to pull an image with.
///
/// # Errors
/// `Refused` when the password cannot be read, or others on the machine can read it.
pub(super) fn credentials_for(
    registries: &Registries,
    hub: &HubRegistries,
    image: &str,
) -> Result<Option<FoundLogin>, RuntimeError> {
    let host = host_of(image);
    let Some(login) = registries.get(host) else {
        let told = hub.login(host);
        return Ok(told.map(|it| FoundLogin {
            credentials: credentials(host, it.user, it.password),
            by: SetBy::Hub,
        }));
    };
    let password = read_password(&login.password_file).map_err(|err| {
        let file = login.password_file.display();
        let error = format!("password file `{file}` of registry `{host}` cannot be used: {err}");
        RuntimeError::Refused { step: "pull image", error }
    })?;
    let credentials = credentials(host, login.user.clone(), password);
    Ok(Some(FoundLogin { credentials, by: SetBy::Node }))
}

/// Says, where a registry does not let an image be had, which registry that is and what it was shown: the
/// engine tells neither. No account is named, for the owners of servers read this.
pub(super) fn explain_refusal(image: &str, shown: Option<SetBy>, error: String) -> String {
    // As if after other words, as most engines tell it.
    let text = format!(": {}", error.to_ascii_lowercase());
    let is_about_login = [
        "no basic auth credentials",
        "unauthorized",
        "authorization failed",
        "access denied",
        // Of a registry and not of a file, for which permission is denied.
        ": denied",
    ];
    if !is_about_login.iter().any(|words| text.contains(words)) {
        return error;
    }
    let host = host_of(image);
    match shown {
        None => format!("no login is set for registry `{host}`: {error}"),
        Some(SetBy::Node) => {
            format!("registry `{host}` refused the login of this node's settings: {error}")
        }
        Some(SetBy::Hub) => {
            format!("registry `{host}` refused the login that the hub told: {error}")
        }
    }
}

fn credentials(host: &str, user: String, password: String) -> DockerCredentials {
    let address = if host == DOCKER_HUB { DOCKER_HUB_ADDRESS } else { host };
    DockerCredentials {
        username: Some(user),
        password: Some(password),
        serveraddress: Some(address.to_owned()),
        ..DockerCredentials::default()
    }
}

/// Spells a login as the engine reads it, in the alphabet for URLs. bollard writes the other one, and
/// the engine takes what it cannot read for no login at all.
pub(super) fn spell_login(mut request: BollardRequest) -> BollardRequest {
    if let Some(login) = request.headers_mut().get_mut("x-registry-auth") {
        let spelled = login.to_str().map(|it| it.replace('+', "-").replace('/', "_"));
        if let Some(spelled) = spelled.ok().and_then(|it| it.parse().ok()) {
            *login = spelled;
        }
    }
    request
}

fn read_password(file: &Path) -> io::Result<String> {
    let found = fs::metadata(file)?;
    if found.mode() & 0o077 != 0 {
        return Err(io::Error::other("it is open to others, its mode must be 0600"));
    }
    if found.len() > PASSWORD_MAX {
        return Err(io::Error::other(format!("it has more than {PASSWORD_MAX} bytes")));
    }
    let text = fs::read_to_string(file)?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(io::Error::other("it is empty")),
        password => Ok(password.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::registry::Login;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_the_named_host_gets_a_password_and_only_from_a_closed_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        let login = RegistryLogin { user: "bot".to_owned(), password_file: file.clone() };
        let registries = Registries::from([("ghcr.io".to_owned(), login)]);
        let hub = HubRegistries::default();
        let ask = |image| credentials_for(&registries, &hub, image);
        let set = |text: &str, mode| {
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        };
        assert!(ask("ghcr.io/a/b").unwrap_err().to_string().contains("`ghcr.io` cannot be used"));
        set("s3cret\n", 0o644);
        assert!(ask("ghcr.io/a/b").unwrap_err().to_string().contains("open to others"));
        set("\n", 0o600);
        assert!(ask("ghcr.io/a/b").unwrap_err().to_string().contains("empty"));
        set("s3cret\n", 0o600);
        let given = ask("ghcr.io/a/b").unwrap().unwrap().credentials;
        assert_eq!(given.password.as_deref(), Some("s3cret"));
        assert_eq!(given.serveraddress.as_deref(), Some("ghcr.io"));
        for other in ["ghcr.io.example.org/a/b", "a/b", "ghcr.io:5000/a"] {
            assert_eq!(ask(other).unwrap(), None, "{other}");
        }
    }

    #[test]
    fn the_nodes_own_settings_come_before_what_the_hub_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        fs::write(&file, "own").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let login = RegistryLogin { user: "bot".to_owned(), password_file: file };
        let registries = Registries::from([("ghcr.io".to_owned(), login)]);
        let told = |host: &str| Login {
            host: host.to_owned(),
            user: "fleet".to_owned(),
            password: "told".to_owned(),
        };
        let hub = HubRegistries::default();
        hub.set(vec![told("ghcr.io"), told("quay.io"), told("docker.io")]);
        for (image, expected) in [
            ("ghcr.io/a", Some(("bot", "own", "ghcr.io"))),
            ("quay.io/a", Some(("fleet", "told", "quay.io"))),
            ("a/b", Some(("fleet", "told", DOCKER_HUB_ADDRESS))),
            ("quay.io.example.org/a", None),
            ("quay.io:443/a", None),
        ] {
            let found = credentials_for(&registries, &hub, image).unwrap();
            let found = found.as_ref().map(|FoundLogin { credentials: it, .. }| {
                let text = |it: &Option<String>| it.clone().unwrap();
                (text(&it.username), text(&it.password), text(&it.serveraddress))
            });
            let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
            assert_eq!(found, expected, "{image}");
        }
        hub.set(Vec::new());
        assert_eq!(credentials_for(&registries, &hub, "quay.io/a").unwrap(), None);
    }

    /// Engines of versions 20.10 to 29, and the registries themselves, have many words for it.
    #[test]
    fn what_a_registry_refuses_is_told_with_its_name_and_with_what_it_was_shown() {
        for (error, is_about_login) in [
            ("Head \"http://ghcr.io/v2/a/manifests/1\": no basic auth credentials", true),
            ("unauthorized: authentication required", true),
            ("Get \"https://ghcr.io/v2/\": unauthorized: incorrect username or password", true),
            ("error from registry: denied", true),
            ("denied: requested access to the resource is denied", true),
            ("pull access denied, repository does not exist or may require authorization", true),
            ("failed to authorize: failed to fetch oauth token: 401 Unauthorized", true),
            ("Get \"https://ghcr.io/v2/\": dial tcp 127.0.0.1:443: connection refused", false),
            ("manifest for ghcr.io/a:1 not found: manifest unknown", false),
            ("open /var/lib/docker/tmp/x: permission denied", false),
        ] {
            for (shown, expected) in [
                (None, "no login is set for registry `ghcr.io`"),
                (Some(SetBy::Node), "registry `ghcr.io` refused the login of this node's settings"),
                (Some(SetBy::Hub), "registry `ghcr.io` refused the login that the hub told"),
            ] {
                let told = explain_refusal("ghcr.io/a:1", shown, error.to_owned());
                let expected = match is_about_login {
                    true => format!("{expected}: {error}"),
                    false => error.to_owned(),
                };
                assert_eq!(told, expected);
            }
        }
    }
}
