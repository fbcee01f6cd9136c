//! Checks of the graph: it ends on every path, goes in no circle but through a wait, and lets the customer cancel from
//! every step. What needs somebody to look at it stands only where somebody does.

use std::collections::{HashMap, HashSet};

use super::model::{EndOutcome, Node, NodeKind, WorkflowContent};
use super::node::{Action, Split, Wait};
use crate::text::Findings;

/// Everything the graph's shape says against publishing.
pub fn check(content: &WorkflowContent) -> Findings {
    let mut found = Findings::default();
    let mut nodes = HashMap::new();
    for (at, node) in content.nodes.iter().enumerate() {
        if nodes.insert(node.id.as_str(), at).is_some() {
            let field = format!("nodes[{}]", node.id);
            found.error("duplicate_node", field, format!("two nodes have the id {}", node.id));
        }
    }
    if content.audience.as_ref().is_some_and(|a| a.asks_the_customer()) {
        let message = "whom a flow is for is known before the customer answers";
        found.error("audience_asks_the_customer", "audience", message);
    }
    if !nodes.contains_key(content.start.as_str()) {
        found.error("unknown_node", "start", format!("there is no node {}", content.start));
    }
    for node in &content.nodes {
        let field = format!("nodes[{}]", node.id);
        match &node.kind {
            NodeKind::Action(action) => {
                action.check(&format!("{field}.action"), &content.locales, &mut found);
            }
            NodeKind::Split(split) => split.check(&format!("{field}.split"), &mut found),
            NodeKind::Wait(wait) => wait.check(&format!("{field}.wait"), &mut found),
            _ => {}
        }
        for (exit, to) in node.kind.exits() {
            if !nodes.contains_key(to) {
                let field = format!("{field}.{exit}");
                found.error("unknown_node", field, format!("there is no node {to}"));
            }
        }
    }
    if found.has("duplicate_node") || found.has("unknown_node") {
        // Paths mean nothing in a graph with loose ends.
        return found;
    }
    let graph = Graph { content, nodes };
    let Some(order) = graph.order(&mut found) else { return found };
    graph.ends(&order, &mut found);
    if content.trigger.is_about_leaving() {
        graph.nobody_waits(&order, &mut found);
        graph.ways_to_cancel(&order, &mut found);
        graph.offer_screens(&order, &mut found);
    } else {
        graph.nobody_looks_on(&order, &mut found);
    }
    found
}

struct Graph<'a> {
    content: &'a WorkflowContent,
    nodes: HashMap<&'a str, usize>,
}

