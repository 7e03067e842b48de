//! Pure: the edge's half of a session.

use crate::{
    frame::Frame,
    link::v1::{
        Ack, BATCHES_IN_FLIGHT_MAX, DesiredLine, DesiredResult, EdgeFrame, Facts, Found, Hello,
        HubFrame, Intent, IntentResult, LaneOpen, MINOR_MAX, MINOR_MIN, MINOR_PACKED, PackedFacts,
        StreamHello, StreamWelcome, Welcome,
    },
    session::{Batch, End, GREETING_MS, Lane, ProtocolError, SILENCE_MS, pack::Packer},
};
use mamba_core::{
    clock::{BootMs, UnixMs},
    desired::SignedEnvelope,
    fact::{Chain, Stream},
    ids::{InstanceId, NodeId, ServerId},
    registry::{LOGINS_MAX, Login},
    seq::{Epoch, Seq},
};
use std::collections::{BTreeMap, VecDeque};

/// Who the edge is.
#[derive(Clone, Debug)]
pub struct Own {
    /// By its certificate.
    pub node: NodeId,
    /// This run of the daemon.
    pub instance: InstanceId,
    /// Version of the program.
    pub software: String,
}

/// What comes out of the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EdgeOut {
    /// A frame to send. Frames of one lane keep their order.
    Send(Lane, Frame),
    /// Something to be done, in order.
    Ask(EdgeAsk),
}

/// What the session needs done. Most are answered by a call of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EdgeAsk {
    /// The hub's time, now. No answer.
    LearnTime(UnixMs),
    /// [`EdgeSession::on_holdings`].
    Holdings,
    /// [`EdgeSession::on_facts`].
    ReadFacts {
        /// Of which stream.
        stream: Stream,
        /// The last one not wanted.
        after: Seq,
    },
    /// Custody to be recorded. No answer.
    Acked(Ack),
    /// [`EdgeSession::on_forked`].
    Fork(Stream),
    /// [`EdgeSession::on_adopted`].
    Adopt(Vec<SignedEnvelope>),
    /// [`EdgeSession::on_envelopes`].
    Envelopes(Vec<ServerId>),
    /// [`EdgeSession::on_accepted`].
    Accept(Vec<Intent>),
    /// Logins of image registries in place of those before. No answer.
    Registries(Vec<Login>),
}

/// Edge half of the session. Owns no socket and reads no clock.
#[derive(Debug)]
pub struct EdgeSession {
    own: Own,
    phase: Phase,
    /// When the phase must be over, or the hub must have been heard.
    deadline: BootMs,
    streams: BTreeMap<Stream, Outgoing>,
    out: VecDeque<EdgeOut>,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// Waits for the challenge.
    Dialled,
    /// Waits for its own store.
    Challenged,
    /// Waits for the welcome.
    Greeted(Vec<StreamHello>),
    Up,
}

/// Where one stream is.
#[derive(Debug)]
struct Outgoing {
    epoch: Epoch,
    /// The next fact to send.
    next: Seq,
    /// Chain hash before it.
    chain: Chain,
    /// Everything up to this is in custody.
    acked: Seq,
    /// The newest word of what is in custody and in a backup, as long as nobody knows whether it is
    /// our history that is there. It must not be pruned by: a disk that was taken back and has grown
    /// past the watermark since has other facts under the same numbers.
    unproven: Option<Ack>,
    /// Last sequences of the batches on the way.
    in_flight: VecDeque<Seq>,
    reading: Reading,
    /// What usage facts differ from. `None` where they are sent whole.
    packer: Option<Packer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// There may be facts to read.
    Wanted,
    /// The store was asked. True when facts were added since.
    Asked(bool),
    /// Everything was read.
    Drained,
    /// The stream begins a new epoch and nothing of the old one may be sent.
    Forking,
}

impl Outgoing {
    /// Makes the frame of a batch.
    fn frame(&mut self, stream: Stream, batch: Batch) -> EdgeFrame {
        let Batch { epoch, first, bodies, chain, .. } = batch;
        match &mut self.packer {
            Some(packer) => EdgeFrame::PackedFacts(PackedFacts {
                first,
                check: PackedFacts::check_of(chain),
                bytes: packer.pack(&bodies),
            }),
            None => EdgeFrame::Facts(Facts { stream, epoch, first, bodies, chain }),
        }
    }
}

