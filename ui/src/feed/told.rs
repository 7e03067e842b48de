//! Pure: what the page looks at, what of it the hub tells, and what it told.

use mamba_wire::api::feed::{GAUGES_MAX, TOPICS_MAX, Topic};
use std::collections::{BTreeMap, BTreeSet};

/// What the page looks at, and what it was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// By how many parts of the page it is looked at.
    wanted: BTreeMap<Topic, u32>,
    looking: BTreeSet<Topic>,
    /// Counts what is new about `wanted`: after that the hub has to be asked again.
    asks: u32,
    changes: BTreeMap<Topic, u32>,
}

impl Told {
    /// One more part looks at it.
    pub(super) fn want(&mut self, topic: Topic) {
        let count = self.wanted.entry(topic).or_default();
        *count += 1;
        self.asks = self.asks.wrapping_add(u32::from(*count == 1));
    }

    /// One part less looks at it.
    pub(super) fn leave(&mut self, topic: Topic) {
        let Some(count) = self.wanted.get_mut(&topic) else { return };
        *count -= 1;
        if *count == 0 {
            self.wanted.remove(&topic);
            self.asks = self.asks.wrapping_add(1);
            // Nobody was there to hear of what changes from now on.
            self.looking.remove(&topic);
            self.changes.remove(&topic);
        }
    }

    /// Whether anybody looks at anything.
    pub(super) fn is_wanted(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Whether anybody looks at it.
    pub(super) fn wants(&self, topic: Topic) -> bool {
        self.wanted.contains_key(&topic)
    }

    /// Returns a number that changes with what to ask.
    pub(super) fn asks(&self) -> u32 {
        self.asks
    }

    /// Returns what to ask of the hub: what does not fit goes without.
    pub(super) fn wanted(&self) -> Vec<Topic> {
        let is_gauge = |topic: &&Topic| matches!(topic, Topic::Gauges(_));
        let gauges = self.wanted.keys().filter(is_gauge).take(GAUGES_MAX);
        let others = self.wanted.keys().filter(|it| !is_gauge(it)).take(TOPICS_MAX - GAUGES_MAX);
        others.chain(gauges).copied().collect()
    }

    /// Whether the hub tells of it.
    pub(super) fn is_told(&self, topic: Topic) -> bool {
        self.looking.contains(&topic)
    }

    /// Returns how often it changed.
    pub(super) fn changes(&self, topic: Topic) -> u32 {
        self.changes.get(&topic).copied().unwrap_or_default()
    }

    /// The hub tells of these, and of no others.
    pub(super) fn look(&mut self, topics: Vec<Topic>) {
        self.looking = topics.into_iter().filter(|it| self.wanted.contains_key(it)).collect();
    }

    /// These changed.
    pub(super) fn change(&mut self, topics: &[Topic]) {
        for topic in topics.iter().filter(|it| self.wanted.contains_key(it)) {
            let count = self.changes.entry(*topic).or_default();
            *count = count.wrapping_add(1);
        }
    }

    /// All of it may have changed.
    pub(super) fn miss(&mut self) {
        let all: Vec<Topic> = self.wanted.keys().copied().collect();
        self.change(&all);
    }

    /// The hub tells nothing any more.
    pub(super) fn lose(&mut self) {
        self.looking.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mamba_core::ids::ServerId;

    fn server(n: u8) -> ServerId {
        ServerId::from_bytes([n; 16])
    }

    #[test]
    fn a_topic_is_told_from_the_hubs_word_until_nobody_looks() {
        let (list, one) = (Topic::Servers, Topic::Server(server(1)));
        let mut told = Told::default();
        assert!(!told.is_wanted());
        told.want(list);
        told.want(list);
        told.want(one);
        assert!(!told.is_told(list), "the hub has not said so");
        told.look(vec![list, Topic::Nodes]);
        assert!(told.is_told(list) && !told.is_told(one) && !told.is_told(Topic::Nodes));
        told.change(&[list, Topic::Nodes]);
        assert_eq!([list, one, Topic::Nodes].map(|it| told.changes(it)), [1, 0, 0]);
        told.miss();
        assert_eq!([list, one, Topic::Nodes].map(|it| told.changes(it)), [2, 1, 0]);
        told.leave(list);
        assert!(told.is_told(list), "somebody still looks");
        told.leave(list);
        assert!(!told.is_told(list) && told.is_wanted());
        told.look(vec![one]);
        told.lose();
        assert!(!told.is_told(one), "without a feed one has to ask");
        let asks = told.asks();
        told.leave(one);
        told.want(one);
        assert!(!told.is_told(one) && told.asks() != asks, "the hub has to be asked again");
        told.leave(one);
        told.leave(one);
        assert!(!told.is_wanted() && told.wanted().is_empty());
    }

    #[test]
    fn no_more_is_asked_for_than_a_feed_carries() {
        let mut told = Told::default();
        for n in 0..200 {
            told.want(Topic::Server(server(n)));
            told.want(Topic::Gauges(server(n)));
        }
        let wanted = told.wanted();
        assert_eq!(wanted.len(), TOPICS_MAX);
        let gauges = wanted.iter().filter(|it| matches!(it, Topic::Gauges(_))).count();
        assert_eq!(gauges, GAUGES_MAX);
    }
}