impl Graph<'_> {
    fn kind(&self, at: usize) -> &NodeKind {
        &self.content.nodes[at].kind
    }

    fn at(&self, id: &str) -> usize {
        self.nodes[id]
    }

    fn exits(&self, at: usize) -> impl Iterator<Item = usize> {
        self.kind(at).exits().into_iter().map(|(_, to)| self.at(to))
    }

    /// Where a node leads at once. In the background a wait leads nowhere at once: that is what lets a circle through it.
    fn leads_to(&self, at: usize) -> Vec<usize> {
        let waits = matches!(self.kind(at), NodeKind::Wait(_));
        if waits && self.content.trigger.is_in_the_background() {
            Vec::new()
        } else {
            self.exits(at).collect()
        }
    }

    /// The nodes that can be reached, each after everything it leads to at once; none where there is a circle that
    /// nothing slows down.
    fn order(&self, found: &mut Findings) -> Option<Vec<usize>> {
        let mut order = Vec::new();
        let mut done = HashSet::new();
        let mut open = HashSet::new();
        // Beside the start, a way may begin behind each wait that was come to.
        let mut begins = vec![self.at(&self.content.start)];
        // A stack of our own: a chain of nodes must not be able to exhaust the thread's.
        let mut stack: Vec<(usize, Vec<usize>)> = Vec::new();
        loop {
            let Some((node, rest)) = stack.last_mut() else {
                let Some(begin) = begins.pop() else { break };
                if !done.contains(&begin) {
                    open.insert(begin);
                    stack.push((begin, self.leads_to(begin)));
                }
                continue;
            };
            let node = *node;
            let Some(next) = rest.pop() else {
                stack.pop();
                open.remove(&node);
                done.insert(node);
                order.push(node);
                if matches!(self.kind(node), NodeKind::Wait(_)) {
                    begins.extend(self.exits(node));
                }
                continue;
            };
            if open.contains(&next) {
                let id = &self.content.nodes[node].id;
                let to = &self.content.nodes[next].id;
                let message = format!("the way from {id} to {to} leads back to where it came from");
                found.error("circle", format!("nodes[{id}]"), message);
                return None;
            }
            if !done.contains(&next) {
                open.insert(next);
                stack.push((next, self.leads_to(next)));
            }
        }
        for (at, node) in self.content.nodes.iter().enumerate() {
            if !done.contains(&at) {
                let message = "no path leads here from the start";
                found.warning("unreachable", format!("nodes[{}]", node.id), message);
            }
        }
        Some(order)
    }

    /// Without circles and loose ends a path stops only at an end; one that goes round through waits must have a way out.
    fn ends(&self, order: &[usize], found: &mut Findings) {
        let mut ending: HashSet<usize> = HashSet::new();
        loop {
            let before = ending.len();
            for at in order {
                let end = matches!(self.kind(*at), NodeKind::End { .. });
                if end || self.exits(*at).any(|next| ending.contains(&next)) {
                    ending.insert(*at);
                }
            }
            if ending.len() == before {
                break;
            }
        }
        if ending.is_empty() {
            return found.error("no_end", "nodes", "no path reaches an end");
        }
        for at in order.iter().filter(|at| !ending.contains(at)) {
            let Node { id, .. } = &self.content.nodes[*at];
            found.error("no_end", format!("nodes[{id}]"), format!("no path leads from {id} to an end"));
        }
    }

    /// Nothing may come between a customer and leaving.
    fn nobody_waits(&self, order: &[usize], found: &mut Findings) {
        for at in order.iter().filter(|at| matches!(self.kind(**at), NodeKind::Wait(_))) {
            let message = "a customer who wants to leave is not made to wait";
            found.error("wait_before_leaving", format!("nodes[{}]", self.content.nodes[*at].id), message);
        }
    }

    /// In the background there is nobody to show a page to, and nobody whose wish to leave could be carried out.
    fn nobody_looks_on(&self, order: &[usize], found: &mut Findings) {
        let trigger = self.content.trigger.as_str();
        for at in order {
            let Node { id, kind, .. } = &self.content.nodes[*at];
            let message = match kind {
                NodeKind::Step { .. } | NodeKind::Offer { .. } => {
                    format!("{trigger} runs in the background: there is nobody to show a page to")
                }
                NodeKind::End { template_id: Some(_), .. } => {
                    format!("{trigger} runs in the background: there is nobody to show the last page to")
                }
                NodeKind::End { outcome: EndOutcome::Canceled | EndOutcome::Manual, .. } => {
                    format!("{trigger} runs in the background and cancels nothing: end it with `kept`")
                }
                NodeKind::Condition { branches, .. }
                    if branches.iter().any(|b| b.when.asks_the_customer()) =>
                {
                    format!("{trigger} runs in the background: nobody is asked, so nothing is answered")
                }
                _ => continue,
            };
            found.error("nobody_looks_on", format!("nodes[{id}]"), message);
        }
    }

    /// From every node, a customer who declines everything reaches the cancellation within so many screens, whatever
    /// is known of them.
    fn ways_to_cancel(&self, order: &[usize], found: &mut Findings) {
        let most = self.content.limits.max_screens_to_cancel;
        let mut screens: HashMap<usize, Option<u32>> = HashMap::new();
        for at in order {
            let of = |id: &str| screens.get(&self.at(id)).copied().flatten();
            let here = match self.kind(*at) {
                NodeKind::End { outcome, .. } => (*outcome != EndOutcome::Kept).then_some(0),
                NodeKind::Step { next, .. } => of(next).map(|n| n + 1),
                NodeKind::Action(Action { next, .. }) | NodeKind::Wait(Wait { next, .. }) => of(next),
                NodeKind::Offer { declined, none, .. } => worst([of(declined).map(|n| n + 1), of(none)]),
                NodeKind::Split(Split { arms, otherwise, .. }) => {
                    worst(arms.iter().map(|(_, to)| of(to)).chain([of(otherwise)]))
                }
                NodeKind::Condition { branches, otherwise } => {
                    // A branch over what we know of the customer is forced on them; one over an answer is theirs to
                    // avoid, so the best of these and "otherwise" counts.
                    let (theirs, forced): (Vec<_>, Vec<_>) =
                        branches.iter().partition(|b| b.when.asks_the_customer());
                    let best = theirs.iter().map(|b| of(&b.next)).chain([of(otherwise)]).flatten().min();
                    worst(forced.iter().map(|b| of(&b.next)).chain([best]))
                }
            };
            screens.insert(*at, here);
            if !matches!(self.kind(*at), NodeKind::Step { .. } | NodeKind::Offer { .. }) {
                continue;
            }
            let id = &self.content.nodes[*at].id;
            let field = format!("nodes[{id}]");
            match here {
                None => {
                    let message = format!("a customer who declines everything from {id} on cannot cancel");
                    found.error("no_way_to_cancel", field, message);
                }
                Some(n) if n > most => {
                    let message = format!("from {id} it takes {n} screens to cancel; {most} are allowed");
                    found.error("too_many_screens", field, message);
                }
                Some(_) => {}
            }
        }
    }

    /// How many offers one path can show; the engine withholds those beyond the limit.
    fn offer_screens(&self, order: &[usize], found: &mut Findings) {
        let mut offers: HashMap<usize, u32> = HashMap::new();
        for at in order {
            let behind = self.exits(*at).filter_map(|next| offers.get(&next).copied()).max().unwrap_or(0);
            offers.insert(*at, behind + u32::from(matches!(self.kind(*at), NodeKind::Offer { .. })));
        }
        let shown = offers.get(&self.at(&self.content.start)).copied().unwrap_or(0);
        let most = self.content.limits.max_offer_screens;
        if shown > most {
            let message = format!("a path holds {shown} offers; only {most} are shown in one session");
            found.warning("offers_beyond_limit", "limits.max_offer_screens", message);
        }
    }
}

/// The most screens of several ways; none when one of them leads nowhere.
fn worst(ways: impl IntoIterator<Item = Option<u32>>) -> Option<u32> {
    ways.into_iter().try_fold(0, |most, way| way.map(|n| n.max(most)))
}
