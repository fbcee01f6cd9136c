//! Where the nodes of a graph are drawn: in columns by how far they are from the start, in rows so that few edges cross. A
//! graph that people have arranged is drawn as they arranged it.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::text::Findings;
use crate::workflow::{EndOutcome, Node, NodeKind, Wait, WorkflowContent};

/// The size of a node, and how far apart nodes stand.
pub const WIDTH: i32 = 180;
pub const HEIGHT: i32 = 56;
const COLUMN: i32 = 260;
const ROW: i32 = 96;
const MARGIN: i32 = 40;

/// A node in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    pub id: String,
    /// `step`, `condition`, `offer`, `end`, `action`, `split`, `wait`.
    pub kind: &'static str,
    /// The node's name, or its id.
    pub title: String,
    /// What it does, in a word or two: the outcome of an end, the number of offers.
    pub detail: String,
    /// The upper left corner.
    pub x: i32,
    pub y: i32,
    /// A path leads here from the start.
    pub reachable: bool,
}

/// A way from one node to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    pub from: String,
    pub to: String,
    /// The exit it leaves by, as paths name it: `next`, `branches[0].next`, `accepted`.
    pub exit: String,
    /// The same for people; empty where there is only one way.
    pub label: String,
}

/// A graph as it is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pub nodes: Vec<Drawn>,
    pub edges: Vec<Edge>,
    pub width: i32,
    pub height: i32,
}

/// Places every node and names every edge. Edges to nodes that are not there are left out; the checks name them.
pub fn layout(content: &WorkflowContent) -> Picture {
    let columns = columns(content);
    let arranged = content.nodes.iter().all(|n| n.position.is_some()) && !content.nodes.is_empty();
    let rows = rows(content, &columns);
    let mut nodes: Vec<Drawn> = Vec::with_capacity(content.nodes.len());
    // What no path leads to stands in a column of its own, behind everything else.
    let last = columns.values().copied().max().map_or(0, |c| c + 1);
    for node in &content.nodes {
        let column = columns.get(node.id.as_str());
        let (x, y) = match node.position.filter(|_| arranged) {
            Some(position) => position,
            None => (
                column.copied().unwrap_or(last) * COLUMN,
                rows.get(node.id.as_str()).copied().unwrap_or_default() * ROW,
            ),
        };
        nodes.push(Drawn {
            id: node.id.clone(),
            kind: node.kind.noun(),
            title: if node.name.is_empty() { node.id.clone() } else { node.name.clone() },
            detail: detail(&node.kind),
            x,
            y,
            reachable: column.is_some(),
        });
    }
    let (left, top) = (
        nodes.iter().map(|n| n.x).min().unwrap_or_default(),
        nodes.iter().map(|n| n.y).min().unwrap_or_default(),
    );
    for node in &mut nodes {
        node.x = node.x.saturating_sub(left).saturating_add(MARGIN);
        node.y = node.y.saturating_sub(top).saturating_add(MARGIN);
    }
    let reach = |edge: i32, size: i32| edge.saturating_add(size).saturating_add(MARGIN);
    Picture {
        width: nodes.iter().map(|n| reach(n.x, WIDTH)).max().unwrap_or(2 * MARGIN),
        height: nodes.iter().map(|n| reach(n.y, HEIGHT)).max().unwrap_or(2 * MARGIN),
        edges: content.nodes.iter().flat_map(|n| edges(content, n)).collect(),
        nodes,
    }
}

/// What the checks say of one node.
pub fn findings_of<'f>(found: &'f Findings, node: &str) -> Vec<&'f crate::text::Finding> {
    let field = format!("nodes[{node}]");
    found
        .iter()
        .filter(|f| f.field.strip_prefix(&field).is_some_and(|r| r.is_empty() || r.starts_with('.')))
        .collect()
}

fn edges(content: &WorkflowContent, node: &Node) -> Vec<Edge> {
    let exits = node.kind.exits();
    let single = exits.len() == 1;
    let there = |to: &str| content.node(to).is_some();
    let ways = exits.into_iter().filter(|(_, to)| there(to));
    ways.map(|(exit, to)| Edge {
        from: node.id.clone(),
        to: to.to_owned(),
        label: if single { String::new() } else { label(&exit) },
        exit,
    })
    .collect()
}

