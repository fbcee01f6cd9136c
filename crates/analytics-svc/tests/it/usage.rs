//! Usage files, from the first byte to facts, and back.

use analytics_svc::product_usage::{Head, State};
use analytics_svc::rules::Value;
use bytes::Bytes;
use futures_util::stream;
use kit::Coded;

use crate::world::World;

impl World {
    async fn customers(&self, count: usize) {
        let all: Vec<_> = (0..count).map(|n| self.customer(n, 1)).collect();
        for chunk in all.chunks(200) {
            self.tell(chunk).await;
        }
    }

    async fn send(&self, file: impl Into<Bytes>, auto_confirm: bool) -> String {
        let head = Head {
            dataset: "features".into(),
            file_name: "features.csv".into(),
            content_type: "text/csv".into(),
            auto_confirm,
            ..Head::default()
        };
        // Small chunks: nothing may depend on where they end.
        let file = file.into();
        let chunks: Vec<_> = file.chunks(997).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
        self.rooms.usage.upload(&self.caller, head, stream::iter(chunks)).await.unwrap().id
    }

    async fn upload(&self, id: &str) -> analytics_svc::product_usage::Upload {
        self.rooms.usage.get(&self.scope, id).await.unwrap().body
    }

    async fn fact(&self, customer: &str, key: &str) -> Option<Value> {
        let seen = self.rooms.customers.see(&self.scope, customer).await.unwrap().unwrap();
        seen.facts.get(key).cloned()
    }
}

fn file(rows: usize, minutes: usize) -> String {
    let rows =
        (0..rows).map(|n| format!("ext-{n},{},{},yes\n", n + minutes, if n % 2 == 0 { "fibre" } else { "" }));
    format!("customerID,Minutes,Plan Name,Streaming\n{}", rows.collect::<String>())
}

#[tokio::test]
async fn a_file_becomes_facts() {
    let world = World::new().await;
    world.customers(30).await;
    let id = world.send(file(30, 0), true).await;
    world.work().await;
    let upload = world.upload(&id).await;
    assert_eq!(upload.state, State::Completed, "{upload:?}");
    assert_eq!((upload.counts.rows, upload.counts.matched, upload.counts.imported), (30, 30, 30));
    assert_eq!(world.fact("ext-7", "usage_minutes").await, Some(Value::Number(7.0)));
    assert_eq!(world.fact("ext-8", "usage_plan_name").await, Some("fibre".into()));
    assert_eq!(world.fact("ext-7", "usage_plan_name").await, None);
    assert_eq!(world.fact("ext-7", "usage_streaming").await, Some(Value::Bool(true)));
    let rows = world.rooms.usage.of_customer(&world.scope, "cus_00007").await.unwrap();
    assert_eq!(rows.len(), 1);
}

#[tokio::test]
async fn invariant_9_the_same_file_again_answers_the_first_job() {
    let world = World::new().await;
    world.customers(10).await;
    let first = world.send(file(10, 0), true).await;
    assert_eq!(world.send(file(10, 0), true).await, first, "while the first is waiting");
    world.work().await;
    assert_eq!(world.send(file(10, 0), true).await, first);
    let kept = ["usage_rows", "usage_datasets", "customers"];
    let once = world.everything(&kept).await;
    world.rooms.usage.run(&world.scope, &first).await.unwrap();
    world.rooms.usage.enrich(&world.scope, &first).await.unwrap();
    assert_eq!(world.everything(&kept).await, once, "the jobs run again change nothing");
}

#[tokio::test]
async fn an_upload_taken_back_restores_what_it_overwrote() {
    let world = World::new().await;
    world.customers(12).await;
    world.send(file(10, 0), true).await;
    world.work().await;
    let rows =
        |t: String| t.lines().map(|l| l.split("\"at\"").next().unwrap().to_owned()).collect::<Vec<_>>();
    let before = rows(world.everything(&["usage_rows"]).await).len();
    let second = world.send(file(12, 100), true).await;
    world.work().await;
    assert_eq!(world.fact("ext-3", "usage_minutes").await, Some(Value::Number(103.0)));
    assert_eq!(world.fact("ext-11", "usage_minutes").await, Some(Value::Number(111.0)));
    world.rooms.usage.revert(&world.caller, &second).await.unwrap();
    world.work().await;
    assert_eq!(world.upload(&second).await.state, State::Reverted);
    assert_eq!(world.fact("ext-3", "usage_minutes").await, Some(Value::Number(3.0)));
    assert_eq!(world.fact("ext-11", "usage_minutes").await, None);
    assert_eq!(rows(world.everything(&["usage_rows"]).await).len(), before);
    assert!(world.rooms.usage.revert(&world.caller, &second).await.is_err(), "only once");
    // The same file may come again now.
    assert_ne!(world.send(file(12, 100), true).await, second);
}

