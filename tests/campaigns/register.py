"""The list of campaigns."""

import ast

import kills
from campaign import Campaign

CAMPAIGNS = [
    Campaign("C1", "SIGKILL at the k-th system call that writes", kills.kill_at_call, 60, None,
             least_hits=0.9, prepare=kills.each_call),
    Campaign("C2", "SIGKILL at a random time", kills.kill_at_random, 100, 10_000),
    Campaign("C10", "SIGTERM and SIGINT at a random time", kills.leave_in_order, 60, 600, least_hits=0.4),
]
# All that were designed, those that other programs run included.
KNOWN = {campaign.name: campaign.about for campaign in CAMPAIGNS}


def case(text):
    """Reads the name of a case as a failure prints it."""
    return ast.literal_eval(text)
