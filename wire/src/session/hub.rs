//! Pure: the hub's half of a session.

use crate::{
    frame::Frame,
    link::v1::{
        Ack, BATCH_BYTES_MAX, BATCH_FACTS_MAX, BATCHES_IN_FLIGHT_MAX, DesiredResult, EdgeFrame,
        Facts, Found, Goodbye, Hello, HubFrame, INTENTS_MAX, IntentResult, MINOR_MAX, MINOR_MIN,
        MINOR_PACKED, PackedFacts, Ping, SERVERS_MAX, StateReport, StreamWelcome, Welcome,
    },
    session::{
        End, GREETING_MS, Lane, PING_MS, ProtocolError, SILENCE_MS, Wanted,
        pack::Unpacker,
        wishes::{Step, Wishes},
    },
};
use mamba_core::{
    clock::{BootMs, UnixMs},
    desired::SignedEnvelope,
    fact::{Chain, Stream},
    ids::{NodeId, ServerId},
    registry::Login,
    seq::{Epoch, Seq},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Both clocks of the hub at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For deadlines.
    pub boot: BootMs,
    /// For the edge's calendar.
    pub wall: UnixMs,
}

/// What comes out of the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HubOut {
    /// A frame to send on control, in order.
    Send(Frame),
    /// Something to be done, in order.
    Ask(HubAsk),
}

/// What the session needs done. Some are answered by a call of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HubAsk {
    /// [`HubSession::on_welcome`].
    Hello(Hello),
    /// [`HubSession::on_wanted`].
    Wanted,
    /// [`HubSession::on_envelopes`].
    Envelopes(Vec<ServerId>),
    /// [`HubSession::on_adopted`].
    Adopt(Vec<SignedEnvelope>),
    /// [`HubSession::on_ingested`], after the commit.
    Ingest(Facts),
    /// No answer.
    State(StateReport),
    /// No answer.
    DesiredResults(Vec<DesiredResult>),
    /// No answer.
    IntentResults(Vec<IntentResult>),
}

/// Hub half of the session. Owns no socket and reads no clock.
#[derive(Debug)]
pub struct HubSession {
    node: NodeId,
    software: String,
    /// The minor version agreed on.
    minor: u16,
    phase: Phase,
    /// When the phase must be over, or the edge must have been heard.
    deadline: BootMs,
    ping_due: BootMs,
    pings: u64,
    lanes: BTreeSet<Lane>,
    streams: BTreeMap<Stream, Incoming>,
    wishes: Wishes,
    /// Whether the store is asked what is wanted, and whether to ask again afterwards.
    asking: Asking,
    /// Hash of the logins that the edge was told. `None` before the first.
    told_registries: Option<[u8; 32]>,
    /// Servers whose envelopes are still to be fetched and sent, in order.
    to_send: VecDeque<ServerId>,
    /// How many of them the store was asked for; 0 when it was not.
    fetching: usize,
    out: VecDeque<HubOut>,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// Waits for the hello.
    Challenged,
    /// Waits for its own store.
    Hello,
    Up,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    Idle,
    Asked,
    AskedAndChanged,
}

/// Where one stream is.
#[derive(Debug)]
struct Incoming {
    epoch: Epoch,
    /// The next fact to come.
    next: Seq,
    /// Chain hash before it.
    chain: Chain,
    /// What the edge was told last.
    told: Ack,
    /// Whether the edge has to begin a new epoch.
    is_forked: bool,
    /// Batches that came and are not in custody; the first one is with the store.
    waiting: VecDeque<Facts>,
    /// What packed facts differ from.
    unpacker: Unpacker,
}

impl HubSession {
    /// Begins a session with a node whose certificate was accepted.
    ///
    /// # Errors
    /// Never in practice: when the challenge has no room in a frame.
    pub fn new(node: NodeId, software: String, now: Now) -> Result<Self, End> {
        let mut session = Self {
            node,
            software,
            minor: MINOR_MAX,
            phase: Phase::Challenged,
            deadline: now.boot.plus(GREETING_MS),
            ping_due: now.boot.plus(PING_MS),
            pings: 0,
            lanes: BTreeSet::from([Lane::Control]),
            streams: BTreeMap::new(),
            wishes: Wishes::default(),
            asking: Asking::Idle,
            told_registries: None,
            to_send: VecDeque::new(),
            fetching: 0,
            out: VecDeque::new(),
        };
        session.send(&HubFrame::Challenge(now.wall))?;
        Ok(session)
    }

