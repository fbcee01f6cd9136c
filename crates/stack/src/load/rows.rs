//! A company's customers as the loader takes them: one line a customer with one subscription.

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One customer and the subscription at the simulated provider. As a file: CSV with these names in its first line,
/// times in RFC 3339, `ended_at` empty while it runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    pub external_id: String,
    pub email: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub locale: String,
    #[serde(default)]
    pub country: String,
    pub currency: String,
    pub plan: String,
    /// Per interval, in the currency's minor unit.
    pub price_minor: i64,
    /// `month` or `year`.
    pub interval: String,
    pub started_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

/// Reads a company's own file.
pub async fn read(csv: &[u8]) -> Result<Vec<Row>> {
    let mut reader = csv_async::AsyncDeserializer::from_reader(csv);
    let mut records = reader.deserialize::<Row>();
    let mut rows = Vec::new();
    while let Some(record) = futures_util::StreamExt::next(&mut records).await {
        let row = record
            .with_context(|| format!("line {} of the customers file cannot be read", rows.len() + 2))?;
        ensure!(row.price_minor >= 0, "line {}: price_minor is negative", rows.len() + 2);
        rows.push(row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_of_another_company_is_read_or_refused_by_line() {
        let head =
            "external_id,email,name,locale,country,currency,plan,price_minor,interval,started_at,ended_at\n";
        let good = format!("{head}c1,a@b.example,Ada,de,DE,EUR,pro,4900,year,2025-01-01T00:00:00Z,\n");
        let rows = read(good.as_bytes()).await.unwrap();
        assert_eq!((rows[0].price_minor, rows[0].ended_at), (4_900, None));
        let bad = format!("{good}c2,a@b.example,Ada,de,DE,EUR,pro,forty,year,2025-01-01T00:00:00Z,\n");
        assert!(read(bad.as_bytes()).await.unwrap_err().to_string().contains("line 3"));
    }
}
