//! As much XML as the answers of query and REST-XML services need: elements without attributes of interest.

/// The texts of all elements of this name, entities resolved, in their order.
pub(crate) fn elements(text: &str, name: &str) -> Vec<String> {
    ranges(text, name).into_iter().filter_map(|range| text.get(range)).map(unescape).collect()
}

/// Replaces the text of the elements at the end of this path of names, wherever the path begins.
pub(crate) fn replace_path(text: &str, path: &[&str], value: &str) -> String {
    let Some((name, rest)) = path.split_first() else { return escape(value) };
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for range in ranges(text, name) {
        // An element within one that was replaced already is gone.
        if range.start < done {
            continue;
        }
        out.push_str(text.get(done..range.start).unwrap_or_default());
        out.push_str(&replace_path(text.get(range.clone()).unwrap_or_default(), rest, value));
        done = range.end;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}

/// The text as element content.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The place of the content of each element of this name; an empty element (`<a/>`) has none.
fn ranges(text: &str, name: &str) -> Vec<std::ops::Range<usize>> {
    let open = format!("<{name}");
    let close = format!("</{name}>");
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find(&open)).map(|at| from + at) {
        let after = at + open.len();
        from = after;
        let rest = text.get(after..).unwrap_or_default();
        if !rest.starts_with(['>', ' ', '\t', '\n', '\r']) {
            continue;
        }
        let Some(tag_end) = rest.find('>') else { break };
        if rest.get(..tag_end).is_some_and(|tag| tag.ends_with('/')) {
            continue;
        }
        let start = after + tag_end + 1;
        let Some(length) = text.get(start..).and_then(|rest| rest.find(&close)) else { break };
        found.push(start..start + length);
    }
    found
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#34;", "\"")
        .replace("&apos;", "'")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "<r><code>16</code><codeName>x</codeName><code/><code a=\"1\">a &amp; b</code></r>";

    #[test]
    fn finds_whole_names_only() {
        assert_eq!(elements(TEXT, "code"), ["16", "a & b"]);
        assert!(elements(TEXT, "cod").is_empty());
    }

    #[test]
    fn replaces_every_content_and_nothing_else() {
        assert_eq!(
            replace_path(TEXT, &["code"], "<0>"),
            "<r><code>&lt;0&gt;</code><codeName>x</codeName><code/><code a=\"1\">&lt;0&gt;</code></r>"
        );
    }
}
