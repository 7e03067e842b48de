//! What an operator can ask of the hub, whether it runs or not.

use super::{CliError, blueprint::Stored};
use crate::{
    Hub, HubError, HubParts,
    app::BALLAST_BYTES,
    audit::Verified,
    backup::MakeBackupError,
    identity::{
        IdentityError, NewAccount, create_account, delete_account, disable_second_factor,
        set_administration, set_password,
    },
    ingest::requeue::Requeued,
    nodes::{Force, NewToken, NodeDetail},
    reconcile::Report,
    secrets::{self, Rotated, Vault},
    store::KIND,
};
use mamba_core::{
    access::Administration,
    clock::{SystemClock, SystemEntropy},
    db::{BackupError, DataDir, Store, StoreOptions},
    error::chain,
    ids::NodeId,
    scope::AdminScope,
};
use mamba_wire::{
    api::{
        Page, PageQuery,
        node::{NewJoinToken, Node},
        page::PAGE_ITEMS_MAX,
        registry::Registry,
        transfer::Transfer,
    },
    node::Check,
};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};
use zeroize::Zeroizing;

/// One question.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum AdminRequest {
    Token {
        name: String,
        replaces: Option<String>,
        address: Option<String>,
    },
    Nodes,
    Node {
        node: String,
    },
    Revoke {
        node: String,
    },
    Approve {
        node: String,
    },
    DeleteNode {
        node: String,
        force: bool,
    },
    Backup {
        file: PathBuf,
    },
    Requeue {
        clock_is_right: bool,
    },
    Doctor,
    SetPassword {
        email: String,
        password: Password,
    },
    DisableSecondFactor {
        email: String,
    },
    CreateAccount {
        email: String,
        password: Password,
    },
    DeleteAccount {
        email: String,
    },
    Grant {
        email: String,
        admin: Administration,
    },
    RotateSecrets,
    Transfers,
    VerifyAudit,
    Reconcile {
        days: Option<u32>,
    },
    Registry(RegistryRequest),
    /// In our own format.
    ImportBlueprint {
        text: String,
    },
}

/// A question about logins of image registries.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum RegistryRequest {
    List,
    Set { host: String, user: String, password: Option<Password> },
    Remove { host: String },
}

/// A password on its way through the local socket, which only its owner can open.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Password(pub(super) String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// One answer.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AdminReply {
    Token(NewJoinToken),
    Nodes(Vec<Node>),
    Node(Box<NodeDetail>),
    Backup(BackupDone),
    Requeued(Requeued),
    Checks(Vec<Check>),
    SecretsRotated(Rotated),
    AuditVerified(Verified),
    Reconciled(Box<Report>),
    Transfers(Vec<Transfer>),
    Blueprint(Stored),
    Registries(Vec<Registry>),
    Done,
    Granted(Administration),
    Failure(Failure),
}

/// A finished copy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct BackupDone {
    pub(super) file: PathBuf,
    pub(super) pairs: u64,
    pub(super) bytes: u64,
    /// BLAKE3 over the content, in hexadecimal digits.
    pub(super) digest: String,
}

/// Why there is no answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Failure {
    Refused(String),
    Failed(String),
}

impl From<HubError> for Failure {
    fn from(err: HubError) -> Self {
        match err {
            HubError::Unavailable(_) | HubError::Bug(_) => Self::Failed(chain(&err)),
            HubError::Invalid(_)
            | HubError::NotFound { .. }
            | HubError::Forbidden(_)
            | HubError::Refused(_)
            | HubError::NoNode(_)
            | HubError::NeedsForce { .. } => Self::Refused(chain(&err)),
        }
    }
}

impl From<IdentityError> for Failure {
    fn from(err: IdentityError) -> Self {
        match err {
            IdentityError::NotFound(_)
            | IdentityError::Invalid(_)
            | IdentityError::EmailTaken(_)
            | IdentityError::OnlyOwner(_)
            | IdentityError::Refused(_) => Self::Refused(chain(&err)),
            other => Self::Failed(chain(&other)),
        }
    }
}

/// A hub that can be asked.
#[derive(Clone)]
pub struct AdminContext {
    /// The hub.
    pub hub: Hub,
    /// Goes into join tokens; `None` when no config is at hand.
    pub public_link_address: Option<String>,
}

