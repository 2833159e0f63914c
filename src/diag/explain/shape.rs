//! P011x: keys and values of the wrong shape.

use super::Page;
use crate::diag::code;

pub(super) const PAGES: &[Page] = &[
    Page {
        code: code::UNKNOWN_KEY,
        means: "This place has no such key. The message names the nearest one that it has, or all of them.",
        wrong: "actors:\n  pro: { temprature: 0.9 }\n  con: {}\n  referee: {}\n",
        right: "actors:\n  pro: { temperature: 0.9 }\n  con: {}\n  referee: {}\n",
        why: "A misspelt key that is passed over is the most expensive mistake there is: the run works, costs what it \
              costs, and does not do what was written. Keys that start with `x-` are your own and always allowed.",
    },
    Page {
        code: code::MISSING_KEY,
        means: "A key that must be there is not.",
        wrong: "steps:\n  ask:\n    chat: { actor: pro }\n",
        right: "steps:\n  ask:\n    chat: { actor: pro, prompt: Tea or coffee? }\n",
        why: "Without it there is no sensible guess at what was meant. Keys with a sensible default may be left out.",
    },
    Page {
        code: code::WRONG_TYPE,
        means: "The value is of another type than the key takes: text for a number, a list for a map, nothing at all.",
        wrong: "repeat: often\n",
        right: "repeat: 20\n",
        why: "Types are those of YAML 1.2: `20` is a number, `\"20\"` is text, `true` and `false` are the only truths, \
              `yes` and `no` are text. Nothing is converted silently, so a run does what the file says.",
    },
    Page {
        code: code::OUT_OF_RANGE,
        means: "The value has the right type, but is outside of what the key takes.",
        wrong: "actors:\n  pro: { temperature: 3 }\n  con: {}\n  referee: {}\n",
        right: "actors:\n  pro: { temperature: 0.9 }\n  con: {}\n  referee: {}\n",
        why: "The server would refuse it, or worse: take it for something else, call by call. Here it costs nothing.",
    },
    Page {
        code: code::UNIT,
        means: "A quantity has no unit, or one that does not exist.",
        wrong: "limits: { timeouts: { total: 10 } }\n",
        right: "limits: { timeouts: { total: 10m } }\n",
        why: "Ten what? Tools disagree on whether a bare number means seconds or milliseconds, and a factor of a \
              thousand is found late. Lengths of time end in ms, s, m, h or d; counts of tokens may end in k or M.",
    },
    Page {
        code: code::BAD_NAME,
        means: "A name has characters that names do not have.",
        wrong: "params: { max-rounds: { default: 3 } }\n",
        right: "params: { max_rounds: { default: 3 } }\n",
        why: "Names of params, actors and steps stand in templates, where `-` is minus. The pipeline's own name stands \
              in the names of folders.",
    },
    Page {
        code: code::EXACTLY_ONE,
        means: "Of several keys exactly one must be there: one kind for each step, one condition for each stop, \
                `path` or `values` for items.",
        wrong: "items:\n  path: motions.jsonl\n  values: [{ motion: Tea }]\n",
        right: "items:\n  path: motions.jsonl\n",
        why: "With two of them one would have to win, and a reader could not tell which. Several conditions go under \
              `any` or `all`.",
    },
    Page {
        code: code::VERSION,
        means: "The file is written in a version of the language that this program does not read.",
        wrong: "version: 2\n",
        right: "version: 1\n",
        why: "`version` is the language's, not the pipeline's. It lets later programs read old files as they were \
              meant, and old programs refuse new ones instead of guessing.",
    },
    Page {
        code: code::BAD_LIST,
        means: "A list has too few entries, too many, or one of them twice.",
        wrong: "steps:\n  verdict:\n    judge: { actor: referee, question: Is tea good?, choose: [yes] }\n",
        right: "steps:\n  verdict:\n    judge: { actor: referee, question: Is tea good?, choose: [yes, no] }\n",
        why: "A choice needs two options, a dialogue two speakers. One entry alone, or the same twice, is most often a \
              slip.",
    },
];
