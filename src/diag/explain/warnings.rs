//! P05xx: what runs, but will not give what the author expects.

use super::Page;
use crate::diag::code;

pub(super) const PAGES: &[Page] = &[
    Page {
        code: code::OWN_JUDGE,
        means: "A judge and one of those it judges are the same named model.",
        wrong: "actors:\n  pro: { model: llama3.2 }\n  con: { model: qwen2.5 }\n  referee: { model: llama3.2 }\n",
        right: "actors:\n  pro: { model: llama3.2 }\n  con: { model: qwen2.5 }\n  referee: { model: mistral }\n",
        why: "Models tend to prefer their own words, so the verdict leans before the debate starts.",
    },
    Page {
        code: code::SAME_ANSWERS,
        means: "Votes or repeats are asked at temperature 0, where the same question gets the same answer.",
        wrong: "repeat: 20\nactors:\n  pro: { temperature: 0 }\n  con: { temperature: 0 }\n  referee: { temperature: 0 \
                }\n",
        right: "repeat: 20\nactors:\n  pro: { temperature: 0.9 }\n  con: { temperature: 0.9 }\n  referee: { \
                temperature: 0 }\n",
        why: "Twenty copies of one answer look like twenty observations: the interval in the summary would be far too \
              narrow.",
    },
    Page {
        code: code::NEARLY_A_NAME,
        means: "An actor's model is nearly, but not quite, the name of an entry under `models`, so it is taken for the \
                name of a model on the server.",
        wrong: "models: { small: { model: llama3.2 } }\nactors:\n  pro: { model: smal }\n  con: {}\n  referee: {}\n",
        right: "models: { small: { model: llama3.2 } }\nactors:\n  pro: { model: small }\n  con: {}\n  referee: {}\n",
        why: "Names on servers are free, so this may be meant. Most often it is a slip.",
    },
    Page {
        code: code::NOT_REPLACED,
        means: "`${…}` stands in a template and is sent to the model as it is.",
        wrong: "steps:\n  ask:\n    chat: { actor: pro, prompt: \"Is ${DRINK:-tea} good?\" }\n",
        right: "params: { drink: { default: \"${DRINK:-tea}\" } }\nsteps:\n  ask:\n    chat: { actor: pro, prompt: \
                \"Is {{ params.drink }} good?\" }\n",
        why: "The environment is not put into prompts: a variable could hold a secret, and the prompt would differ \
              from machine to machine without the plan showing it. A param shows it.",
    },
    Page {
        code: code::UNUSED,
        means: "An actor takes part in no step, or nothing reads a param.",
        wrong: "params: { motion: { default: Tea } }\nactors: { pro: {} }\nsteps:\n  ask:\n    chat: { actor: pro, prompt: Tea? }\n",
        right: "params: { motion: { default: Tea } }\nactors: { pro: {} }\nsteps:\n  ask:\n    chat: { actor: pro, prompt: \"{{ \
                params.motion }}?\" }\n",
        why: "Changing it changes nothing, which is seldom what its author thinks.",
    },
    Page {
        code: code::MISSING_COLUMN,
        means: "A template asks for a column that no row has.",
        wrong: "items: { values: [{ motion: Tea }] }\nsteps:\n  ask:\n    chat: { actor: pro, prompt: \"{{ item.motoin \
                or 'Rum' }}?\" }\n",
        right: "items: { values: [{ motion: Tea }] }\nsteps:\n  ask:\n    chat: { actor: pro, prompt: \"{{ item.motion \
                or 'Rum' }}?\" }\n",
        why: "Testing what may be missing is allowed, so this is no error; but a column that is always missing is most \
              often misspelt.",
    },
    Page {
        code: code::MATRIX_UNREAD,
        means: "The matrix has values that no template reads and that replace nothing, so all cells ask the same.",
        wrong: "matrix: { lang: [en, de] }\nactors: { pro: {} }\nsteps:\n  ask:\n    chat: { actor: pro, prompt: Tea? \
                }\n",
        right: "matrix: { lang: [en, de] }\nactors: { pro: {} }\nsteps:\n  ask:\n    chat: { actor: pro, prompt: \"Tea? \
                Answer in {{ matrix.lang }}.\" }\n",
        why: "The same question would be paid for once in each cell. `repeat` asks the same more often.",
    },
];
