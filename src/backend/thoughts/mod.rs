//! Takes a model's thought off its answer, where both came as one text.
//! Reads: a text, whole or in pieces. Gives: the thought without its marks, and the answer.
//!
//! Only what is marked at the very start is a thought: an answer that speaks of such marks further on stays as it is. A
//! thought that is never closed is all thought. Where a template has swallowed the opening mark, a closing mark ends the
//! thought if it stands where one would.
//! Start at [`split`], for pieces at [`Splitter`].

mod harmony;
mod marks;
#[cfg(test)]
mod tests;
mod unopened;

use harmony::Harmony;
use marks::{Family, Mark, ROLES, Read, SPOKEN, Spoken, WRAPPERS, begins, partial_end};

/// A text without what was thought before it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    /// Without marks, and without blanks around it.
    pub(super) thought: String,
    /// Without blanks before it, if there was a thought; else the text as it was.
    pub(super) answer: String,
    /// The last thought was not closed.
    pub(super) is_open: bool,
    /// A thought was closed.
    pub(super) was_closed: bool,
    /// A thought was closed that had not been opened.
    pub(super) was_unopened: bool,
}

/// Splits a whole text.
#[cfg_attr(not(any(test, feature = "embedded")), expect(dead_code, reason = "for answers that come whole"))]
pub(super) fn split(text: &str) -> Split {
    let mut splitter = Splitter::new(true);
    splitter.push(text);
    splitter.finish().0
}

/// Splits a text that comes in pieces.
///
/// What it shows on the way is the answer, however the text is cut; a thought that was not opened apart, which is shown
/// unless the model is known to write such ones.
pub(super) struct Splitter {
    text: String,
    /// How far the text has been read.
    at: usize,
    state: State,
    split: Split,
    /// How much of the answer has been shown.
    shown: usize,
    may_be_unopened: bool,
}

