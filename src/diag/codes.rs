//! The list of codes: stable, one mistake each.

/// A code with what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// `P` and four digits.
    pub code: &'static str,
    /// One line.
    pub meaning: &'static str,
}

macro_rules! codes {
    ($($name:ident = $code:literal: $meaning:literal;)*) => {
        /// One constant for each code.
        pub mod code {
            $(#[doc = $meaning] pub const $name: &str = $code;)*
        }

        /// Every code, in order.
        pub const ALL: &[Code] = &[$(Code { code: $code, meaning: $meaning }),*];
    };
}

codes! {
    SYNTAX = "P0101": "the file is not valid YAML.";
    NEEDS_QUOTES = "P0102": "a value that starts with a template or an environment variable needs quotes.";
    DUPLICATE_KEY = "P0103": "a key stands twice in the same map.";
    TOO_LARGE = "P0104": "the file is too long, too deep or grows too much through aliases.";
    LEFT_OUT = "P0105": "a part of YAML that this language leaves out: merge keys, tags, several documents.";
    UNKNOWN_KEY = "P0110": "a key that this place does not have.";
    MISSING_KEY = "P0111": "a key that must be there is not.";
    WRONG_TYPE = "P0112": "a value of another type than the key takes.";
    OUT_OF_RANGE = "P0113": "a value outside what the key takes.";
    UNIT = "P0114": "a quantity without a unit, or with one that does not exist.";
    BAD_NAME = "P0115": "a name with characters that names do not have.";
    EXACTLY_ONE = "P0116": "one of several keys must be there, and only one.";
    VERSION = "P0117": "a version of the language that this program does not read.";
    BAD_LIST = "P0118": "a list with too few, too many or repeated entries.";
    ENVIRONMENT_UNSET = "P0201": "an environment variable without a value and without a default.";
    ENVIRONMENT_SYNTAX = "P0202": "`${ }` that cannot be read, or that is mixed with `{{ }}`.";
    LITERAL_SECRET = "P0203": "a secret in the file instead of in the environment.";
    NOT_ONE_REFERENCE = "P0204": "a setting that is neither a literal nor one whole `{{ }}` reading only params.";
    PARAM = "P0206": "a param without a value, of the wrong type, out of its range, or that does not exist.";
    SET = "P0207": "`--set` with a path or a value that does not fit.";
    FILE = "P0208": "a file that cannot be read, or that lies where it may not.";
    INCLUDE = "P0209": "files that include each other, or too many of them.";
    TEMPLATE_SYNTAX = "P0301": "a template that does not parse.";
    UNKNOWN_VARIABLE = "P0302": "a template reads something that does not exist.";
    UNKNOWN_STEP = "P0303": "a step that does not exist.";
    UNKNOWN_FIELD = "P0304": "a field that this kind of step does not have.";
    UNKNOWN_PARAM = "P0305": "a param that does not exist.";
    UNKNOWN_NAME = "P0306": "an actor, model or backend that does not exist.";
    WRONG_PLACE = "P0307": "something that templates see, but not in this place.";
    DOES_NOT_RENDER = "P0308": "a template that fails with the data in the file.";
    CYCLE = "P0401": "steps that wait for each other.";
    UNBOUNDED = "P0402": "a dialogue that nothing is sure to end.";
    PATTERN = "P0403": "a pattern that is no regular expression.";
    CHOICES = "P0404": "options that a judge cannot tell apart.";
    BLIND = "P0405": "`blind` that does not name two speakers among the options.";
    ITEMS = "P0406": "items that are missing, repeated or without their id.";
    COLUMN = "P0407": "a column of the results that comes from nowhere.";
    HISTORY = "P0408": "`history` that names a step without one talk to continue.";
    JUDGE_SAYS = "P0409": "a `judge_says` that waits for no option, or whose question shows nothing of the talk.";
    MIXED_STOP = "P0420": "conditions of the run's stop, or of its repeats, that cannot be tested together.";
    SENSELESS_STOP = "P0421": "a condition that holds before the first call, or that nothing can make hold.";
    NO_PRICE = "P0422": "a budget in money, and a model whose price is not known.";
    MIXED_CELLS = "P0423": "a majority over all cells of a matrix together.";
    SCALE = "P0430": "a scale that is none, or names for scores that it does not have.";
    VOTING = "P0431": "votes that cannot be counted as asked, or an order that what is asked does not have.";
    ANSWER_SCHEMA = "P0432": "a schema for answers that is none, too large, or points elsewhere.";
    MATRIX = "P0440": "a matrix whose combinations cannot be made, or that sets what it may not.";
    OWN_JUDGE = "P0501": "warning: a judge and a contestant are the same named model.";
    SAME_ANSWERS = "P0502": "warning: votes or repeats at temperature 0 give the same answer again.";
    NEARLY_A_NAME = "P0503": "warning: a model's name is nearly that of an entry under `models`.";
    NOT_REPLACED = "P0504": "warning: environment variables are not replaced inside templates.";
    UNUSED = "P0505": "warning: something is declared and not used.";
    MISSING_COLUMN = "P0506": "warning: a template reads a column that no item has.";
    MATRIX_UNREAD = "P0530": "warning: a value of the matrix changes nothing.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_rise_and_are_never_used_twice() {
        assert!(ALL.windows(2).all(|pair| pair[0].code < pair[1].code));
        assert!(ALL.iter().all(|code| code.code.len() == 5 && code.meaning.ends_with('.')));
    }
}
