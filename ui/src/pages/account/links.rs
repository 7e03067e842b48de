//! Accounts elsewhere that sign in here; nothing where the hub knows no other place.

use crate::reactive::selector;
use crate::{
    i18n::{fill, t},
    pages::sign_in::visit::{self, Purpose},
    parts::{Action, Kind, Question, Toasts, ask, complaint, listing, nothing, shown},
    remote::{self, Remote, watch},
    session::Session,
    task::Task,
    time::Age,
};
use mamba_wire::api::{
    Page,
    account::{LinkedAccount, ProviderPath},
    auth::{BeginVisit, Provider},
    table,
};
use std::rc::Rc;
use sycamore::prelude::*;

type Linked = Remote<Page<LinkedAccount>>;

/// The card.
#[component]
pub(super) fn Links() -> View {
    let providers = watch::<table::ListProviders>(remote::NEVER_MS, || Some(((), ())));
    let linked = watch::<table::ListLinks>(remote::NEVER_MS, || Some(((), ())));
    shown(providers, move |page| {
        let items = selector(move || page.with(|it| it.items.clone()));
        if items.with_untracked(Vec::is_empty) {
            return nothing();
        }
        view! {
            section(class="card") {
                header { h2 { (t().account.links) } p { (t().account.links_text) } }
                (shown(linked, move |page| {
                    let rows = view! {
                        Indexed(list=items, view=move |it| view! { Line(linked=linked, page=page, provider=it) })
                    };
                    listing(&[t().servers.name, t().account.title, t().account.added, ""], rows)
                }))
            }
        }
    })
}

#[component(inline_props)]
fn Line(linked: Linked, page: ReadSignal<Rc<Page<LinkedAccount>>>, provider: Provider) -> View {
    let session = use_context::<Session>();
    let Provider { provider: id, name } = provider;
    let own_id = id.clone();
    let own =
        selector(move || page.with(|it| it.items.iter().find(|it| it.provider == own_id).cloned()));
    let (task, removing) = (Task::new(), create_signal(false));
    let remove = remove_dialog(linked, id.clone(), &name, removing);
    let add_label = fill(t().account.link_add, &[("name", &name)]);
    let begin = move || {
        let body = BeginVisit { provider: id.clone() };
        task.run(session.call::<table::BeginLink>((), (), body), |begun| {
            visit::leave(Purpose::Link, &begun);
        });
    };
    let wrong = complaint(task.failure, &[]);
    view! {
        tr {
            td { (name) }
            td(class="cut") {
                (own.with(|it| it.as_ref().map_or_else(|| t().account.not_linked.to_owned(), |it| it.name.clone())))
            }
            td(class="muted") {
                (match own.with(|it| it.as_ref().map(|it| it.made_at)) {
                    Some(at) => view! { Age(at=at) },
                    None => nothing(),
                })
            }
            td(class="end") {
                (if own.with(Option::is_some) {
                    view! { Action(label=t().account.link_remove, kind=Kind::Danger, run=move || removing.set(true)) }
                } else {
                    let (label, begin) = (add_label.clone(), begin.clone());
                    view! { Action(label=label, task=task, run=begin) }
                })
                (wrong) (remove)
            }
        }
    }
}

fn remove_dialog(linked: Linked, provider: String, name: &str, open: Signal<bool>) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let question = Question {
        title: t().account.link_remove.to_owned(),
        text: fill(t().account.link_remove_text, &[("name", &name)]),
        label: t().account.link_remove,
        typed: None,
    };
    ask(open, question, move |task| {
        let path = ProviderPath { provider: provider.clone() };
        task.run(session.call::<table::RemoveLink>(path, (), ()), move |()| {
            toasts.done(t().account.unlinked);
            open.set(false);
            linked.reload();
        });
    })
}
