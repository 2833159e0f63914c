//! P02xx: environment, params, files, the command line.

use super::Page;
use crate::diag::code;

pub(super) const PAGES: &[Page] = &[
    Page {
        code: code::ENVIRONMENT_UNSET,
        means: "The file reads an environment variable that is not set, and gives no default.",
        wrong: "backends: { local: { base_url: \"http://${GPU_HOST}:8000/v1\" } }\n",
        right: "backends: { local: { base_url: \"http://${GPU_HOST:-127.0.0.1}:8000/v1\" } }\n",
        why: "An empty text in its place would be a wrong address or a wrong key, found one call later.",
    },
    Page {
        code: code::ENVIRONMENT_SYNTAX,
        means: "`${` starts something that is not `${NAME}` or `${NAME:-default}`, or one value has both `${…}` and \
                `{{ … }}`.",
        wrong: "backends: { local: { base_url: \"http://${GPU-HOST}:8000/v1\" } }\n",
        right: "backends: { local: { base_url: \"http://${GPU_HOST:-127.0.0.1}:8000/v1\" } }\n",
        why: "There are two languages, never mixed: `${…}` is the environment, put in when the file is loaded; \
              `{{ … }}` is data, put in for each call. `$${` stands for `${` itself.",
    },
    Page {
        code: code::LITERAL_SECRET,
        means: "A key for a server stands in the file, as `api_key` or in a header.",
        wrong: "backends: { cloud: { base_url: \"https://api.example/v1\", api_key: sk-123456 } }\n",
        right: "backends: { cloud: { base_url: \"https://api.example/v1\", api_key: \"${CLOUD_API_KEY:-}\" } }\n",
        why: "Pipelines are shared and kept in repositories, where others read them. From the environment a secret \
              reaches the server and nothing else: no journal, no log, no report.",
    },
    Page {
        code: code::NOT_ONE_REFERENCE,
        means: "A setting is neither a literal nor one whole `{{ … }}` that reads only params.",
        wrong: "items: { values: [{ times: 3 }] }\nrepeat: \"{{ item.times }}\"\n",
        right: "params: { times: { default: 3 } }\nrepeat: \"{{ params.times }}\"\n",
        why: "Settings are fixed when the plan is made, before there is an item or an answer, so that limits and costs \
              are known in advance. What differs from item to item belongs into `system`, `prompt`, `opening` or \
              `question`.",
    },
    Page {
        code: code::PARAM,
        means: "A param has no value, one of the wrong type or out of its range; or the command line sets one that the \
                file does not have.",
        wrong: "params:\n  rounds: { type: integer, default: many }\n",
        right: "params:\n  rounds: { type: integer, default: 3, minimum: 1 }\n",
        why: "Params are what others change when they run your file. Type and range tell them at once what fits.",
    },
    Page {
        code: code::SET,
        means: "`--set` names a place that the file cannot have.",
        wrong: "pipe check debate.yaml --set actors..temperature=0.2",
        right: "pipe check debate.yaml --set actors.pro.temperature=0.2",
        why: "A replaced value is checked as if it stood in the file: a path is keys with dots between them, and \
              numbers (from 0) in lists.",
    },
    Page {
        code: code::FILE,
        means: "A file that the pipeline names cannot be read, or lies outside of the project.",
        wrong: "items: { path: ../../elsewhere/motions.jsonl }\n",
        right: "items: { path: motions.jsonl }\n",
        why: "A pipeline from elsewhere should not be able to send your files to a server or to overwrite them. Paths \
              are relative to the pipeline's file and stay below the project's root: the nearest folder above with \
              `.pipe/`, `pipe.yaml` or `.git`. Links do not lead out either. `--allow-outside` lifts the limit for \
              one command.",
    },
    Page {
        code: code::INCLUDE,
        means: "A file includes itself, alone or by way of others; or files are included too deep, or too many.",
        wrong: "include: [example.yaml]   # which is this file\n",
        right: "include: [parts/patient.yaml]   # which includes nothing\n",
        why: "What a file says would depend on itself. What two files need stands in a third that includes neither. At \
              most 100 files come in, and at most 8 in each other.",
    },
];
