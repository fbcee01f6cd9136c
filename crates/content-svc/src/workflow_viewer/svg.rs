//! A graph as a picture that stands alone: no script, no font of its own, readable in light and dark.

use std::fmt::Write;

use super::heat::Heat;
use super::layout::{Drawn, Edge, HEIGHT, Picture, WIDTH, findings_of};
use crate::text::{Findings, Level};

/// The longest line that fits into a node.
const LINE: usize = 24;

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#1b1f24}.d{font-size:11px;fill:#57606a}.l{font-size:11px;fill:#57606a}\
.n{stroke:#57606a;stroke-width:1.2}.lost{stroke-dasharray:4 3;opacity:.6}.error{stroke:#cf222e;stroke-width:2.4}\
.warning{stroke:#bf8700;stroke-width:2}.step{fill:#ddf4ff}.condition{fill:#fff8c5}.offer{fill:#dafbe1}.end{fill:#eaeef2}\
.action,.split,.wait{fill:#fbefff}.e{fill:none;stroke:#57606a;stroke-width:1.4}";

/// Draws a picture; with `heat`, edges say how many went along them and are the wider the more did.
pub fn svg(name: &str, picture: &Picture, found: &Findings, heat: Option<&Heat>) -> String {
    let mut out = String::with_capacity(2_000 + 600 * picture.nodes.len());
    let Picture { nodes, edges, width, height } = picture;
    // Writing to a String does not fail.
    let _ = write!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img"><title>{}</title><style>{STYLE}</style><rect width="100%" height="100%" fill="#fff"/><defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#57606a"/></marker></defs>"##,
        escaped(name),
    );
    for edge in edges {
        line(&mut out, edge, nodes, heat);
    }
    for node in nodes {
        square(&mut out, node, found, heat);
    }
    out.push_str("</svg>");
    out
}

fn line(out: &mut String, edge: &Edge, nodes: &[Drawn], heat: Option<&Heat>) {
    let at = |id: &str| nodes.iter().find(|n| n.id == id);
    let (Some(from), Some(to)) = (at(&edge.from), at(&edge.to)) else { return };
    let (x1, y1) = (from.x.saturating_add(WIDTH), from.y.saturating_add(HEIGHT / 2));
    let (x2, y2) = (to.x, to.y.saturating_add(HEIGHT / 2));
    // A way back leaves and arrives in a wide bow.
    let bow = ((x2.saturating_sub(x1)).saturating_abs() / 2).clamp(40, 200);
    let traffic = heat.map(|h| h.along(&edge.from, &edge.exit));
    let wide = match (traffic, heat.map(|h| h.sessions)) {
        (Some(n), Some(all)) if all > 0 => {
            format!(r#" style="stroke-width:{}""#, 1 + (n.saturating_mul(7) / all))
        }
        _ => String::new(),
    };
    let _ = write!(
        out,
        r##"<path class="e"{wide} marker-end="url(#a)" d="M{x1} {y1}C{} {y1} {} {y2} {x2} {y2}"/>"##,
        x1.saturating_add(bow),
        x2.saturating_sub(bow),
    );
    let words = match traffic {
        Some(n) if edge.label.is_empty() => n.to_string(),
        Some(n) => format!("{}: {n}", edge.label),
        None => edge.label.clone(),
    };
    if !words.is_empty() {
        // Where three exits lead to one node, their words do not stand on each other: each near its own node's third.
        let (x, y) = (x1.saturating_add(8), middle(y1, y2, edge));
        let _ = write!(out, r#"<text class="l" x="{x}" y="{y}">{}</text>"#, escaped(&short(&words)));
    }
}

fn middle(y1: i32, y2: i32, edge: &Edge) -> i32 {
    let tilt = match edge.exit.as_str() {
        "none" | "otherwise" => 14,
        "declined" => 4,
        _ => -6,
    };
    y1.saturating_add(y2.saturating_sub(y1).signum().saturating_mul(6)).saturating_add(tilt)
}

fn square(out: &mut String, node: &Drawn, found: &Findings, heat: Option<&Heat>) {
    let findings = findings_of(found, &node.id);
    let state = if findings.iter().any(|f| f.level == Level::Error) {
        " error"
    } else if !findings.is_empty() {
        " warning"
    } else {
        ""
    };
    let lost = if node.reachable { "" } else { " lost" };
    let round = if node.kind == "end" { HEIGHT / 2 } else { 8 };
    let Drawn { x, y, kind, .. } = node;
    let _ = write!(
        out,
        r#"<g><rect class="n {kind}{state}{lost}" x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="{round}"/>"#
    );
    if !findings.is_empty() {
        let said: Vec<_> = findings.iter().map(|f| f.message.as_str()).collect();
        let _ = write!(out, "<title>{}</title>", escaped(&said.join("; ")));
    }
    let detail = match heat.and_then(|h| h.nodes.get(&node.id)) {
        Some(passage) => format!("{kind} · {} seen · {} left", passage.visits, passage.left),
        None => format!("{kind} · {}", node.detail),
    };
    let (x, up, down) = (x.saturating_add(12), y.saturating_add(24), y.saturating_add(42));
    let (title, detail) = (escaped(&short(&node.title)), escaped(&short(&detail)));
    let _ = write!(
        out,
        r#"<text x="{x}" y="{up}">{title}</text><text class="d" x="{x}" y="{down}">{detail}</text></g>"#
    );
}

fn short(words: &str) -> String {
    if words.chars().count() <= LINE {
        return words.to_owned();
    }
    words.chars().take(LINE - 1).chain(['…']).collect()
}

/// Text for XML: names are people's, and a name must not become markup.
fn escaped(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for c in words.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            // Not allowed in XML at all.
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::{EndOutcome, Limits, Node, NodeKind, Reentry, Trigger, WorkflowContent};
    use crate::workflow_viewer::layout::layout;

    #[test]
    fn a_name_does_not_become_markup() {
        let kind = NodeKind::End { outcome: EndOutcome::Canceled, template_id: None };
        let name = "<script>alert(1)</script> & \"more\"\u{7}";
        let content = WorkflowContent {
            trigger: Trigger::CancelIntent,
            audience: None,
            start: "bye".into(),
            nodes: vec![Node {
                id: "bye".into(),
                name: name.into(),
                kind,
                position: Some((i32::MAX, i32::MIN)),
            }],
            limits: Limits::default(),
            reentry: Reentry::Always,
            hosted_template_id: None,
            locales: vec![],
        };
        let mut found = Findings::default();
        found.error("x", "nodes[bye].next", "a < b");
        let drawn = svg(name, &layout(&content), &found, None);
        assert!(!drawn.contains("<script") && !drawn.contains('\u{7}'), "{drawn}");
        assert!(drawn.contains("n end error") && drawn.contains("a &lt; b"), "{drawn}");
    }
}
