//! The doors into the edge: one dispatcher for every request, whoever asks.
//!
//! The hub's link and the local socket both end here, so a feature is written once. Nothing here
//! waits for the hub.

pub mod local;
mod gauges;
mod players;

pub use gauges::Pace;
pub use players::Games;

use crate::{
    calendar::{Calendar, HubCalendar},
    config::Config,
    console::{ConsoleReader, Consoles},
    data::DataDirs,
    link::{LinkHandle, backend::Dispatcher},
    machine::{Doctor, Machine},
    outbox,
    runtime::Runtime,
    supervisor::SupervisorHandle,
    transfer::Mover,
};
use futures_util::future::{BoxFuture, FutureExt as _};
use mamba_core::{
    clock::{Clock, Entropy, UnixMs, draw},
    error::chain,
    fact::{Activity, ActivityFact, CRASH_LINE_BYTES_MAX},
    ids::{EventId, InstanceId, NodeId, ServerId, TenantId},
    lifecycle::ServerState,
    server::{ServerSpec, is_secret_name, mask_typed, secret_values},
};
use mamba_wire::{
    net::frames::{FrameStream, FramedError, FramedReader},
    node::{
        Answer, Ask, Asker, ConsoleEvent, ConsoleFrom, ConsoleInput, FACTS_MAX, InstallLog,
        LinkStatus, NodeError, NodeReply, NodeRequest, Status,
    },
};
use std::sync::Arc;

/// Everything that a request may need.
pub struct Doors<R> {
    /// Settings.
    pub config: Config,
    /// This run of the daemon.
    pub instance: InstanceId,
    /// When it came up, by the node's calendar.
    pub started_at: UnixMs,
    /// Who it is.
    pub node: NodeId,
    /// System clock, for the doctor.
    pub clock: Arc<dyn Clock>,
    /// Randomness for ids of events.
    pub entropy: Arc<dyn Entropy>,
    /// The node's calendar.
    pub calendar: Arc<HubCalendar>,
    /// Machine.
    pub machine: Machine<R>,
    /// Servers.
    pub supervisor: SupervisorHandle,
    /// Their consoles.
    pub consoles: Consoles,
    /// Their files.
    pub data: DataDirs,
    /// Moves of servers.
    pub mover: Mover<R>,
    /// The link to the hub.
    pub link: LinkHandle,
    /// How often people make the meter look.
    pub pace: Pace,
    /// Games that are asked for their players.
    pub games: Games,
}

impl<R: Runtime> Dispatcher for Doors<R> {
    async fn serve(&self, ask: Ask, mut stream: FrameStream) {
        let Ask { by, request } = ask;
        let served = match request {
            NodeRequest::Console { server, from, follow } => {
                self.console(server, from, follow, &by, stream).await
            }
            NodeRequest::Type { server, line } => self.type_one(server, &line, &by, stream).await,
            NodeRequest::Gauges { server, query } => self.gauges(server, query, stream).await,
            NodeRequest::Move { server, transfer, step } => {
                self.mover.serve(server, transfer, step, stream).await
            }
            request => {
                let reply = match self.answer(&by, request).await {
                    Ok(answer) => NodeReply::Ok(Box::new(answer)),
                    Err(err) => NodeReply::Err(err),
                };
                match send(&mut stream, &reply).await {
                    Ok(()) => stream.writer.finish().await,
                    Err(err) => Err(err),
                }
            }
        };
        if let Err(err) = served {
            // Whoever asked went away; that is theirs to know.
            tracing::debug!(error = chain(&err), "request ended early");
        }
    }
}

