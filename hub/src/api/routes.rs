//! From method and path to the one handler of an endpoint.

use super::{Api, ApiError, Context, Handle, Served, body, cursor::Seal, shape};
use mamba_wire::api::{
    Code, Endpoint, Method, Params, RequestBody as _, Row, decode_query, decode_segment, table::*,
};
use std::{any::TypeId, collections::BTreeMap, future::Future, pin::Pin, sync::Arc};

/// What a handler's future gives: an answer in bytes.
pub(super) type Answering = Pin<Box<dyn Future<Output = Result<Served<Vec<u8>>, ApiError>> + Send>>;

/// One endpoint with its handler.
#[derive(Clone, Copy)]
pub(super) struct Route {
    pub(super) row: Row,
    /// Reads path, query and body, and calls the handler.
    pub(super) call: fn(Arc<Api>, Context, Input) -> Answering,
    /// Whether it answers with pages.
    pub(super) is_list: bool,
    /// The type of its answer.
    out: TypeId,
}

/// What came in, not yet read.
pub(super) struct Input {
    /// Values of the path's names, decoded.
    pub(super) path: Vec<(String, String)>,
    /// As it stands in the request.
    pub(super) query: String,
    /// All of it; empty when none is expected.
    pub(super) body: Vec<u8>,
}

/// All endpoints by path and method.
pub(super) struct Routes {
    paths: matchit::Router<BTreeMap<Method, Entry>>,
}

/// One endpoint in the table.
struct Entry {
    route: Route,
    object: Option<Route>,
}

/// What was found for a request.
pub(super) struct Found<'a> {
    pub(super) route: &'a Route,
    /// Shows the object that it changes: see [`Row::object`].
    pub(super) object: Option<&'a Route>,
    pub(super) path: Vec<(String, String)>,
}

impl Found<'_> {
    /// Whether the answer of a change is the changed object itself.
    pub(super) fn answers_with_object(&self) -> bool {
        self.object.is_some_and(|object| object.out == self.route.out)
    }
}

impl Routes {
    /// Builds the table from the contract: a row without a handler does not compile.
    pub(super) fn new() -> Self {
        let mut all: Vec<Route> = Vec::new();
        macro_rules! add_all {
            ($($name:ident)+) => { $(all.push(route::<$name>());)+ };
        }
        mamba_wire::for_each_endpoint!(add_all);
        let named = |row: &Row| all.iter().find(|route| route.row.name == row.name).copied();
        let mut by_path: BTreeMap<&'static str, BTreeMap<Method, Entry>> = BTreeMap::new();
        for route in &all {
            let entry = Entry { route: *route, object: route.row.object().and_then(named) };
            let methods = by_path.entry(route.row.path).or_default();
            let taken = methods.insert(route.row.method, entry);
            assert!(taken.is_none(), "two endpoints share a method and path");
        }
        let mut paths = matchit::Router::new();
        for (path, methods) in by_path {
            #[expect(clippy::expect_used, reason = "constants; every test builds this table")]
            paths.insert(path, methods).expect("paths of the contract do not clash");
        }
        Self { paths }
    }

    /// Finds the endpoint of a request. HEAD is served as GET.
    ///
    /// # Errors
    /// `NotFound` or `MethodNotAllowed`.
    pub(super) fn find(&self, method: &str, path: &str) -> Result<Found<'_>, ApiError> {
        let unknown = || ApiError::new(Code::NotFound, "there is nothing at this path");
        let found = self.paths.at(path).map_err(|_| unknown())?;
        let wanted = if method == "HEAD" { "GET" } else { method };
        let entry = found.value.iter().find(|(method, _)| method.name() == wanted);
        let Some((_, Entry { route, object })) = entry else {
            let mut err =
                ApiError::new(Code::MethodNotAllowed, format!("this path does not take {method}"));
            let allowed = found.value.keys().flat_map(|method| match method {
                Method::Get => vec!["GET", "HEAD"],
                Method::Post | Method::Put | Method::Patch | Method::Delete => vec![method.name()],
            });
            err.allow = Some(allowed.collect::<Vec<_>>().join(", "));
            return Err(err);
        };
        let decoded = found
            .params
            .iter()
            .map(|(name, value)| Some((name.to_owned(), decode_segment(value)?)))
            .collect::<Option<Vec<_>>>();
        let path = decoded.ok_or_else(unknown)?;
        Ok(Found { route, object: object.as_ref(), path })
    }
}