/// `branches[0].next` is "1" for people, and `arms[blue]` is "blue".
fn label(exit: &str) -> String {
    let inside = exit.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(inside, _)| inside);
    match (exit.starts_with("branches"), inside) {
        (true, Some(n)) => n.parse::<u32>().map_or_else(|_| n.to_owned(), |n| (n + 1).to_string()),
        (false, Some(arm)) => arm.to_owned(),
        _ => exit.to_owned(),
    }
}

fn detail(kind: &NodeKind) -> String {
    let several = |n: usize, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
    match kind {
        NodeKind::Step { .. } => "page".into(),
        NodeKind::Condition { branches, .. } => several(branches.len(), "rule"),
        NodeKind::Offer { offer_ids, .. } => several(offer_ids.len(), "offer"),
        NodeKind::End { outcome, .. } => match outcome {
            EndOutcome::Kept => "kept".into(),
            EndOutcome::Canceled => "canceled".into(),
            EndOutcome::Manual => "by hand".into(),
        },
        NodeKind::Action(action) => action.action.clone(),
        NodeKind::Split(split) => several(split.arms.len(), "arm"),
        NodeKind::Wait(Wait { hours: 0, event, .. }) => event.clone(),
        NodeKind::Wait(Wait { hours, .. }) => several(*hours as usize, "hour"),
    }
}

/// How many steps the longest way from the start takes, so that edges lead to the right; circles are entered once.
fn columns(content: &WorkflowContent) -> HashMap<&str, i32> {
    let mut columns: HashMap<&str, i32> = HashMap::new();
    let mut waiting = VecDeque::new();
    if let Some(start) = content.node(&content.start) {
        columns.insert(&start.id, 0);
        waiting.push_back(start);
    }
    // No way without a circle is longer than there are nodes.
    let most = i32::try_from(content.nodes.len()).unwrap_or(i32::MAX);
    let mut rounds = content.nodes.len().saturating_mul(content.nodes.len()).saturating_add(1);
    while let Some(node) = waiting.pop_front() {
        rounds = rounds.saturating_sub(1);
        if rounds == 0 {
            break;
        }
        let here = columns.get(node.id.as_str()).copied().unwrap_or_default();
        for (_, to) in node.kind.exits() {
            let Some(next) = content.node(to) else { continue };
            let column = columns.get(to).copied();
            if here + 1 < most && column.is_none_or(|c| c < here + 1) {
                columns.insert(&next.id, here + 1);
                waiting.push_back(next);
            } else if column.is_none() {
                columns.insert(&next.id, most);
                waiting.push_back(next);
            }
        }
    }
    columns
}

