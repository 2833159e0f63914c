"""Everything that arrives at oteltap, a receiver that shares no code with ours: `Tap().url` is where to send."""

import asyncio
import socket
import threading
import time

from oteltap import OtelTapHttpProtobufReceiver, OtelTapHttpProtobufReceiverSettings


class Tap:
    """Spans, log records and metrics in the order in which they came."""

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.spans, self.logs, self.metrics = [], [], []
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.call(self.start())

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    async def start(self):
        settings = OtelTapHttpProtobufReceiverSettings(http_port=self.port)
        self.receiver = OtelTapHttpProtobufReceiver(settings)
        streams = [
            (self.receiver.stream_traces(), self.spans),
            (self.receiver.stream_logs(), self.logs),
            (self.receiver.stream_metrics(), self.metrics),
        ]
        self.tasks = [asyncio.ensure_future(self.keep(stream, where)) for stream, where in streams]
        # Each stream listens from its first turn on.
        await asyncio.sleep(0)
        await self.receiver.start()

    @staticmethod
    async def keep(stream, where):
        async for message in stream:
            where.append(message)

    def wait(self, where, count, seconds=60):
        """Waits until so many are there; it decodes one after the other, so the last come after the sender is done."""
        until = time.monotonic() + seconds
        while len(where) < count and time.monotonic() < until:
            time.sleep(0.05)
        return len(where)

    def close(self):
        self.call(self.receiver.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
