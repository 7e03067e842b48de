//! One thing that a person started: whether it runs, and why it failed.

use crate::net::Failure;
use sycamore::{futures::spawn_local_scoped, prelude::*};

/// What became of what somebody started.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    /// Whether it runs.
    pub(crate) busy: Signal<bool>,
    /// Why the last attempt failed.
    pub(crate) failure: Signal<Option<Failure>>,
    /// Counts what was started: what was overtaken says nothing any more.
    started: Signal<u32>,
}

impl Task {
    /// Nothing was started yet.
    pub(crate) fn new() -> Self {
        Self { busy: create_signal(false), failure: create_signal(None), started: create_signal(0) }
    }

    /// Runs it, unless it runs already. Ends with the component that started it.
    pub(crate) fn run<T>(
        self,
        work: impl Future<Output = Result<T, Failure>> + 'static,
        done: impl FnOnce(T) + 'static,
    ) {
        if !self.busy.get_untracked() {
            self.restart(work, done);
        }
    }

    /// Runs it in place of what runs already.
    pub(crate) fn restart<T>(
        self,
        work: impl Future<Output = Result<T, Failure>> + 'static,
        done: impl FnOnce(T) + 'static,
    ) {
        let number = self.started.get_untracked().wrapping_add(1);
        self.started.set(number);
        self.busy.set(true);
        spawn_local_scoped(async move {
            let result = work.await;
            if self.started.get_untracked() != number {
                return;
            }
            batch(|| {
                self.busy.set(false);
                match result {
                    Ok(value) => {
                        self.failure.set(None);
                        done(value);
                    }
                    Err(failure) => self.failure.set(Some(failure)),
                }
            });
        });
    }
}