impl AdminContext {
    /// Answers a question of an operator, by the name of the operating system's user.
    pub(super) async fn answer(&self, operator: String, request: AdminRequest) -> AdminReply {
        let scope = AdminScope::operator(operator);
        self.try_answer(&scope, request).await.unwrap_or_else(AdminReply::Failure)
    }

    async fn try_answer(
        &self,
        scope: &AdminScope,
        request: AdminRequest,
    ) -> Result<AdminReply, Failure> {
        let hub = &self.hub;
        Ok(match request {
            AdminRequest::Requeue { clock_is_right } => {
                if clock_is_right {
                    hub.trust_clock(scope).await?;
                }
                AdminReply::Requeued(hub.requeue().await?)
            }
            AdminRequest::VerifyAudit => AdminReply::AuditVerified(hub.verify_audit()?),
            AdminRequest::RotateSecrets => {
                AdminReply::SecretsRotated(hub.rotate_secrets(scope).await?)
            }
            AdminRequest::SetPassword { email, password: Password(password) } => {
                let (now, password) = (hub.clock().wall(), Zeroizing::new(password));
                set_password(hub.store(), scope, now, hub.entropy(), &email, password).await?;
                AdminReply::Done
            }
            AdminRequest::DisableSecondFactor { email } => {
                let (vault, now) = (hub.vault().clone(), hub.clock().wall());
                let (store, entropy) = (hub.store(), hub.entropy());
                disable_second_factor(store, vault, scope, now, entropy, &email).await?;
                AdminReply::Done
            }
            AdminRequest::CreateAccount { email, password: Password(password) } => {
                let new = NewAccount { email, password: Zeroizing::new(password) };
                create_account(hub.store(), scope, hub.clock().wall(), hub.entropy(), new).await?;
                AdminReply::Done
            }
            AdminRequest::DeleteAccount { email } => {
                let (vault, now) = (hub.vault().clone(), hub.clock().wall());
                delete_account(hub.store(), vault, scope, now, hub.entropy(), &email).await?;
                AdminReply::Done
            }
            AdminRequest::Grant { email, admin } => {
                let now = hub.clock().wall();
                set_administration(hub.store(), scope, now, &email, admin.clone()).await?;
                AdminReply::Granted(admin)
            }
            AdminRequest::Doctor => AdminReply::Checks(hub.check()?),
            AdminRequest::Reconcile { days } => {
                AdminReply::Reconciled(Box::new(hub.reconcile(days).await?))
            }
            AdminRequest::Token { name, replaces, address } => {
                AdminReply::Token(self.token(scope, name, replaces, address).await?)
            }
            AdminRequest::Transfers => AdminReply::Transfers(self.transfers()?),
            AdminRequest::Nodes => AdminReply::Nodes(self.nodes(scope)?),
            AdminRequest::Node { node } => {
                AdminReply::Node(Box::new(hub.node_detail(scope, self.find(scope, &node)?)?))
            }
            AdminRequest::Revoke { node } => {
                let node = self.find(scope, &node)?;
                AdminReply::Node(Box::new(hub.revoke_node(scope, node).await?))
            }
            AdminRequest::Approve { node } => {
                let node = self.find(scope, &node)?;
                AdminReply::Node(Box::new(hub.approve_replacement(scope, node).await?))
            }
            AdminRequest::DeleteNode { node, force } => {
                self.delete_node(scope, &node, force).await?;
                AdminReply::Done
            }
            AdminRequest::Registry(ask) => AdminReply::Registries(self.registry(scope, ask).await?),
            AdminRequest::ImportBlueprint { text } => {
                AdminReply::Blueprint(self.import_blueprint(scope, &text).await?)
            }
            AdminRequest::Backup { file } => AdminReply::Backup(self.backup(file).await?),
        })
    }

    async fn token(
        &self,
        scope: &AdminScope,
        name: String,
        replaces: Option<String>,
        address: Option<String>,
    ) -> Result<NewJoinToken, Failure> {
        let address = address.or_else(|| self.public_link_address.clone());
        if address.is_none() {
            let why = "no hub runs that knows its address: give --address HOST:PORT";
            return Err(Failure::Refused(why.to_owned()));
        }
        let replaces = replaces.map(|node| self.find(scope, &node)).transpose()?;
        let new = NewToken { name, replaces, address, ttl_ms: None };
        Ok(self.hub.create_join_token(scope, new).await?)
    }