    /// Notes a stream that the edge opened beside control.
    ///
    /// # Errors
    /// When it is open already.
    pub fn on_lane(&mut self, lane: Lane) -> Result<(), End> {
        if self.lanes.insert(lane) {
            return Ok(());
        }
        let why = "lane is open already";
        Err(ProtocolError::Unexpected { frame: "LaneOpen", why }.into())
    }

    /// Takes a frame from a stream, [`crate::link::v1::LaneOpen`] not included.
    ///
    /// # Errors
    /// The session is over.
    pub fn on_frame(&mut self, now: Now, lane: Lane, frame: &Frame) -> Result<(), End> {
        let frame = EdgeFrame::from_frame(frame).map_err(ProtocolError::from)?;
        if self.phase == Phase::Up {
            self.deadline = now.boot.plus(SILENCE_MS);
        }
        let Some(frame) = frame else { return Ok(()) };
        let unexpected = |why| Err(ProtocolError::Unexpected { frame: name(&frame), why }.into());
        let belongs = match &frame {
            EdgeFrame::Facts(facts) => lane == Lane::Facts(facts.stream),
            EdgeFrame::PackedFacts(_) => lane == Lane::Facts(Stream::Usage),
            EdgeFrame::State(_) => lane == Lane::State,
            _ => lane == Lane::Control,
        };
        if !belongs {
            return unexpected("it is on the wrong stream");
        }
        match (&self.phase, frame) {
            (Phase::Challenged, EdgeFrame::Hello(hello)) => self.on_hello(hello),
            (Phase::Up, EdgeFrame::Facts(facts)) => Ok(self.on_facts(facts)?),
            (Phase::Up, EdgeFrame::PackedFacts(packed)) if self.minor >= MINOR_PACKED => {
                let facts = self.unpack(&packed)?;
                Ok(self.on_facts(facts)?)
            }
            (Phase::Up, frame) => self.on_frame_up(frame),
            (Phase::Challenged | Phase::Hello, frame) => {
                let why = "session is not up";
                Err(ProtocolError::Unexpected { frame: name(&frame), why }.into())
            }
        }
    }

    fn on_frame_up(&mut self, frame: EdgeFrame) -> Result<(), End> {
        let over = |frame| ProtocolError::OverLimit { frame, limit: "servers of one node" };
        match frame {
            EdgeFrame::State(report) if report.servers.len() > SERVERS_MAX => {
                return Err(over("State").into());
            }
            EdgeFrame::State(report) => self.ask(HubAsk::State(report)),
            EdgeFrame::DesiredResults(results) if results.len() > SERVERS_MAX => {
                return Err(over("DesiredResults").into());
            }
            EdgeFrame::DesiredResults(results) => {
                self.wishes.answered(&results);
                self.ask(HubAsk::DesiredResults(results));
                self.on_changed();
            }
            EdgeFrame::IntentResults(results) if results.len() > INTENTS_MAX => {
                return Err(over("IntentResults").into());
            }
            EdgeFrame::IntentResults(results) => {
                self.wishes.intents_answered(&results);
                self.ask(HubAsk::IntentResults(results));
            }
            EdgeFrame::Envelopes(envelopes) => self.ask(HubAsk::Adopt(envelopes)),
            EdgeFrame::Pong(number) if number > self.pings => {
                let why = "no such ping was sent";
                return Err(ProtocolError::Unexpected { frame: "Pong", why }.into());
            }
            EdgeFrame::Pong(_) => {}
            EdgeFrame::PackedFacts(_) => {
                let why = "minor version was not agreed";
                return Err(ProtocolError::Unexpected { frame: "PackedFacts", why }.into());
            }
            frame @ (EdgeFrame::Hello(_) | EdgeFrame::LaneOpen(_) | EdgeFrame::Facts(_)) => {
                let why = "session is up already";
                return Err(ProtocolError::Unexpected { frame: name(&frame), why }.into());
            }
        }
        Ok(())
    }