impl<R: Runtime> Doors<R> {
    async fn answer(&self, by: &Asker, request: NodeRequest) -> Result<Answer, NodeError> {
        let store = &self.machine.store;
        Ok(match request {
            NodeRequest::Status => Answer::Status(self.status().await),
            NodeRequest::Servers => Answer::Servers(self.supervisor.servers()),
            NodeRequest::Server(server) => {
                let mut detail = self.supervisor.detail(server)?;
                detail.disk = self.machine.meter.current(server).and_then(|live| live.disk);
                Answer::Server(Box::new(detail))
            }
            NodeRequest::Power { server, action } => {
                self.supervisor.power(server, action, by.actor()).await?;
                Answer::Accepted
            }
            NodeRequest::Usage { server } => Answer::Usage(
                store.read(|txn| outbox::usage(txn, server, FACTS_MAX)).map_err(unavailable)?,
            ),
            NodeRequest::Outbox => Answer::Outbox(store.read(outbox::lines).map_err(unavailable)?),
            NodeRequest::Link => Answer::Link(self.link()),
            NodeRequest::Facts { server } => Answer::Facts(
                store.read(|txn| outbox::activity(txn, server, FACTS_MAX)).map_err(unavailable)?,
            ),
            NodeRequest::Doctor => {
                let doctor = Doctor {
                    config: &self.config,
                    look: self.machine.look().await,
                    store: store.health().borrow().clone(),
                    link: self.link(),
                    wall: self.clock.wall(),
                    now: self.calendar.now(),
                };
                Answer::Doctor(doctor.check().await)
            }
            NodeRequest::InstallLog { server } => {
                Answer::InstallLog(self.install_log(server).await?)
            }
            NodeRequest::CancelInstall { server } => {
                self.supervisor.cancel_install(server, by.actor()).await?;
                Answer::Accepted
            }
            NodeRequest::Moves => Answer::Moves(self.mover.moves()?),
            NodeRequest::Recent { server } => {
                self.supervisor.detail(server)?;
                let moments = self.machine.meter.recent(server).await;
                Answer::Recent(moments.ok_or(NodeError::Busy)?)
            }
            NodeRequest::Console { .. }
            | NodeRequest::Type { .. }
            | NodeRequest::Gauges { .. }
            | NodeRequest::Move { .. } => {
                return Err(NodeError::Unsupported);
            }
        })
    }

    /// Reads the output of the newest run of a server's install script.
    async fn install_log(&self, server: ServerId) -> Result<InstallLog, NodeError> {
        let Some(run) = self.supervisor.install(server)? else {
            return Ok(InstallLog { run: None, is_cut: false, lines: Vec::new() });
        };
        let log = self.data.install_log(server, run.asked);
        let read = move || Ok::<_, std::io::Error>((log.is_cut(), log.lines()?));
        let read = tokio::task::spawn_blocking(read).await;
        let (is_cut, lines) = read
            .map_err(|err| NodeError::LogUnreadable(chain(&err)))?
            .map_err(|err| NodeError::LogUnreadable(chain(&err)))?;
        Ok(InstallLog { run: Some(run), is_cut, lines })
    }

    fn link(&self) -> LinkStatus {
        self.link.status.borrow().clone()
    }

    async fn status(&self) -> Status {
        let servers = self.supervisor.observed().borrow().clone();
        let running = servers.values().filter(|it| it.state != ServerState::Offline).count();
        Status {
            software: env!("CARGO_PKG_VERSION").to_owned(),
            node: Some(self.node),
            instance: self.instance,
            started_at: self.started_at,
            now: self.calendar.now(),
            state: self.machine.look().await.state,
            link: self.link(),
            servers: u32::try_from(servers.len()).unwrap_or(u32::MAX),
            running: u32::try_from(running).unwrap_or(u32::MAX),
        }
    }

    /// Serves a console until one side ends it.
    async fn console(
        &self,
        server: ServerId,
        from: ConsoleFrom,
        follow: bool,
        by: &Asker,
        stream: FrameStream,
    ) -> Result<(), FramedError> {
        let FrameStream { mut reader, mut writer } = stream;
        let refused = match self.supervisor.detail(server) {
            Ok(detail) => {
                let tenant = detail.tenant;
                let mut lines = self.consoles.reader(server, from);
                let (mut refused, mut record) = (None, None);
                let relay = async {
                    loop {
                        let event = tokio::select! {
                            event = next_event(&mut lines, &mut refused) => event,
                            // What the game answers does not wait for the disk.
                            () = recorded(&mut record) => continue,
                            input = next_input(&mut reader), if record.is_none() => match input? {
                                None => return writer.finish().await,
                                Some(line) => {
                                    match self.type_line(tenant, server, &line, by).await {
                                        Ok(write) => record = begun(write),
                                        Err(err) => refused = Some(err),
                                    }
                                    continue;
                                }
                            },
                        };
                        let is_end = event == ConsoleEvent::CaughtUp && !follow;
                        let reply = NodeReply::Ok(Box::new(Answer::Console(event)));
                        writer.send(&to_frame(&reply)?).await?;
                        if is_end {
                            return writer.finish().await;
                        }
                    }
                };
                let ended = relay.await;
                if let Some(record) = record {
                    record.await;
                }
                return ended;
            }
            Err(err) => err,
        };
        writer.send(&to_frame(&NodeReply::Err(refused))?).await?;
        writer.finish().await
    }

