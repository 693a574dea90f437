"""A TCP proxy between clients and a broker, for tests: it cuts connections, and holds back the broker's answers."""

import asyncio

CHUNK = 65_536


class Proxy:
    """Listens on loopback at *port* and forwards to *target*, also on loopback."""

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def start(self) -> None:
        """Listen. Starting twice is starting once."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Cut everything, and stop listening."""
        server, self._server = self._server, None
        self._flowing.set()
        if server is not None:
            server.close()
            await self.cut()
            await server.wait_closed()

    def hold(self) -> None:
        """Keep the broker's answers from now on; requests still reach it."""
        self._flowing.clear()

    def release(self) -> None:
        """Let the answers through, those held first."""
        self._flowing.set()

    async def cut(self) -> None:
        """Break every connection, on both sides."""
        writers, self._writers = self._writers, set()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            from_broker, to_broker = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            to_client.transport.abort()
            return
        self._writers |= {to_client, to_broker}
        pumps = [
            asyncio.create_task(self._pump(from_client, to_broker, held=False)),
            asyncio.create_task(self._pump(from_broker, to_client, held=True)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        await asyncio.wait(pumps)
        for writer in (to_client, to_broker):
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, held: bool) -> None:
        try:
            while data := await reader.read(CHUNK):
                if held:
                    await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            return
