//! What keeps the stack from starting.

use std::time::Duration;

#[tokio::test]
async fn a_stack_with_a_missing_setting_does_not_start() {
    let options = stack::Options {
        only: Vec::new(),
        settings: Default::default(),
        listen: Default::default(),
        clock: std::sync::Arc::new(testkit::clock()),
        drain: Duration::from_secs(1),
    };
    let refused = stack::start(options).await.err().unwrap();
    assert!(format!("{refused:#}").contains("inner-key"), "{refused:#}");
}
