//! Names of models: which entry of a list is meant, and which ones are near.

use crate::diag::closest;

/// Most names that are offered.
const OFFERED: usize = 3;

/// Finds a name in a list and returns the one to send.
pub(super) fn find<'a>(names: &[&'a str], asked: &'a str, has_suffixes: bool) -> Option<&'a str> {
    if let Some(exact) = names.iter().find(|name| **name == asked) {
        return Some(exact);
    }
    let mut same = names.iter().filter(|name| is_same(name, asked));
    if let (Some(only), None) = (same.next(), same.next()) {
        return Some(only);
    }
    let covers = |asked: &str| {
        names.iter().any(|name| *name == asked || name.strip_prefix("models/") == Some(asked) || fits(name, asked))
    };
    let is_covered = covers(asked) || has_suffixes && without_suffix(asked).is_some_and(covers);
    is_covered.then_some(asked)
}

fn is_same(listed: &str, asked: &str) -> bool {
    // `models/x` is how one vendor names what requests call `x`.
    let last = listed.rsplit(['/', '\\']).next().unwrap_or(listed);
    let is_path = last.len() < listed.len() && listed.strip_prefix("models/") != Some(last);
    listed.strip_suffix(":latest") == Some(asked)
        || (is_path && last == asked)
        || last.strip_suffix(".gguf") == Some(asked)
}

/// Returns what stands before a suffix that says how to route: `openai/gpt-4o` of `openai/gpt-4o:online`.
fn without_suffix(asked: &str) -> Option<&str> {
    let (before, suffix) = asked.rsplit_once(':')?;
    (!before.is_empty() && !suffix.is_empty() && !suffix.contains('/')).then_some(before)
}

/// Returns true when a listed pattern stands for a name: each `*` is any text.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return false };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let parts: Vec<&str> = rest.split('*').collect();
    let (last, middle) = parts.split_last().expect("a split has at least one part");
    for part in middle {
        let Some((_, behind)) = name.split_once(part) else { return false };
        name = behind;
    }
    name.ends_with(last)
}

/// Returns the names that differ in case, separators, folder or tag, else the ones with few other letters.
pub(super) fn near<'a>(names: impl Iterator<Item = &'a str> + Clone, asked: &str) -> Vec<&'a str> {
    let wanted = plain(asked);
    let same: Vec<&str> = names
        .clone()
        .filter(|name| {
            let own = plain(name);
            own == wanted || base(name) == wanted || own == base(asked) || base(name) == base(asked)
        })
        .take(OFFERED)
        .collect();
    if !same.is_empty() || wanted.is_empty() {
        return same;
    }
    // Such as `gpt-4o` for `gpt-4o-2024-11-20`; short names begin many.
    let longer = |name: &&str| wanted.len() >= 4 && last(name).starts_with(&wanted);
    let longer: Vec<&str> = names.clone().filter(longer).take(OFFERED).collect();
    if longer.is_empty() { closest(asked, names).into_iter().collect() } else { longer }
}

/// Returns the letters and digits of a name, in small letters.
fn plain(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The same of its last part.
fn last(name: &str) -> String {
    plain(name.rsplit(['/', '\\']).next().unwrap_or(name))
}

/// The same of its last part, without a tag and an ending.
fn base(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let bare = last.strip_suffix(".gguf").unwrap_or(last);
    plain(bare.split(':').next().unwrap_or(bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_a_name_in_several_ways() {
        let check = |listed: &[&str], asked: &str, expected: Option<&str>| {
            assert_eq!(find(listed, asked, true), expected, "{asked} in {listed:?}");
        };
        check(&["openai/*", "anthropic/*"], "openai/gpt-4o", Some("openai/gpt-4o"));
        check(&["openai/*", "anthropic/*"], "google/gemma", None);
        check(&["*"], "anything", Some("anything"));
        check(&["a*c*e"], "abcde", Some("abcde"));
        check(&["a*c*e"], "abde", None);
        check(&["meta-llama/llama-3.3-70b", "openai/gpt-4o"], "openai/gpt-4o:online", Some("openai/gpt-4o:online"));
        check(&["openai/*"], "openai/gpt-4o:free", Some("openai/gpt-4o:free"));
        check(&["openai/gpt-4o"], "openai/gpt-4:online", None);
        check(&["models/test-7b"], "test-7b", Some("test-7b"));
        check(&["org/test-7b"], "test-7b", Some("org/test-7b"));
        check(&["org/test-7b", "other/test-7b"], "test-7b", None);
        check(&["llama3.2:latest"], "llama3.2", Some("llama3.2:latest"));
        assert_eq!(find(&["qwen3"], "qwen3:8b", false), None, "at an Ollama a tag is another model");
    }

    #[test]
    fn near_misses_are_offered_and_strangers_are_not() {
        let check = |listed: &[&str], asked: &str, expected: &[&str]| {
            assert_eq!(near(listed.iter().copied(), asked), expected, "{asked} near {listed:?}");
        };
        check(&["llama3.2:latest", "qwen3:8b"], "Qwen3", &["qwen3:8b"]);
        check(&["qwen3:8b", "qwen3:14b"], "qwen3", &["qwen3:8b", "qwen3:14b"]);
        check(&["GPT_4o"], "gpt-4o", &["GPT_4o"]);
        check(&["openai/gpt-4o"], "gpt-4o", &["openai/gpt-4o"]);
        check(&["gpt-4o-2024-11-20", "gpt-35-turbo"], "gpt-4o", &["gpt-4o-2024-11-20"]);
        check(&["mistral-small"], "mistrel-small", &["mistral-small"]);
        check(&["gpt-4o-2024-11-20", "gpt-35-turbo", "text-embedding-3-small"], "my-deployment", &[]);
        check(&["llama3.2:latest", "qwen2.5:7b"], "gemma2", &[]);
    }
}