enum State {
    /// Only blanks, or what may become a mark.
    Start,
    /// No mark at the start, but one may close what stands there.
    Held,
    /// There is no thought: the text is the answer.
    Plain,
    /// In a thought between marks.
    Marked { from: usize, mark: Mark, depth: usize, last_close: Option<(usize, usize)> },
    /// In a thought between other texts.
    Spoken { from: usize, spoken: &'static Spoken },
    /// In messages with channels.
    Harmony(Harmony),
    /// Behind a thought.
    After,
    /// In the answer behind a thought; what ends it, if anything does.
    Answer { end: &'static str },
    /// What follows is not of the answer.
    Over,
}

/// Whether a step came to something.
#[derive(PartialEq, Eq)]
enum Step {
    On,
    /// More of the text has to come, or nothing will.
    Stuck,
}

impl Splitter {
    /// Begins a text. `may_be_unopened` holds it back while it may be a thought that was not opened.
    pub(super) fn new(may_be_unopened: bool) -> Self {
        Self { text: String::new(), at: 0, state: State::Start, split: Split::default(), shown: 0, may_be_unopened }
    }

    /// Returns all that has come.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns true when anything has come.
    pub(super) fn has_text(&self) -> bool {
        !self.text.is_empty()
    }

    /// Returns whether texts that close a thought without opening one are expected.
    pub(super) fn may_be_unopened(&self) -> bool {
        self.may_be_unopened
    }

    /// Takes a piece; returns what of the answer is known by it.
    pub(super) fn push(&mut self, piece: &str) -> &str {
        self.text.push_str(piece);
        if !matches!(self.state, State::Plain) {
            self.advance(false);
        }
        self.visible()
    }

    /// Ends the text; returns also what of the answer has not been shown.
    pub(super) fn finish(mut self) -> (Split, String) {
        self.advance(true);
        if matches!(self.state, State::Plain) {
            if !self.may_be_unopened && ["</", "[/", "◁/", "<|", "<｜"].iter().any(|mark| self.text.contains(mark))
            {
                let mut again = Self::new(true);
                again.push(&self.text);
                let (split, _) = again.finish();
                if split.was_unopened {
                    return (split, String::new());
                }
            }
            let rest = self.visible().to_owned();
            self.split.answer = self.text;
            return (self.split, rest);
        }
        let rest = self.visible().to_owned();
        (self.split, rest)
    }

    fn visible(&mut self) -> &str {
        let whole = if matches!(self.state, State::Plain) { &self.text } else { &self.split.answer };
        let from = std::mem::replace(&mut self.shown, whole.len());
        &whole[from..]
    }

    fn advance(&mut self, is_all: bool) {
        while self.step(is_all) == Step::On {}
    }

    fn step(&mut self, is_all: bool) -> Step {
        match &mut self.state {
            State::Start => self.start(is_all),
            State::Held => self.held(is_all),
            State::Marked { .. } => self.marked(is_all),
            State::Spoken { from, spoken } => {
                let (from, spoken) = (*from, *spoken);
                self.spoken(from, spoken, is_all)
            }
            State::Harmony(harmony) => {
                harmony.advance(&self.text, &mut self.at, &mut self.split, is_all);
                Step::Stuck
            }
            State::After => self.after(is_all),
            State::Answer { end } => {
                let end = *end;
                self.answer(end, is_all);
                Step::Stuck
            }
            State::Plain | State::Over => Step::Stuck,
        }
    }

    fn start(&mut self, is_all: bool) -> Step {
        let text = self.text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        let at = self.text.len() - text.len();
        let mut found = self.opening(at, is_all);
        for role in ROLES {
            if !matches!(found, Read::No) {
                break;
            }
            match begins(&self.text[at..], role, is_all) {
                Read::No => {}
                Read::Partial => found = Read::Partial,
                Read::Found(length) => {
                    let rest = self.text[at + length..].trim_start_matches(|c: char| c.is_whitespace() || c == ':');
                    found = self.opening(self.text.len() - rest.len(), is_all);
                }
            }
        }
        match found {
            Read::Found(state) => self.state = state,
            Read::Partial => return Step::Stuck,
            Read::No if self.may_be_unopened => self.state = State::Held,
            Read::No => self.state = State::Plain,
        }
        Step::On
    }

    /// Reads the opening of a thought at a place, and moves behind it.
    fn opening(&mut self, at: usize, is_all: bool) -> Read<State> {
        let text = &self.text[at..];
        if text.is_empty() {
            return if is_all { Read::No } else { Read::Partial };
        }
        match Harmony::opens(text, is_all) {
            Read::No => {}
            Read::Partial => return Read::Partial,
            Read::Found(harmony) => {
                self.at = at;
                return Read::Found(State::Harmony(harmony));
            }
        }
        let mut is_partial = false;
        for spoken in SPOKEN {
            match begins(text, spoken.opening, is_all) {
                Read::No => {}
                Read::Partial => is_partial = true,
                Read::Found(length) => {
                    let next = text[length..].chars().next();
                    if next.is_none() && !is_all {
                        return Read::Partial;
                    }
                    if !spoken.is_glued || next.is_some_and(char::is_uppercase) {
                        self.at = at + length;
                        return Read::Found(State::Spoken { from: self.at, spoken });
                    }
                }
            }
        }
        match Mark::read(text, is_all) {
            Read::Found(mark) if mark.opens => {
                self.at = at + mark.length;
                let mut from = self.at;
                // `<unused94>thought` names the channel behind its token.
                if text.starts_with("<unused94>thought") {
                    from += "thought".len();
                }
                Read::Found(State::Marked { from, mark, depth: 1, last_close: None })
            }
            Read::Partial => Read::Partial,
            Read::Found(_) | Read::No if is_partial => Read::Partial,
            Read::Found(_) | Read::No => Read::No,
        }
    }

    /// Looks for a mark that closes what was never opened.
    fn held(&mut self, is_all: bool) -> Step {
        while let Some(found) = self.text[self.at..].find(['<', '[', '◁']) {
            let at = self.at + found;
            let text = &self.text[at..];
            match Harmony::resumes(text, is_all) {
                Read::Partial => return self.stuck_at(at),
                Read::Found(harmony) if !unopened::is_quoted_before(&self.text[..at]) => {
                    self.unopened(at, at);
                    self.state = State::Harmony(harmony);
                    return Step::On;
                }
                Read::Found(_) | Read::No => {}
            }
            match Mark::read(text, is_all) {
                Read::Partial => return self.stuck_at(at),
                // Both marks, and none of them at the start: they are spoken of.
                Read::Found(mark) if mark.opens => {
                    self.state = State::Plain;
                    return Step::On;
                }
                Read::Found(mark) => match unopened::closes(&self.text, at, at + mark.length, is_all) {
                    Read::Partial => return self.stuck_at(at),
                    Read::Found(true) if !mark.is_doubtful => {
                        self.unopened(at, at + mark.length);
                        self.state = State::After;
                        return Step::On;
                    }
                    Read::Found(_) | Read::No => {}
                },
                Read::No => {}
            }
            self.at = at + text.chars().next().map_or(1, char::len_utf8);
        }
        if is_all {
            self.state = State::Plain;
            return Step::On;
        }
        self.at = self.text.len();
        Step::Stuck
    }

    fn stuck_at(&mut self, at: usize) -> Step {
        self.at = at;
        Step::Stuck
    }

    fn unopened(&mut self, end: usize, next: usize) {
        self.close(0, end, next);
        self.split.was_unopened = true;
    }

    /// Looks for the mark that closes the thought.
    fn marked(&mut self, is_all: bool) -> Step {
        let State::Marked { from, mark, mut depth, mut last_close } = self.state else { return Step::Stuck };
        let closed = loop {
            let Some(found) = self.text[self.at..].find(['<', '[', '◁']) else {
                self.at = self.text.len();
                break None;
            };
            let at = self.at + found;
            let text = &self.text[at..];
            let read = match Self::token_end(text, mark.family, is_all) {
                Read::No => Mark::read(text, is_all),
                read => read,
            };
            let other = match read {
                Read::Partial => {
                    self.at = at;
                    break None;
                }
                Read::Found(other) if other.family == mark.family => other,
                Read::Found(_) | Read::No => {
                    self.at = at + text.chars().next().map_or(1, char::len_utf8);
                    continue;
                }
            };
            let end = at + other.length;
            if other.opens {
                let before = self.text[from..at].trim_end_matches([' ', '\t']);
                depth += usize::from(before.is_empty() || before.ends_with(['\n', '>', ']', '▷']));
            } else {
                let is_quoted = self.text[..at].ends_with(['`', '"', '\'', '“']);
                if is_quoted && end == self.text.len() && !is_all {
                    self.at = at;
                    break None;
                }
                if !(is_quoted && self.text[end..].starts_with(['`', '"', '\'', '”'])) {
                    depth -= 1;
                    last_close = Some((at, end));
                }
            }
            self.at = end;
            if depth == 0 {
                break last_close;
            }
        };
        self.state = State::Marked { from, mark, depth, last_close };
        match closed.or(last_close.filter(|_| is_all)) {
            Some((end, next)) => {
                self.close(from, end, next);
                self.state = State::After;
                Step::On
            }
            // Words in square brackets that nothing closes are what the model says.
            None if is_all && mark.is_doubtful && !self.split.was_closed => {
                self.state = State::Plain;
                Step::On
            }
            None if is_all => {
                self.open_end(from);
                Step::Stuck
            }
            None => Step::Stuck,
        }
    }

    /// Reads the end of a message, which closes a thought that is marked by a token.
    fn token_end(text: &str, family: Family, is_all: bool) -> Read<Mark> {
        const END: &str = "<|end|>";
        if !family.is_token() {
            return Read::No;
        }
        match begins(text, END, is_all) {
            Read::Found(length) => Read::Found(Mark { length, opens: false, family, is_doubtful: false }),
            Read::Partial => Read::Partial,
            Read::No => Read::No,
        }
    }

    fn spoken(&mut self, from: usize, spoken: &'static Spoken, is_all: bool) -> Step {
        let rest = &self.text[self.at..];
        let found = spoken.closings.iter().filter_map(|close| Some((rest.find(close)?, close.len()))).min();
        if let Some((at, length)) = found {
            let end = self.at + at;
            self.close(from, end, end + length);
            self.state = State::After;
            return Step::On;
        }
        if is_all {
            self.open_end(from);
        } else {
            self.at = self.text.len() - partial_end(rest, spoken.closings);
        }
        Step::Stuck
    }

    /// Takes the thought up to `end`; the text goes on at `next`.
    fn close(&mut self, from: usize, end: usize, next: usize) {
        add_thought(&mut self.split.thought, &self.text[from..end]);
        self.split.was_closed = true;
        self.at = next;
    }

    fn open_end(&mut self, from: usize) {
        add_thought(&mut self.split.thought, &self.text[from..]);
        self.split.is_open = true;
        self.at = self.text.len();
        self.state = State::Over;
    }

    fn after(&mut self, is_all: bool) -> Step {
        let rest = self.text[self.at..].trim_start();
        let at = self.text.len() - rest.len();
        if rest.is_empty() {
            return Step::Stuck;
        }
        match self.opening(at, is_all) {
            Read::Found(state) => {
                self.state = state;
                return Step::On;
            }
            Read::Partial => return Step::Stuck,
            Read::No => {}
        }
        let rest = &self.text[at..];
        match Mark::read(rest, is_all) {
            // One mark too many.
            Read::Found(mark) if !mark.is_doubtful => {
                self.at = at + mark.length;
                return Step::On;
            }
            Read::Partial => return Step::Stuck,
            Read::Found(_) | Read::No => {}
        }
        let mut end = "";
        self.at = at;
        for (wrapper, ending) in WRAPPERS {
            match begins(rest, wrapper, is_all) {
                Read::No => {}
                Read::Partial => return Step::Stuck,
                Read::Found(length) => {
                    let rest = self.text[at + length..].trim_start();
                    if rest.is_empty() && !is_all {
                        return Step::Stuck;
                    }
                    self.at = self.text.len() - rest.len();
                    end = ending;
                    break;
                }
            }
        }
        self.state = State::Answer { end };
        Step::On
    }

    fn answer(&mut self, end: &'static str, is_all: bool) {
        let rest = &self.text[self.at..];
        if !end.is_empty()
            && let Some(length) = rest.find(end)
        {
            self.split.answer.push_str(rest[..length].trim_end());
            self.state = State::Over;
            return;
        }
        // Blanks before the end of a wrapper are a part of the wrapper.
        let known = match is_all || end.is_empty() {
            true => rest.len(),
            false => rest[..rest.len() - partial_end(rest, &[end])].trim_end().len(),
        };
        self.split.answer.push_str(&rest[..known]);
        self.at += known;
    }
}

/// Adds a thought to those before it.
fn add_thought(thoughts: &mut String, thought: &str) {
    let thought = thought.trim();
    if !thought.is_empty() {
        if !thoughts.is_empty() {
            thoughts.push_str("\n\n");
        }
        thoughts.push_str(thought);
    }
}
