"""BLAKE3 by its specification, for checking pipe's sums with nothing of pipe's. Slow: some 100 kB/s.

Source: "BLAKE3: one function, fast everywhere" (O'Connor, Aumasson, Neves, Wilcox-O'Hearn), sections 2.1-2.6.
"""

import struct

INITIAL = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
# Where a word of the block goes from one round to the next.
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
COLUMNS_AND_DIAGONALS = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)
ROUNDS = 7
BLOCK, CHUNK = 64, 1024
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
MASK = 0xFFFFFFFF


def compress(chaining, block, counter, length, flags):
    """Returns the sixteen words that the compression function makes of a block of sixteen words."""
    state = [*chaining, *INITIAL[:4], counter & MASK, counter >> 32, length, flags]
    words = list(block)
    for _ in range(ROUNDS):
        for place, (a, b, c, d) in enumerate(COLUMNS_AND_DIAGONALS):
            for word, turn_d, turn_b in ((words[2 * place], 16, 12), (words[2 * place + 1], 8, 7)):
                state[a] = (state[a] + state[b] + word) & MASK
                mixed = state[d] ^ state[a]
                state[d] = (mixed >> turn_d | mixed << 32 - turn_d) & MASK
                state[c] = (state[c] + state[d]) & MASK
                mixed = state[b] ^ state[c]
                state[b] = (mixed >> turn_b | mixed << 32 - turn_b) & MASK
        words = [words[source] for source in PERMUTATION]
    return [state[place] ^ state[place + 8] for place in range(8)] + [
        state[place + 8] ^ chaining[place] for place in range(8)]


def chunk(data, counter, is_root):
    """Returns the chaining value of one chunk."""
    chaining = INITIAL
    starts = range(0, max(len(data), 1), BLOCK)
    for start in starts:
        part = data[start:start + BLOCK]
        flags = (CHUNK_START if start == 0 else 0) | (CHUNK_END | (ROOT if is_root else 0) if start == starts[-1] else 0)
        block = struct.unpack("<16I", part.ljust(BLOCK, b"\0"))
        chaining = compress(chaining, block, counter, len(part), flags)[:8]
    return chaining


def tree(data, counter, is_root):
    """Returns the chaining value of a subtree whose first chunk is number `counter`."""
    if len(data) <= CHUNK:
        return chunk(data, counter, is_root)
    chunks = (len(data) - 1) // CHUNK
    left = CHUNK * (1 << chunks.bit_length() - 1)
    below = tree(data[:left], counter, False) + tree(data[left:], counter + left // CHUNK, False)
    return compress(INITIAL, below, 0, BLOCK, PARENT | (ROOT if is_root else 0))[:8]


def blake3(data):
    """Returns the 32 bytes."""
    return struct.pack("<8I", *tree(data, 0, True))


def fields(*parts):
    """Hashes a sequence of fields as pipe does: each by its length (eight bytes, little endian) and its bytes."""
    return blake3(b"".join(struct.pack("<Q", len(part)) + part for part in parts))
