//! Hands letters to an SMTP server.

use super::{
    KEEP_MS,
    records::{DUE, Due, MAILS, MailRecord},
    remove,
};
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, MultiPart},
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
    },
};
use mamba_core::{
    clock::{Clock, UnixMs},
    db::{Snapshot, Span, Store, TxnError, WriteError},
    error::chain,
    ids::EventId,
};
use std::{fmt, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use zeroize::Zeroizing;

/// Pause between two looks at what is due.
const LOOK_MS: u64 = 1_000;
/// Letters taken up at one look; the rest waits for the next.
const BATCH_MAX: usize = 20;
/// Time for one letter; servers that scan what they get take up to a minute.
const SEND_MS_MAX: u64 = 60_000;
/// Pause after the first failure; it doubles with each.
const PAUSE_MS_MIN: u64 = 30_000;
/// Longest pause.
const PAUSE_MS_MAX: u64 = 2 * 3_600_000;
/// Tries before a letter is given up, within some eleven hours.
const TRIES_MAX: u32 = 12;
/// Longest answer of a server that is kept.
const ERROR_CHARS_MAX: usize = 500;

/// A word that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Zeroizing<String>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// An SMTP server and how to speak to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpConfig {
    /// Name of the server, which its certificate has to have.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Encryption.
    pub tls: SmtpTls,
    /// Certificate in PEM of an authority of one's own.
    pub authority: Option<Vec<u8>>,
    /// Name and password.
    pub login: Option<(String, Secret)>,
    /// Address that letters come from, as in `Panel <panel@example.org>`.
    pub from: String,
}

/// Encryption on the way to the SMTP server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SmtpTls {
    /// Begins in the clear and must turn to TLS: port 587.
    #[default]
    StartTls,
    /// TLS from the first byte: port 465.
    Tls,
    /// None: for a server on the same machine.
    None,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SmtpError {
    /// The sender is no address.
    #[error("`{0}` is not an address to send from")]
    From(String),
    /// TLS cannot be set up.
    #[error("TLS to the SMTP server cannot be set up")]
    Tls(#[source] lettre::transport::smtp::Error),
}

/// Sends letters.
pub struct Mailer {
    store: Store,
    clock: Arc<dyn Clock>,
    server: Option<Server>,
}

struct Server {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Mailer {
    /// Makes it. Without a server it only throws old letters away.
    ///
    /// # Errors
    /// When the settings cannot be used. The server is not asked yet.
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        config: Option<&SmtpConfig>,
    ) -> Result<Self, SmtpError> {
        let server = config.map(connect).transpose()?;
        Ok(Self { store, clock, server })
    }

    /// Sends what is due until told to stop. Cancelled, a letter may be sent twice.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        loop {
            let round = async {
                self.round().await;
                sleep(Duration::from_millis(LOOK_MS)).await;
            };
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = round => {}
            }
        }
    }

    /// Takes up what is due now, once.
    pub async fn round(&self) {
        let now = self.clock.wall();
        if let Err(err) = self.drop_old(now).await {
            tracing::warn!(cause = chain(&err), "old mails could not be deleted");
        }
        let Some(server) = &self.server else { return };
        let due = match self.due(now) {
            Ok(due) => due,
            Err(err) => {
                tracing::warn!(cause = chain(&err), "mails could not be read");
                return;
            }
        };
        for (id, record) in due {
            let sent = server.send(id, &record).await;
            if let Err(cause) = &sent {
                tracing::warn!(mail = %id, tries = record.tries + 1, cause, "mail was not sent");
            }
            if let Err(err) = self.note(id, sent).await {
                tracing::warn!(mail = %id, cause = chain(&err), "fate of a mail was not stored");
            }
        }
    }

    fn due(&self, now: UnixMs) -> Result<Vec<(EventId, MailRecord)>, TxnError> {
        self.store.read(|view| {
            let first = view.range(DUE, Span::all(), BATCH_MAX)?;
            let mut due = Vec::new();
            for ((_, id), Due) in first.into_iter().take_while(|((at, _), _)| *at <= now) {
                due.extend(view.get(MAILS, &id)?.map(|record| (id, record)));
            }
            Ok(due)
        })
    }

    async fn note(
        &self,
        id: EventId,
        sent: Result<(), String>,
    ) -> Result<(), WriteError<TxnError>> {
        let now = self.clock.wall();
        let change = move |txn: &mut mamba_core::db::Txn<'_>| {
            let Err(cause) = &sent else { return remove(txn, id).map(drop) };
            let Some(mut record) = txn.get(MAILS, &id)? else { return Ok(()) };
            if let Some(at) = record.next_at {
                txn.delete(DUE, &(at, id))?;
            }
            record.tries += 1;
            record.last_error = Some(cause.clone());
            record.next_at = pause(record.tries).map(|ms| now.plus(ms));
            if let Some(at) = record.next_at {
                txn.put(DUE, &(at, id), &Due)?;
            }
            txn.put(MAILS, &id, &record)
        };
        self.store.write(change).await
    }

    /// Deletes letters that nobody took in [`KEEP_MS`], some at a time.
    async fn drop_old(&self, now: UnixMs) -> Result<(), WriteError<TxnError>> {
        let is_old = move |record: &MailRecord| now.since(record.made_at) > KEEP_MS;
        let oldest = self.store.read(|view| view.first(MAILS, Span::all()));
        if !oldest.map_err(WriteError::Refused)?.is_some_and(|(_, record)| is_old(&record)) {
            return Ok(());
        }
        self.store
            .write(move |txn| {
                for (id, _) in
                    txn.range(MAILS, Span::all(), BATCH_MAX)?.iter().filter(|(_, it)| is_old(it))
                {
                    remove(txn, *id)?;
                }
                Ok(())
            })
            .await
    }
}

