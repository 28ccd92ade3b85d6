//! Numbers of domain events as they were sent: the schema's checker knows doubles and 64 bits alone.
use std::borrow::Cow;

use crate::{
    scan::{NodeKind, Tape, key_of},
    values::is_infinite,
};

/// The event's text with the greatest double in the place of each number beyond it, which is a problem
/// by a rule of its own (`json.number`): so the rest of the event is checked all the same.
pub(super) fn within_doubles<'t>(text: &'t str, tape: &Tape) -> Cow<'t, str> {
    let whole = &tape.nodes[0];
    let (mut from, end) = (whole.start as usize, whole.end as usize);
    if tape.infinite.is_none() {
        return Cow::Borrowed(&text[from..end]);
    }
    let mut readable = String::with_capacity(end - from);
    for node in tape.nodes.iter().filter(|n| n.kind == NodeKind::Number) {
        let (start, end) = (node.start as usize, node.end as usize);
        let number = &text[start..end];
        if is_infinite(number) {
            readable.push_str(&text[from..start]);
            let greatest = if number.starts_with('-') {
                f64::MIN
            } else {
                f64::MAX
            };
            readable.push_str(&format!("{greatest:e}"));
            from = end;
        }
    }
    readable.push_str(&text[from..end]);
    Cow::Owned(readable)
}

/// The number at a JSON pointer of the event, as it was sent; none where there is another value.
pub(super) fn sent_at<'t>(text: &'t str, tape: &Tape, pointer: &str) -> Option<&'t str> {
    let mut at = 0;
    for token in pointer.split('/').skip(1) {
        let parent = &tape.nodes[at];
        let end = parent.next as usize;
        let following = |child: &usize| Some(tape.nodes[*child].next as usize);
        let mut children =
            std::iter::successors(Some(at + 1), following).take_while(|child| *child < end);
        at = match parent.kind {
            NodeKind::Array => children.nth(token.parse().ok()?)?,
            NodeKind::Object => {
                let name = token.replace("~1", "/").replace("~0", "~");
                children.find(|child| key_of(text, &tape.nodes[*child]) == name)?
            }
            _ => return None,
        };
    }
    let node = &tape.nodes[at];
    (node.kind == NodeKind::Number).then(|| &text[node.start as usize..node.end as usize])
}