    async fn import_blueprint(&self, scope: &AdminScope, text: &str) -> Result<Stored, Failure> {
        let done = self.hub.import_blueprint(scope, text.as_bytes()).await?;
        let (blueprint, version) = (done.known.blueprint.key, done.known.version);
        Ok(Stored { blueprint, version, is_new: done.is_new })
    }

    async fn delete_node(
        &self,
        scope: &AdminScope,
        node: &str,
        force: bool,
    ) -> Result<(), Failure> {
        let force = if force { Force::GiveUp } else { Force::Keep };
        let node = self.find(scope, node)?;
        let name = self.hub.node_detail(scope, node)?.node.name;
        Ok(self.hub.delete_node(scope, node, name, force).await?)
    }

    fn nodes(&self, scope: &AdminScope) -> Result<Vec<Node>, Failure> {
        all(|query| self.hub.nodes(scope, &query.clone().into()))
    }

    fn transfers(&self) -> Result<Vec<Transfer>, Failure> {
        all(|query| self.hub.open_transfers(query))
    }

    /// Answers with all logins, or with the one that was set.
    async fn registry(
        &self,
        scope: &AdminScope,
        ask: RegistryRequest,
    ) -> Result<Vec<Registry>, Failure> {
        let hub = &self.hub;
        match ask {
            RegistryRequest::List => {}
            RegistryRequest::Set { host, user, password } => {
                let password = password.map(|Password(text)| text);
                return Ok(vec![hub.set_registry(scope, host, user, password).await?]);
            }
            RegistryRequest::Remove { host } => hub.delete_registry(scope, host).await?,
        }
        Ok(hub.registries()?)
    }

    /// Finds a node by id or name.
    fn find(&self, scope: &AdminScope, node: &str) -> Result<NodeId, Failure> {
        if let Ok(id) = node.parse() {
            return Ok(id);
        }
        let named = self.nodes(scope)?.into_iter().find(|it| it.name == node);
        let missing = || Failure::Refused(format!("no node is named `{node}`"));
        named.map(|it| it.node).ok_or_else(missing)
    }

    async fn backup(&self, file: PathBuf) -> Result<BackupDone, Failure> {
        let report = self.hub.back_up(file.clone()).await.map_err(|err| match err {
            MakeBackupError::Copy(BackupError::Exists { .. }) => Failure::Refused(chain(&err)),
            other => Failure::Failed(chain(&other)),
        })?;
        let digest = report.digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(BackupDone { file, pairs: report.pairs_count, bytes: report.pairs_bytes, digest })
    }
}

/// Reads a list to its end.
fn all<T>(list: impl Fn(&PageQuery) -> Result<Page<T>, HubError>) -> Result<Vec<T>, Failure> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = list(&PageQuery { after, limit: Some(PAGE_ITEMS_MAX) })?;
        all.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

/// Opens the store of a hub that does not run, and answers from it.
pub(super) async fn alone(data: &Path, request: AdminRequest) -> Result<AdminReply, CliError> {
    let failed = |err: &dyn std::error::Error| CliError::failed(err);
    // Looking first: opening would make what is missing.
    drop(DataDir::peek(data, KIND).map_err(|err| failed(&err))?);
    let dir = DataDir::open(data, KIND).map_err(|err| failed(&err))?;
    let options = StoreOptions { cache_bytes: 16 << 20, ..StoreOptions::HUB };
    let store = Store::open(&dir, BALLAST_BYTES, options).map_err(|err| failed(&err))?;
    let keys = secrets::load(&store).map_err(|err| failed(&err))?;
    let clock = Arc::new(SystemClock::new().map_err(|err| failed(&err))?);
    let entropy = Arc::new(SystemEntropy);
    let vault = Vault::open(dir.path(), &*entropy).map_err(|err| failed(&err))?;
    let parts = HubParts { store: store.clone(), keys, vault, clock, entropy };
    let hub = Hub::open(parts).await.map_err(|err| failed(&err))?;
    let context = AdminContext { hub, public_link_address: None };
    let reply = context.answer(operator(rustix::process::geteuid().as_raw()), request).await;
    store.close().await;
    Ok(reply)
}

/// Returns the name of an operating system's user, for the records.
pub(super) fn operator(uid: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut parts = line.split(':');
        let (name, id) = (parts.next()?, parts.nth(1)?);
        (id.parse() == Ok(uid)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("uid {uid}"))
}
