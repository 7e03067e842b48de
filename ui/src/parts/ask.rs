//! Dialogs that ask: before something is done that cannot be taken back, and for a new name.

use super::{Field, Kind, Submit, complaint, confirm, dialog};
use crate::{i18n::t, reactive::effect, task::Task};
use std::rc::Rc;
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// What is asked.
pub(crate) struct Question {
    /// Title of the dialog.
    pub(crate) title: String,
    /// What will happen.
    pub(crate) text: String,
    /// What the button says.
    pub(crate) label: &'static str,
    /// What must be typed, and what its field is called; `None` when a click is enough.
    pub(crate) typed: Option<(&'static str, String)>,
}

/// Returns a dialog that asks, and `run`s its task when the answer is yes.
pub(crate) fn ask(open: Signal<bool>, question: Question, run: impl Fn(Task) + 'static) -> View {
    let Question { title, text, label, typed } = question;
    let run: Rc<dyn Fn(Task)> = Rc::new(run);
    dialog(open, title, move || asked(open, text.clone(), label, typed.clone(), run.clone()))
}

/// Returns a dialog that changes a name, and `run`s its task with what was typed.
pub(crate) fn rename(
    open: Signal<bool>,
    title: &'static str,
    before: String,
    run: impl Fn(Task, String) + 'static,
) -> View {
    let run: Rc<dyn Fn(Task, String)> = Rc::new(run);
    dialog(open, title, move || renamed(open, before.clone(), run.clone()))
}

fn renamed(open: Signal<bool>, before: String, run: Rc<dyn Fn(Task, String)>) -> View {
    let (task, name) = (Task::new(), create_signal(before));
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        run(task, name.with_untracked(|it| it.trim().to_owned()));
    };
    let wrong = complaint(task.failure, &["name"]);
    let footer = confirm(open, view! { Submit(label=t().general.save, task=task) });
    view! {
        form(on:submit=submit, novalidate=true) {
            (wrong)
            Field(label=t().servers.name, name="name", value=name, autofocus=true, failure=task.failure)
            (footer)
        }
    }
}

fn asked(
    open: Signal<bool>,
    text: String,
    label: &'static str,
    typed: Option<(&'static str, String)>,
    run: Rc<dyn Fn(Task)>,
) -> View {
    let (task, value) = (Task::new(), create_signal(String::new()));
    let is_wrong = create_signal(None::<String>);
    // What was wrong is not told any more once it is being mended.
    effect(move || {
        value.track();
        is_wrong.set(None);
    });
    let wanted = typed.as_ref().map(|(_, wanted)| wanted.clone());
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let is_typed = wanted.as_ref().is_none_or(|wanted| value.with(|it| it == wanted));
        is_wrong.set((!is_typed).then(|| t().general.typed_wrong.to_owned()));
        if is_typed {
            run(task);
        }
    };
    let field = typed.map(|(label, _)| {
        view! { Field(label=label, name="confirm", value=value, autofocus=true, wrong=*is_wrong) }
    });
    let wrong = complaint(task.failure, &[]);
    let footer = confirm(open, view! { Submit(label=label, kind=Kind::Danger, task=task) });
    view! { form(on:submit=submit, novalidate=true) { p { (text) } (wrong) (field) (footer) } }
}
