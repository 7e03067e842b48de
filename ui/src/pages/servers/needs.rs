//! What a game needs somebody for, as its console says: told above the console, with what helps.
//!
//! Lines of a game that runs are left alone: it got through, and people chat in it.

use super::page::Seen;
use crate::reactive::selector;
use crate::{
    i18n::t,
    net::Failure,
    parts::{
        Action, Choice, Field, Icon, IconButton, Kind, Select, Submit, Toasts, complaint, nothing,
    },
    remote::{self, Remote, watch},
    session::Session,
    task::Task,
};
use mamba_core::{
    access::{AdminRight, ServerKey},
    blueprint::{Feature, first_seen},
    clock::UnixMs,
    lifecycle::{PowerAction, ServerState},
};
use mamba_wire::{
    api::{
        blueprint::Blueprint,
        console::Line,
        params::{BlueprintPath, ServerPath},
        server::{Power, Server, UpdateServer},
        table,
    },
    node::LineSource,
};
use std::{collections::BTreeMap, pin::Pin, rc::Rc};
use sycamore::prelude::*;
use web_sys::SubmitEvent;

/// The variable that holds Steam's token, as eggs call it.
const STEAM_TOKEN: &str = "STEAM_ACC";
/// Where Minecraft's licence is read.
const EULA: &str = "https://aka.ms/MinecraftEULA";

/// A change of the server that is on its way.
type Change = Pin<Box<dyn Future<Output = Result<Server, Failure>>>>;

/// What the console asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Need {
    feature: Feature,
    /// When, by the node's calendar.
    at: UnixMs,
}

/// What is asked for, and what was answered.
#[derive(Clone, Copy)]
pub(super) struct Needs {
    seen: Seen,
    blueprint: Remote<Blueprint>,
    asked: Signal<Option<Need>>,
    /// What was said until then is answered.
    answered: Signal<UnixMs>,
}

impl Needs {
    /// Begins to listen for what the server's blueprint names.
    pub(super) fn new(seen: Seen) -> Self {
        let name = seen.server.with_untracked(|it| it.blueprint.clone());
        let blueprint = watch::<table::ShowBlueprint>(remote::NEVER_MS, move || {
            Some((BlueprintPath { blueprint: name.clone() }, ()))
        });
        let (asked, answered) = (create_signal(None), create_signal(UnixMs(0)));
        Self { seen, blueprint, asked, answered }
    }

    /// Takes a line. Until the blueprint is known, everything is listened for.
    pub(super) fn line(self, line: &Line) {
        let is_games = match line.source {
            LineSource::Stdout | LineSource::Stderr | LineSource::Install => true,
            LineSource::Input | LineSource::Edge => false,
        };
        if !is_games || line.at <= self.answered.get_untracked() {
            return;
        }
        let found = match self.blueprint.value.get_clone_untracked() {
            Some(blueprint) => first_seen(&features(&blueprint), &line.text),
            None => first_seen(&Feature::ALL, &line.text),
        };
        if let Some(feature) = found {
            self.asked.set(Some(Need { feature, at: line.at }));
        }
    }

    /// Returns what is to be told now.
    fn told(self) -> Option<Feature> {
        let feature = self.asked.get()?.feature;
        let is_named =
            self.blueprint.value.get_clone().is_some_and(|it| features(&it).contains(&feature));
        let is_open = self.seen.server.with(|it| {
            let state = it.observed.as_ref().map(|it| it.state);
            let is_agreed = feature == Feature::Eula && it.eula_accepted;
            state != Some(ServerState::Running) && !is_agreed
        });
        (is_named && is_open).then_some(feature)
    }

    fn close(self) {
        if let Some(need) = self.asked.get_untracked() {
            self.answered.set(need.at);
        }
        self.asked.set(None);
    }

    /// Makes a change and has the server run with it, as far as one may.
    fn mend(self, session: Session, toasts: Toasts, task: Task, change: Change) {
        let Self { seen, .. } = self;
        let again = again(seen);
        let work = async move {
            let server = change.await?;
            if let Some(action) = again {
                let body = Power { action, expires_in_ms: None };
                session.call::<table::Power>(ServerPath { server: seen.id }, (), body).await?;
            }
            Ok(server)
        };
        task.run(work, move |server| {
            toasts.done(if again.is_some() {
                t().servers.need_done
            } else {
                t().servers.startup_saved
            });
            self.close();
            seen.remote.put(server);
        });
    }
}

/// Returns the power action that has the server run anew, when one may ask for it.
fn again(seen: Seen) -> Option<PowerAction> {
    let is_down = seen.server.with_untracked(|it| {
        it.observed.as_ref().is_none_or(|it| it.state == ServerState::Offline)
    });
    let action = if is_down { PowerAction::Start } else { PowerAction::Restart };
    seen.may(action.key()).then_some(action)
}

fn features(blueprint: &Blueprint) -> Vec<Feature> {
    blueprint.features.iter().filter_map(|it| Feature::parse(&it.name)).collect()
}

