//! Signing in at Discord, played by a stand-in that keeps Discord's documented rules: codes are for one
//! use, of who began the visit (PKCE), and exchanged by who knows the client's secret.

use super::world::World;
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use mamba_hub::{
    identity::{Provider, ProviderKind, Settings},
    mail::Secret,
};
use mamba_wire::api::{
    Code,
    auth::{self, SignIn},
    table,
};
use reqwest::Url;
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::task::JoinSet;
use warp::{Filter as _, http::StatusCode, reply::with_status};

const ADMIN: &str = "admin@example.org";
/// Basic authorisation of `app` with `hush`.
const CLIENT: &str = "Basic YXBwOmh1c2g=";

/// Codes that were given out, each with its challenge.
type Codes = Arc<Mutex<BTreeMap<String, String>>>;

struct Discord {
    base: String,
    codes: Codes,
    _serving: JoinSet<()>,
}

impl Discord {
    async fn start() -> Self {
        let codes = Codes::default();
        let given = codes.clone();
        let token = warp::path!("api" / "oauth2" / "token")
            .and(warp::post())
            .and(warp::header::<String>("authorization"))
            .and(warp::body::form())
            .map(move |client: String, form: BTreeMap<String, String>| {
                let challenge = given.lock().unwrap().remove(&form["code"]);
                let proof =
                    URL_SAFE_NO_PAD.encode(digest(&SHA256, form["code_verifier"].as_bytes()));
                let is_good = client == CLIENT
                    && challenge == Some(proof)
                    && form["grant_type"] == "authorization_code"
                    && form["redirect_uri"] == "http://localhost:8080/auth/callback";
                let body = match is_good {
                    true => json!({ "access_token": "of-player", "token_type": "Bearer" }),
                    false => json!({ "error": "invalid_grant" }),
                };
                let status = if is_good { StatusCode::OK } else { StatusCode::BAD_REQUEST };
                with_status(warp::reply::json(&body), status)
            });
        let me = warp::path!("api" / "users" / "@me")
            .and(warp::get())
            .and(warp::header::exact("authorization", "Bearer of-player"))
            .map(|| {
                let body = json!({
                    "id": "80351110224678912", "username": "player", "discriminator": "0",
                    "email": ADMIN, "verified": true
                });
                warp::reply::json(&body)
            });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let mut serving = JoinSet::new();
        serving.spawn(warp::serve(token.or(me)).incoming(listener).run());
        Self { base, codes, _serving: serving }
    }

    /// Somebody agrees in the browser: returns state and code.
    fn agree(&self, url: &str) -> (String, String) {
        let url = Url::parse(url).unwrap();
        assert!(url.as_str().starts_with(&format!("{}/oauth2/authorize?", self.base)), "{url}");
        let asked: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!(asked["scope"], "identify email");
        assert_eq!((asked["client_id"].as_str(), asked["response_type"].as_str()), ("app", "code"));
        assert_eq!(asked["code_challenge_method"], "S256");
        let code = format!("code-{}", asked["state"]);
        self.codes.lock().unwrap().insert(code.clone(), asked["code_challenge"].clone());
        (asked["state"].clone(), code)
    }
}

#[tokio::test]
async fn discord_signs_in_who_linked_it() {
    let discord = Discord::start().await;
    let provider = Provider {
        id: "discord".to_owned(),
        name: "Discord".to_owned(),
        kind: ProviderKind::Discord { base: discord.base.clone() },
        client_id: "app".to_owned(),
        client_secret: Secret("hush".to_owned().into()),
    };
    let world = World::with(Settings { providers: vec![provider], ..Settings::default() }).await;
    let admin = world.login(ADMIN).await.access_token;
    let begin = auth::BeginVisit { provider: "discord".to_owned() };
    let sign_in = async || {
        let begun = world.call::<table::BeginVisit>(None, &(), &(), &begin).await.unwrap();
        let (state, code) = discord.agree(&begun.url);
        auth::FinishVisit { state, code, binding: begun.binding }
    };
    let finish = async |body: &auth::FinishVisit| {
        world.call::<table::FinishVisit>(None, &(), &(), body).await
    };
    // The address is proved there, but not here.
    assert_eq!(finish(&sign_in().await).await.err().unwrap().code, Code::Conflict);
    let begun = world.call::<table::BeginLink>(Some(&admin), &(), &(), &begin).await.unwrap();
    let (state, code) = discord.agree(&begun.url);
    let body = auth::FinishVisit { state, code, binding: begun.binding };
    let linked = world.call::<table::FinishLink>(Some(&admin), &(), &(), &body).await.unwrap();
    assert_eq!((linked.provider.as_str(), linked.name.as_str()), ("discord", "player"));
    let SignIn::SignedIn(tokens) = finish(&sign_in().await).await.unwrap() else {
        panic!("asked for more")
    };
    assert_eq!(tokens.me.email, ADMIN);
    // A code of somebody else's visit proves nothing.
    let (mine, other) = (sign_in().await, sign_in().await);
    let mixed = auth::FinishVisit { code: other.code, ..mine };
    assert_eq!(finish(&mixed).await.err().unwrap().code, Code::Unavailable);
}
