//! Settings that are words: names, addresses, paths.

use super::{FromScalar, Literal, Refusal};
use crate::base::TableFormat;
use crate::diag::{closest, code};

/// A text on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word(pub String);

/// Any scalar but nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar(pub Literal);

/// The name of a pipeline: part of the names of its runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineName(pub String);

/// The path of a pipeline's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelinePath(pub String);

/// The path of a file with rows; with `*` the paths of several; `-` for what comes in on stdin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowsPath(pub String);

/// The path of a file that a table is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablePath(pub String);

/// What stands between the values of a line: one ASCII character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delimiter(pub u8);

/// Whether answers of before count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheUse {
    /// Everything is asked, and nothing is kept.
    #[default]
    Off,
    /// What was answered before is not asked.
    On,
    /// Everything is asked, and its answers take the place of those of before.
    Refresh,
}

/// Where a backend is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseUrl {
    /// Found on this machine, else the embedded model.
    Auto,
    /// The model inside of this program.
    Embedded,
    /// The simulated one, so many times faster than life; 0 does not wait at all.
    Sim(u32),
    /// An OpenAI-compatible server.
    Url(String),
}

/// What values a param takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ParamType {
    /// Whole numbers.
    Integer,
    /// Numbers.
    Number,
    /// Text.
    #[default]
    String,
    /// True or false.
    Boolean,
}

impl FromScalar for CacheUse {
    const EXPECTED: &'static str = "true, false or `refresh`";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        match literal {
            Literal::Bool(true) => Ok(Self::On),
            Literal::Bool(false) => Ok(Self::Off),
            Literal::Text(text) if text.trim() == "refresh" => Ok(Self::Refresh),
            Literal::Null | Literal::Integer(_) | Literal::Float(_) | Literal::Text(_) => {
                Err(Refusal::wrong_type(literal))
            }
        }
    }
}

impl FromScalar for Word {
    const EXPECTED: &'static str = "text on one line";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        let Literal::Text(text) = literal else { return Err(Refusal::not_text(literal)) };
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(Refusal::out_of_range("this is empty"));
        }
        if trimmed.contains(char::is_control) {
            return Err(Refusal::out_of_range("this has more than one line"));
        }
        Ok(Self(trimmed.to_owned()))
    }
}

impl FromScalar for Scalar {
    const EXPECTED: &'static str = "text, a number, true or false";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        match literal {
            Literal::Null => Err(Refusal::wrong_type(literal)),
            Literal::Bool(_) | Literal::Integer(_) | Literal::Float(_) | Literal::Text(_) => {
                Ok(Self(literal.clone()))
            }
        }
    }
}

impl FromScalar for PipelineName {
    const EXPECTED: &'static str = "a name of at most 64 letters, digits, `_`, `-` and `.`";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        let Word(name) = Word::from_scalar(literal)?;
        let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
        if !name.starts_with(|first: char| first.is_ascii_alphanumeric()) || !name.chars().all(fits) {
            let tidy: String = name.chars().map(|letter| if fits(letter) { letter } else { '_' }).collect();
            let tidy = tidy.trim_start_matches(['_', '-', '.']).to_owned();
            let refusal =
                Refusal { code: code::BAD_NAME, reason: "it names the folders of its runs".to_owned(), help: None };
            return Err(if tidy.is_empty() { refusal } else { refusal.help(format!("for instance {tidy}")) });
        }
        if name.len() > 64 {
            return Err(Refusal::out_of_range(format!("this has {} characters", name.len())));
        }
        Ok(Self(name))
    }
}

/// Tells whether a file's name says that it is of YAML.
#[must_use]
pub fn is_yaml(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, ending)| matches!(ending, "yaml" | "yml"))
}

impl FromScalar for PipelinePath {
    const EXPECTED: &'static str = "the path of a pipeline, a .yaml or .yml file";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        let Word(path) = Word::from_scalar(literal)?;
        match is_yaml(&path) {
            true => Ok(Self(path)),
            false => Err(Refusal::out_of_range("this is no such file")),
        }
    }
}

impl FromScalar for RowsPath {
    const EXPECTED: &'static str = "the path of a file with rows, or `-` for stdin";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        let Word(path) = Word::from_scalar(literal)?;
        if path.ends_with('/') {
            let refusal = Refusal::out_of_range("this is a folder");
            return Err(refusal.help(format!("`*` stands for every file in it: {path}*.jsonl")));
        }
        Ok(Self(path))
    }
}

impl FromScalar for TablePath {
    const EXPECTED: &'static str = "the path of a .jsonl, .csv or .parquet file";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        let Word(path) = Word::from_scalar(literal)?;
        let stem = [".jsonl", ".csv", ".parquet"].iter().find_map(|ending| path.strip_suffix(ending));
        if stem.is_some_and(|stem| !stem.is_empty() && !stem.ends_with('/')) {
            return Ok(Self(path));
        }
        Err(Refusal::out_of_range("this has another ending")
            .help("the ending tells the format: JSON Lines, CSV or Parquet"))
    }
}

