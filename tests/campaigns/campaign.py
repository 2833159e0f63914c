"""What a campaign is: cases by number, run on a few threads within a time, counted, and never too few."""

import concurrent.futures
import dataclasses
import os
import time
import traceback


class Impossible(Exception):
    """This machine does not let a campaign do what it needs; says what was refused."""


@dataclasses.dataclass
class Outcome:
    """What one case came to."""

    violations: list = dataclasses.field(default_factory=list)
    # Kills (or faults, or starts) that really hit; a case that came too late counts nothing.
    hits: int = 0
    repeats: int = 0
    # Figures that the table shows: the greatest of each.
    figures: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Campaign:
    """A name, how its cases are made, and how many there are."""

    name: str
    about: str
    # case(world, number) -> Outcome
    case: callable
    # Cases of the CI and of the release column; none: `cases(world)` tells how many there are.
    ci: int | None
    release: int | None
    # Least number of hits per case, else the campaign proves nothing.
    least_hits: float = 0.5
    # May its cases run side by side?
    parallel: bool = True
    # Called once before the first case; returns the numbers of all cases.
    prepare: callable = None
    # Is it left out of the CI column, unless it is named?
    on_demand: bool = False


@dataclasses.dataclass
class Result:
    """What a campaign came to."""

    campaign: Campaign
    planned: int
    # Cases without which nothing is proven: a slow machine cannot hide an empty campaign.
    floor: int = 1
    cases: int = 0
    hits: int = 0
    repeats: int = 0
    failures: list = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    figures: dict = dataclasses.field(default_factory=dict)
    # What this machine refused: then nothing was proven.
    refused: str | None = None

    def problems(self):
        if self.refused is not None:
            return [self.refused]
        found = [f"case {number}: {violation}" for number, violations in self.failures for violation in violations]
        if self.cases < self.floor:
            found.append(f"only {self.cases} cases were run in the time given, the floor is {self.floor}")
        if self.hits < self.cases * self.campaign.least_hits:
            found.append(f"only {self.hits} hits in {self.cases} cases: too few to prove anything")
        return found


def execute(campaign, world, release, seconds=None, only_case=None):
    """Runs the cases of a campaign."""
    began = time.monotonic()
    count = campaign.release if release else campaign.ci
    try:
        numbers = campaign.prepare(world, count) if campaign.prepare else range(count)
    except Impossible as refusal:
        return Result(campaign, planned=count or 0, refused=str(refusal))
    numbers = list(numbers) if only_case is None else [only_case]
    # The release column in a given time proves at least what the CI column has to.
    wanted = len(numbers) if seconds is None else min(len(numbers), campaign.ci or len(numbers))
    result = Result(campaign, planned=len(numbers), floor=max(1, wanted // 4))

    def one(number):
        if seconds is not None and time.monotonic() - began > seconds:
            return None
        try:
            return campaign.case(world, number)
        except Exception:  # a case that breaks has failed, and the others go on
            return Outcome(violations=["broken-case: " + " | ".join(traceback.format_exc().splitlines()[-3:])])

    workers = (os.cpu_count() or 1) if campaign.parallel else 1
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for number, outcome in zip(numbers, pool.map(one, numbers)):
            if outcome is None:
                continue
            result.cases += 1
            result.hits += outcome.hits
            result.repeats += outcome.repeats
            for name, value in outcome.figures.items():
                result.figures[name] = max(value, result.figures.get(name, value))
            if outcome.violations:
                result.failures.append((number, outcome.violations))
    result.seconds = time.monotonic() - began
    return result
