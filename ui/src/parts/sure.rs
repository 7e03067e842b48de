//! A question before something that cannot be taken back.

use super::{Field, Kind, Submit, complaint, confirm, dialog, nothing};
use crate::{
    i18n::{fill, t},
    task::Task,
};
use std::rc::Rc;
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// What is asked.
#[derive(Clone)]
pub(crate) struct Sure {
    /// The question.
    pub(crate) title: String,
    /// What will happen.
    pub(crate) text: String,
    /// What has to be typed; empty when a click is enough.
    pub(crate) word: String,
    /// What the button says.
    pub(crate) action: &'static str,
}

/// Returns the dialog. `run` does it with the task that it gets, and closes the dialog afterwards.
pub(crate) fn sure(open: Signal<bool>, what: Sure, run: impl Fn(Task) + 'static) -> View {
    ask(open, what, Rc::new(run))
}

fn ask(open: Signal<bool>, what: Sure, run: Rc<dyn Fn(Task)>) -> View {
    dialog(open, what.title.clone(), move || {
        let Sure { title: _, text, word, action } = what.clone();
        let (typed, task) = (create_signal(String::new()), Task::new());
        let wrong = create_signal(None::<String>);
        let has_word = !word.is_empty();
        let label = fill(t().general.type_word, &[("word", &word)]);
        let run = run.clone();
        let submit = move |event: SubmitEvent| {
            event.prevent_default();
            let is_same = typed.with_untracked(|it| it.trim() == word);
            if has_word && !is_same {
                wrong.set(Some(t().general.type_same.to_owned()));
                return;
            }
            wrong.set(None);
            run(task);
        };
        let problem = complaint(task.failure, &[]);
        let footer = confirm(open, view! { Submit(label=action, kind=Kind::Danger, task=task) });
        let field = if has_word {
            view! { Field(label=label, name="confirm", value=typed, autofocus=true, wrong=*wrong) }
        } else {
            nothing()
        };
        view! { form(on:submit=submit, novalidate=true) { p { (text) } (problem) (field) (footer) } }
    })
}