/// Reads one of the words of a closed list.
///
/// # Errors
/// Another word, with the nearest of the list as help; no text.
pub(super) fn one_of<T: Copy>(literal: &Literal, words: &[(&str, T)]) -> Result<T, Refusal> {
    let Literal::Text(text) = literal else { return Err(Refusal::wrong_type(literal)) };
    let text = text.trim();
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let refusal = Refusal::out_of_range(format!("there is no `{text}`"));
        match closest(text, words.iter().map(|(word, _)| *word)) {
            Some(near) => refusal.help(format!("did you mean `{near}`?")),
            None => refusal,
        }
    })
}

impl FromScalar for TableFormat {
    const EXPECTED: &'static str = "jsonl, csv, tsv or parquet";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        let Word(text) = Word::from_scalar(literal)?;
        Self::ALL.into_iter().find(|found| found.word() == text).ok_or_else(|| {
            let refusal = Refusal::out_of_range("there is no such format");
            match closest(&text, Self::ALL.map(Self::word)) {
                Some(near) => refusal.help(format!("did you mean `{near}`?")),
                None if text == "json" => refusal.help("one JSON object a line is `jsonl`"),
                None => refusal,
            }
        })
    }
}

impl FromScalar for Delimiter {
    const EXPECTED: &'static str = "one character, or `tab`";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        let Literal::Text(text) = literal else { return Err(Refusal::not_text(literal)) };
        match text.as_bytes() {
            b"tab" => Ok(Self(b'\t')),
            [b'"' | b'\n' | b'\r' | 0] => Err(Refusal::out_of_range("this cannot stand between values")),
            [one] => Ok(Self(*one)),
            _ => Err(Refusal::out_of_range("this is something else")
                .help("such as \",\", \";\", \"|\" or tab; left out, it is found by itself")),
        }
    }
}

impl FromScalar for BaseUrl {
    const EXPECTED: &'static str = "auto, embedded, sim or the http(s) URL of an OpenAI-compatible server";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        let Word(text) = Word::from_scalar(literal)?;
        match text.as_str() {
            "auto" => return Ok(Self::Auto),
            "embedded" => return Ok(Self::Embedded),
            "sim" => return Ok(Self::Sim(0)),
            _ => {}
        }
        if let Some(speed) = text.strip_prefix("sim:") {
            let digits = !speed.is_empty() && speed.bytes().all(|byte| byte.is_ascii_digit());
            return match speed.parse() {
                Ok(speed) if digits => Ok(Self::Sim(speed)),
                Ok(_) | Err(_) => Err(Refusal::out_of_range(format!("{speed:?} is no speed"))
                    .help("sim:10 answers ten times faster than life, sim:0 at once")),
            };
        }
        let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        match host {
            Some(host)
                if !host.is_empty() && !host.starts_with(['/', ':', '?']) && !text.contains(char::is_whitespace) =>
            {
                Ok(Self::Url(text.trim_end_matches('/').to_owned()))
            }
            Some(_) => Err(Refusal::out_of_range("this URL has no host").help("such as http://127.0.0.1:8080/v1")),
            None => {
                let refusal = Refusal::out_of_range("this is none of them");
                Err(match closest(&text, ["auto", "embedded", "sim"]) {
                    Some(near) => refusal.help(format!("did you mean `{near}`?")),
                    None if text.contains(['.', ':']) && !text.contains("://") => {
                        refusal.help(format!("did you mean http://{text}?"))
                    }
                    None => refusal,
                })
            }
        }
    }
}

impl FromScalar for ParamType {
    const EXPECTED: &'static str = "integer, number, string or boolean";

    fn from_scalar(literal: &Literal) -> Result<Self, Refusal> {
        let Word(text) = Word::from_scalar(literal)?;
        let types = [Self::Integer, Self::Number, Self::String, Self::Boolean];
        types.into_iter().find(|found| found.word() == text).ok_or_else(|| {
            let refusal = Refusal::out_of_range("there is no such type");
            let peer = match text.as_str() {
                "text" | "str" => Some("string"),
                "int" => Some("integer"),
                "float" | "double" => Some("number"),
                "bool" => Some("boolean"),
                _ => None,
            };
            match peer.or_else(|| closest(&text, types.map(Self::word))) {
                Some(near) => refusal.help(format!("did you mean `{near}`?")),
                None => refusal,
            }
        })
    }
}

impl ParamType {
    /// Returns its word in a file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Number => "number",
            Self::String => "string",
            Self::Boolean => "boolean",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |text: &str, expected: Option<BaseUrl>| {
            assert_eq!(BaseUrl::from_scalar(&Literal::Text(text.to_owned())).ok(), expected, "{text}");
        };
        check("auto", Some(BaseUrl::Auto));
        check("sim", Some(BaseUrl::Sim(0)));
        check("sim:20", Some(BaseUrl::Sim(20)));
        check("http://localhost:8080/v1/", Some(BaseUrl::Url("http://localhost:8080/v1".to_owned())));
        for text in
            ["sim:", "sim:-1", "sim:fast", "localhost:8080", "http://", "https:///v1", "ftp://x", "http://a b", ""]
        {
            check(text, None);
        }
    }

    #[test]
    fn names_are_safe_in_paths() {
        let check = |text: &str| PipelineName::from_scalar(&Literal::Text(text.to_owned())).is_ok();
        assert!(check("debate-2.b"));
        for text in ["../x", "a/b", ".hidden", "", "ä", &"x".repeat(65)] {
            assert!(!check(text), "{text}");
        }
    }
}
