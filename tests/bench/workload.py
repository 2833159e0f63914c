"""What every contender does: for each item a chain of questions, each holding the answer before it."""

import json
from dataclasses import dataclass
from pathlib import Path

LONGEST_CHAIN = 3

# The prompts are those of peers/reqwest.rs, to the letter.
HEAD = """\
version: 1
name: commit-path
description: Calls in a row for every item, each reading the answer before it.
backends:
  server:
    base_url: {base_url}
actors:
  writer: {{ model: {model}, max_tokens: 64 }}
items:
  path: {items}
  id: id
limits:
  concurrency: {in_flight}
steps:
"""
STEP = """\
  {name}:
    chat:
      actor: writer
      prompt: |-
        {prompt}
        {{{{ {reads} }}}}
"""
STEPS = [
    ("one", "Summarise this note in one sentence.", "item.text"),
    ("two", "Name the weakest point of this summary.", "steps.one.text"),
    ("three", "Rewrite the summary so that this no longer holds.", "steps.two.text"),
]


@dataclass
class Workload:
    """The items, the pipeline over them, and where the server is."""

    cases: int
    chain: int
    in_flight: int
    base_url: str
    items: Path
    pipeline: Path

    @property
    def calls(self) -> int:
        return self.cases * self.chain

    def least_bytes(self, answer: str) -> int:
        """Returns what must be sent at least: each note once, each answer but a chain's last in the next question."""
        notes = sum(len(note(number)) for number in range(self.cases))
        return notes + self.cases * (self.chain - 1) * len(answer)


def write(folder: Path, name: str, cases: int, chain: int, in_flight: int, base_url: str, model: str) -> Workload:
    """Writes the items and the pipeline; no two items are equal."""
    workload = Workload(cases, chain, in_flight, base_url, folder / f"{name}.jsonl", folder / f"{name}.yaml")
    with workload.items.open("w") as items:
        for number in range(cases):
            items.write(json.dumps({"id": f"note-{number:07}", "text": note(number)}) + "\n")
    head = HEAD.format(base_url=base_url, model=model, in_flight=in_flight, items=workload.items.name)
    steps = [STEP.format(name=name, prompt=prompt, reads=reads) for name, prompt, reads in STEPS[:chain]]
    workload.pipeline.write_text(head + "".join(steps))
    return workload


def note(number: int) -> str:
    return (
        f"Order {number} came on day {number % 365} of the year, {number % 97} hours late. The parcel was dry but one "
        f"corner was open; the customer counted {number % 13 + 2} parts, missed {number % 5 + 1}, and wants to know "
        "who answers for it before the next one is sent."
    )
