//! P04xx: steps, judges, items and results that do not fit together.

use super::Page;
use crate::diag::code;

pub(super) const PAGES: &[Page] = &[
    Page {
        code: code::CYCLE,
        means: "Steps wait for each other in a circle, so none of them can be first.",
        wrong: "steps:\n  draft:\n    chat: { actor: pro, prompt: \"Mend: {{ steps.review.text }}\" }\n  review:\n    \
                chat: { actor: con, prompt: \"Review: {{ steps.draft.text }}\" }\n",
        right: "steps:\n  draft:\n    chat: { actor: pro, prompt: Write a poem. }\n  review:\n    chat: { actor: con, \
                prompt: \"Review: {{ steps.draft.text }}\" }\n",
        why: "A step that reads another one waits for it. Talk that goes to and fro is a `dialogue`: there the turns \
              alternate, and a stop ends them.",
    },
    Page {
        code: code::UNBOUNDED,
        means: "Nothing is sure to end a dialogue.",
        wrong: "steps:\n  debate:\n    dialogue: { actors: [pro, con], opening: Tea?, stop: { says: { pattern: I \
                concede } } }\n",
        right: "steps:\n  debate:\n    dialogue:\n      actors: [pro, con]\n      opening: Tea?\n      stop: { any: [{ \
                says: { pattern: I concede } }, { rounds: 10 }] }\n",
        why: "A model may never say the word, and each turn costs. `rounds` or `turns` bounds the dialogue whatever is \
              said; under `all` a bound alone ends nothing.",
    },
    Page {
        code: code::PATTERN,
        means: "A pattern is no regular expression, or one that is too large.",
        wrong: "steps:\n  debate:\n    dialogue:\n      actors: [pro, con]\n      opening: Tea?\n      stop: { any: [{ \
                rounds: 3 }, { says: { pattern: \"(I concede\" } }] }\n",
        right: "steps:\n  debate:\n    dialogue:\n      actors: [pro, con]\n      opening: Tea?\n      stop: { any: [{ \
                rounds: 3 }, { says: { pattern: \"(?i)i concede\" } }] }\n",
        why: "Patterns are searched in time that grows with the text alone, so there are no look-arounds and no \
              back-references. `(?i)` at the start ignores capitals.",
    },
    Page {
        code: code::CHOICES,
        means: "Two options of a judge differ only in capitals or blanks.",
        wrong: "steps:\n  verdict:\n    judge: { actor: referee, question: Is tea good?, choose: [yes, no, Yes] }\n",
        right: "steps:\n  verdict:\n    judge: { actor: referee, question: Is tea good?, choose: [yes, no] }\n",
        why: "Models write `Yes` and `yes` as they like. Answers are read without regard to capitals, so the two would \
              be one.",
    },
    Page {
        code: code::BLIND,
        means: "`blind` does not name two speakers of a dialogue that the question reads, both among the options.",
        wrong: "steps:\n  debate:\n    dialogue: { actors: [pro, con], opening: Tea?, stop: { rounds: 2 } }\n  \
                verdict:\n    judge:\n      actor: referee\n      question: \"Who won? {{ steps.debate.transcript }}\"\n      \
                choose: [pro, con, tie]\n      blind: [pro, tie]\n",
        right: "steps:\n  debate:\n    dialogue: { actors: [pro, con], opening: Tea?, stop: { rounds: 2 } }\n  \
                verdict:\n    judge:\n      actor: referee\n      question: \"Who won? {{ steps.debate.transcript }}\"\n      \
                choose: [pro, con, tie]\n      blind: [pro, con]\n",
        why: "A blind judge sees the two speakers as A and B, then once more exchanged, and the answers are mapped \
              back. That needs names which stand in the text and among the options.",
    },
    Page {
        code: code::ITEMS,
        means: "A row has no id where `items.id` names a column for it, two rows have the same one, or nothing tells \
                how rows stand in a file.",
        wrong: "items:\n  id: n\n  values: [{ n: 1, drink: tea }, { n: 1, drink: rum }]\n",
        right: "items:\n  id: n\n  values: [{ n: 1, drink: tea }, { n: 2, drink: rum }]\n",
        why: "By its id a row is found again when a run goes on. Without `id` rows are known by their content.",
    },
    Page {
        code: code::COLUMN,
        means: "A column of the results shows something that does not exist.",
        wrong: "results: { path: out.jsonl, columns: { winner: steps.verdict.choise } }\n",
        right: "results: { path: out.jsonl, columns: { winner: steps.verdict.choice } }\n",
        why: "An empty column is found when the run is over and paid for. Sources are `id`, `item.<column>`, \
              `repeat`, `steps.<step>.<field>`, `status` and `error`.",
    },
    Page {
        code: code::HISTORY,
        means: "A chat is to continue the talk of a step that has none, or one for each element.",
        wrong: "steps:\n  verdict:\n    judge: { actor: referee, question: Is tea good?, choose: [yes, no] }\n  ask:\n    \
                chat: { actor: pro, prompt: Why?, history: verdict }\n",
        right: "steps:\n  opinion:\n    chat: { actor: pro, prompt: Is tea good? }\n  ask:\n    chat: { actor: pro, \
                prompt: Why?, history: opinion }\n",
        why: "What a chat continues is sent before its prompt: prompts as the user's words, answers as the model's own. \
              A judge's verdict or a value is no such talk; a prompt can read it, as it can the lists of `for_each`.",
    },
    Page {
        code: code::JUDGE_SAYS,
        means: "A dialogue waits for an answer that its judge cannot give: `on` is no option, or the question does not show \
                what was said.",
        wrong: "steps:\n  debate:\n    dialogue:\n      actors: [pro, con]\n      opening: Tea?\n      stop: { any: [{ \
                rounds: 5 }, { judge_says: { actor: referee, question: Is all said?, choose: [over, open], on: yes } }] }\n",
        right: "steps:\n  debate:\n    dialogue:\n      actors: [pro, con]\n      opening: Tea?\n      stop: { any: [{ \
                rounds: 5 }, { judge_says: { actor: referee, question: \"Is all said? {{ transcript }}\", choose: [over, \
                open], on: over } }] }\n",
        why: "After each round the actor is asked the question, and the dialogue ends when the answer is `on`. The question \
              sees the talk up to then as `transcript`, `turns` and `last`; without them the answer is a guess.",
    },
    Page {
        code: code::MIXED_STOP,
        means: "Under one `all` of the run's stop stand conditions that cannot be tested together; or the run and its repeats \
                would both end by what is seen.",
        wrong: "stop: { all: [{ items: { n: 100 } }, { budget: { tokens: 1M } }] }\n",
        right: "stop: { any: [{ items: { n: 100 } }, { budget: { tokens: 1M } }] }\n",
        why: "`items` counts along the order of the input, so that it stops at the same item whatever the timing. \
              `budget` and `errors` act at once, wherever the run is. The two meet under `any` alone. With \
              `expr` or `decided` in the run's stop every item is run once before any is repeated, so the repeats of \
              one item cannot end by themselves.",
    },
    Page {
        code: code::SENSELESS_STOP,
        means: "A condition of the run's stop holds before anything has been asked, or nothing that may happen makes it \
                hold.",
        wrong: "stop: { any: [{ budget: { tokens: 1M } }, { not: { errors: { count: 3 } } }] }\n",
        right: "stop: { all: [{ budget: { tokens: 1M } }, { not: { errors: { count: 3 } } }] }\n",
        why: "At its start a run has spent nothing and nothing has failed, so that `not` of a budget or of errors holds \
              at once. It makes sense beside something that must hold, under `all`: so much is spent while fewer \
              than three cases have failed.",
    },
    Page {
        code: code::NO_PRICE,
        means: "The run may spend so much money, and nobody says what a model costs that it asks.",
        wrong: "models: { small: { model: llama3.2 } }\nactors: { pro: { model: small }, con: { model: small }, referee: { \
                model: small } }\nstop: { budget: { cost: 2.50 USD } }\n",
        right: "models: { small: { model: llama3.2, price: { input: 0.15 USD/M, output: 0.60 USD/M } } }\nactors: { pro: { \
                model: small }, con: { model: small }, referee: { model: small } }\nstop: { budget: { cost: 2.50 USD } \
                }\n",
        why: "Cost is counted from the tokens that servers tell and from `price` in the entries of `models`. A model \
              without a price would be spent on without end. What runs inside of pipe is free.",
    },
    Page {
        code: code::MIXED_CELLS,
        means: "`decided` would count what all cells of a matrix say as if they were one.",
        wrong: "matrix: { tone: [mild, sharp] }\nsteps:\n  ask: { chat: { actor: pro, prompt: \"Be {{ matrix.tone }}\" } \
                }\nstop: { decided: { of: steps.ask.json } }\n",
        right: "matrix: { tone: [mild, sharp] }\nsteps:\n  ask: { chat: { actor: pro, prompt: \"Be {{ matrix.tone }}\" } \
                }\nstop: { decided: { of: \"steps.ask.json if matrix.tone == 'mild'\" } }\n",
        why: "Cells are there to be compared: what most of them say together answers no question. In the cells that \
              the expression leaves out it gives none, which is not counted.",
    },
    Page {
        code: code::MATRIX,
        means: "The combinations of a matrix cannot be made, or it sets something that holds for the whole run.",
        wrong: "actors: { pro: {} }\nmatrix: { often: { set: repeat, to: [1, 2] } }\nsteps:\n  ask:\n    chat: { actor: \
                pro, prompt: Tea? }\n",
        right: "actors: { pro: {} }\nmatrix: { heat: { set: actors.pro.temperature, to: [0, 1] } }\nsteps:\n  ask:\n    \
                chat: { actor: pro, prompt: Tea? }\n",
        why: "Each cell asks the same steps about the same items, in other words or of other models, so that cells can \
              be compared: a matrix sets keys under `models`, `actors` and `steps`. `exclude` takes combinations out, \
              `include` adds values to those that it fits, or a combination of its own.",
    },
];
