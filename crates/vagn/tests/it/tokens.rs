//! Tokens: those that are refused are counted and slowed, and a right one goes on.

use crate::vagn::{Vagn, client, settings};

#[tokio::test]
async fn wrong_tokens_are_counted_and_slowed() {
    let dir = tempfile::tempdir().unwrap();
    let right = "nobody guesses this";
    let config = settings(dir.path(), &format!("[http]\ntokens = [\"{right}\"]\n"));
    let vagn = Vagn::start(&dir.path().join("data"), &["--config", &config]);
    let ask = async |token: &str| {
        let url = vagn.url("/api/v1/incidents");
        let answer = client().get(url).bearer_auth(token).send().await.unwrap();
        let wait =
            answer.headers().get("retry-after").map(|wait| wait.to_str().unwrap().parse::<u64>().unwrap());
        (answer.status().as_u16(), wait)
    };
    let mut answers = Vec::new();
    while answers.last().is_none_or(|(status, _)| *status == 401) {
        answers.push(ask("wrong").await);
        assert!(answers.len() <= 100, "nothing slows it");
    }
    let (status, wait) = answers.pop().unwrap();
    assert!(status == 429 && answers.len() >= 5, "{status} after {}", answers.len());
    assert!(wait.is_some_and(|wait| (1..=12).contains(&wait)), "{wait:?}");
    // All callers of this machine have one address, as behind a proxy on it.
    assert_eq!(ask(right).await.0, 200);
    let refused = async |reason: &str| {
        vagn.metric(&format!("vagn_tokens_refused_total{{route=\"incidents\",reason=\"{reason}\"}}")).await
    };
    assert_eq!((refused("wrong").await, refused("slowed").await), (answers.len() as f64, 1.0));
}

#[tokio::test]
async fn a_token_that_can_be_guessed_is_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let config = settings(dir.path(), "[http]\ntokens = [\"s3cret\"]\n");
    let refused = Vagn::attempt(&dir.path().join("data"), &["--config", &config]);
    let (said, code) = refused.err().expect("it does not start");
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("`http.tokens[0]` has 6 characters") && said.contains("openssl rand"), "{said}");
}
