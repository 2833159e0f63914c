"""The same calls as people write them in Python: aiohttp, a semaphore, answers kept in a list.

`aiohttp_script.py BASE_URL ITEMS IN_FLIGHT CHAIN` walks a chain of CHAIN calls for each line of ITEMS, IN_FLIGHT chains
at a time. Nothing is on disk before the end, and nothing is retried. Any failure ends it with exit code 1.
"""

import asyncio
import json
import sys

import aiohttp

PROMPTS = [
    "Summarise this note in one sentence.\n",
    "Name the weakest point of this summary.\n",
    "Rewrite the summary so that this no longer holds.\n",
]


async def ask(session: aiohttp.ClientSession, url: str, prompt: str) -> str:
    body = {"messages": [{"role": "user", "content": prompt}], "model": "bench", "max_tokens": 64, "seed": 7}
    async with session.post(url, json=body, raise_for_status=True) as response:
        answer = await response.json()
    return answer["choices"][0]["message"]["content"]


async def main(base_url: str, items: str, in_flight: str, chain: str):
    limit = asyncio.Semaphore(int(in_flight))
    connector = aiohttp.TCPConnector(limit=int(in_flight))
    async with aiohttp.ClientSession(connector=connector) as session:

        async def walk(text: str) -> list:
            answers = []
            async with limit:
                for prompt in PROMPTS[: int(chain)]:
                    text = await ask(session, f"{base_url}/chat/completions", prompt + text)
                    answers.append(text)
            return answers

        with open(items) as lines:
            walks = [walk(json.loads(line)["text"]) for line in lines]
        await asyncio.gather(*walks)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
