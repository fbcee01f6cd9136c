use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::global_config::find;

fn given(value: impl Into<Option<Value>>, rollout: Option<u32>) -> Assigned {
    Assigned {
        key: "any".into(),
        value: value.into(),
        rollout,
        changed_by: "usr_1".into(),
        changed_at: Timestamp::UNIX_EPOCH,
    }
}

fn holds(
    key: &str,
    company: Option<&str>,
    own: Option<&Assigned>,
    above: Option<&Assigned>,
) -> (Value, Source) {
    let setting = find(key).unwrap();
    setting.resolve(company, own, above, &setting.default.value())
}

#[test]
fn the_company_goes_before_the_installation_and_that_before_the_default() {
    let key = "invitation.lifetime_days";
    let (own, above) = (given(Value::Int(3), None), given(Value::Int(10), None));
    assert_eq!(holds(key, Some("com_1"), None, None), (Value::Int(7), Source::Default));
    assert_eq!(holds(key, Some("com_1"), None, Some(&above)), (Value::Int(10), Source::Platform));
    assert_eq!(holds(key, Some("com_1"), Some(&own), Some(&above)), (Value::Int(3), Source::Company));
    let gone = given(None, None);
    assert_eq!(holds(key, Some("com_1"), Some(&gone), Some(&above)).1, Source::Platform);
    // A value from before the bounds were tightened.
    let unfit = given(Value::Int(999), None);
    assert_eq!(holds(key, Some("com_1"), Some(&unfit), None), (Value::Int(7), Source::Default));
    // One that is not for companies.
    let one = given(Value::Int(1), None);
    assert_eq!(holds("sign_in.codes_per_account", Some("com_1"), Some(&one), None).1, Source::Default);
}

#[test]
fn a_flag_s_own_value_goes_before_the_rollout() {
    let key = "feature.experiments";
    let (on, off) = (given(Value::Bool(true), None), given(Value::Bool(false), None));
    let none = given(Value::Bool(true), Some(0));
    let all = given(Value::Bool(true), Some(100));
    assert_eq!(holds(key, Some("com_1"), None, Some(&none)).0, Value::Bool(false));
    assert_eq!(holds(key, Some("com_1"), None, Some(&all)).0, Value::Bool(true));
    assert_eq!(holds(key, Some("com_1"), Some(&on), Some(&none)).0, Value::Bool(true));
    assert_eq!(holds(key, Some("com_1"), Some(&off), Some(&all)).0, Value::Bool(false));
    assert_eq!(holds(key, None, None, Some(&given(Value::Bool(true), Some(99)))).0, Value::Bool(false));
}

#[test]
fn values_are_held_against_the_registry() {
    let read = |key: &str, json| find(key).unwrap().read(json).map_err(|e| e.code);
    assert_eq!(read("session.idle_hours", json!(4)), Ok(Value::Int(4)));
    assert_eq!(read("session.idle_hours", json!(13)), Err("int.range".into()));
    assert_eq!(read("session.idle_hours", json!(4.5)), Err("int".into()));
    assert_eq!(read("session.idle_hours", json!("4")), Err("type".into()));
    assert_eq!(read("feature.win_back", json!(1)), Err("type".into()));
    assert_eq!(read("dashboard.theme", json!("pink")), Err("choice".into()));
    assert_eq!(read("dashboard.notice", json!("x".repeat(501))), Err("string.max_len".into()));
    assert_eq!(read("dashboard.notice", json!("a\nb")), Err("string.control".into()));
    let domains = |list| read("invitation.allowed_domains", list);
    let kept = Value::List(vec!["example.com".into(), "a.b-c.org".into()]);
    assert_eq!(domains(json!([" Example.COM.", "a.b-c.org"])), Ok(kept));
    assert_eq!(domains(json!(["example.com", "EXAMPLE.com"])), Err("list.unique".into()));
    for bad in ["localhost", "a..b", "-a.com", "a@b.com", "", "ä.de"] {
        assert_eq!(domains(json!([bad])), Err("domain".into()), "{bad}");
    }
}

/// Values that must never move: a release that shuffled companies would switch features on and off for them.
#[test]
fn a_company_keeps_its_place() {
    let places: Vec<_> =
        ["com_a", "com_b", "com_c", "com_d"].iter().map(|c| bucket("feature.experiments", c)).collect();
    assert_eq!(places, PLACES);
}

const PLACES: [u32; 4] = [59, 81, 39, 2];

#[test]
fn a_percentage_is_about_that_share_and_flags_choose_for_themselves() {
    let companies: Vec<_> = (0..10_000).map(|n| format!("com_{n:032x}")).collect();
    let on = |key: &str| companies.iter().filter(|c| bucket(key, c) < 30).count();
    for key in ["feature.experiments", "feature.win_back"] {
        assert!((2_800..3_200).contains(&on(key)), "{key}: {}", on(key));
    }
    let both = companies
        .iter()
        .filter(|c| bucket("feature.experiments", c) < 30 && bucket("feature.win_back", c) < 30)
        .count();
    assert!((750..1_050).contains(&both), "{both}");
}

proptest! {
    #[test]
    fn raising_a_percentage_only_adds_companies(company in "[a-z0-9_]{1,40}", low in 0_u32..=100, high in 0_u32..=100) {
        let (low, high) = (low.min(high), low.max(high));
        let at = |percent| {
            let flag = given(Value::Bool(true), Some(percent));
            holds("feature.experiments", Some(&company), None, Some(&flag)).0 == Value::Bool(true)
        };
        prop_assert!(!at(low) || at(high));
        prop_assert!(at(100) && !at(0));
        prop_assert!(bucket("feature.experiments", &company) < 100);
    }

    #[test]
    fn a_company_never_widens_what_narrows(own in -5_i64..40, above in -5_i64..40) {
        let most = match holds("session.idle_hours", None, None, Some(&given(Value::Int(above), None))).0 {
            Value::Int(n) => n,
            other => panic!("{other:?}"),
        };
        let (own, above) = (given(Value::Int(own), None), given(Value::Int(above), None));
        let (value, _) = holds("session.idle_hours", Some("com_1"), Some(&own), Some(&above));
        prop_assert!(matches!(value, Value::Int(n) if n <= most && (1..=12).contains(&n)));
    }

    #[test]
    fn whatever_is_read_passes_its_own_check(n in any::<i64>(), text in ".{0,20}", b in any::<bool>()) {
        for setting in &crate::global_config::SETTINGS {
            for json in [json!(n), json!(text), json!(b), json!([text]), json!(null), json!({ "a": 1 })] {
                if let Ok(value) = setting.read(json) {
                    prop_assert!(setting.check(&value).is_ok());
                }
            }
        }
    }
}