    fn on_hello(&mut self, hello: Hello) -> Result<(), End> {
        let unexpected = |why| ProtocolError::Unexpected { frame: "Hello", why };
        if hello.node != self.node {
            return Err(unexpected("node is not the one of the certificate").into());
        }
        let ours = (MINOR_MIN, MINOR_MAX);
        match newest_common(ours, hello.minors) {
            Some(minor) => self.minor = minor,
            None => return Err(self.goodbye(Goodbye::Version { minors: ours })),
        }
        if !hello.streams.iter().map(|stream| stream.stream).eq(Stream::ALL) {
            return Err(unexpected("streams must be usage and activity").into());
        }
        if hello.desired.len() > SERVERS_MAX {
            let limit = "servers of one node";
            return Err(ProtocolError::OverLimit { frame: "Hello", limit }.into());
        }
        if !hello.desired.is_sorted_by(|a, b| a.server < b.server) {
            return Err(unexpected("wishes must be in the order of their servers").into());
        }
        self.wishes = Wishes::new(&hello.desired);
        self.phase = Phase::Hello;
        self.ask(HubAsk::Hello(hello));
        Ok(())
    }

    /// Takes what the store found in each stream.
    ///
    /// # Errors
    /// Never in practice: when the welcome has no room in a frame.
    pub fn on_welcome(&mut self, now: Now, streams: Vec<StreamWelcome>) -> Result<(), End> {
        for at in &streams {
            let told = Ack {
                stream: at.stream,
                epoch: at.epoch,
                watermark: at.watermark,
                backup_watermark: at.backup_watermark,
            };
            let incoming = Incoming {
                epoch: at.epoch,
                next: at.watermark.next(),
                chain: at.chain_at_watermark,
                told,
                is_forked: at.found == Found::Fork,
                waiting: VecDeque::new(),
                unpacker: Unpacker::default(),
            };
            self.streams.insert(at.stream, incoming);
        }
        self.phase = Phase::Up;
        self.deadline = now.boot.plus(SILENCE_MS);
        let software = self.software.clone();
        let welcome = Welcome { minor: self.minor, software, now: now.wall, streams };
        self.send(&HubFrame::Welcome(welcome))?;
        self.on_changed();
        Ok(())
    }

    /// Returns usage facts as they were before they were packed.
    fn unpack(&mut self, packed: &PackedFacts) -> Result<Facts, ProtocolError> {
        let stream = Stream::Usage;
        let gap = ProtocolError::Gap { stream };
        let Some(incoming) = self.streams.get_mut(&stream) else { return Err(gap) };
        if incoming.is_forked || packed.first != incoming.next {
            return Err(gap);
        }
        let bodies = incoming.unpacker.unpack(&packed.bytes)?;
        let (epoch, first) = (incoming.epoch, packed.first);
        let (chain, _) = bodies.iter().fold((incoming.chain, first), |(chain, seq), body| {
            (chain.then(epoch, seq, body), seq.next())
        });
        if PackedFacts::check_of(chain) != packed.check {
            return Err(gap);
        }
        Ok(Facts { stream, epoch, first, bodies, chain })
    }

    fn on_facts(&mut self, facts: Facts) -> Result<(), ProtocolError> {
        let stream = facts.stream;
        let gap = ProtocolError::Gap { stream };
        let over = |limit| ProtocolError::OverLimit { frame: "Facts", limit };
        let incoming = self.streams.get_mut(&stream).ok_or_else(|| gap.clone())?;
        if incoming.is_forked || facts.epoch != incoming.epoch || facts.first != incoming.next {
            return Err(gap);
        }
        if facts.bodies.is_empty() || facts.bodies.len() > BATCH_FACTS_MAX {
            return Err(over("facts in one batch"));
        }
        if facts.bodies.iter().map(Vec::len).sum::<usize>() > BATCH_BYTES_MAX {
            return Err(over("bytes in one batch"));
        }
        if incoming.waiting.len() >= BATCHES_IN_FLIGHT_MAX {
            return Err(over("batches without an ack"));
        }
        let (mut chain, mut next) = (incoming.chain, incoming.next);
        for body in &facts.bodies {
            chain = chain.then(facts.epoch, next, body);
            next = next.next();
        }
        if chain != facts.chain {
            return Err(gap);
        }
        (incoming.chain, incoming.next) = (chain, next);
        incoming.waiting.push_back(facts.clone());
        if incoming.waiting.len() == 1 {
            self.ask(HubAsk::Ingest(facts));
        }
        Ok(())
    }

