//! The marks that model families put around a thought.
//! Start at [`Mark::read`].

/// Longest name of a mark, in bytes: `thinking` with what may stand before and after it.
const LONGEST_NAME: usize = 28;

/// What a text begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read<T> {
    /// Nothing that is looked for.
    No,
    /// Too little of the text is there to know.
    Partial,
    Found(T),
}

/// One mark in brackets, such as `<think>`, `[/THINK]`, `<|end_of_thought|>`, `◁think▷`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// In bytes.
    pub(super) length: usize,
    pub(super) opens: bool,
    /// What closes the one closes the other.
    pub(super) family: Family,
    /// In square brackets and not in capitals: words in brackets may be a part of the answer.
    pub(super) is_doubtful: bool,
}

/// What kind of brackets and words a mark is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Family {
    brackets: Brackets,
    group: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Brackets {
    Angle,
    Pipe,
    Square,
    Triangle,
}

/// Words by which a mark is one of a thought; those of one group are used for each other.
const STEMS: &[(&str, u8)] = &[
    ("think", 0),
    ("thinking", 0),
    ("thought", 0),
    ("thoughts", 0),
    ("antthinking", 0),
    ("deepthink", 0),
    ("reasoning", 1),
    ("reflection", 2),
    ("scratchpad", 3),
    ("cot", 4),
    ("monologue", 5),
];
/// Apertus: `inner_prefix` and `inner_suffix`.
const INNER: u8 = 6;
/// `MedGemma`: reserved tokens of its vocabulary.
const RESERVED: u8 = 7;

impl Family {
    /// Returns true for tokens, which some templates close with the end of a message.
    pub(super) fn is_token(self) -> bool {
        self.brackets == Brackets::Pipe
    }
}

impl Mark {
    /// Reads the mark that a text begins with; `is_all` says that nothing more of the text will come.
    pub(super) fn read(text: &str, is_all: bool) -> Read<Self> {
        let partial = if is_all { Read::No } else { Read::Partial };
        let (brackets, rest) = if let Some(rest) = text.strip_prefix("<|").or_else(|| text.strip_prefix("<｜")) {
            (Brackets::Pipe, rest)
        } else if let Some(rest) = text.strip_prefix('<') {
            (Brackets::Angle, rest)
        } else if let Some(rest) = text.strip_prefix('[') {
            (Brackets::Square, rest)
        } else if let Some(rest) = text.strip_prefix('◁') {
            (Brackets::Triangle, rest)
        } else {
            return if text.is_empty() { partial } else { Read::No };
        };
        let named = rest.strip_prefix('/').unwrap_or(rest);
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':' | ' ');
        let end = named.find(|c: char| !is_of_name(c)).unwrap_or(named.len());
        let (name, after) = named.split_at(end);
        if name.len() > LONGEST_NAME {
            return Read::No;
        }
        let closers: &[&str] = match brackets {
            Brackets::Pipe => &["|>", "｜>"],
            Brackets::Angle => &[">"],
            Brackets::Square => &["]"],
            Brackets::Triangle => &["▷"],
        };
        let Some(closer) = closers.iter().find(|closer| after.starts_with(**closer)) else {
            return if closers.iter().any(|closer| closer.starts_with(after)) { partial } else { Read::No };
        };
        let Some((opens, family)) = classify(name, rest.len() > named.len(), brackets) else { return Read::No };
        let length = text.len() - after.len() + closer.len();
        let is_doubtful = brackets == Brackets::Square && name.chars().any(|c| c.is_ascii_lowercase());
        Read::Found(Self { length, opens, family, is_doubtful })
    }
}

fn classify(name: &str, has_slash: bool, brackets: Brackets) -> Option<(bool, Family)> {
    let name = name.trim().to_ascii_lowercase();
    if brackets == Brackets::Angle && matches!(name.as_str(), "unused94" | "unused95") {
        return Some((name == "unused94", Family { brackets, group: RESERVED }));
    }
    let mut words: Vec<&str> = name.split(['_', '-', ':', ' ']).filter(|word| !word.is_empty()).collect();
    if brackets == Brackets::Square
        && (words.len() != 1 || !matches!(words[0], "think" | "thinking" | "thought" | "reasoning"))
    {
        return None;
    }
    let mut opens = !has_slash;
    match *words.first()? {
        "begin" | "start" => drop(words.remove(0)),
        "end" | "stop" | "close" => {
            words.remove(0);
            opens = false;
        }
        _ => {}
    }
    words.retain(|word| *word != "of");
    opens &= words.last() != Some(&"suffix");
    let is_inner = matches!(words[..], ["inner", "prefix" | "suffix"]);
    let stem = STEMS.iter().find(|(stem, _)| words.contains(stem)).map(|(_, group)| *group);
    let group = if is_inner { INNER } else { stem? };
    if words.len() > 3 {
        return None;
    }
    Some((opens, Family { brackets, group }))
}

