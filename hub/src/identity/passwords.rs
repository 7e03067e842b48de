//! Passwords: Argon2id on threads of their own, a few at a time.

use super::IdentityError;
use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordVerifier, Version};
use mamba_core::clock::{Clock, Entropy, draw};
use std::sync::Arc;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Memory of one hash in KiB: 19 MiB, with two passes and one lane, is OWASP's recommendation.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Hashes at one time: bounds memory to 38 MiB, and leaves processors for others.
const HASHES_MAX: usize = 2;
/// Hashes that run or wait; at some 30 ms each the last one waits about a second.
const WAITING_MAX: usize = 64;
/// A hash that takes longer is told: 64 of them one after the other then outlast a request.
const SLOW_MS: u64 = 300;

/// How what is no hash begins: none does.
const VOID: char = '!';

/// Hashes and checks passwords.
pub(super) struct Passwords {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// Hash of a password that nobody knows, checked when there is no account.
    nobody: String,
}

impl Passwords {
    /// Hashes one password, and logs how long that takes here.
    pub(super) fn new(clock: &dyn Clock, entropy: &dyn Entropy) -> Self {
        let started = clock.boot();
        let nobody = hash_now(&draw::<32>(entropy), draw(entropy));
        let ms = clock.boot().since(started);
        let memory_mib = MEMORY_KIB / 1024;
        tracing::info!(
            ms,
            memory_mib,
            passes = PASSES,
            lanes = LANES,
            "argon2id hashes a password"
        );
        if ms > SLOW_MS {
            tracing::warn!(ms, "hashing a password is slow here, sign-ins will queue");
        }
        Self {
            running: Arc::new(Semaphore::new(HASHES_MAX)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            nobody,
        }
    }

    /// Hashes a password.
    ///
    /// # Errors
    /// `Busy` when too many wait.
    pub(super) async fn hash(
        &self,
        password: Zeroizing<String>,
        salt: [u8; 16],
    ) -> Result<String, IdentityError> {
        self.run(move || hash_now(password.as_bytes(), salt)).await
    }

    /// Whether a password is the one of a hash. `None` takes as long and is never right.
    ///
    /// # Errors
    /// `Busy` when too many wait.
    pub(super) async fn check(
        &self,
        password: Zeroizing<String>,
        hash: Option<String>,
    ) -> Result<bool, IdentityError> {
        let hash = hash.filter(|hash| !is_void(hash));
        let is_known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobody.clone());
        let is_right = self.run(move || check_now(password.as_bytes(), &hash)).await?;
        Ok(is_right && is_known)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, IdentityError> {
        let busy = |_| IdentityError::Busy;
        let place = self.waiting.clone().try_acquire_owned().map_err(busy)?;
        let turn = self.running.clone().acquire_owned().await.map_err(|_| IdentityError::Busy)?;
        // Cancelled, the hash goes on and keeps its turn: the bound holds for what really runs.
        let task = tokio::task::spawn_blocking(move || {
            let result = work();
            drop((turn, place));
            result
        });
        task.await.map_err(|err| IdentityError::Broken(Box::new(err)))
    }
}

fn hasher() -> Argon2<'static> {
    #[expect(clippy::expect_used, reason = "constants within Argon2's bounds, used by every test")]
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("valid parameters");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Hashes on this thread: about 30 ms.
pub(super) fn hash_now(password: &[u8], salt: [u8; 16]) -> String {
    #[expect(clippy::expect_used, reason = "fails only for inputs of gigabytes or short salts")]
    let hash = argon2::PasswordHasher::hash_password_with_salt(&hasher(), password, &salt)
        .expect("password and salt within bounds");
    hash.to_string()
}

/// Returns what stands in the place of a password's hash while there is none. Each is another, so that a
/// link that sets a password is good for one of them.
pub(super) fn void(random: [u8; 16]) -> String {
    random.iter().fold(VOID.to_string(), |text, byte| format!("{text}{byte:02x}"))
}

/// Whether there is no password.
pub(super) fn is_void(hash: &str) -> bool {
    hash.starts_with(VOID)
}

/// Names a password's hash, to notice that it was changed.
pub(super) fn fingerprint(hash: &str) -> [u8; 32] {
    *blake3::hash(hash.as_bytes()).as_bytes()
}

fn check_now(password: &[u8], hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| hasher().verify_password(password, &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_form_names_its_parameters() {
        let hash = hash_now(b"correct horse battery", [7; 16]);
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(check_now(b"correct horse battery", &hash));
        assert!(!check_now(b"correct horse batterz", &hash));
        assert!(!check_now(b"", "not a hash"));
        assert!(is_void(&void([7; 16])) && void([7; 16]) != void([8; 16]));
    }
}
