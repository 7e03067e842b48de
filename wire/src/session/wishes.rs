//! Pure: which wishes and intents the hub sends when, within one session.

use crate::{
    link::v1::{
        Ack, DesiredLine, DesiredOutcome, DesiredResult, Intent, IntentResult, SERVERS_MAX,
    },
    session::{
        RESEND_MS,
        compare::{by_server, desired_delta},
    },
};
use mamba_core::{
    clock::BootMs,
    desired::{EnvelopeHash, Order},
    ids::{IntentId, ServerId},
    registry::Login,
};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that the hub wants a node to have at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// One line per server, tombstones included.
    pub desired: Vec<DesiredLine>,
    /// Intents without a result.
    pub intents: Vec<Intent>,
    /// Custody of the open epochs.
    pub acks: Vec<Ack>,
    /// All logins of image registries.
    pub registries: Vec<Login>,
}

/// What the session knows of the edge's wishes.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// What the edge holds, as far as known.
    at_edge: BTreeMap<ServerId, (Order, EnvelopeHash)>,
    /// What the hub wants.
    wanted: BTreeMap<ServerId, (Order, EnvelopeHash)>,
    /// Sent and not answered, or answered with "later": not sent again before the time.
    waiting: BTreeMap<ServerId, (Order, BootMs)>,
    /// Answered with no: not sent again in this session unless the rank changes.
    refused: BTreeMap<ServerId, Order>,
    /// Already asked for. The edge or the store may have had a reason not to give or take them.
    asked: BTreeSet<(ServerId, Order)>,
    /// Where the edge holds something that counts for more than the hub's rank: a newer home, or owner.
    disputed: BTreeSet<ServerId>,
    /// Intents sent and not answered, with the time to send them again.
    intents: BTreeMap<IntentId, BootMs>,
}

/// What to do next about wishes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) ask: Vec<ServerId>,
    pub(super) send: Vec<ServerId>,
    pub(super) intents: Vec<Intent>,
}

impl Wishes {
    /// Begins with what the hello says.
    pub(super) fn new(hello: &[DesiredLine]) -> Self {
        Self { at_edge: by_server(hello), ..Self::default() }
    }

    /// Decides what travels now, and marks it as travelling.
    pub(super) fn step(&mut self, now: BootMs, wanted: &Wanted) -> Step {
        self.wanted = by_server(&wanted.desired);
        let lines =
            |of: &BTreeMap<ServerId, (Order, EnvelopeHash)>| {
                let line = |(server, (order, hash)): (&ServerId, &(Order, EnvelopeHash))| {
                    DesiredLine { server: *server, order: *order, hash: *hash }
                };
                of.iter().map(line).collect::<Vec<_>>()
            };
        let delta = desired_delta(&lines(&self.at_edge), &lines(&self.wanted));
        let mut step = Step::default();
        for server in delta.ask.into_iter().chain(std::mem::take(&mut self.disputed)) {
            if let Some((order, _)) = self.at_edge.get(&server)
                && self.asked.insert((server, *order))
            {
                step.ask.push(server);
            }
        }
        let mut unsettled = BTreeSet::new();
        for server in delta.send.into_iter().take(SERVERS_MAX) {
            let Some((order, _)) = self.wanted.get(&server) else { continue };
            if self.refused.get(&server) == Some(order) {
                continue;
            }
            unsettled.insert(server);
            let waits = |(at, until): &(Order, BootMs)| at == order && now < *until;
            if !self.waiting.get(&server).is_some_and(waits) {
                step.send.push(server);
            }
        }
        self.waiting.retain(|server, _| unsettled.contains(server));
        self.choose_intents(now, wanted, &unsettled, &mut step);
        step
    }

    /// An intent for a server whose wish is on its way waits for it: the edge would not know it.
    fn choose_intents(
        &mut self,
        now: BootMs,
        wanted: &Wanted,
        unsettled: &BTreeSet<ServerId>,
        step: &mut Step,
    ) {
        self.intents.retain(|id, _| wanted.intents.iter().any(|intent| intent.intent == *id));
        for intent in &wanted.intents {
            if self.intents.get(&intent.intent).is_some_and(|until| now < *until) {
                continue;
            }
            if unsettled.contains(&intent.server) {
                self.intents.remove(&intent.intent);
            } else {
                self.intents.insert(intent.intent, now.plus(RESEND_MS));
                step.intents.push(intent.clone());
            }
        }
    }

    /// Notes that the wish for a server was sent.
    pub(super) fn sent(&mut self, now: BootMs, server: ServerId, order: Order) {
        self.waiting.insert(server, (order, now.plus(RESEND_MS)));
    }

    /// Notes the edge's answers.
    pub(super) fn answered(&mut self, results: &[DesiredResult]) {
        for DesiredResult { server, order, outcome } in results {
            match outcome {
                DesiredOutcome::Adopted => {
                    if let Some((wanted, hash)) = self.wanted.get(server)
                        && wanted == order
                    {
                        self.at_edge.insert(*server, (*order, *hash));
                    }
                    self.waiting.remove(server);
                }
                // It stays in `waiting` until it may be sent again.
                DesiredOutcome::NotStored => {}
                DesiredOutcome::Stale => {
                    self.waiting.remove(server);
                    self.refused.insert(*server, *order);
                    self.disputed.insert(*server);
                }
                DesiredOutcome::Conflict
                | DesiredOutcome::HubRollback
                | DesiredOutcome::Forged
                | DesiredOutcome::Invalid(_)
                | DesiredOutcome::NeedsForce => {
                    self.waiting.remove(server);
                    self.refused.insert(*server, *order);
                }
            }
        }
    }