/// A thought between two texts that are no marks in brackets.
pub(super) struct Spoken {
    pub(super) opening: &'static str,
    pub(super) closings: &'static [&'static str],
    /// Only right before a capital letter: so the names of channels run into what is said when their marks are stripped.
    pub(super) is_glued: bool,
}

/// Thoughts that are marked by other texts.
pub(super) const SPOKEN: &[Spoken] = &[
    // Granite 3.2 and 3.3.
    Spoken {
        opening: "Here is my thought process:",
        closings: &["Here is my response:", "Here's my response:"],
        is_glued: false,
    },
    Spoken {
        opening: "Here's my thought process:",
        closings: &["Here is my response:", "Here's my response:"],
        is_glued: false,
    },
    // Gemma 4.
    Spoken { opening: "<|channel>thought", closings: &["<channel|>"], is_glued: false },
    // gpt-oss, its tokens stripped.
    Spoken { opening: "analysis", closings: &["assistantfinal"], is_glued: true },
];

/// What may wrap the answer after a thought, and what ends it then.
pub(super) const WRAPPERS: &[(&str, &str)] = &[
    ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    ("<|START_TEXT|>", "<|END_TEXT|>"),
    ("<|begin_of_solution|>", "<|end_of_solution|>"),
    ("<|begin|>assistant<|content|>", "<|end|>"),
    ("<|content|>", "<|end|>"),
    ("Here is my response:", ""),
];

/// What may stand before the first mark: the role, where a template leaves it to the model.
pub(super) const ROLES: &[&str] =
    &["<|im_start|>assistant", "<|assistant|>", "<|begin|>assistant", "<｜Assistant｜>", "assistant"];

/// Names of the channels of a harmony message, when the mark before them is missing.
pub(super) const CHANNELS: &[&str] = &["analysis", "commentary", "final"];

/// Returns whether a text begins with another one.
pub(super) fn begins(text: &str, with: &str, is_all: bool) -> Read<usize> {
    if text.starts_with(with) {
        Read::Found(with.len())
    } else if with.starts_with(text) && !is_all {
        Read::Partial
    } else {
        Read::No
    }
}

/// Returns how many bytes at a text's end may be the beginning of one of some marks.
pub(super) fn partial_end(text: &str, marks: &[&str]) -> usize {
    let longest = marks.iter().map(|mark| mark.len()).max().unwrap_or(0).saturating_sub(1).min(text.len());
    let is_begin = |length: &usize| {
        text.get(text.len() - length..).is_some_and(|end| marks.iter().any(|mark| mark.starts_with(end)))
    };
    (1..=longest).rev().find(is_begin).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_known_by_its_brackets_and_the_words_in_it() {
        for (text, opens) in [
            ("<think>", true),
            ("</think>", false),
            ("< Think >", true),
            ("<THINKING>", true),
            ("<seed:think>", true),
            ("</longcat_think>", false),
            ("<thought_process>", true),
            ("[THINK]", true),
            ("[/THINK]", false),
            ("◁think▷", true),
            ("◁/think▷", false),
            ("<|START_THINKING|>", true),
            ("<|END_THINKING|>", false),
            ("<|begin_of_thought|>", true),
            ("<|end_of_thought|>", false),
            ("<｜think｜>", true),
            ("<|/think|>", false),
            ("<|inner_prefix|>", true),
            ("<|inner_suffix|>", false),
            ("<unused94>", true),
        ] {
            let Read::Found(mark) = Mark::read(text, true) else { panic!("{text} is no mark") };
            assert_eq!((mark.opens, mark.length), (opens, text.len()), "{text}");
            for end in 1..text.len() {
                if let Some(start) = text.get(..end) {
                    assert_eq!(Mark::read(start, false), Read::Partial, "{start}");
                    assert_eq!(Mark::read(start, true), Read::No, "{start}");
                }
            }
        }
        for text in ["<html>", "<answer>", "[1]", "[Thinking aloud]", "<|im_end|>", "<rethink>", "think", "<inner>"] {
            assert_eq!(Mark::read(text, true), Read::No, "{text}");
        }
    }
}