impl EdgeSession {
    /// Begins a session on a fresh connection.
    #[must_use]
    pub fn new(own: Own, now: BootMs) -> Self {
        let mut session = Self {
            own,
            phase: Phase::Dialled,
            deadline: now.plus(GREETING_MS),
            streams: BTreeMap::new(),
            out: VecDeque::new(),
        };
        session.open(LaneOpen::Control, Lane::Control);
        session
    }

    /// Takes a frame from control.
    ///
    /// # Errors
    /// The session is over.
    pub fn on_frame(&mut self, now: BootMs, frame: &Frame) -> Result<(), End> {
        let frame = HubFrame::from_frame(frame).map_err(ProtocolError::from)?;
        if self.phase == Phase::Up {
            self.deadline = now.plus(SILENCE_MS);
        }
        match (frame, &self.phase) {
            (Some(HubFrame::Goodbye(reason)), _) => return Err(End::Goodbye(reason)),
            (Some(HubFrame::Challenge(at)), Phase::Dialled) => {
                self.phase = Phase::Challenged;
                self.ask(EdgeAsk::LearnTime(at));
                self.ask(EdgeAsk::Holdings);
            }
            (Some(HubFrame::Welcome(welcome)), Phase::Greeted(hello)) => {
                let hello = hello.clone();
                self.deadline = now.plus(SILENCE_MS);
                self.on_welcome(&welcome, &hello)?;
            }
            (Some(frame), Phase::Up) => self.on_frame_up(frame)?,
            (Some(frame), _) => {
                let why = "session is not up";
                return Err(ProtocolError::Unexpected { frame: name(&frame), why }.into());
            }
            (None, _) => {}
        }
        Ok(())
    }

    fn on_frame_up(&mut self, frame: HubFrame) -> Result<(), End> {
        match frame {
            HubFrame::Ack(ack) => self.on_ack(ack)?,
            HubFrame::Desired(envelopes) => self.ask(EdgeAsk::Adopt(envelopes)),
            HubFrame::Intents(intents) => self.ask(EdgeAsk::Accept(intents)),
            HubFrame::AskDesired(servers) => self.ask(EdgeAsk::Envelopes(servers)),
            HubFrame::Registries(logins) => {
                if logins.len() > LOGINS_MAX {
                    let limit = "logins of image registries";
                    return Err(ProtocolError::OverLimit { frame: "Registries", limit }.into());
                }
                self.ask(EdgeAsk::Registries(logins));
            }
            HubFrame::Ping(ping) => {
                self.ask(EdgeAsk::LearnTime(ping.now));
                self.send(&EdgeFrame::Pong(ping.number))?;
            }
            HubFrame::Challenge(_) | HubFrame::Welcome(_) | HubFrame::Goodbye(_) => {
                let why = "session is up already";
                return Err(ProtocolError::Unexpected { frame: name(&frame), why }.into());
            }
        }
        Ok(())
    }

    fn on_welcome(
        &mut self,
        welcome: &Welcome,
        hello: &[StreamHello],
    ) -> Result<(), ProtocolError> {
        let unexpected = |why| ProtocolError::Unexpected { frame: "Welcome", why };
        if !(MINOR_MIN..=MINOR_MAX).contains(&welcome.minor) {
            return Err(unexpected("minor version was not offered"));
        }
        let names = |(ours, theirs): (&StreamHello, &StreamWelcome)| {
            (ours.stream, ours.epoch) == (theirs.stream, theirs.epoch)
        };
        if welcome.streams.len() != hello.len() || !hello.iter().zip(&welcome.streams).all(names) {
            return Err(unexpected("streams are not those of the hello"));
        }
        self.phase = Phase::Up;
        self.ask(EdgeAsk::LearnTime(welcome.now));
        for (ours, theirs) in hello.iter().zip(&welcome.streams) {
            let is_in_range = theirs.watermark.next() >= ours.first_retained
                && theirs.watermark < ours.next
                && theirs.backup_watermark <= theirs.watermark;
            if theirs.found != Found::Fork && !is_in_range {
                return Err(unexpected("watermark is outside of what is kept"));
            }
            self.begin(welcome.minor, ours, theirs);
        }
        self.open(LaneOpen::State, Lane::State);
        self.read_where_wanted();
        Ok(())
    }

