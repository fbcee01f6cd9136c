//! What a full refresh and an import cost, beside the bare thing. Not a benchmark: run by hand, with `--ignored`, in
//! release mode.

use std::time::Instant;

use analytics_svc::facts::Customer;
use analytics_svc::persona::{GuardRails, Persona, Status};
use analytics_svc::product_usage::Head;
use analytics_svc::rules::{Facts, Op, Operand, Rule, Value, expression};
use bson::doc;
use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use kit::Clock;

use crate::world::World;

const CUSTOMERS: usize = 200_000;

fn fact(key: &str, op: Op, value: impl Into<Value>) -> Rule {
    Rule::Fact { key: key.into(), test: Operand::Compare { op, value: value.into() } }
}

fn rules() -> Vec<Rule> {
    vec![
        Rule::All(vec![fact("contract", Op::Eq, "monthly"), fact("tenure_months", Op::Lte, 12.0)]),
        Rule::All(vec![fact("tenure_months", Op::Gte, 24.0), fact("contract", Op::Ne, "monthly")]),
        fact("monthly_charges_minor", Op::Gt, 9_000.0),
        Rule::Any(vec![fact("plan", Op::Eq, "plan 3"), fact("failed_payments_90d", Op::Gte, 2.0)]),
        Rule::Not(Box::new(fact("country", Op::Eq, "US"))),
        fact("usage_minutes", Op::Lt, 10.0),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute; prints figures"]
async fn figures() {
    let world = World::new().await;
    let now = bson::DateTime::from_millis(world.clock.now().as_millisecond());
    let all = world.db.collection::<bson::Document>("customers");
    for chunk in (0..CUSTOMERS).collect::<Vec<_>>().chunks(2_000) {
        let documents = chunk.iter().map(|n| {
            #[allow(clippy::cast_precision_loss)]
            let f = *n as f64;
            let facts = Facts::from([
                ("contract".into(), if n % 2 == 0 { "monthly" } else { "yearly" }.into()),
                ("tenure_months".into(), (f % 72.0).into()),
                ("monthly_charges_minor".into(), (f % 11_000.0).into()),
                ("plan".into(), format!("plan {}", n % 9).into()),
                ("country".into(), if n % 5 == 0 { "DE" } else { "US" }.into()),
                ("failed_payments_90d".into(), (f % 4.0).into()),
                ("usage_minutes".into(), (f % 500.0).into()),
                ("subscription_state".into(), "active".into()),
            ]);
            let customer = Customer { external_id: format!("ext-{n}"), facts, ..Customer::default() };
            doc! { "_id": format!("cus_{n:07}"), "company_id": "com_1", "mode": "live", "version": 1_i64,
            "created_at": now, "updated_at": now, "body": bson::serialize_to_bson(&customer).unwrap() }
        });
        all.insert_many(documents).await.unwrap();
    }
    for (i, rule) in rules().into_iter().enumerate() {
        let persona = Persona {
            name: format!("p{i}"),
            description: String::new(),
            category: None,
            rule,
            priority: 0,
            status: Status::Draft,
            guard_rails: GuardRails::default(),
            refresh_hours: 24,
        };
        let (made, _) = world.rooms.personas.create(&world.caller, persona).await.unwrap();
        world.rooms.personas.enter(&world.caller, &made.id, Status::Active).await.unwrap();
    }
    for round in 0..4 {
        let begun = Instant::now();
        let sums: bson::Document = rules()
            .iter()
            .enumerate()
            .map(|(i, r)| {
                (
                    format!("p{i}"),
                    doc! { "$sum": { "$cond": [expression(r, "body.facts", "body.events"), 1, 0] } }.into(),
                )
            })
            .collect();
        let mut group = doc! { "_id": null };
        group.extend(sums);
        let found = all.aggregate([
            doc! { "$match": { "company_id": "com_1", "mode": "live" } },
            doc! { "$group": group },
        ]);
        let bare: Vec<_> = found.await.unwrap().try_collect().await.unwrap();
        let bare_took = begun.elapsed();
        let begun = Instant::now();
        world.rooms.refreshes.run(&world.scope, &format!("job_{round}")).await.unwrap();
        println!("refresh {:?}, bare aggregation {bare_took:?} {}", begun.elapsed(), bare.len());
    }
    let line = |n: usize, round: usize| {
        format!("ext-{n},2031-0{round},{n},{},text {n},true,2031-01-01,{},{n},x\n", n % 7, n % 3)
    };
    for round in 1..4 {
        let head = Head { dataset: "use".into(), auto_confirm: true, ..Head::default() };
        let chunks = (0..CUSTOMERS / 1_000).map(move |c| {
            let lines = (c * 1_000..(c + 1) * 1_000).map(|n| line(n, round)).collect::<String>();
            let header = if c == 0 { "external_id,period,a,b,c,d,e,f,g,h\n" } else { "" };
            Ok(Bytes::from(format!("{header}{lines}")))
        });
        let begun = Instant::now();
        let upload = world.rooms.usage.upload(&world.caller, head, stream::iter(chunks)).await.unwrap();
        let spooled = begun.elapsed();
        world.rooms.usage.run(&world.scope, &upload.id).await.unwrap();
        let took = begun.elapsed();
        let done = world.rooms.usage.get(&world.scope, &upload.id).await.unwrap().body;
        let bare = world.db.collection::<bson::Document>(&format!("bare_{round}"));
        let begun = Instant::now();
        for chunk in (0..CUSTOMERS).collect::<Vec<_>>().chunks(2_000) {
            let rows = chunk.iter().map(|n| doc! { "k": format!("ext-{n}"), "p": "2031-01", "a": *n as i64, "b": (*n % 7) as i64,
                "c": format!("text {n}"), "d": true, "e": "2031-01-01", "f": (*n % 3) as i64, "g": *n as i64, "h": "x" });
            bare.insert_many(rows).await.unwrap();
        }
        println!(
            "upload {took:?} (spooled {spooled:?}) {:?} {:?}, bare insert_many {:?}",
            done.state,
            done.counts,
            begun.elapsed()
        );
        let begun = Instant::now();
        world.rooms.usage.enrich(&world.scope, &upload.id).await.unwrap();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or_default().to_owned();
        println!("enrichment {:?}; {peak}", begun.elapsed());
    }
}
