//! A secret of every kind, looked for where none may be: in all audit chains, in activity, in the bytes of
//! the store, and in what of a mail is shown. That none is logged has its test in `letters`.

use super::{
    features::{import, server_on},
    install::egg,
    world::{NO_PAGE, PASSWORD, World, api_key},
};
use mamba_core::{
    access::Role,
    audit::HUB_CHAIN,
    clock::Clock as _,
    fact::{Activity, ActivityFact, Chain, Stream},
    ids::{EventId, InstanceId, NodeId, ServerId, TenantId},
    lifecycle::Actor,
    seq::{Epoch, Seq},
};
use mamba_hub::{
    identity::{Provider, ProviderKind, Settings},
    link::backend::LinkBackend,
    mail::{self, Secret, Shown},
};
use mamba_wire::{
    api::{
        audit::AuditQuery,
        auth,
        console::CreateTicket,
        member::CreateInvitation,
        node::CreateJoinToken,
        params::{ServerPath, TenantPath},
        registry::{RegistryPath, SetRegistry},
        server::UpdateServer,
        table,
    },
    link::v1::{Facts, Hello, StreamHello},
};
use std::{collections::BTreeMap, fs, path::Path};

const ADMIN: &str = "admin@example.org";
const HIDDEN: &str = "canary-of-a-variable";
const TYPED: &str = "canary-typed-as-an-address";

/// Whether any file below a folder holds these bytes.
fn is_in(folder: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_in(&path, bytes);
        }
        fs::read(path).unwrap_or_default().windows(bytes.len()).any(|it| it == bytes)
    })
}

impl World {
    /// Returns every entry of the trails of the installation and of tenants, as text.
    fn all_audit(&self, tenants: &[TenantId]) -> String {
        let mut text = String::new();
        for chain in tenants.iter().chain([&HUB_CHAIN]) {
            let mut query = AuditQuery { limit: Some(100), ..AuditQuery::ALL };
            loop {
                let page = self.hub.audit(*chain, &query).unwrap();
                text.push_str(&format!("{:?}", page.items));
                query.after = page.next;
                if query.after.is_none() {
                    break;
                }
            }
        }
        text
    }

    /// Tells lines that were typed into a console, as a node does that masks nothing.
    async fn typed(&self, node: NodeId, server: (TenantId, ServerId), lines: &[&str]) {
        let fact = |(number, line): (u8, &&str)| ActivityFact {
            event: EventId::from_bytes([number; 16]),
            at: self.clock.wall(),
            about: Some(server),
            actor: Actor::Edge,
            body: Activity::ConsoleCommand { line: (*line).to_owned() },
        };
        let bodies: Vec<_> = (1..).zip(lines).map(|it| fact(it).encode().unwrap()).collect();
        let (stream, epoch) = (Stream::Activity, Epoch(7));
        let seqs = (1..).map(Seq).zip(&bodies);
        let chain = seqs.fold(Chain::default(), |chain, (seq, body)| chain.then(epoch, seq, body));
        let greeting = Hello {
            node,
            instance: InstanceId::from_bytes([1; 16]),
            minors: (0, 0),
            software: "test".to_owned(),
            streams: vec![StreamHello {
                stream,
                epoch,
                first_retained: Seq(1),
                next: Seq(bodies.len() as u64 + 1),
                chain_head: chain,
                chain_before_first: Chain::default(),
            }],
            desired: vec![],
            now: self.clock.wall(),
        };
        LinkBackend::hello(&self.hub, node, greeting, self.address).await.unwrap();
        let facts = Facts { stream, epoch, first: Seq(1), bodies, chain };
        LinkBackend::ingest(&self.hub, node, facts).await.unwrap();
    }