    /// Begins to send one stream, or to fork it.
    fn begin(&mut self, minor: u16, ours: &StreamHello, theirs: &StreamWelcome) {
        let stream = ours.stream;
        let is_at_end = theirs.watermark.next() == ours.next;
        let differs = is_at_end && theirs.chain_at_watermark != ours.chain_head;
        let forks = theirs.found == Found::Fork || differs;
        let ack = Ack {
            stream,
            epoch: theirs.epoch,
            watermark: theirs.watermark,
            backup_watermark: theirs.backup_watermark,
        };
        // The hello names the chain at both ends, so that it was compared there. In between it is
        // compared when the facts that follow are read.
        let is_proven = is_at_end || theirs.watermark.next() == ours.first_retained;
        // Money is what goes all day, and what packs well.
        let packs = stream == Stream::Usage && minor >= MINOR_PACKED;
        let outgoing = Outgoing {
            epoch: ours.epoch,
            next: theirs.watermark.next(),
            chain: theirs.chain_at_watermark,
            acked: theirs.watermark,
            unproven: (!is_proven).then_some(ack),
            in_flight: VecDeque::new(),
            reading: if forks { Reading::Forking } else { Reading::Wanted },
            packer: packs.then(Packer::default),
        };
        self.streams.insert(stream, outgoing);
        self.open(LaneOpen::Facts(stream), Lane::Facts(stream));
        if forks {
            self.ask(EdgeAsk::Fork(stream));
        } else if is_proven {
            self.ask(EdgeAsk::Acked(ack));
        }
    }

    fn on_ack(&mut self, ack: Ack) -> Result<(), ProtocolError> {
        let unexpected = |why| ProtocolError::Unexpected { frame: "Ack", why };
        let outgoing =
            self.streams.get_mut(&ack.stream).ok_or_else(|| unexpected("stream is not open"))?;
        if ack.epoch != outgoing.epoch {
            return Err(unexpected("epoch is another"));
        }
        if ack.watermark >= outgoing.next {
            return Err(unexpected("acknowledges what was not sent"));
        }
        if ack.watermark < outgoing.acked || ack.backup_watermark > ack.watermark {
            return Err(unexpected("goes back"));
        }
        outgoing.acked = ack.watermark;
        outgoing.in_flight.retain(|last| *last > ack.watermark);
        if outgoing.reading != Reading::Forking {
            match &mut outgoing.unproven {
                Some(unproven) => *unproven = ack,
                None => self.ask(EdgeAsk::Acked(ack)),
            }
            self.read_where_wanted();
        }
        Ok(())
    }

    /// Takes what the store holds.
    ///
    /// # Errors
    /// When the hello has no room in a frame.
    pub fn on_holdings(
        &mut self,
        now: UnixMs,
        streams: Vec<StreamHello>,
        mut desired: Vec<DesiredLine>,
    ) -> Result<(), End> {
        desired.sort_by_key(|line| line.server);
        let hello = Hello {
            node: self.own.node,
            instance: self.own.instance,
            minors: (MINOR_MIN, MINOR_MAX),
            software: self.own.software.clone(),
            streams: streams.clone(),
            desired,
            now,
        };
        self.phase = Phase::Greeted(streams);
        self.send(&EdgeFrame::Hello(hello))?;
        Ok(())
    }

    /// Notes that facts were added to some stream.
    pub fn facts_added(&mut self) {
        for outgoing in self.streams.values_mut() {
            outgoing.reading = match outgoing.reading {
                Reading::Drained | Reading::Wanted => Reading::Wanted,
                Reading::Asked(_) => Reading::Asked(true),
                Reading::Forking => Reading::Forking,
            };
        }
        self.read_where_wanted();
    }

    /// Takes facts that were asked for; `None` when there are none after the sequence asked for.
    ///
    /// # Errors
    /// When the store does not give what follows; the session is over.
    pub fn on_facts(&mut self, stream: Stream, batch: Option<Batch>) -> Result<(), End> {
        let Some(outgoing) = self.streams.get_mut(&stream) else { return Ok(()) };
        let Reading::Asked(more) = outgoing.reading else { return Ok(()) };
        let Some(batch) = batch else {
            outgoing.reading = if more { Reading::Wanted } else { Reading::Drained };
            self.read_where_wanted();
            return Ok(());
        };
        if (batch.epoch, batch.first) != (outgoing.epoch, outgoing.next) || batch.bodies.is_empty()
        {
            return Err(End::Store(format!(
                "{stream:?} gives {} for {}",
                batch.first, outgoing.next
            )));
        }
        if batch.chain_before != outgoing.chain {
            // The hub holds another history than this store.
            outgoing.reading = Reading::Forking;
            self.ask(EdgeAsk::Fork(stream));
            return Ok(());
        }
        let proven = outgoing.unproven.take();
        let count = u64::try_from(batch.bodies.len()).unwrap_or(u64::MAX);
        let last = Seq(batch.first.0 + count - 1);
        outgoing.next = last.next();
        outgoing.chain = batch.chain;
        outgoing.in_flight.push_back(last);
        outgoing.reading = Reading::Wanted;
        let frame = outgoing.frame(stream, batch).to_frame().map_err(ProtocolError::from)?;
        self.out.push_back(EdgeOut::Send(Lane::Facts(stream), frame));
        if let Some(ack) = proven {
            self.ask(EdgeAsk::Acked(ack));
        }
        self.read_where_wanted();
        Ok(())
    }