impl Server {
    async fn send(&self, id: EventId, record: &MailRecord) -> Result<(), String> {
        let to: Mailbox = record.to.parse().map_err(|err| format!("no address: {err}"))?;
        let message = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(&record.subject)
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .multipart(MultiPart::alternative_plain_html(record.text.clone(), record.html.clone()))
            .map_err(|err| chain(&err))?;
        let sending = self.transport.send(message);
        match timeout(Duration::from_millis(SEND_MS_MAX), sending).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(err)) => Err(chain(&err).chars().take(ERROR_CHARS_MAX).collect()),
            Err(_) => Err(format!("the server did not answer within {SEND_MS_MAX} ms")),
        }
    }
}

fn connect(config: &SmtpConfig) -> Result<Server, SmtpError> {
    let from = config.from.parse().map_err(|_| SmtpError::From(config.from.clone()))?;
    let parameters = || {
        let mut builder = TlsParameters::builder(config.host.clone());
        if let Some(pem) = &config.authority {
            builder = builder.add_root_certificate(Certificate::from_pem(pem)?);
        }
        builder.build_rustls()
    };
    let tls = match config.tls {
        SmtpTls::StartTls => Tls::Required(parameters().map_err(SmtpError::Tls)?),
        SmtpTls::Tls => Tls::Wrapper(parameters().map_err(SmtpError::Tls)?),
        SmtpTls::None => Tls::None,
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
        .port(config.port)
        .tls(tls)
        .timeout(Some(Duration::from_millis(SEND_MS_MAX)));
    if let Some((name, Secret(password))) = &config.login {
        builder = builder.credentials(Credentials::new(name.clone(), password.to_string()));
    }
    Ok(Server { transport: builder.build(), from })
}

/// Pause after so many tries; `None` when it is given up.
fn pause(tries: u32) -> Option<u64> {
    (tries < TRIES_MAX).then(|| (PAUSE_MS_MIN << tries.saturating_sub(1).min(20)).min(PAUSE_MS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        assert_eq!(pause(1), Some(30_000));
        assert_eq!(pause(2), Some(60_000));
        assert_eq!(pause(9), Some(PAUSE_MS_MAX));
        assert_eq!(pause(TRIES_MAX), None);
    }
}
