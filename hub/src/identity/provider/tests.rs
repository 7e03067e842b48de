//! Which id tokens are believed.

use super::*;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

const NOW: UnixMs = UnixMs(1_800_000_000_000);
const ISSUER: &str = "https://id.example.org";

struct Issuer {
    key: EncodingKey,
    public: Vec<u8>,
    keys: JwkSet,
}

fn issuer() -> Issuer {
    let pair = Ed25519KeyPair::generate().unwrap();
    let pkcs8 = pair.to_pkcs8().unwrap();
    let public = pair.public_key().as_ref().to_vec();
    let x = URL_SAFE_NO_PAD.encode(&public);
    let one = json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "k1",
                      "x": x });
    let keys = serde_json::from_value(json!({ "keys": [one] })).unwrap();
    Issuer { key: EncodingKey::from_ed_der(pkcs8.as_ref()), public, keys }
}

fn provider() -> Provider {
    Provider {
        id: "own".to_owned(),
        name: "Own".to_owned(),
        kind: ProviderKind::Oidc { issuer: ISSUER.to_owned() },
        client_id: "panel".to_owned(),
        client_secret: Secret("s".to_owned().into()),
    }
}

fn claims(changed: &[(&str, Value)]) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": "panel", "sub": "u1", "exp": NOW.0 / 1_000 + 60, "nonce": "n1",
        "email": "a@example.org", "email_verified": true, "name": "Ann",
    });
    for (name, value) in changed {
        claims[*name] = value.clone();
    }
    claims
}

impl Issuer {
    fn sign(&self, kid: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = kid.map(str::to_owned);
        encode(&header, claims, &self.key).unwrap()
    }

    fn read(&self, token: &str) -> Result<Remote, String> {
        let read = provider().read(NOW, ISSUER, &self.keys, token, "n1");
        read.map_err(|err| err.to_string())
    }
}

#[test]
fn a_token_of_the_issuer_for_this_visit_says_who_it_is() {
    let issuer = issuer();
    let remote = issuer.read(&issuer.sign(Some("k1"), &claims(&[]))).unwrap();
    assert_eq!((remote.subject.as_str(), remote.name.as_str()), ("u1", "Ann"));
    assert_eq!(remote.verified_email.as_deref(), Some("a@example.org"));
    // Some have one key and do not name it, or send words for values.
    let word = claims(&[("email_verified", json!("true"))]);
    assert!(issuer.read(&issuer.sign(None, &word)).unwrap().verified_email.is_some());
}

#[test]
fn an_address_that_is_not_proved_there_is_none() {
    let issuer = issuer();
    for value in [json!(false), json!("false"), json!(1), Value::Null] {
        let token = issuer.sign(Some("k1"), &claims(&[("email_verified", value.clone())]));
        assert_eq!(issuer.read(&token).unwrap().verified_email, None, "{value}");
    }
}

#[test]
fn tokens_for_others_and_of_others_are_refused() {
    let issuer = issuer();
    let late = NOW.0 / 1_000 - CLOCK_MS_MAX / 1_000;
    assert!(issuer.read(&issuer.sign(Some("k1"), &claims(&[("exp", json!(late))]))).is_ok());
    for (changed, why) in [
        (("iss", json!("https://evil.example")), "of another issuer"),
        (("aud", json!("another panel")), "does not hold"),
        (("aud", json!(["another panel"])), "does not hold"),
        (("nonce", json!("n2")), "of another visit"),
        (("nonce", Value::Null), "of another visit"),
        (("exp", json!(late - 1)), "has expired"),
        (("exp", Value::Null), "does not hold"),
        (("sub", Value::Null), "does not hold"),
    ] {
        let token = issuer.sign(Some("k1"), &claims(std::slice::from_ref(&changed)));
        let err = issuer.read(&token).unwrap_err();
        assert!(err.contains(why), "{changed:?}: {err}");
    }
}

#[test]
fn tokens_signed_otherwise_are_refused() {
    let (own, other) = (issuer(), issuer());
    let err = own.read(&own.sign(Some("k2"), &claims(&[]))).unwrap_err();
    assert!(err.contains("unknown key"), "{err}");
    let err = own.read(&other.sign(Some("k1"), &claims(&[]))).unwrap_err();
    assert!(err.contains("does not hold"), "{err}");

    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let body = part(&claims(&[]));
    for alg in ["none", "None", "NONE"] {
        let bare = format!("{}.{body}.", part(&json!({ "alg": alg, "kid": "k1" })));
        assert!(own.read(&bare).unwrap_err().contains("id token is none"), "{alg}");
    }
    // What everybody knows, the public key, is no shared secret.
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("k1".to_owned());
    let key = EncodingKey::from_secret(&own.public);
    let err = own.read(&encode(&header, &claims(&[]), &key).unwrap()).unwrap_err();
    assert!(err.contains("in a way that is not accepted"), "{err}");

    let good = own.sign(Some("k1"), &claims(&[]));
    let (head, rest) = good.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let forged = part(&claims(&[("sub", json!("u2"))]));
    assert!(own.read(&format!("{head}.{forged}.{signature}")).is_err());
    assert!(own.read("").is_err());
}

#[test]
fn a_secret_goes_into_the_form_only_where_nothing_else_is_offered() {
    let endpoints = |methods: Value, token: &str| {
        let mut found = json!({
            "issuer": ISSUER, "authorization_endpoint": "https://id.example.org/a",
            "token_endpoint": token, "jwks_uri": "http://127.0.0.1:1/keys",
        });
        if !methods.is_null() {
            found["token_endpoint_auth_methods_supported"] = methods;
        }
        serde_json::from_value::<Endpoints>(found).unwrap()
    };
    for (methods, expected) in [
        (Value::Null, false),
        (json!(["client_secret_basic", "client_secret_post"]), false),
        (json!(["client_secret_post", "private_key_jwt"]), true),
        (json!(["private_key_jwt"]), false),
    ] {
        let found = endpoints(methods.clone(), "https://id.example.org/t");
        assert_eq!(found.takes_secret_in_form(), expected, "{methods}");
        assert!(found.are_safe());
    }
    for token in ["http://id.example.org/t", "ftp://127.0.0.1/t", "/t", ""] {
        assert!(!endpoints(Value::Null, token).are_safe(), "{token}");
    }
}
