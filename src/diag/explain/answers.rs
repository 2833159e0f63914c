//! Pages about the form of answers and what votes come to.

use super::page::Page;
use crate::diag::code;

pub(super) const PAGES: &[Page] = &[
    Page {
        code: code::SCALE,
        means: "A judge scores on a scale that is none, or names scores that its scale does not have.",
        wrong: "steps:\n  grade:\n    judge: { actor: referee, question: How good is tea?, score: { min: 5, max: 1 } }\n",
        right: "steps:\n  grade:\n    judge: { actor: referee, question: How good is tea?, score: { min: 1, max: 5 } }\n",
        why: "Scores go from `min` to `max` in equal steps (1 when nothing is said). A number beside the scale is no \
              score: it is counted as unscored, never bent to the nearest one.",
    },
    Page {
        code: code::VOTING,
        means: "Votes are to be counted in a way that their answers do not have, or an order is to be reversed where \
                there is none.",
        wrong: "steps:\n  verdict:\n    judge:\n      { actor: referee, question: Is tea good?, choose: [good, bad], \
                votes: 3, vote: mean }\n",
        right: "steps:\n  verdict:\n    judge:\n      { actor: referee, question: Is tea good?, choose: [good, bad], \
                votes: 3, vote: majority }\n",
        why: "Only scores and rankings have a mean. `swap` needs an order to reverse: of options, or of texts that are \
              compared. Values of `schema` are for later steps to read and are no votes.",
    },
    Page {
        code: code::ANSWER_SCHEMA,
        means: "The schema of an answer is no JSON Schema, is too large, or points to another document.",
        wrong: "steps:\n  facts:\n    chat: { actor: pro, prompt: Name a city. }\n    \
                schema: { type: object, properties: { city: { type: text } } }\n",
        right: "steps:\n  facts:\n    chat: { actor: pro, prompt: Name a city. }\n    \
                schema: { type: object, properties: { city: { type: string } } }\n",
        why: "The schema goes to the model with each question and every answer is checked against it. It must stand by \
              itself: nothing is fetched, so `$ref` may only point into the schema.",
    },
];
