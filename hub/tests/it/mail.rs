//! Mails to a real SMTP server (aiosmtpd): plain, and with STARTTLS and a password.

use mamba_core::{
    clock::{Clock as _, SystemClock, SystemEntropy, draw},
    db::{DataDir, Store, StoreOptions},
    ids::EventId,
};
use mamba_hub::{
    mail::{self, Letter, Mailer, Secret, Shown, SmtpConfig, SmtpTls},
    store::KIND,
};
use std::{
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
};

/// Prints its port, then the envelope and text of each message.
const SERVER: &str = r#"
import asyncio, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult
class Handler:
    async def handle_DATA(self, server, session, envelope):
        text = envelope.content.decode().replace("\r\n", "|")
        print(envelope.mail_from, envelope.rcpt_tos[0], session.ssl is not None, text, flush=True)
        return "250 taken"
def check(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"panel", b"secret word"))
async def main():
    options = {}
    if len(sys.argv) > 1:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(sys.argv[1], sys.argv[2])
        options = dict(tls_context=tls, require_starttls=True, auth_required=True,
                       authenticator=check)
    loop = asyncio.get_running_loop()
    make = lambda: SMTP(Handler(), hostname="localhost", **options)
    server = await loop.create_server(make, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"#;

struct Server {
    child: Child,
    lines: BufReader<ChildStdout>,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Server {
    /// Starts it; without the variable that `scripts/test` sets the test says that it was skipped.
    fn start(args: &[&str]) -> Option<Self> {
        let Ok(python) = std::env::var("MAMBA_TEST_SMTP") else {
            eprintln!("skipped: MAMBA_TEST_SMTP names no Python with aiosmtpd");
            return None;
        };
        let mut child = Command::new(python)
            .args(["-c", SERVER])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        lines.read_line(&mut port).unwrap();
        Some(Self { child, lines, port: port.trim().parse().unwrap() })
    }

    fn next(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }

    fn config(&self) -> SmtpConfig {
        SmtpConfig {
            host: "localhost".to_owned(),
            port: self.port,
            tls: SmtpTls::None,
            authority: None,
            login: None,
            from: "Panel <panel@example.org>".to_owned(),
        }
    }
}

/// Queues one letter, takes up the queue once, and returns what is left of it.
async fn send(config: &SmtpConfig) -> Vec<mamba_wire::api::mail::Mail> {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(&dir.path().join("hub"), KIND).unwrap();
    let store = Store::open(&data, 0, StoreOptions::EDGE).unwrap();
    let clock = Arc::new(SystemClock::new().unwrap());
    let now = clock.wall();
    let id = EventId::new(now, draw(&SystemEntropy));
    let letter = Letter::Added { to: "Größe & <b>".to_owned() };
    store.write(move |txn| mail::queue(txn, now, id, "you@example.org", &letter)).await.unwrap();
    Mailer::new(store.clone(), clock, Some(config)).unwrap().round().await;
    mail::list(&store, None, 10, Shown::Whole).unwrap()
}

#[tokio::test]
async fn a_mail_is_handed_over_and_then_forgotten() {
    let Some(mut server) = Server::start(&[]) else { return };
    assert_eq!(send(&server.config()).await, []);
    let line = server.next();
    assert!(line.starts_with("panel@example.org you@example.org False"), "{line}");
    assert!(line.contains("Message-ID: <") && line.contains("text/html"), "{line}");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_costs_a_try_and_no_mail() {
    let Some(server) = Server::start(&[]) else { return };
    let config = server.config();
    drop(server);
    let left = send(&config).await;
    assert!(left.len() == 1 && left[0].tries == 1 && left[0].last_error.is_some(), "{left:?}");
    assert!(left[0].next_at.is_some());
}

#[tokio::test]
async fn a_password_goes_over_tls_to_who_has_the_right_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, own.cert.pem()).unwrap();
    std::fs::write(&key, own.signing_key.serialize_pem()).unwrap();
    let files = [cert.to_str().unwrap(), key.to_str().unwrap()];
    let Some(mut server) = Server::start(&files) else { return };
    let word = |text: &str| Some(("panel".to_owned(), Secret(text.to_owned().into())));
    let good = SmtpConfig {
        tls: SmtpTls::StartTls,
        authority: Some(own.cert.pem().into_bytes()),
        login: word("secret word"),
        ..server.config()
    };
    let left = send(&SmtpConfig { login: word("wrong"), ..good.clone() }).await;
    assert!(left.len() == 1 && !format!("{left:?}").contains("wrong"), "{left:?}");
    assert_eq!(send(&good).await, []);
    let line = server.next();
    assert!(line.starts_with("panel@example.org you@example.org True"), "{line}");
}