    /// Makes one of each kind of what somebody could use. Letters are apart: a spool holds their tokens.
    async fn secrets(&self, tenant: TenantId, server: ServerId) -> Vec<(&'static str, String)> {
        let (seed, codes) = self.set_up(&self.admin).await;
        let tokens = self.login("acme@example.org").await;
        let path = TenantPath { tenant };
        let guest = CreateInvitation { email: "guest@example.org".to_owned(), role: Role::Viewer };
        let invitation = self.admin::<table::CreateInvitation>(&path, &(), &guest).await.token;
        let path = ServerPath { server };
        let ticket = CreateTicket { write: true };
        let console = self.admin::<table::CreateConsoleTicket>(&path, &(), &ticket).await.ticket;
        let feed = self.admin::<table::CreateFeedTicket>(&(), &(), &()).await.ticket;
        let join = CreateJoinToken { name: "n9".to_owned(), replaces: None };
        let join = self.admin::<table::CreateJoinToken>(&(), &(), &join).await.token;
        let key = api_key("script");
        let key = self.admin::<table::CreateApiKey>(&(), &(), &key).await.token;
        let registry = RegistryPath { registry: "ghcr.io".to_owned() };
        let password = "canary-of-a-registry".to_owned();
        let login = SetRegistry { user: "robot".to_owned(), password: Some(password.clone()) };
        self.admin::<table::SetRegistry>(&registry, &(), &login).await;
        let variables = Some(BTreeMap::from([("HIDDEN".to_owned(), HIDDEN.to_owned())]));
        let body = UpdateServer { variables, ..UpdateServer::default() };
        self.admin::<table::UpdateServer>(&path, &(), &body).await;
        // Its own field is next to it.
        let wrong = auth::Login { email: TYPED.to_owned(), password: "wrong".to_owned() };
        self.call::<table::Login>(None, &(), &(), &wrong).await.err().unwrap();
        let secret_of = |token: &str, mark: char| token.rsplit_once(mark).unwrap().1.to_owned();
        let mut all = vec![
            ("password", PASSWORD.to_owned()),
            ("typed", TYPED.to_owned()),
            ("provider", "canary-of-a-provider".to_owned()),
            ("seed", seed),
            ("access", secret_of(&tokens.access_token, '.')),
            ("refresh", secret_of(&tokens.refresh_token.unwrap(), '.')),
            ("challenge", self.challenge().await),
            ("invitation", invitation),
            ("console ticket", console),
            ("feed ticket", feed),
            ("join", join),
            ("API key", secret_of(&key, '_')),
            ("registry", password),
            ("variable", HIDDEN.to_owned()),
        ];
        all.extend(codes.into_iter().map(|it| ("recovery code", it)));
        all
    }
}

#[tokio::test]
async fn no_secret_is_in_the_audit_or_readable_in_the_store() {
    let provider = Provider {
        id: "own".to_owned(),
        name: "Own".to_owned(),
        kind: ProviderKind::Oidc { issuer: "https://id.example.org".to_owned() },
        client_id: "panel".to_owned(),
        client_secret: Secret("canary-of-a-provider".to_owned().into()),
    };
    let world = World::with(Settings { providers: vec![provider], ..Settings::default() }).await;
    let node = world.node("n1", 1).await;
    let (tenant, _) = world.tenant("acme").await;
    let blueprint = import(&world, &egg()).await;
    let server = server_on(&world, node, tenant, &blueprint).await;
    let secrets = world.secrets(tenant, server).await;
    assert!(secrets.len() >= 24, "{}", secrets.len());
    let raw = totp_rs::Secret::try_from_base32(&secrets[3].1).unwrap();
    for (kind, secret) in &secrets {
        assert!(!is_in(world.dir.path(), secret.as_bytes()), "the {kind} is in the store");
    }
    assert!(!is_in(world.dir.path(), raw.as_ref()), "the seed's bytes are in the store");
    assert!(is_in(world.dir.path(), b"acme@example.org"), "the test can see");

    // What goes out by mail, and what a node tells without masking it.
    world.clock.advance(1);
    let reset = auth::RequestReset { email: ADMIN.to_owned() };
    world.call::<table::RequestReset>(None, &(), &(), &reset).await.unwrap();
    let mailed = [world.mailed(ADMIN).await, world.mailed("guest@example.org").await];
    let lines =
        [format!("auth {HIDDEN} now"), "sv_password canary".to_owned(), "say hi".to_owned()];
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    world.typed(node, (tenant, server), &lines).await;
    world.identity.flush().await;
    let path = ServerPath { server };
    let activity = world.admin::<table::ListActivity>(&path, &NO_PAGE, &()).await;
    let shown = mail::list(world.hub.store(), None, 100, Shown::WithoutLink).unwrap();
    let audit = world.all_audit(&[tenant]);
    for (place, text) in [
        ("audit", audit.clone()),
        ("activity", format!("{activity:?}")),
        ("mails", format!("{shown:?}")),
    ] {
        let of_letters = mailed.iter().map(|it| ("letter", it.clone()));
        for (kind, secret) in secrets.iter().cloned().chain(of_letters) {
            assert!(!text.contains(&secret), "the {kind} is in {place}: {text}");
        }
        assert!(!text.contains("canary"), "{place}: {text}");
    }
    for told in ["auth *** now", "sv_password ***", "say hi", "registry", "auth:fail"] {
        assert!(audit.contains(told), "{told} is not in the audit: {audit}");
    }
}
