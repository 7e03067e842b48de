//! The hub's HTTP API as typed calls, from the same contract that the hub serves.

use crate::{
    http::{self, Request, Response},
    report::{Failure, Played},
};
use mamba_core::{
    ids::{NodeId, ServerId},
    quota::Quota,
};
use mamba_wire::api::{
    self, Code, Endpoint, PageQuery, Problem, RequestBody,
    activity::ActivityItem,
    allocation::{Allocation, AllocationQuery, CreateAllocations},
    auth::{Login, SignIn},
    node::{CreateJoinToken, NewJoinToken, Node},
    params::ServerPath,
    server::{CreateServer, Intent, Power, Server, ServerQuery},
    table,
    tenant::{CreateTenant, NewOwner, Tenant},
    usage::{Usage, UsageQuery},
};
use std::net::SocketAddr;

/// A caller of the API.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    at: SocketAddr,
    token: Option<String>,
}

impl Api {
    /// Somebody who is not signed in.
    pub(crate) fn anonymous(at: SocketAddr) -> Self {
        Self { at, token: None }
    }

    /// Signs in.
    pub(crate) async fn login(at: SocketAddr, email: &str, password: &str) -> Played<Self> {
        let login = Login { email: email.to_owned(), password: password.to_owned() };
        let reply: SignIn = Self::anonymous(at).call::<table::Login>(&(), &(), &login).await?;
        let tokens = reply.tokens().ok_or("a second factor is asked for")?;
        Ok(Self { at, token: Some(tokens.access_token) })
    }

    /// Where the hub listens.
    pub(crate) fn at(&self) -> SocketAddr {
        self.at
    }

    /// Calls an endpoint; a refusal is a failure.
    pub(crate) async fn call<E: Endpoint>(
        &self,
        path: &E::Path,
        query: &E::Query,
        body: &E::Body,
    ) -> Played<E::Out> {
        let target = api::target::<E>(path, query);
        let json = serde_json::to_vec(body)?;
        let body = <E::Body as RequestBody>::EXPECTED.then_some(json.as_slice());
        let answer = self.send(E::METHOD.name(), &target, body).await?;
        if answer.status != E::STATUS {
            return Err(format!("{} {target}: {}", E::METHOD.name(), refusal(&answer)).into());
        }
        let text: &[u8] = if answer.body.is_empty() { b"null" } else { &answer.body };
        serde_json::from_slice(text).map_err(|err| {
            format!("{} {target}: answer is not as declared: {err}", E::METHOD.name()).into()
        })
    }

    /// Calls an endpoint that has to refuse with this code, and returns the problem.
    pub(crate) async fn refused<E: Endpoint>(
        &self,
        path: &E::Path,
        query: &E::Query,
        body: &E::Body,
        code: Code,
    ) -> Played<Problem> {
        let target = api::target::<E>(path, query);
        let json = serde_json::to_vec(body)?;
        let body = <E::Body as RequestBody>::EXPECTED.then_some(json.as_slice());
        self.refused_raw(E::METHOD.name(), &target, body, code).await
    }

    /// Sends any bytes as a request that has to be refused with this code.
    pub(crate) async fn refused_raw(
        &self,
        method: &str,
        target: &str,
        body: Option<&[u8]>,
        code: Code,
    ) -> Played<Problem> {
        let answer = self.send(method, target, body).await?;
        let problem: Problem = serde_json::from_slice(&answer.body)
            .map_err(|_| format!("{method} {target} was not refused: {}", refusal(&answer)))?;
        if problem.code != code || answer.status != code.status() {
            let wanted = code.text();
            return Err(
                format!("{method} {target}: wanted `{wanted}`, got {}", refusal(&answer)).into()
            );
        }
        Ok(problem)
    }

    async fn send(&self, method: &str, target: &str, body: Option<&[u8]>) -> Played<Response> {
        let token = self.token.as_deref();
        http::send(self.at, &Request { method, target, token, body }).await
    }

    /// Makes a tenant and its owner.
    pub(crate) async fn create_tenant(
        &self,
        name: &str,
        email: &str,
        password: &str,
    ) -> Played<Tenant> {
        let owner = NewOwner { email: email.to_owned(), password: password.to_owned() };
        let (quota, external_id) = (Quota::default(), None);
        let body = CreateTenant { name: name.to_owned(), quota, owner, external_id };
        self.call::<table::CreateTenant>(&(), &(), &body).await
    }