/// The row of each node in its column: by the mean of the rows that lead to it, so that edges run side by side.
fn rows<'c>(content: &'c WorkflowContent, columns: &HashMap<&'c str, i32>) -> HashMap<&'c str, i32> {
    let mut rows: HashMap<&str, i32> = HashMap::new();
    let used: HashSet<i32> = columns.values().copied().collect();
    let mut order: Vec<i32> = used.into_iter().collect();
    order.sort_unstable();
    let place = |mut column: Vec<(&'c str, i32)>, rows: &mut HashMap<&'c str, i32>| {
        // Stable: nodes of one height stand in the order they are written in.
        column.sort_by_key(|(_, wish)| *wish);
        for (row, (id, _)) in (0..).zip(column) {
            rows.insert(id, row);
        }
    };
    for column in order {
        let here = content.nodes.iter().filter(|n| columns.get(n.id.as_str()) == Some(&column));
        let wishes = here.map(|n| (n.id.as_str(), wish(content, &n.id, &rows)));
        place(wishes.collect(), &mut rows);
    }
    let lost = content.nodes.iter().filter(|n| !columns.contains_key(n.id.as_str()));
    place(lost.map(|n| (n.id.as_str(), 0)).collect(), &mut rows);
    rows
}

/// Ten times the mean row of those that lead to a node and have one; whole numbers are enough to sort by.
fn wish(content: &WorkflowContent, id: &str, rows: &HashMap<&str, i32>) -> i32 {
    let leading = content.nodes.iter().filter(|n| n.kind.exits().iter().any(|(_, to)| *to == id));
    let placed: Vec<i32> = leading.filter_map(|n| rows.get(n.id.as_str()).copied()).collect();
    match i32::try_from(placed.len()) {
        Ok(n) if n > 0 => placed.iter().sum::<i32>().saturating_mul(10) / n,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::workflow::{Limits, Reentry, Trigger};

    fn graph(start: &str, nodes: Vec<(&str, NodeKind)>) -> WorkflowContent {
        let nodes = nodes.into_iter().map(|(id, kind)| Node {
            id: id.into(),
            name: String::new(),
            kind,
            position: None,
        });
        WorkflowContent {
            trigger: Trigger::CancelIntent,
            audience: None,
            start: start.into(),
            nodes: nodes.collect(),
            limits: Limits::default(),
            reentry: Reentry::Always,
            hosted_template_id: None,
            locales: vec![],
        }
    }

    fn step(next: &str) -> NodeKind {
        NodeKind::Step { template_id: "tpl".into(), next: next.into() }
    }

    fn end() -> NodeKind {
        NodeKind::End { outcome: EndOutcome::Canceled, template_id: None }
    }

    fn offer(accepted: &str, declined: &str) -> NodeKind {
        NodeKind::Offer {
            offer_ids: vec!["off".into()],
            template_id: "tpl".into(),
            accepted: accepted.into(),
            declined: declined.into(),
            none: declined.into(),
        }
    }

    #[test]
    fn nodes_stand_behind_everything_that_leads_to_them() {
        let flow = graph(
            "ask",
            vec![("bye", end()), ("ask", step("try")), ("try", offer("kept", "bye")), ("kept", end())],
        );
        let picture = layout(&flow);
        let x = |id: &str| picture.nodes.iter().find(|n| n.id == id).unwrap().x;
        assert!(x("ask") < x("try") && x("try") < x("kept") && x("kept") == x("bye"));
        let labels: Vec<_> = picture.edges.iter().map(|e| (e.from.as_str(), e.label.as_str())).collect();
        assert_eq!(labels, [("ask", ""), ("try", "accepted"), ("try", "declined"), ("try", "none")]);
    }

    #[test]
    fn what_people_arranged_stays_as_they_arranged_it() {
        let mut flow = graph("a", vec![("a", step("b")), ("b", end())]);
        flow.nodes[0].position = Some((300, -20));
        flow.nodes[1].position = Some((0, 80));
        let picture = layout(&flow);
        assert_eq!(
            (picture.nodes[0].x - picture.nodes[1].x, picture.nodes[0].y - picture.nodes[1].y),
            (300, -100)
        );
        assert!(picture.nodes.iter().all(|n| n.x >= MARGIN && n.y >= MARGIN));
    }

    #[test]
    fn what_no_path_leads_to_is_drawn_and_said_to_be_lost() {
        let picture = layout(&graph("a", vec![("a", step("b")), ("b", end()), ("c", step("b"))]));
        let lost: Vec<_> = picture.nodes.iter().filter(|n| !n.reachable).map(|n| n.id.as_str()).collect();
        assert_eq!(lost, ["c"]);
    }

    proptest! {
        /// Whatever stands in a draft, circles and loose ends too: every node once, none on another.
        #[test]
        fn no_two_nodes_stand_on_each_other(exits in proptest::collection::vec((0_usize..12, 0_usize..12), 1..12)) {
            let ids: Vec<String> = (0..exits.len()).map(|n| format!("n{n}")).collect();
            let nodes = exits.iter().enumerate().map(|(n, (a, b))| {
                (ids[n].as_str(), offer(&format!("n{a}"), &format!("n{b}")))
            });
            let picture = layout(&graph("n0", nodes.collect()));
            let places: HashSet<_> = picture.nodes.iter().map(|n| (n.x, n.y)).collect();
            prop_assert_eq!(places.len(), exits.len());
            prop_assert!(picture.nodes.iter().all(|n| n.x + WIDTH <= picture.width && n.y + HEIGHT <= picture.height));
        }
    }
}
