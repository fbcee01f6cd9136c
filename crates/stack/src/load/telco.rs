//! The demo company's customers: rows of the telco data set (demo/telco/SOURCE.md) as customers with a subscription,
//! and their usage columns as a product-usage file. Nothing is invented but what the data does not have: an address
//! to write to, in a domain nobody can own.

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::Deserialize;

use super::rows::Row;

/// A row as the file has it.
#[derive(Deserialize)]
struct Telco {
    #[serde(rename = "customerID")]
    id: String,
    #[serde(rename = "SeniorCitizen")]
    senior: String,
    #[serde(rename = "Partner")]
    partner: String,
    #[serde(rename = "Dependents")]
    dependents: String,
    tenure: i64,
    #[serde(rename = "PhoneService")]
    phone: String,
    #[serde(rename = "InternetService")]
    internet: String,
    #[serde(rename = "OnlineSecurity")]
    security: String,
    #[serde(rename = "OnlineBackup")]
    backup: String,
    #[serde(rename = "DeviceProtection")]
    protection: String,
    #[serde(rename = "TechSupport")]
    support: String,
    #[serde(rename = "StreamingTV")]
    tv: String,
    #[serde(rename = "StreamingMovies")]
    movies: String,
    #[serde(rename = "Contract")]
    contract: String,
    #[serde(rename = "PaperlessBilling")]
    paperless: String,
    #[serde(rename = "PaymentMethod")]
    payment: String,
    #[serde(rename = "MonthlyCharges")]
    monthly: String,
    #[serde(rename = "TotalCharges")]
    total: String,
    #[serde(rename = "Churn")]
    churn: String,
}

/// The columns of the usage file.
const USAGE: &str = "external_id,tenure_months,contract,internet_service,phone_service,online_security,online_backup,\
    device_protection,tech_support,streaming_tv,streaming_movies,services_used,senior_citizen,partner,dependents,\
    paperless_billing,payment_method,monthly_charges,total_charges\n";

/// Customers with their subscriptions, and the usage file.
pub async fn read(csv: &[u8], now: Timestamp) -> Result<(Vec<Row>, String)> {
    let mut reader = csv_async::AsyncDeserializer::from_reader(csv);
    let mut records = reader.deserialize::<Telco>();
    let (mut rows, mut usage) = (Vec::new(), String::from(USAGE));
    while let Some(record) = futures_util::StreamExt::next(&mut records).await {
        let telco =
            record.with_context(|| format!("row {} of the telco file cannot be read", rows.len() + 1))?;
        rows.push(row(&telco, now)?);
        usage.push_str(&usage_line(&telco)?);
    }
    Ok((rows, usage))
}

fn row(telco: &Telco, now: Timestamp) -> Result<Row> {
    let plan = format!("{}_{}", slug(&telco.internet), slug(&telco.contract)).replace("no_", "phone_");
    // Who left did so within the month before the data was taken (so its authors say); the day comes from the id.
    let left = (telco.churn == "Yes").then(|| {
        let day = telco.id.bytes().fold(0_i64, |sum, b| sum + i64::from(b)) % 28;
        now - SignedDuration::from_hours(24 * day + 1)
    });
    let zoned = left.unwrap_or(now).to_zoned(jiff::tz::TimeZone::UTC);
    // Tenure 0 is somebody in the first month.
    let started = zoned.checked_sub(telco.tenure.months())?.checked_sub(15.days())?.timestamp();
    Ok(Row {
        external_id: telco.id.clone(),
        email: format!("{}@customers.example", telco.id.to_lowercase()),
        name: format!("Subscriber {}", telco.id),
        locale: "en-US".into(),
        country: "US".into(),
        currency: "USD".into(),
        plan,
        price_minor: minor(&telco.monthly)?,
        interval: "month".into(),
        started_at: started,
        ended_at: left,
    })
}

fn usage_line(telco: &Telco) -> Result<String> {
    let yes = |text: &str| if text == "Yes" { "true" } else { "false" };
    let used = [
        &telco.phone,
        &telco.security,
        &telco.backup,
        &telco.protection,
        &telco.support,
        &telco.tv,
        &telco.movies,
    ];
    let count = used.iter().filter(|t| t.as_str() == "Yes").count() + usize::from(telco.internet != "No");
    // Blank for the eleven rows with tenure 0: they have paid nothing yet.
    let total = if telco.total.trim().is_empty() { "0" } else { telco.total.trim() };
    let cells = [
        telco.id.as_str(),
        &telco.tenure.to_string(),
        &slug(&telco.contract),
        &slug(&telco.internet),
        yes(&telco.phone),
        yes(&telco.security),
        yes(&telco.backup),
        yes(&telco.protection),
        yes(&telco.support),
        yes(&telco.tv),
        yes(&telco.movies),
        &count.to_string(),
        if telco.senior == "1" { "true" } else { "false" },
        yes(&telco.partner),
        yes(&telco.dependents),
        yes(&telco.paperless),
        &slug(&telco.payment),
        &telco.monthly,
        total,
    ];
    Ok(format!("{}\n", cells.join(",")))
}

/// `Month-to-month` → `month_to_month`, `Bank transfer (automatic)` → `bank_transfer_automatic`.
fn slug(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty());
    words.collect::<Vec<_>>().join("_").to_lowercase()
}

/// `29.85` → 2985: dollars and cents without a floating-point number.
fn minor(text: &str) -> Result<i64> {
    let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let part = format!("{part:0<2}");
    let cents = whole.parse::<i64>()? * 100 + part.get(..2).context("no cents")?.parse::<i64>()?;
    Ok(cents)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = include_bytes!("../../../../demo/telco/customers.csv");

    #[tokio::test]
    async fn every_real_row_becomes_a_customer_with_a_subscription() {
        let now: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        let (rows, usage) = read(FILE, now).await.unwrap();
        assert_eq!((rows.len(), usage.lines().count()), (7_043, 7_044));
        assert_eq!(rows.iter().filter(|r| r.ended_at.is_some()).count(), 1_869);
        assert!(rows.iter().all(|r| r.price_minor > 0 && r.started_at < r.ended_at.unwrap_or(now)));
        let first = &rows[0];
        assert_eq!((first.plan.as_str(), first.price_minor), ("dsl_month_to_month", 2_985));
        let width = USAGE.split(',').count();
        assert!(usage.lines().all(|line| line.split(',').count() == width));
    }

    #[test]
    fn cents_are_exact() {
        assert_eq!(
            (minor("29.85").unwrap(), minor("20").unwrap(), minor("0.5").unwrap()),
            (2_985, 2_000, 50)
        );
    }
}
