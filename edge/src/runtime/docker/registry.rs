//! Credentials for image registries, from the node's own settings.

use crate::runtime::RuntimeError;
use bollard::{BollardRequest, auth::DockerCredentials};
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Registry of an image that names none.
const DOCKER_HUB: &str = "docker.io";
/// Name under which the engine knows Docker Hub.
const DOCKER_HUB_ADDRESS: &str = "https://index.docker.io/v1/";
/// Most bytes of a password: tokens of the large registries have up to 2 KiB.
const PASSWORD_MAX: u64 = 8 * 1024;

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

/// Returns the registry that an image is pulled from. As the engine reads names: the part before the
/// first slash is a host when it holds a dot or a colon, or is `localhost`.
fn host_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => match host {
            "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB,
            host => host,
        },
        _ => DOCKER_HUB,
    }
}

/// Returns what the engine is told to pull an image with.
///
/// # Errors
/// `Refused` when the password cannot be read, or others on the machine can read it.
pub(super) fn credentials_for(
    registries: &Registries,
    image: &str,
) -> Result<Option<DockerCredentials>, RuntimeError> {
    let host = host_of(image);
    let Some(login) = registries.get(host) else { return Ok(None) };
    let password = read_password(&login.password_file).map_err(|err| {
        let file = login.password_file.display();
        let error = format!("password file `{file}` of registry `{host}` cannot be used: {err}");
        RuntimeError::Refused { step: "pull image", error }
    })?;
    let address = if host == DOCKER_HUB { DOCKER_HUB_ADDRESS } else { host };
    Ok(Some(DockerCredentials {
        username: Some(login.user.clone()),
        password: Some(password),
        serveraddress: Some(address.to_owned()),
        ..DockerCredentials::default()
    }))
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
    use std::os::unix::fs::PermissionsExt;

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
            ("ghcr.io", "docker.io"),
        ] {
            assert_eq!(host_of(image), expected, "{image}");
        }
    }

    #[test]
    fn only_the_named_host_gets_a_password_and_only_from_a_closed_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        let login = RegistryLogin { user: "bot".to_owned(), password_file: file.clone() };
        let registries = Registries::from([("ghcr.io".to_owned(), login)]);
        let ask = |image| credentials_for(&registries, image);
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
        let given = ask("ghcr.io/a/b").unwrap().unwrap();
        assert_eq!(given.password.as_deref(), Some("s3cret"));
        assert_eq!(given.serveraddress.as_deref(), Some("ghcr.io"));
        for other in ["ghcr.io.example.org/a/b", "a/b", "ghcr.io:5000/a"] {
            assert_eq!(ask(other).unwrap(), None, "{other}");
        }
    }
}
