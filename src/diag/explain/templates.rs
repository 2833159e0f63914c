//! P03xx: templates and the names in them.

use super::Page;
use crate::diag::code;

pub(super) const PAGES: &[Page] = &[
    Page {
        code: code::TEMPLATE_SYNTAX,
        means: "A text with `{{ … }}` or `{% … %}` is no template: a brace, a quote or an `endif` is missing, or a tag \
                is not part of the language.",
        wrong: "steps:\n  ask:\n    chat: { actor: pro, prompt: \"Is {{ item.drink good?\" }\n",
        right: "steps:\n  ask:\n    chat: { actor: pro, prompt: \"Is {{ item.drink or 'tea' }} good?\" }\n",
        why: "Templates are written as in Jinja. They are compiled before the first call, so that a slip in the last \
              step does not cost all the steps before it.",
    },
    Page {
        code: code::UNKNOWN_VARIABLE,
        means: "A template reads a variable, or uses a filter, that does not exist.",
        wrong: "items: { values: [{ motion: Tea }] }\nsteps:\n  ask:\n    chat: { actor: pro, prompt: \"{{ motion }}?\" \
                }\n",
        right: "items: { values: [{ motion: Tea }] }\nsteps:\n  ask:\n    chat: { actor: pro, prompt: \"{{ item.motion \
                }}?\" }\n",
        why: "Templates see `params`, `item`, `repeat`, `actors.<name>.model`, `steps.<step>.<field>`, `run.name` and \
              `run.seed`, and nothing else: no files, no environment, no clock. An unknown name would be an empty \
              place in a prompt.",
    },
    Page {
        code: code::UNKNOWN_STEP,
        means: "A template or `after` names a step that the file does not have.",
        wrong: "steps:\n  debate:\n    dialogue: { actors: [pro, con], opening: Tea?, stop: { rounds: 2 } }\n  \
                sum:\n    chat: { actor: referee, prompt: \"Sum up: {{ steps.debat.transcript }}\" }\n",
        right: "steps:\n  debate:\n    dialogue: { actors: [pro, con], opening: Tea?, stop: { rounds: 2 } }\n  \
                sum:\n    chat: { actor: referee, prompt: \"Sum up: {{ steps.debate.transcript }}\" }\n",
        why: "The order of steps follows from what they read, so every name must be one of the file's.",
    },
    Page {
        code: code::UNKNOWN_FIELD,
        means: "A template reads a field that this kind of step does not have.",
        wrong: "steps:\n  debate:\n    dialogue: { actors: [pro, con], opening: Tea?, stop: { rounds: 2 } }\n  \
                sum:\n    chat: { actor: referee, prompt: \"Sum up: {{ steps.debate.text }}\" }\n",
        right: "steps:\n  debate:\n    dialogue: { actors: [pro, con], opening: Tea?, stop: { rounds: 2 } }\n  \
                sum:\n    chat: { actor: referee, prompt: \"Sum up: {{ steps.debate.transcript }}\" }\n",
        why: "Each kind of step gives its own fields: a chat `text` and `json`, a dialogue `transcript`, `turns`, \
              `last` and `stopped_by`, a judge `choice`, `votes` and `flipped`; each gives `status`.",
    },
    Page {
        code: code::UNKNOWN_PARAM,
        means: "A param is read that the file does not declare.",
        wrong: "params: { motion: { default: Tea } }\nsteps:\n  ask:\n    chat: { actor: pro, prompt: \"{{ \
                params.motoin }}?\" }\n",
        right: "params: { motion: { default: Tea } }\nsteps:\n  ask:\n    chat: { actor: pro, prompt: \"{{ \
                params.motion }}?\" }\n",
        why: "Params are declared in one place, where a reader sees all that can be changed from outside.",
    },
    Page {
        code: code::UNKNOWN_NAME,
        means: "An actor, a model or a backend is named that does not exist, or that does not take part here.",
        wrong: "steps:\n  ask:\n    chat: { actor: por, prompt: Tea or coffee? }\n",
        right: "steps:\n  ask:\n    chat: { actor: pro, prompt: Tea or coffee? }\n",
        why: "Names are resolved when the plan is made. No model is ever put in for another one.",
    },
    Page {
        code: code::WRONG_PLACE,
        means: "Something that templates can read, but not in this place: `steps` in a system prompt, `turn` outside \
                of one.",
        wrong: "actors:\n  pro: {}\n  con: {}\n  referee: { system: \"The debate: {{ steps.debate.transcript }}\" }\n",
        right: "actors:\n  pro: {}\n  con: {}\n  referee: { system: Judge the arguments alone. }\nsteps:\n  \
                debate:\n    dialogue: { actors: [pro, con], opening: Tea?, stop: { rounds: 2 } }\n  sum:\n    \
                chat: { actor: referee, prompt: \"The debate: {{ steps.debate.transcript }}\" }\n",
        why: "An actor may speak in several steps, and its system prompt is the same in all of them. What a step has \
              to tell goes into `opening`, `prompt` or `question`. `turn` counts while an actor speaks.",
    },
    Page {
        code: code::DOES_NOT_RENDER,
        means: "A template was tried with the items in the file and failed, or took too much time or memory.",
        wrong: "items: { values: [{ motion: Tea }, { topic: Coffee }] }\nsteps:\n  ask:\n    chat: { actor: pro, \
                prompt: \"{{ item.motion }}?\" }\n",
        right: "items: { values: [{ motion: Tea }, { topic: Coffee }] }\nsteps:\n  ask:\n    chat: { actor: pro, \
                prompt: \"{{ item.motion or item.topic }}?\" }\n",
        why: "Printing what is not there is an error, not an empty text: a prompt with a hole still gets an answer, and \
              nobody notices. `{{ item.x or \"…\" }}` gives a default, `{% if item.x %}` asks first.",
    },
];
