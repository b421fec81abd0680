//! Templates, parameters and parser functions.

use super::Stripper;
use super::frames::{Bar, Frame, Kind};
use super::languages::is_language;
use super::marks;
use super::rules::{Rule, Value};

impl Stripper<'_> {
    /// `{`, which may begin a template.
    pub fn open_braces(&mut self) {
        match self.count(b'{') {
            1 => self.sign("{"),
            count => self.open(Kind::Braces(count), count),
        }
    }

    /// `}`, which may end one.
    pub fn close_braces(&mut self) {
        let mut count = self.count(b'}');
        if count == 1 {
            return self.sign("}");
        }
        self.at += count;
        let is_braces = |frame: &Frame| matches!(frame.kind, Kind::Braces(_));
        while count >= 2 {
            let Some(index) = self.frames.find(is_braces, |_| false) else { return };
            self.unwind(index + 1);
            let Some(&Frame { kind: Kind::Braces(open), start, .. }) = self.frames.top() else {
                return;
            };
            let closed = if open >= 3 && count >= 3 { 3 } else { 2 };
            match closed {
                // `{{{name|default}}}`
                3 => self.keep_argument(start, 1),
                _ => self.template(start),
            }
            count -= closed;
            match open - closed {
                0 | 1 => _ = self.frames.pop(),
                left => self.frames.keep_braces(left),
            }
        }
    }

    /// A template is what its rule says, and without one nothing.
    fn template(&mut self, start: usize) {
        let first_bar = self.frames.bars().first().map(|bar| bar.at);
        let name = &self.out[start..first_bar.unwrap_or(self.out.len())];
        let (rule, function) = match self.context.rules.find(name) {
            Some(found) => found,
            None => return self.replace(start, ""),
        };
        match rule {
            Rule::Disambiguation => {
                self.is_disambiguation = true;
                self.replace(start, "");
            }
            Rule::Text(text) => self.replace(start, text),
            Rule::Title => self.replace(start, self.context.title),
            Rule::Argument(number) => self.keep_argument(start, number),
            Rule::Last => {
                match self.arguments().filter(|argument| argument.name.is_none()).last() {
                    Some(Argument { from, to, .. }) => self.keep(start, from, to),
                    None => self.replace(start, ""),
                }
            }
            Rule::Label => match self.named("lt").or(self.named("label")) {
                Some((from, to)) => self.keep(start, from, to),
                None => self.keep_argument(start, if self.begins_with_language() { 2 } else { 1 }),
            },
            Rule::Quotation => {
                let quoted = self.named("text").or(self.named("quote")).or(self.named("1"));
                match quoted.or(self.positional(1)) {
                    Some((from, to)) => self.keep(start, from, to),
                    None => self.replace(start, ""),
                }
                self.out.insert_str(start, "\n\n");
                self.out.push_str("\n\n");
            }
            Rule::Function => {
                self.keep(start, start + function, first_bar.unwrap_or(self.out.len()))
            }
            Rule::Compose(compose) => {
                let values: Vec<Value> =
                    self.arguments().map(|argument| self.value(&argument)).collect();
                let text = compose(&values);
                self.replace(start, &text);
            }
        }
    }

    /// Whether the first argument of the innermost template is the code of a language, as in `{{ill|en|Title}}`.
    fn begins_with_language(&self) -> bool {
        self.positional(1).is_some_and(|(from, to)| is_language(self.out[from..to].trim()))
    }

    /// Leaves an argument of the innermost template, by number.
    fn keep_argument(&mut self, start: usize, number: usize) {
        match self.positional(number) {
            Some((from, to)) => self.keep(start, from, to),
            None => self.replace(start, ""),
        }
    }

    /// Leaves a part of the buffer in the place of all of it from `start` on.
    fn keep(&mut self, start: usize, from: usize, to: usize) {
        let part = self.out[from..to].trim();
        self.scratch.clear();
        self.scratch.push_str(part);
        self.out.truncate(start);
        match self.scratch.is_empty() {
            true => self.gap(),
            false => self.out.push_str(&self.scratch),
        }
    }

    fn replace(&mut self, start: usize, text: &str) {
        self.out.truncate(start);
        match text.is_empty() {
            true => self.gap(),
            false => self.out.push_str(text),
        }
    }

    /// The arguments of the innermost template.
    fn arguments(&self) -> impl Iterator<Item = Argument> + '_ {
        let bars = self.frames.bars();
        let ends = bars.iter().skip(1).map(|bar| bar.at).chain([self.out.len()]);
        bars.iter().zip(ends).map(|(&Bar { at, equals }, to)| {
            let from = at + marks::BAR.len_utf8();
            let name = equals.map(|equals| (from, equals));
            Argument { name, from: equals.map_or(from, |equals| equals + 1), to }
        })
    }

    /// An argument by its name.
    fn named(&self, name: &str) -> Option<(usize, usize)> {
        let has_name = |argument: &Argument| {
            argument.name.is_some_and(|(from, to)| self.out[from..to].trim() == name)
        };
        self.arguments().find(has_name).map(|argument| (argument.from, argument.to))
    }

    /// An argument by its number.
    fn positional(&self, number: usize) -> Option<(usize, usize)> {
        let by_name = self.named(&number.to_string());
        let mut unnamed = self.arguments().filter(|argument| argument.name.is_none());
        by_name.or_else(|| unnamed.nth(number - 1).map(|argument| (argument.from, argument.to)))
    }

    /// Name and text of an argument.
    fn value(&self, argument: &Argument) -> Value<'_> {
        let name = argument.name.map(|(from, to)| self.out[from..to].trim());
        (name, self.out[argument.from..argument.to].trim())
    }
}

/// An argument: where its name and its text are in the buffer.
struct Argument {
    name: Option<(usize, usize)>,
    from: usize,
    to: usize,
}
