//! Tokens that must fail, each made by hand from one that is good. What is signed here is signed with the right key, so
//! that each is refused for what it says.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::world::{World, problem};

fn part(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}

/// A good token's parts, to be changed.
struct Bench {
    world: World,
    key: Ed25519KeyPair,
    header: Value,
    claims: Value,
}

impl Bench {
    async fn new() -> Self {
        let world = World::new().await;
        let seed = URL_SAFE_NO_PAD.decode(&world.behind.seed).unwrap();
        let good = world.token(&json!({}));
        let mut parts = good.split('.').map(|p| URL_SAFE_NO_PAD.decode(p).unwrap());
        let mut read = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
        let (header, claims) = (read(), read());
        Self { key: Ed25519KeyPair::from_seed_unchecked(&seed).unwrap(), world, header, claims }
    }

    /// Header and claims as they are written here, signed with the right key.
    fn signed(&self, header: &str, claims: &str) -> String {
        let text = format!("{}.{}", part(header), part(claims));
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(self.key.sign(text.as_bytes())))
    }

    /// A token whose header says something else.
    fn header(&self, name: &str, value: Value) -> String {
        let mut header = self.header.clone();
        header[name] = value;
        self.signed(&header.to_string(), &self.claims.to_string())
    }

    /// A token that claims something else; null takes the claim away.
    fn claim(&self, name: &str, value: Value) -> String {
        let mut claims = self.claims.clone();
        claims[name] = value;
        if claims[name].is_null() {
            claims.as_object_mut().unwrap().remove(name);
        }
        self.signed(&self.header.to_string(), &claims.to_string())
    }

    async fn status(&self, token: &str) -> u16 {
        self.world
            .request("GET", "/v1/cards/crd_1")
            .bearer_auth(token)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    }

    async fn all_refused(&self, tokens: Vec<(String, String)>) {
        // What is changed below is what makes the difference.
        assert_eq!(self.status(&self.signed(&self.header.to_string(), &self.claims.to_string())).await, 200);
        self.world.asked();
        for (what, token) in tokens {
            let request = self.world.request("GET", "/v1/cards/crd_1").bearer_auth(&token);
            let (status, code, body) = problem(request.send().await.unwrap()).await;
            assert_eq!(status, 401, "a token with {what}");
            assert!(code == "unauthenticated" || code == "token_expired", "a token with {what}: {code}");
            let said = body["detail"].as_str().unwrap_or_default();
            let same = "sign in, or send a valid key or token";
            assert!(code == "token_expired" || said == same, "a token with {what} is told {said}");
        }
        assert!(self.world.asked().is_empty(), "none reached a service");
    }
}

#[tokio::test]
async fn a_token_that_says_something_else_of_its_making_is_refused() {
    let bench = Bench::new().await;
    let mut bad = Vec::new();
    for kid in ["unknown", "", "../../../etc/passwd", "x' OR '1'='1", "a\u{0}b", &"k".repeat(5000)] {
        bad.push((format!("kid {kid:.20}"), bench.header("kid", json!(kid))));
    }
    for alg in ["none", "None", "HS256", "HS512", "ES256", "ES384", "RS256", "PS256", "ES256K"] {
        bad.push((format!("alg {alg}"), bench.header("alg", json!(alg))));
    }
    for typ in ["JWT", "inner+jwt", "rt+jwt", "AT+JWT", "at+jwt ", ""] {
        bad.push((format!("typ {typ}"), bench.header("typ", json!(typ))));
    }
    let mut hmac_header = bench.header.clone();
    hmac_header["alg"] = json!("HS256");
    let text = format!("{}.{}", part(&hmac_header.to_string()), part(&bench.claims.to_string()));
    let public = bench.key.public_key().as_ref();
    for secret in [public, URL_SAFE_NO_PAD.encode(public).as_bytes()] {
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
        let token = format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature));
        bad.push(("HS256 over the public key".into(), token));
    }
    bench.all_refused(bad).await;
}

