//! What is counted, and what the answers say of it.

use crate::world::{World, problem};

#[tokio::test]
async fn every_counted_answer_says_what_is_left() {
    let world = World::counting().await;
    let read = world.admin("GET", "/v1/cards?limit=5").send().await.unwrap();
    assert_eq!(read.headers()["ratelimit-policy"], r#""read";q=400;w=4, "company-read";q=2000;w=4"#);
    assert_eq!(read.headers()["ratelimit"], r#""read";r=399;t=1, "company-read";r=1999;t=1"#);
    // Counted and refused for another reason: it says so, too.
    let wrong =
        world.admin("POST", "/v1/cards").json(&serde_json::json!({ "nonsense": 1 })).send().await.unwrap();
    assert_eq!(wrong.status(), 422);
    assert_eq!(wrong.headers()["ratelimit-policy"], r#""write";q=200;w=4, "company-write";q=1000;w=4"#);
    // Not counted: silent.
    let versions = world.request("GET", "/v1/versions").send().await.unwrap();
    assert!(!versions.headers().contains_key("ratelimit"));
    assert!(!versions.headers().contains_key("deprecation"), "nothing of v1 ends");
}

#[tokio::test]
async fn who_guesses_credentials_is_stopped_and_his_neighbour_is_not() {
    let world = World::counting().await;
    let mut refused = None;
    for _ in 0..200 {
        let answer = world.request("GET", "/v1/cards").bearer_auth("rsk_live_guess").send().await.unwrap();
        if answer.status() != 401 {
            refused = Some(answer);
            break;
        }
        assert!(answer.headers()["ratelimit"].to_str().unwrap().starts_with("\"unauthenticated\";r="));
    }
    let refused = refused.expect("a limit");
    assert_eq!(refused.headers()["ratelimit-policy"], r#""unauthenticated";q=60;w=60"#);
    assert!(refused.headers().contains_key("retry-after"));
    let (status, code, _) = problem(refused).await;
    assert_eq!((status, code.as_str()), (429, "rate_limited"));
    assert_eq!(world.admin("GET", "/v1/cards").send().await.unwrap().status(), 200, "from the same address");
}
