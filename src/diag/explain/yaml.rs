//! P010x: the text as YAML.

use super::Page;
use crate::diag::code;

pub(super) const PAGES: &[Page] = &[
    Page {
        code: code::SYNTAX,
        means: "The file cannot be read as YAML at this place, so nothing after it was looked at. The place is where \
                the reader gave up: the mistake is there or on the line before.",
        wrong: "description: The motion: tea or coffee\n",
        right: "description: \"The motion: tea or coffee\"\n",
        why: "In YAML a colon followed by a blank starts a value, blanks at the start of a line say what belongs to \
              what, and tabs may not stand there. Text with `: ` or ` #` in it, or that starts with one of \
              `*&!%@{[>|`, needs quotes, or a block after `|`.",
    },
    Page {
        code: code::NEEDS_QUOTES,
        means: "A value starts with `{{`, or `${` stands inside of `{ }` or `[ ]`, without quotes.",
        wrong: "params: { times: { default: 3 } }\nrepeat: {{ params.times }}\n",
        right: "params: { times: { default: 3 } }\nrepeat: \"{{ params.times }}\"\n",
        why: "YAML takes an unquoted `{` for the start of a map, and would read something else than was meant.",
    },
    Page {
        code: code::DUPLICATE_KEY,
        means: "The same key stands twice in one map.",
        wrong: "repeat: 10\nseed: 7\nrepeat: 20\n",
        right: "repeat: 20\nseed: 7\n",
        why: "Most readers of YAML keep one of the two without a word, and not all the same one. A run would not be \
              what half of the file says.",
    },
    Page {
        code: code::TOO_LARGE,
        means: "The file is longer than 1 MiB, lists and maps nest more than 64 deep, or aliases (`*name`) make it \
                grow to more than 100,000 values.",
        wrong: "x-a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\nx-b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n\
                x-c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\nx-d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\n\
                x-e: [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\n",
        right: "items: { path: motions.jsonl }\n",
        why: "A few lines of aliases can stand for billions of values, and a file from elsewhere should not be able to \
              use up a machine. Many items belong into a `.jsonl` file, which is read row by row, and long prompts \
              into files of their own (`file://…`).",
    },
    Page {
        code: code::LEFT_OUT,
        means: "This is YAML, but a part of it that pipelines do not use: merge keys (`<<`), tags (`!!str`), several \
                documents in one file, maps as keys.",
        wrong: "actors:\n  pro: &base { temperature: 0.9 }\n  con: { <<: *base }\n  referee: {}\n",
        right: "actors:\n  pro: &base { temperature: 0.9 }\n  con: *base\n  referee: {}\n",
        why: "Readers of YAML do not agree on what these mean. A pipeline should mean the same wherever it is read.",
    },
];
