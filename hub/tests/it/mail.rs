//! Mails to a real SMTP server (aiosmtpd): plain, and over TLS, from the first byte or by STARTTLS, with a
//! password.

use mamba_core::{
    clock::{Clock as _, SystemClock, SystemEntropy, UnixMs, draw},
    db::{DataDir, Store, StoreOptions, Txn},
    ids::EventId,
};
use mamba_hub::{
    mail::{self, Letter, Mailer, Rendered, Secret, Shown, SmtpConfig, SmtpTls, Way},
    store::KIND,
};
use serde::Deserialize;
use std::{
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
};

/// The list of the crate's own tests.
#[path = "../../src/mail/every.rs"]
mod every;

/// Prints its port, then each message as one line of JSON. With a certificate, its key and `starttls` or
/// `tls` it takes mail from who signs in over TLS.
const SERVER: &str = r#"
import asyncio, email, email.policy, json, logging, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult
class Handler:
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        part = lambda kind: mail.get_body((kind,)).get_content()
        tls = session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None
        print(json.dumps(dict(sender=envelope.mail_from, to=envelope.rcpt_tos[0], tls=tls,
                              subject=mail["subject"], id=mail["message-id"],
                              plain=part("plain"), html=part("html"))), flush=True)
        return "250 taken"
def check(server, session, envelope, mechanism, data):
    right = (data.login, data.password) == (b"panel", b"secret word")
    # Not handled: the server itself answers, and does not leave the client waiting.
    return AuthResult(success=right, handled=right)
async def main():
    options, wrapped = {}, None
    if len(sys.argv) > 1:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(sys.argv[1], sys.argv[2])
        options = dict(auth_required=True, authenticator=check)
        if sys.argv[3] == "starttls":
            options.update(tls_context=tls, require_starttls=True)
        else:
            options.update(auth_require_tls=False)
            wrapped = tls
    # A client that trusts no stranger hangs up, as it should: that is not told as a fault.
    logging.getLogger("mail.log").setLevel(logging.CRITICAL + 1)
    loop = asyncio.get_running_loop()
    make = lambda: SMTP(Handler(), hostname="localhost", **options)
    server = await loop.create_server(make, "127.0.0.1", 0, ssl=wrapped)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"#;

/// A message as the server got it.
#[derive(Debug, Deserialize)]
struct Taken {
    sender: String,
    to: String,
    tls: bool,
    subject: String,
    id: String,
    plain: String,
    html: String,
}

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
    /// Starts it.
    fn start(args: &[&str]) -> Option<Self> {
        let python = crate::peers::peer("MAMBA_TEST_SMTP")?;
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

    fn next(&mut self) -> Taken {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|err| panic!("{err}: {line}"))
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

/// Queues letters, takes up the queue twice, and returns what is left of it.
async fn send(config: &SmtpConfig, letters: &[Letter]) -> Vec<mamba_wire::api::mail::Mail> {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(&dir.path().join("hub"), KIND).unwrap();
    let store = Store::open(&data, 0, StoreOptions::EDGE).unwrap();
    let clock = Arc::new(SystemClock::new().unwrap());
    let now = clock.wall();
    for (number, letter) in (0..).zip(letters.to_vec()) {
        // Letters go out in the order of their making.
        let at = UnixMs(now.0 - 1_000 + number);
        let id = EventId::new(at, draw(&SystemEntropy));
        let queue = move |txn: &mut Txn<'_>| mail::queue(txn, at, id, "you@example.org", &letter);
        store.write(queue).await.unwrap();
    }
    let mailer = Mailer::new(store.clone(), clock, Some(config)).unwrap();
    for _ in 0..=letters.len() / 20 {
        mailer.round().await;
    }
    mail::list(&store, None, 10, Shown::Whole).unwrap()
}

#[tokio::test]
async fn a_letter_of_each_kind_arrives_as_it_was_written() {
    let Some(mut server) = Server::start(&[]) else { return };
    let letters = every::letters("Größe & <b>", "https://panel.example.org/x#t0ken");
    assert_eq!(send(&server.config(), &letters).await, []);
    let same = |text: &str| text.replace("\r\n", "\n").trim_end().to_owned();
    for letter in letters {
        let (taken, Rendered { subject, text, html, link }) = (server.next(), letter.render());
        assert_eq!((&*taken.sender, &*taken.to), ("panel@example.org", "you@example.org"));
        assert!(!taken.tls && taken.id.ends_with("@example.org>"), "{taken:?}");
        assert_eq!(taken.subject, subject);
        assert_eq!((same(&taken.plain), same(&taken.html)), (same(&text), same(&html)));
        if let Some(link) = link {
            assert!(taken.plain.contains(&link) && taken.html.contains(&link), "{taken:?}");
        }
        assert!(!taken.html.contains("& <b>"), "{taken:?}");
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_costs_a_try_and_no_mail() {
    let Some(server) = Server::start(&[]) else { return };
    let config = server.config();
    drop(server);
    let left = send(&config, &[Letter::SecondFactorOn]).await;
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
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let word = |text: &str| Some(("panel".to_owned(), Secret(text.to_owned().into())));
    let letter = [Letter::SecondFactorOff];
    for (name, tls) in [("starttls", SmtpTls::StartTls), ("tls", SmtpTls::Tls)] {
        let files = [cert.to_str().unwrap(), key.to_str().unwrap(), name];
        let Some(mut server) = Server::start(&files) else { return };
        let good = SmtpConfig {
            tls,
            authority: Some(own.cert.pem().into_bytes()),
            login: word("secret word"),
            ..server.config()
        };
        let left = send(&SmtpConfig { login: word("wrong"), ..good.clone() }, &letter).await;
        assert!(left.len() == 1 && !format!("{left:?}").contains("wrong"), "{left:?}");
        for (why, bad) in [
            ("nobody's", SmtpConfig { authority: None, ..good.clone() }),
            ("another authority's", {
                let authority = Some(other.cert.pem().into_bytes());
                SmtpConfig { authority, ..good.clone() }
            }),
            ("for another name", SmtpConfig { host: "127.0.0.1".to_owned(), ..good.clone() }),
        ] {
            let left = send(&bad, &letter).await;
            let told = left[0].last_error.clone().unwrap_or_default();
            assert!(told.contains("certificate"), "{name}, a certificate {why}: {told}");
        }
        assert_eq!(send(&good, &letter).await, [], "{name}");
        // The first that it took: nothing went to who could not prove its name.
        let taken = server.next();
        assert!(taken.tls, "{name}: {taken:?}");
        assert_eq!(taken.subject, letter[0].render().subject);
    }
}