    /// Notes that a stream has begun a new epoch.
    #[must_use]
    pub fn on_forked(&mut self, stream: Stream) -> End {
        End::Forked(stream)
    }

    /// Takes what became of envelopes.
    ///
    /// # Errors
    /// When it has no room in a frame.
    pub fn on_adopted(&mut self, results: Vec<DesiredResult>) -> Result<(), End> {
        Ok(self.send(&EdgeFrame::DesiredResults(results))?)
    }

    /// Takes what became of intents.
    ///
    /// # Errors
    /// When it has no room in a frame.
    pub fn on_accepted(&mut self, results: Vec<IntentResult>) -> Result<(), End> {
        if results.is_empty() {
            return Ok(());
        }
        Ok(self.send(&EdgeFrame::IntentResults(results))?)
    }

    /// Takes envelopes that the hub asked for.
    ///
    /// # Errors
    /// When it has no room in a frame.
    pub fn on_envelopes(&mut self, envelopes: Vec<SignedEnvelope>) -> Result<(), End> {
        Ok(self.send(&EdgeFrame::Envelopes(envelopes))?)
    }

    /// Looks whether the hub was silent too long.
    ///
    /// # Errors
    /// The session is over.
    pub fn on_deadline(&mut self, now: BootMs) -> Result<(), End> {
        if now < self.deadline {
            return Ok(());
        }
        let ms = if self.phase == Phase::Up { SILENCE_MS } else { GREETING_MS };
        Err(End::Silent { ms })
    }

    /// Returns when [`EdgeSession::on_deadline`] is to be called.
    #[must_use]
    pub fn next_deadline(&self) -> BootMs {
        self.deadline
    }

    /// Returns what is to be done next.
    pub fn pop(&mut self) -> Option<EdgeOut> {
        self.out.pop_front()
    }

    /// Whether the hub has welcomed this session.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.phase == Phase::Up
    }

    fn read_where_wanted(&mut self) {
        for (stream, outgoing) in &mut self.streams {
            if outgoing.reading == Reading::Wanted
                && outgoing.in_flight.len() < BATCHES_IN_FLIGHT_MAX
            {
                outgoing.reading = Reading::Asked(false);
                let after = Seq(outgoing.next.0 - 1);
                self.out.push_back(EdgeOut::Ask(EdgeAsk::ReadFacts { stream: *stream, after }));
            }
        }
    }

    fn ask(&mut self, ask: EdgeAsk) {
        self.out.push_back(EdgeOut::Ask(ask));
    }

    fn send(&mut self, frame: &EdgeFrame) -> Result<(), ProtocolError> {
        self.out.push_back(EdgeOut::Send(Lane::Control, frame.to_frame()?));
        Ok(())
    }

    fn open(&mut self, open: LaneOpen, lane: Lane) {
        // A lane's name always has room in a frame.
        if let Ok(frame) = EdgeFrame::LaneOpen(open).to_frame() {
            self.out.push_back(EdgeOut::Send(lane, frame));
        }
    }
}

fn name(frame: &HubFrame) -> &'static str {
    match frame {
        HubFrame::Challenge(_) => "Challenge",
        HubFrame::Welcome(_) => "Welcome",
        HubFrame::Ack(_) => "Ack",
        HubFrame::Desired(_) => "Desired",
        HubFrame::Intents(_) => "Intents",
        HubFrame::Ping(_) => "Ping",
        HubFrame::Goodbye(_) => "Goodbye",
        HubFrame::AskDesired(_) => "AskDesired",
        HubFrame::Registries(_) => "Registries",
    }
}