#[tokio::test]
async fn a_token_that_claims_something_else_is_refused() {
    let bench = Bench::new().await;
    let now = bench.claims["iat"].as_i64().unwrap();
    let wrong = [
        ("iss", json!("retention-identity/")),
        ("iss", json!("retention-identit")),
        ("iss", json!("retention-identity.evil.example")),
        ("iss", json!("Retention-Identity")),
        ("iss", json!("https://api.workos.com")),
        ("iss", Value::Null),
        ("aud", json!("gateway/")),
        ("aud", json!("Gateway")),
        ("aud", json!("billing-svc")),
        ("aud", json!([])),
        ("aud", Value::Null),
        ("sub", Value::Null),
        ("sub", json!("usr_2")),
        ("sid", Value::Null),
        ("sid", json!("ses_of_a_company_that_is_gone")),
        ("exp", Value::Null),
        ("exp", json!(now - 1)),
        ("exp", json!((now + 300).to_string())),
        ("exp", json!(now + 10 * 365 * 86_400)),
        ("exp", json!(i64::MAX)),
        ("exp", json!(u64::MAX)),
        ("exp", json!(1e300)),
        ("exp", json!(-1)),
        ("nbf", json!(now + 600)),
        ("nbf", Value::Null),
        ("iat", json!(now + 600)),
    ];
    let mut bad: Vec<_> =
        wrong.map(|(name, value)| (format!("{name} {value}"), bench.claim(name, value))).into();
    // The same claim twice: which one counts must not be a matter of the reader.
    let (header, claims) = (bench.header.to_string(), bench.claims.to_string());
    for twice in [
        "\"sub\":\"usr_2\"",
        "\"exp\":99999999999",
        "\"aud\":\"gateway\"",
        "\"sid\":\"ses_2\"",
        "\"iss\":\"x\"",
    ] {
        let before = claims.replacen('{', &format!("{{{twice},"), 1);
        let after = format!("{},{twice}}}", claims.trim_end_matches('}'));
        bad.push((format!("{twice} before"), bench.signed(&header, &before)));
        bad.push((format!("{twice} after"), bench.signed(&header, &after)));
    }
    for claims in ["", "null", "[]", "{}", "{\"sub\":", "\"text\""] {
        bad.push((format!("claims {claims:?}"), bench.signed(&header, claims)));
    }
    bench.all_refused(bad).await;
}

#[tokio::test]
async fn a_token_that_was_changed_or_signed_by_somebody_else_is_refused() {
    let bench = Bench::new().await;
    let good = bench.signed(&bench.header.to_string(), &bench.claims.to_string());
    let (head, rest) = good.split_once('.').unwrap();
    let (claims, signature) = rest.split_once('.').unwrap();
    let mut other = bench.claims.clone();
    other["sub"] = json!("usr_2");
    let stranger = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let text = format!("{head}.{claims}");
    let strange = URL_SAFE_NO_PAD.encode(stranger.sign(text.as_bytes()));
    let zeros = URL_SAFE_NO_PAD.encode([0; 64]);
    // Keys that come along with the token are nobody's.
    let x = URL_SAFE_NO_PAD.encode(stranger.public_key());
    let mut along = bench.header.clone();
    along["jwk"] = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
    along["jku"] = json!("http://127.0.0.1:1/keys.json");
    let along_text = format!("{}.{claims}", part(&along.to_string()));
    let along_signature = URL_SAFE_NO_PAD.encode(stranger.sign(along_text.as_bytes()));
    let bad = [
        ("other claims", format!("{head}.{}.{signature}", part(&other.to_string()))),
        ("a stranger's signature", format!("{text}.{strange}")),
        ("a signature of zeros", format!("{text}.{zeros}")),
        ("no signature", format!("{text}.")),
        ("two parts", text.clone()),
        ("four parts", format!("{good}.{signature}")),
        ("a key of its own", format!("{along_text}.{along_signature}")),
    ];
    bench.all_refused(bad.map(|(what, token)| (what.to_owned(), token)).into()).await;
}

#[tokio::test]
async fn nobody_says_by_headers_who_they_are() {
    let world = World::new().await;
    let forged = [
        "x-user-id",
        "x-user-role",
        "x-company-id",
        "x-checked",
        "x-retention-caller",
        "grpc-timeout",
        "cookie",
    ];
    let mut request = world.admin("GET", "/v1/cards/crd_1");
    for name in forged.into_iter().chain([kit::client::CHECKED]) {
        request = request.header(name, "forged");
    }
    assert_eq!(request.send().await.unwrap().status(), 200);
    let asked = world.asked();
    assert_eq!((asked[0].1.actor.id.as_str(), asked[0].1.role), ("usr_1", kit::Role::RetAdmin));
    let reached = world.behind.headers.lock().unwrap().clone();
    assert!(reached.values().all(|value| value != "forged"), "{reached:?}");
}