fn route<E: Endpoint>() -> Route
where
    Api: Handle<E>,
{
    Route {
        row: Row::of::<E>(),
        call: |api, context, input| Box::pin(call(api, context, input)),
        is_list: is_list::<E>(),
        out: TypeId::of::<E::Out>(),
    }
}

fn is_list<E: Endpoint>() -> bool {
    E::Query::NAMES.contains(&"after")
}

async fn call<E: Endpoint>(
    api: Arc<Api>,
    context: Context,
    input: Input,
) -> Result<Served<Vec<u8>>, ApiError>
where
    Api: Handle<E>,
{
    let Read { path, query, body, seal } = read::<E>(&input)?;
    Ok(match api.handle(context, path, query, body).await? {
        Served::Json(out) if E::STATUS == 204 => {
            drop(out);
            Served::Json(Vec::new())
        }
        Served::Json(out) => Served::Json(match seal {
            Some(seal) => seal.page(&out)?,
            None => to_json(&out)?,
        }),
        Served::JsonAs(status, out) => Served::JsonAs(status, to_json(&out)?),
        Served::Ready(json) => Served::Ready(match seal {
            Some(seal) => seal.close(json)?,
            None => json,
        }),
        Served::Whole(response) => Served::Whole(response),
    })
}

/// A request, read.
struct Read<E: Endpoint> {
    path: E::Path,
    query: E::Query,
    body: E::Body,
    /// There when the endpoint is a list with pages.
    seal: Option<Seal>,
}

fn read<E: Endpoint>(input: &Input) -> Result<Read<E>, ApiError> {
    let value = |pairs: &[(String, String)], name: &str| {
        pairs.iter().find(|(its, _)| its == name).map(|(_, value)| value.clone())
    };
    let path = E::Path::read(&|name| value(&input.path, name)).map_err(|err| err.under("path"))?;
    let mut pairs = decode_query(&input.query)?;
    if let Some((name, _)) = pairs.iter().find(|(name, _)| !E::Query::NAMES.contains(&&**name)) {
        let field = format!("query.{}", name.chars().take(64).collect::<String>());
        return Err(mamba_core::error::Invalid::new(field, "is not known here").into());
    }
    let seal = is_list::<E>().then(|| Seal::new(E::NAME, &input.path, &pairs));
    if let Some(seal) = &seal
        && let Some((_, after)) = pairs.iter_mut().find(|(name, _)| name == "after")
    {
        *after = seal.open(after).map_err(|err| err.under("query"))?;
    }
    let query = E::Query::read(&|name| value(&pairs, name)).map_err(|err| err.under("query"))?;
    let bytes: &[u8] = if E::Body::EXPECTED { &input.body } else { b"null" };
    shape::check(&Row::of::<E>(), bytes)?;
    Ok(Read { path, query, body: body::parse(bytes)?, seal })
}

fn to_json(out: &impl serde::Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(out).map_err(|err| ApiError::bug(format!("answer has no JSON form: {err}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_contract_is_routed_to_itself() {
        let routes = Routes::new();
        for row in ENDPOINTS {
            let path = row.path.replace(['{', '}'], "");
            let found = routes.find(row.method.name(), &path).ok().unwrap();
            assert_eq!(found.route.row.name, row.name, "{path}");
        }
    }

    #[test]
    fn unknown_paths_and_methods_are_told_apart() {
        let routes = Routes::new();
        let code = |method: &str, path: &str| {
            let err = routes.find(method, path).err().unwrap();
            (err.code, err.allow)
        };
        assert_eq!(code("GET", "/"), (Code::NotFound, None));
        assert_eq!(code("GET", "/api/v1/me/"), (Code::NotFound, None));
        assert_eq!(code("GET", "/api/v1/servers/%ff"), (Code::NotFound, None));
        let allow = Some("GET, HEAD, POST".to_owned());
        assert_eq!(code("PUT", "/api/v1/servers"), (Code::MethodNotAllowed, allow));
        assert_eq!(routes.find("HEAD", "/api/v1/me").ok().unwrap().route.row.name, "WhoAmI");
    }
}
