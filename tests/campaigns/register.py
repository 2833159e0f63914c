"""The list of campaigns."""

import ast

import clock
import damage
import disk
import economics
import gitops
import holders
import kills
import memory
import power
import repair
import storms
from campaign import Campaign

CAMPAIGNS = [
    Campaign("C1", "SIGKILL at the k-th system call that writes", kills.kill_at_call, 60, None,
             least_hits=0.7, prepare=kills.each_call),
    Campaign("C2", "SIGKILL at a random time", kills.kill_at_random, 100, 10_000),
    Campaign("C3", "the power goes: ext4 and xfs cut off their disks (root)", power.power_cut, 20, 800,
             prepare=power.mounts, on_demand=True),
    Campaign("C4", "the power goes: unsynced blocks lost, out of order, torn", power.lost_writes, 120, 20_000),
    Campaign("C5", "a damaged tail of the write-ahead log", damage.damaged_tail, 100, 10_000,
             prepare=damage.tail_cases),
    Campaign("C6", "bit flips, files swapped, missing, of another run", damage.damaged_middle, 250, 20_000),
    Campaign("C6r", "a damaged middle, `pipe journal repair`, resume", repair.repaired, 50, 5_000, least_hits=0.4),
    Campaign("C7", "a full disk: small file systems, ENOSPC from the k-th write on", disk.full, 40, 1_000,
             prepare=disk.full_cases),
    Campaign("C8", "EIO at the k-th write or sync; slow syncs", disk.failing, 40, None, prepare=disk.failing_cases),
    Campaign("C9", "several processes want one run; the holder stopped, killed", holders.several, 50, 500),
    Campaign("C10", "SIGTERM and SIGINT at a random time", kills.leave_in_order, 60, 600, least_hits=0.4),
    Campaign("C11", "a wall clock that jumps by hours, days, years, or runs ten times as fast", clock.jump, 12, 120),
    Campaign("C12", "memory that ends, at items of 64 KiB to 1 MiB", memory.capped, 10, 100, least_hits=0.3),
    Campaign("C13", "every fault of a backend, mixed, with kills", storms.storm, 20, 1_000),
    Campaign("C14", "resume of a run that is 99.9 % done", economics.nearly_done, 1_500, 170_000,
             parallel=False, prepare=economics.sizes),
    Campaign("C18", "a branch followed: forced, broken, cut off, away, damaged mirrors, kills, two followers",
             gitops.followed, 20, 200),
]
# All that were designed, those that other programs run included.
KNOWN = {campaign.name: campaign.about for campaign in CAMPAIGNS}


def case(text):
    """Reads the name of a case as a failure prints it."""
    return ast.literal_eval(text)
