"""The same calls as a graph of LangGraph, kept by its SQLite checkpointer: the peer that can be resumed.

`langgraph_chain.py BASE_URL ITEMS IN_FLIGHT CHAIN DATABASE` walks a graph of CHAIN nodes in a row for each line of
ITEMS, one thread of the checkpointer each, IN_FLIGHT graphs at a time. Any failure ends it with exit code 1.
"""

import asyncio
import json
import sys
from typing import TypedDict

import aiohttp
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph

from aiohttp_script import PROMPTS, ask


class State(TypedDict):
    """What a node reads and writes."""

    text: str


def graph(chain: int, session: aiohttp.ClientSession, url: str) -> StateGraph:
    builder = StateGraph(State)

    def node(prompt: str):
        async def run(state: State) -> State:
            return {"text": await ask(session, url, prompt + state["text"])}

        return run

    names = [f"step{number}" for number in range(chain)]
    for name, prompt in zip(names, PROMPTS):
        builder.add_node(name, node(prompt))
    for before, after in zip([START, *names], [*names, END]):
        builder.add_edge(before, after)
    return builder


async def main(base_url: str, items: str, in_flight: str, chain: str, database: str):
    limit = asyncio.Semaphore(int(in_flight))
    connector = aiohttp.TCPConnector(limit=int(in_flight))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        AsyncSqliteSaver.from_conn_string(database) as saver,
    ):
        compiled = graph(int(chain), session, f"{base_url}/chat/completions").compile(checkpointer=saver)

        async def walk(item: dict):
            async with limit:
                await compiled.ainvoke({"text": item["text"]}, {"configurable": {"thread_id": item["id"]}})

        with open(items) as lines:
            await asyncio.gather(*[walk(json.loads(line)) for line in lines])


asyncio.run(main(*sys.argv[1:]))
