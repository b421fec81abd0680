//! Text that waits because it may be the beginning of a stop string.

use crate::stop::{ending_after, keep_end};

/// Text on its way out.
#[derive(Debug)]
pub(super) struct HeldText {
    stop_strings: Vec<String>,
    /// The end of what was let out or belongs to the prompt: a stop string may have begun in it.
    shown: String,
    /// What was not let out yet.
    held: String,
}

impl HeldText {
    pub fn new(stop_strings: &[String]) -> Self {
        Self { stop_strings: stop_strings.to_vec(), shown: String::new(), held: String::new() }
    }

    /// Takes text that is out already.
    pub fn was_shown(&mut self, text: &str) {
        let longest = self.stop_strings.iter().map(String::len).max().unwrap_or_default();
        self.shown.push_str(text);
        keep_end(&mut self.shown, longest);
    }

    /// Takes new text, which no stop string ends; gives what can be let out.
    pub fn push(&mut self, text: &str) -> String {
        self.held.push_str(text);
        let all = [self.shown.as_str(), self.held.as_str()].concat();
        let begun = self.stop_strings.iter().map(|stop| begun(&all, stop)).max();
        self.let_out(self.held.len() - begun.unwrap_or_default().min(self.held.len()))
    }

    /// Takes the last text; where a stop string ended it, that string and what follows stays.
    pub fn finish(&mut self, text: &str, stopped: bool) -> String {
        let before = self.shown.len() + self.held.len();
        self.held.push_str(text);
        let all = [self.shown.as_str(), self.held.as_str()].concat();
        let start = self.stop_strings.iter().filter_map(|stop| ending_after(before, &all, stop));
        let start = start.min().filter(|_| stopped).unwrap_or(all.len());
        self.let_out(start.saturating_sub(self.shown.len()))
    }

    fn let_out(&mut self, bytes: usize) -> String {
        let rest = self.held.split_off(bytes);
        let out = std::mem::replace(&mut self.held, rest);
        self.was_shown(&out);
        out
    }
}

/// Length of the longest end of `text` that is a beginning of `stop` and not the whole.
fn begun(text: &str, stop: &str) -> usize {
    let beginning =
        |&length: &usize| stop.is_char_boundary(length) && text.ends_with(&stop[..length]);
    (1..stop.len()).rev().find(beginning).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(stops: &[&str]) -> HeldText {
        HeldText::new(&stops.iter().map(|stop| stop.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn the_beginning_of_a_stop_string_waits_until_it_is_none() {
        let mut text = held(&["STOP", "end"]);
        assert_eq!(text.push("go S"), "go ");
        assert_eq!(text.push("TO"), "");
        assert_eq!(text.push("RM e"), "STORM ");
        assert_eq!(text.push("n"), "");
        assert_eq!(text.finish("", false), "en");
    }

    #[test]
    fn a_stop_string_and_what_follows_it_stay() {
        let mut text = held(&["STOP"]);
        assert_eq!(text.push("a ST"), "a ");
        assert_eq!(text.finish("OP b", true), "");
        let mut text = held(&["é", "fé"]);
        assert_eq!(text.finish("cafés", true), "ca");
    }

    #[test]
    fn a_stop_string_that_began_in_the_prompt_leaves_nothing() {
        let mut text = held(&["aab"]);
        text.was_shown("xxaa");
        assert_eq!(text.finish("b!", true), "");
        // What the prompt has of it does not count again.
        let mut text = held(&["aa"]);
        text.was_shown("aa");
        assert_eq!(text.push("b"), "b");
    }

    #[test]
    fn without_stop_strings_nothing_waits() {
        let mut text = held(&[]);
        assert_eq!(text.push("all"), "all");
        assert_eq!(text.finish(" of it", false), " of it");
    }
}
