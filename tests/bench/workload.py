"""What every contender does: for each item a chain of three questions, each holding the answer before it."""

import json
from dataclasses import dataclass
from pathlib import Path

CALLS_PER_CASE = 3

# The prompts are those of peers/reqwest.rs, to the letter.
PIPELINE = """\
version: 1
name: commit-path
description: Three calls in a row for every item.
backends:
  server:
    base_url: {base_url}
actors:
  writer: {{ model: {model}, max_tokens: 64 }}
items:
  path: items.jsonl
  id: id
steps:
  one:
    chat:
      actor: writer
      prompt: |-
        Summarise this note in one sentence.
        {{{{ item.text }}}}
  two:
    chat:
      actor: writer
      prompt: |-
        Name the weakest point of this summary.
        {{{{ steps.one.text }}}}
  three:
    chat:
      actor: writer
      prompt: |-
        Rewrite the summary so that this no longer holds.
        {{{{ steps.two.text }}}}
limits:
  concurrency: {in_flight}
"""


@dataclass
class Workload:
    """The items, the pipeline over them, and where the server is."""

    cases: int
    in_flight: int
    base_url: str
    items: Path
    pipeline: Path

    @property
    def calls(self) -> int:
        return self.cases * CALLS_PER_CASE

    def least_bytes(self, answer: str) -> int:
        """Returns what must be sent at least: each note once, each answer but a chain's last in the next question."""
        notes = sum(len(note(number)) for number in range(self.cases))
        return notes + self.cases * (CALLS_PER_CASE - 1) * len(answer)


def write(folder: Path, cases: int, in_flight: int, base_url: str, model: str) -> Workload:
    """Writes the items and the pipeline; no two items are equal."""
    workload = Workload(cases, in_flight, base_url, folder / "items.jsonl", folder / "commit_path.yaml")
    with workload.items.open("w") as items:
        for number in range(cases):
            items.write(json.dumps({"id": f"note-{number:07}", "text": note(number)}) + "\n")
    workload.pipeline.write_text(PIPELINE.format(base_url=base_url, model=model, in_flight=in_flight))
    return workload


def note(number: int) -> str:
    return (
        f"Order {number} came on day {number % 365} of the year, {number % 97} hours late. The parcel was dry but one "
        f"corner was open; the customer counted {number % 13 + 2} parts, missed {number % 5 + 1}, and wants to know "
        "who answers for it before the next one is sent."
    )