    /// Takes the custody of the batch asked about, which is committed.
    ///
    /// # Errors
    /// Never in practice: when the ack has no room in a frame.
    pub fn on_ingested(&mut self, ack: Ack) -> Result<(), End> {
        let Some(incoming) = self.streams.get_mut(&ack.stream) else { return Ok(()) };
        incoming.waiting.pop_front();
        let next = incoming.waiting.front().cloned();
        self.tell(ack)?;
        if let Some(facts) = next {
            self.ask(HubAsk::Ingest(facts));
        }
        Ok(())
    }

    /// Sends an ack unless the edge knows as much.
    fn tell(&mut self, ack: Ack) -> Result<(), End> {
        let Some(incoming) = self.streams.get_mut(&ack.stream) else { return Ok(()) };
        let told = &mut incoming.told;
        if ack.epoch != told.epoch || incoming.is_forked {
            return Ok(());
        }
        // The store may hold more than came in this session, from one that ended a moment ago. The
        // edge is told of no more than it sent in this one.
        let came = Seq(incoming.next.0 - 1);
        let watermark = ack.watermark.min(came).max(told.watermark);
        let backup_watermark = ack.backup_watermark.min(watermark).max(told.backup_watermark);
        let newest = Ack { watermark, backup_watermark, ..ack };
        if newest == *told {
            return Ok(());
        }
        *told = newest;
        self.send(&HubFrame::Ack(newest))
    }

    /// Notes that wishes, intents or backups may have changed.
    pub fn on_changed(&mut self) {
        if self.phase != Phase::Up {
            return;
        }
        self.asking = match self.asking {
            Asking::Idle => {
                self.ask(HubAsk::Wanted);
                Asking::Asked
            }
            Asking::Asked | Asking::AskedAndChanged => Asking::AskedAndChanged,
        };
    }

    /// Takes what the hub wants the node to have.
    ///
    /// # Errors
    /// When a message has no room in a frame.
    pub fn on_wanted(&mut self, now: Now, wanted: &Wanted) -> Result<(), End> {
        let again = self.asking == Asking::AskedAndChanged;
        self.asking = Asking::Idle;
        let Step { ask, send, intents } = self.wishes.step(now.boot, wanted);
        if !ask.is_empty() {
            self.send(&HubFrame::AskDesired(ask))?;
        }
        let orders = wanted.desired.iter().map(|line| (line.server, line.order));
        let orders = orders.collect::<BTreeMap<_, _>>();
        for server in send {
            if let Some(order) = orders.get(&server) {
                self.wishes.sent(now.boot, server, *order);
                if !self.to_send.contains(&server) {
                    self.to_send.push_back(server);
                }
            }
        }
        self.fetch();
        for part in intents.chunks(INTENTS_MAX) {
            self.send(&HubFrame::Intents(part.to_vec()))?;
        }
        for ack in &wanted.acks {
            self.tell(*ack)?;
        }
        self.tell_registries(&wanted.registries)?;
        if again {
            self.on_changed();
        }
        Ok(())
    }

    /// Sends all logins of image registries unless the edge was told the same in this session. Also none:
    /// it may hold some from before.
    fn tell_registries(&mut self, logins: &[Login]) -> Result<(), End> {
        let mut hasher = blake3::Hasher::new();
        for Login { host, user, password } in logins {
            for part in [host, user, password] {
                hasher.update(&(part.len() as u64).to_be_bytes()).update(part.as_bytes());
            }
        }
        let hash = *hasher.finalize().as_bytes();
        if self.told_registries == Some(hash) {
            return Ok(());
        }
        self.told_registries = Some(hash);
        self.send(&HubFrame::Registries(logins.to_vec()))
    }

    fn fetch(&mut self) {
        if self.fetching == 0 && !self.to_send.is_empty() {
            self.fetching = self.to_send.len();
            let servers = self.to_send.iter().copied().collect();
            self.ask(HubAsk::Envelopes(servers));
        }
    }