/// The card above the console; nothing while nothing is asked for.
#[component(inline_props)]
pub(super) fn Needed(needs: Needs) -> View {
    let told = selector(move || needs.told());
    view! {
        (match told.get() {
            Some(feature) => card(needs, feature),
            None => nothing(),
        })
    }
}

fn card(needs: Needs, feature: Feature) -> View {
    let texts = &t().servers;
    let is_admin = use_context::<Session>().may_admin(AdminRight::ServersWrite);
    let (title, text) = match feature {
        Feature::Eula => (texts.need_eula, texts.need_eula_text),
        Feature::JavaVersion => (texts.need_java, texts.need_java_text),
        Feature::GslToken => (texts.need_token, texts.need_token_text),
        Feature::PidLimit if is_admin => (texts.need_pids, texts.need_pids_admin),
        Feature::PidLimit => (texts.need_pids, texts.need_pids_text),
        Feature::SteamDiskSpace if is_admin => (texts.need_disk, texts.need_disk_admin),
        Feature::SteamDiskSpace => (texts.need_disk, texts.need_disk_text),
    };
    let help = match feature {
        Feature::Eula => eula(needs),
        Feature::JavaVersion => java(needs),
        Feature::GslToken => token(needs),
        Feature::PidLimit | Feature::SteamDiskSpace => nothing(),
    };
    view! {
        section(class="card need", role="alert") {
            header {
                h2 { (title) }
                IconButton(label=t().general.close, picture=Icon::Close, run=move || needs.close())
            }
            div(class="body") { p { (text) } (help) }
        }
    }
}

fn eula(needs: Needs) -> View {
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let task = Task::new();
    let agree = move || {
        let path = ServerPath { server: needs.seen.id };
        let change = Box::pin(session.call::<table::AcceptEula>(path, (), ()));
        needs.mend(session, toasts, task, change);
    };
    let wrong = complaint(task.failure, &[]);
    let may = needs.seen.may(ServerKey::FileCreate);
    view! {
        (wrong)
        div(class="actions") {
            (if may {
                view! { Action(label=t().servers.need_eula_agree, kind=Kind::Primary, task=task, run=agree) }
            } else { nothing() })
            a(href=EULA, target="_blank", rel="noopener noreferrer") { (t().servers.need_eula_read) }
        }
    }
}

fn java(needs: Needs) -> View {
    let blueprint = needs.blueprint.value.get_clone_untracked();
    let Some(blueprint) = blueprint.filter(|_| needs.seen.may(ServerKey::StartupDockerImage))
    else {
        return nothing();
    };
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let own = needs.seen.server.with_untracked(|it| it.image.clone().unwrap_or_default());
    let (image, task) = (create_signal(own), Task::new());
    let images = blueprint.images.iter().map(|it| Choice::new(&it.image, &it.label)).collect();
    let images = create_signal::<Vec<Choice>>(images);
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let body =
            UpdateServer { image: Some(image.get_clone_untracked()), ..UpdateServer::default() };
        change(needs, session, toasts, task, body);
    };
    let wrong = complaint(task.failure, &["image"]);
    view! {
        form(on:submit=submit, novalidate=true) {
            (wrong)
            Select(label=t().servers.image, name="image", value=image, choices=*images, failure=task.failure)
            div(class="actions") { Submit(label=t().servers.need_java_change, task=task) }
        }
    }
}

fn token(needs: Needs) -> View {
    let is_admin = use_context::<Session>().may_admin(AdminRight::ServersWrite);
    let blueprint = needs.blueprint.value.get_clone_untracked();
    let is_open = |it: &Rc<Blueprint>| {
        it.variables.iter().any(|it| it.name == STEAM_TOKEN && (it.editable || is_admin))
    };
    if !needs.seen.may(ServerKey::StartupUpdate) || !blueprint.as_ref().is_some_and(is_open) {
        return nothing();
    }
    let (session, toasts) = (use_context::<Session>(), use_context::<Toasts>());
    let (typed, task) = (create_signal(String::new()), Task::new());
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let value = typed.with_untracked(|it| it.trim().to_owned());
        let variables = Some(BTreeMap::from([(STEAM_TOKEN.to_owned(), value)]));
        change(needs, session, toasts, task, UpdateServer { variables, ..UpdateServer::default() });
    };
    let wrong = complaint(task.failure, &["variables.STEAM_ACC"]);
    view! {
        form(on:submit=submit, novalidate=true) {
            (wrong)
            Field(label=t().servers.need_token_field, name="variables.STEAM_ACC", value=typed, optional=true,
                hint=t().servers.need_token_hint, failure=task.failure)
            div(class="actions") { Submit(label=t().servers.need_token_change, task=task) }
        }
    }
}

fn change(needs: Needs, session: Session, toasts: Toasts, task: Task, body: UpdateServer) {
    let path = ServerPath { server: needs.seen.id };
    needs.mend(
        session,
        toasts,
        task,
        Box::pin(session.call::<table::UpdateServer>(path, (), body)),
    );
}
