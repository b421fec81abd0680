//! Parts of a card that are written anew at every save, between marks.
//!
//! A mark is an HTML comment alone on its line, which Markdown does not show:
//! `<!-- gpt2:evaluation -->` and `<!-- /gpt2:evaluation -->`.

/// A part with its marks around it.
pub(super) fn marked(name: &str, content: &str) -> String {
    format!("{}\n\n{}\n\n{}\n\n", opening(name), content.trim(), closing(name))
}

/// Puts new content between the marks that are in `text` and leaves all else as it is, down to
/// the ends of its lines.
///
/// A part of which a mark is missing is the user's, and stays.
pub(super) fn replaced(text: &str, parts: &[(&str, String)]) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut result = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        result.push_str(line);
        at += 1;
        let Some((name, content)) = parts.iter().find(|(name, _)| line.trim() == opening(name))
        else {
            continue;
        };
        if let Some(end) = end_of(&lines[at..], name) {
            let newline = if line.ends_with("\r\n") { "\r\n" } else { "\n" };
            result.push_str(newline);
            for line in content.trim().lines() {
                result.push_str(line);
                result.push_str(newline);
            }
            result.push_str(newline);
            at += end;
        }
    }
    result
}

/// Index of the line that closes a part, unless another one opens before it.
fn end_of(lines: &[&str], name: &str) -> Option<usize> {
    let is_mark = |line: &&str| {
        let line = line.trim();
        line == closing(name) || (line.starts_with("<!-- gpt2:") && line.ends_with("-->"))
    };
    lines.iter().position(is_mark).filter(|&end| lines[end].trim() == closing(name))
}

fn opening(name: &str) -> String {
    format!("<!-- gpt2:{name} -->")
}

fn closing(name: &str) -> String {
    format!("<!-- /gpt2:{name} -->")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(text: &str) -> String {
        replaced(text, &[("a", "new a\n".to_string()), ("b", "new b".to_string())])
    }

    #[test]
    fn only_what_is_between_marks_changes() {
        let text = format!("top\n{}middle\n{}end", marked("a", "old a"), marked("b", "old b"));
        let expected = format!("top\n{}middle\n{}end", marked("a", "new a"), marked("b", "new b"));
        assert_eq!(update(&text), expected);
        assert_eq!(update(&expected), expected);
    }

    #[test]
    fn a_part_without_one_of_its_marks_is_the_users() {
        for text in [
            "no marks at all",
            "",
            "<!-- gpt2:a -->\nno end",
            "no start\n<!-- /gpt2:a -->\n",
            "<!-- gpt2:a -->\n<!-- gpt2:c -->\ncrossed\n<!-- /gpt2:a -->\n",
            "text that says <!-- gpt2:a --> and <!-- /gpt2:a -->",
        ] {
            assert_eq!(update(text), text);
        }
    }

    #[test]
    fn lines_end_as_they_did() {
        let text = marked("a", "old\nlines").replace('\n', "\r\n");
        assert_eq!(update(&text), marked("a", "new a").replace('\n', "\r\n"));
    }
}