    /// Notes that intents have a result. They are not sent again while the store still lists them.
    pub(super) fn intents_answered(&mut self, results: &[IntentResult]) {
        for result in results {
            if let Some(until) = self.intents.get_mut(&result.intent) {
                *until = BootMs(u64::MAX);
            }
        }
    }

    /// Returns when something has to be sent again.
    pub(super) fn next_resend(&self) -> Option<BootMs> {
        let wishes = self.waiting.values().map(|(_, until)| *until);
        wishes.chain(self.intents.values().copied()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::{
        clock::UnixMs,
        error::Invalid,
        ids::UserId,
        lifecycle::PowerAction,
        seq::{Generation, Incarnation},
    };

    fn server(id: u8) -> ServerId {
        ServerId::from_bytes([id; 16])
    }

    fn order(generation: u64) -> Order {
        Order { incarnation: Incarnation(1), generation: Generation(generation) }
    }

    fn line(id: u8, generation: u64) -> DesiredLine {
        let hash = EnvelopeHash([u8::try_from(generation).unwrap(); 32]);
        DesiredLine { server: server(id), order: order(generation), hash }
    }

    fn wanted(desired: &[DesiredLine], intents: &[u8]) -> Wanted {
        let intent = |id: &u8| Intent {
            intent: IntentId::from_bytes([*id; 16]),
            server: server(*id),
            action: PowerAction::Start,
            by: UserId::from_bytes([0; 16]),
            keys: Default::default(),
            expires_at: UnixMs(0),
        };
        Wanted {
            desired: desired.to_vec(),
            intents: intents.iter().map(intent).collect(),
            acks: vec![],
            registries: vec![],
        }
    }

    #[test]
    fn what_the_edge_holds_is_asked_for_once_when_a_higher_rank_is_stale_to_it() {
        let mut wishes = Wishes::new(&[line(1, 1)]);
        let wanted = wanted(&[line(1, 2)], &[]);
        assert_eq!(wishes.step(BootMs(0), &wanted).ask, []);
        for asked in [vec![server(1)], vec![]] {
            wishes.answered(&[result(1, 2, DesiredOutcome::Stale)]);
            let step = wishes.step(BootMs(1), &wanted);
            assert_eq!((step.ask, step.send), (asked, vec![]));
        }
    }

    fn result(id: u8, generation: u64, outcome: DesiredOutcome) -> DesiredResult {
        DesiredResult { server: server(id), order: order(generation), outcome }
    }

    /// Sends server 1 at generation 2 and returns what is sent after the answer.
    fn after(outcome: DesiredOutcome, now: BootMs, generation: u64) -> Vec<ServerId> {
        let mut wishes = Wishes::new(&[line(1, 1)]);
        let step = wishes.step(BootMs(0), &wanted(&[line(1, 2)], &[]));
        assert_eq!(step.send, [server(1)]);
        wishes.sent(BootMs(0), server(1), order(2));
        wishes.answered(&[result(1, 2, outcome)]);
        wishes.step(now, &wanted(&[line(1, generation)], &[])).send
    }

    #[test]
    fn an_answer_decides_about_sending_again() {
        use DesiredOutcome::{Adopted, Invalid as Bad, NotStored};
        let late = BootMs(RESEND_MS);
        assert_eq!(after(Adopted, late, 2), []);
        assert_eq!(after(Adopted, late, 3), [server(1)]);
        let invalid = || Bad(Invalid::new("a", "b"));
        assert_eq!(after(invalid(), late, 2), []);
        assert_eq!(after(invalid(), late, 3), [server(1)]);
        assert_eq!(after(NotStored, BootMs(RESEND_MS - 1), 2), []);
        assert_eq!(after(NotStored, late, 2), [server(1)]);
    }

    #[test]
    fn an_intent_waits_for_its_server_and_goes_again_until_answered() {
        let mut wishes = Wishes::new(&[]);
        let both = wanted(&[line(1, 1)], &[1]);
        let first = wishes.step(BootMs(0), &both);
        assert_eq!((first.send.len(), first.intents.len()), (1, 0));
        wishes.sent(BootMs(0), server(1), order(1));
        wishes.answered(&[result(1, 1, DesiredOutcome::Adopted)]);
        let intents = |wishes: &mut Wishes, now| wishes.step(BootMs(now), &both).intents.len();
        assert_eq!(intents(&mut wishes, 1), 1);
        assert_eq!(intents(&mut wishes, 2), 0);
        assert_eq!(wishes.next_resend(), Some(BootMs(1 + RESEND_MS)));
        assert_eq!(intents(&mut wishes, 1 + RESEND_MS), 1);
        let outcome = crate::link::v1::IntentOutcome::Accepted;
        wishes.intents_answered(&[IntentResult { intent: IntentId::from_bytes([1; 16]), outcome }]);
        assert_eq!(intents(&mut wishes, 9 * RESEND_MS), 0);
    }

    #[test]
    fn a_newer_wish_at_the_edge_is_asked_for_once() {
        let mut wishes = Wishes::new(&[line(1, 2), line(2, 1)]);
        let behind = wanted(&[line(1, 1)], &[]);
        assert_eq!(wishes.step(BootMs(0), &behind).ask, [server(1), server(2)]);
        assert_eq!(wishes.step(BootMs(1), &behind), Step::default());
    }
}