    /// Types one line and says so; the disk that is to keep who it was is not waited for before.
    async fn type_one(
        &self,
        server: ServerId,
        line: &str,
        by: &Asker,
        mut stream: FrameStream,
    ) -> Result<(), FramedError> {
        let typed = async {
            let tenant = self.supervisor.detail(server)?.tenant;
            self.type_line(tenant, server, line, by).await
        };
        let (reply, record) = match typed.await {
            Ok(write) => (NodeReply::Ok(Box::new(Answer::Accepted)), begun(write)),
            Err(err) => (NodeReply::Err(err), None),
        };
        let told = send(&mut stream, &reply).await;
        if let Some(record) = record {
            record.await;
        }
        told?;
        stream.writer.finish().await
    }

    /// Masks what of a line is not to be kept. It is cut only then, so that no half of a secret is left.
    fn masked(&self, server: ServerId, line: &str) -> String {
        let spec = self.supervisor.detail(server).ok().and_then(|it| it.spec);
        mask_typed(line, &spec.as_ref().map(secrets_of).unwrap_or_default())
    }

    /// Types a line for somebody. Who it was is written down by what this returns.
    async fn type_line(
        &self,
        tenant: TenantId,
        server: ServerId,
        line: &str,
        by: &Asker,
    ) -> Result<BoxFuture<'_, ()>, NodeError> {
        by.check(ConsoleInput::NEEDS)?;
        self.consoles.input(server, line).await?;
        let now = self.calendar.now();
        let mut line = self.masked(server, line);
        line.truncate(line.floor_char_boundary(CRASH_LINE_BYTES_MAX));
        let fact = ActivityFact {
            event: EventId::new(now, draw(&*self.entropy)),
            at: now,
            about: Some((tenant, server)),
            actor: by.actor(),
            body: Activity::ConsoleCommand { line },
        };
        // The line is typed already: a disk that is full must not keep anybody from saying `stop`.
        let write = self.machine.store.write(move |txn| outbox::append_activity(txn, &fact));
        Ok(Box::pin(async move {
            if let Err(err) = write.await {
                let error = chain(&err);
                tracing::warn!(%server, error, "console line is not in the activity log");
            }
        }))
    }
}

/// Returns the values of a server that must not be read in what people typed.
fn secrets_of(spec: &ServerSpec) -> Vec<String> {
    let named = spec.install.as_ref().map(|it| &it.secrets);
    let is_secret = |name: &str| is_secret_name(name) || named.is_some_and(|it| it.contains(name));
    secret_values(spec.environment.iter().filter(|(name, _)| is_secret(name)))
}

/// Hands a write to the store, so that it is done also when nobody waits for it; returns what is left to
/// wait for.
fn begun(mut write: BoxFuture<'_, ()>) -> Option<BoxFuture<'_, ()>> {
    write.as_mut().now_or_never().is_none().then_some(write)
}

/// Waits until the line typed last is written down, for ever without one.
async fn recorded(record: &mut Option<BoxFuture<'_, ()>>) {
    match record {
        Some(write) => write.await,
        None => std::future::pending().await,
    }
    *record = None;
}

/// Returns a refused input first, then what the console says.
async fn next_event(lines: &mut ConsoleReader, refused: &mut Option<NodeError>) -> ConsoleEvent {
    match refused.take() {
        Some(err) => ConsoleEvent::InputRefused(err),
        None => lines.next().await,
    }
}

/// Returns the next typed line, `None` when the asker has ended the stream.
async fn next_input<S: tokio::io::AsyncRead + Unpin>(
    reader: &mut FramedReader<S>,
) -> Result<Option<String>, FramedError> {
    let Some(frame) = reader.next().await? else { return Ok(None) };
    let input = ConsoleInput::from_frame(&frame).map_err(FramedError::Frame)?;
    Ok(Some(input.line))
}

fn to_frame(reply: &NodeReply) -> Result<mamba_wire::frame::Frame, FramedError> {
    reply.to_frame().map_err(FramedError::Frame)
}

async fn send(stream: &mut FrameStream, reply: &NodeReply) -> Result<(), FramedError> {
    stream.writer.send(&to_frame(reply)?).await
}

fn unavailable(err: outbox::OutboxError) -> NodeError {
    NodeError::StoreUnavailable(chain(&err))
}