#[tokio::test]
async fn an_upload_whose_rows_a_later_one_touched_stays() {
    let world = World::new().await;
    world.customers(10).await;
    let first = world.send(file(10, 0), true).await;
    world.work().await;
    world.send(file(5, 50), true).await;
    world.work().await;
    let refused = world.rooms.usage.revert(&world.caller, &first).await.unwrap_err();
    assert_eq!(refused.code().1, "touched_later");
    world.clock.advance(jiff::SignedDuration::from_hours(24 * 8));
    let late = world.rooms.usage.revert(&world.caller, &first).await.unwrap_err();
    assert_eq!(late.code().1, "upload_state");
}

#[tokio::test]
async fn thresholds_ask_and_refuse() {
    let world = World::new().await;
    world.customers(10).await;
    // Nobody is known.
    let strangers = world.send("external_id,minutes\nx,1\ny,2\n", true).await;
    world.work().await;
    assert_eq!(world.upload(&strangers).await.reason, "no_match");
    // One of ten rows is wrong, which is more than a twentieth.
    let mut text = file(10, 0);
    text = text.replace("ext-3,3,", "ext-3,three,").replace("Minutes", "minutes");
    world
        .rooms
        .usage
        .create_dataset(
            &world.caller,
            analytics_svc::product_usage::Dataset {
                name: "features".into(),
                description: String::new(),
                grain: analytics_svc::product_usage::Grain::Customer,
                join_key: analytics_svc::product_usage::JoinKey::ExternalId,
                columns: vec![analytics_svc::product_usage::Column {
                    name: "minutes".into(),
                    kind: analytics_svc::product_usage::ColumnType::Integer,
                    meaning: String::new(),
                }],
            },
        )
        .await
        .unwrap();
    let id = world.send(text, true).await;
    world.work().await;
    let upload = world.upload(&id).await;
    assert_eq!((upload.state, upload.reason.as_str()), (State::AwaitingConfirmation, "many_bad_rows"));
    assert_eq!((upload.errors[0].row, upload.errors[0].column.as_str()), (4, "minutes"));
    assert!(world.everything(&["usage_rows"]).await.is_empty(), "checking writes nothing");
    world.rooms.usage.confirm(&world.caller, &id).await.unwrap();
    world.work().await;
    assert_eq!(world.upload(&id).await.state, State::CompletedWithErrors);
    assert_eq!(world.rooms.usage.errors(&world.scope, &id).await.unwrap().len(), 1);
    assert_eq!(world.fact("ext-4", "usage_minutes").await, Some(Value::Number(4.0)));
    assert_eq!(world.fact("ext-3", "usage_minutes").await, None);
}

#[tokio::test]
async fn of_periods_the_newest_is_the_fact() {
    let world = World::new().await;
    world.customers(3).await;
    let text =
        "external_id,period,minutes\next-1,2031-02,20\next-1,2031-01,10\next-1,2031-03,30\next-2,2031-01,5\n";
    world.send(text, true).await;
    world.work().await;
    assert_eq!(world.fact("ext-1", "usage_minutes").await, Some(Value::Number(30.0)));
    assert_eq!(world.fact("ext-2", "usage_minutes").await, Some(Value::Number(5.0)));
    assert_eq!(world.rooms.usage.of_customer(&world.scope, "ext-1").await.unwrap().len(), 3);
}

#[tokio::test]
async fn an_unreadable_file_is_rejected_and_an_interrupted_one_failed() {
    let world = World::new().await;
    world.customers(3).await;
    let id = world.send("a,b\n1,2\n", true).await;
    world.work().await;
    let upload = world.upload(&id).await;
    assert_eq!((upload.state, upload.reason.as_str()), (State::Rejected, "no_key_column"));
    let head = Head { dataset: "features".into(), ..Head::default() };
    let chunks = vec![Ok(Bytes::from_static(b"external_id\n")), Err(tonic::Status::cancelled("gone"))];
    assert!(world.rooms.usage.upload(&world.caller, head, stream::iter(chunks)).await.is_err());
    let all = world.everything(&["usage_uploads"]).await;
    assert!(all.contains("interrupted"), "{all}");
}

/// A line of this process's status, in KiB.
fn kib(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Tests run in processes of their own, so the peak is this test's.
#[tokio::test]
async fn memory_stays_small_whatever_the_size_of_the_file() {
    let world = World::in_a_folder().await;
    world.customers(20).await;
    let before = kib("VmRSS");
    let rows = 48_000;
    let chunks = (0..rows).map(|n| {
        let header = if n == 0 { "external_id,period,note\n" } else { "" };
        Ok(Bytes::from(format!("{header}ext-{},2031-{n},{:0>980}\n", n % 20, n)))
    });
    let head = Head { dataset: "notes".into(), auto_confirm: true, ..Head::default() };
    let upload = world.rooms.usage.upload(&world.caller, head, stream::iter(chunks)).await.unwrap();
    assert!(upload.body.bytes > 47_000_000, "{}", upload.body.bytes);
    world.rooms.usage.run(&world.scope, &upload.id).await.unwrap();
    let grown = kib("VmHWM") - before;
    assert_eq!(world.upload(&upload.id).await.counts.imported, rows);
    assert!(grown < 64 * 1024, "{grown} KiB for a file of {} KiB", upload.body.bytes / 1024);
}