    /// Takes signed wishes: for the servers that were asked for, in that order, as many as fit.
    /// Those behind the last one are asked for again; none at all means that none is there.
    ///
    /// # Errors
    /// When they have no room in a frame.
    pub fn on_envelopes(&mut self, envelopes: Vec<SignedEnvelope>) -> Result<(), End> {
        let last = envelopes.last().and_then(|last| last.open().ok()).map(|last| last.server);
        let asked = self.to_send.iter().take(self.fetching);
        let covered = match last {
            None => self.fetching,
            Some(last) => asked.take_while(|server| **server != last).count() + 1,
        };
        self.to_send.drain(..covered.min(self.fetching));
        self.fetching = 0;
        if !envelopes.is_empty() {
            self.send(&HubFrame::Desired(envelopes))?;
        }
        self.fetch();
        Ok(())
    }

    /// Notes that envelopes from the edge are stored, or were refused.
    pub fn on_adopted(&mut self) {
        self.on_changed();
    }

    /// Does what is due: pings, sends again, gives up.
    ///
    /// # Errors
    /// The session is over.
    pub fn on_deadline(&mut self, now: Now) -> Result<(), End> {
        if now.boot >= self.deadline {
            let ms = if self.phase == Phase::Up { SILENCE_MS } else { GREETING_MS };
            return Err(End::Silent { ms });
        }
        if self.phase != Phase::Up {
            return Ok(());
        }
        if now.boot >= self.ping_due {
            self.pings += 1;
            self.ping_due = now.boot.plus(PING_MS);
            self.send(&HubFrame::Ping(Ping { number: self.pings, now: now.wall }))?;
        }
        if self.wishes.next_resend().is_some_and(|due| now.boot >= due)
            && self.asking == Asking::Idle
        {
            self.on_changed();
        }
        Ok(())
    }

    /// Returns when [`HubSession::on_deadline`] is to be called.
    #[must_use]
    pub fn next_deadline(&self) -> BootMs {
        if self.phase != Phase::Up {
            return self.deadline;
        }
        let resend = match self.asking {
            Asking::Idle => self.wishes.next_resend(),
            Asking::Asked | Asking::AskedAndChanged => None,
        };
        let due = self.deadline.min(self.ping_due);
        resend.map_or(due, |resend| due.min(resend))
    }

    /// Tells the edge why the session ends.
    pub fn goodbye(&mut self, reason: Goodbye) -> End {
        match self.send(&HubFrame::Goodbye(reason.clone())) {
            Ok(()) => End::Goodbye(reason),
            Err(end) => end,
        }
    }

    /// Returns what is to be done next.
    pub fn pop(&mut self) -> Option<HubOut> {
        self.out.pop_front()
    }

    /// Whether the edge was welcomed.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.phase == Phase::Up
    }

    fn ask(&mut self, ask: HubAsk) {
        self.out.push_back(HubOut::Ask(ask));
    }

    fn send(&mut self, frame: &HubFrame) -> Result<(), End> {
        let frame = frame.to_frame().map_err(ProtocolError::from)?;
        self.out.push_back(HubOut::Send(frame));
        Ok(())
    }
}

/// Returns the newest version in both ranges, each from its least to its most.
fn newest_common(ours: (u16, u16), theirs: (u16, u16)) -> Option<u16> {
    let newest = ours.1.min(theirs.1);
    (newest >= ours.0.max(theirs.0)).then_some(newest)
}

fn name(frame: &EdgeFrame) -> &'static str {
    match frame {
        EdgeFrame::Hello(_) => "Hello",
        EdgeFrame::LaneOpen(_) => "LaneOpen",
        EdgeFrame::Facts(_) => "Facts",
        EdgeFrame::PackedFacts(_) => "PackedFacts",
        EdgeFrame::State(_) => "State",
        EdgeFrame::DesiredResults(_) => "DesiredResults",
        EdgeFrame::IntentResults(_) => "IntentResults",
        EdgeFrame::Pong(_) => "Pong",
        EdgeFrame::Envelopes(_) => "Envelopes",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_minor_is_spoken() {
        for (ours, theirs, expected) in [
            ((0, 0), (0, 0), Some(0)),
            ((2, 5), (0, 3), Some(3)),
            ((2, 5), (4, 9), Some(5)),
            ((2, 5), (0, 1), None),
            ((2, 5), (6, 9), None),
            ((2, 5), (4, 3), None),
        ] {
            assert_eq!(newest_common(ours, theirs), expected, "{ours:?} {theirs:?}");
        }
    }
}