    /// Makes a join token.
    pub(crate) async fn join_token(&self, name: &str) -> Played<NewJoinToken> {
        let body = CreateJoinToken { name: name.to_owned(), replaces: None };
        self.call::<table::CreateJoinToken>(&(), &(), &body).await
    }

    /// Returns all nodes.
    pub(crate) async fn nodes(&self) -> Played<Vec<Node>> {
        Ok(self.call::<table::ListNodes>(&(), &whole_page().into(), &()).await?.items)
    }

    /// Makes an allocation.
    pub(crate) async fn allocate(&self, body: &CreateAllocations) -> Played<Allocation> {
        let made = self.call::<table::CreateAllocations>(&(), &(), body).await?;
        Ok(made.items.into_iter().next().ok_or("no allocation was made")?)
    }

    /// Returns the allocations of a node.
    pub(crate) async fn allocations(&self, node: NodeId) -> Played<Vec<Allocation>> {
        let query = AllocationQuery {
            node: Some(node),
            port: None,
            taken: None,
            sort: None,
            after: None,
            limit: Some(200),
        };
        Ok(self.call::<table::ListAllocations>(&(), &query, &()).await?.items)
    }

    /// Makes a server.
    pub(crate) async fn create_server(&self, body: &CreateServer) -> Played<Server> {
        Ok(self.call::<table::CreateServer>(&(), &(), body).await?.server)
    }

    /// Returns all servers that the caller may see.
    pub(crate) async fn servers(&self) -> Played<Vec<Server>> {
        Ok(self.call::<table::ListServers>(&(), &every_server(), &()).await?.items)
    }

    /// Returns one server.
    pub(crate) async fn server(&self, server: ServerId) -> Played<Server> {
        self.call::<table::ShowServer>(&ServerPath { server }, &(), &()).await
    }

    /// Records a power action.
    pub(crate) async fn power(&self, server: ServerId, body: &Power) -> Played<Intent> {
        self.call::<table::Power>(&ServerPath { server }, &(), body).await
    }

    /// Returns the newest power actions.
    pub(crate) async fn intents(&self, server: ServerId) -> Played<Vec<Intent>> {
        let path = ServerPath { server };
        Ok(self.call::<table::ListIntents>(&path, &whole_page(), &()).await?.items)
    }

    /// Returns everything that happened to a server, newest first.
    pub(crate) async fn activity(&self, server: ServerId) -> Played<Vec<ActivityItem>> {
        let mut items = Vec::new();
        let mut query = whole_page();
        loop {
            let page =
                self.call::<table::ListActivity>(&ServerPath { server }, &query, &()).await?;
            items.extend(page.items);
            match page.next {
                None => return Ok(items),
                after => query.after = after,
            }
        }
    }

    /// Returns the usage of the last day.
    pub(crate) async fn usage(&self, server: ServerId) -> Played<Usage> {
        let query = UsageQuery { from: None, to: None };
        self.call::<table::ShowUsage>(&ServerPath { server }, &query, &()).await
    }
}

/// All servers of the story.
fn every_server() -> ServerQuery {
    ServerQuery { limit: Some(api::page::PAGE_ITEMS_MAX), ..ServerQuery::ALL }
}

/// The largest page: no list of the story is longer, but activity.
pub(crate) fn whole_page() -> PageQuery {
    PageQuery { after: None, limit: Some(api::page::PAGE_ITEMS_MAX) }
}

/// What a refusal said, for people.
fn refusal(answer: &Response) -> Failure {
    let text = match serde_json::from_slice::<Problem>(&answer.body) {
        Ok(problem) => {
            let fields: Vec<String> = problem.errors.iter().map(ToString::to_string).collect();
            format!(
                "{} {}: {} {}",
                problem.status,
                problem.code.text(),
                problem.detail,
                fields.join("; ")
            )
        }
        Err(_) => {
            let body: String = String::from_utf8_lossy(&answer.body).chars().take(300).collect();
            format!("{}: {body}", answer.status)
        }
    };
    text.into()
}
