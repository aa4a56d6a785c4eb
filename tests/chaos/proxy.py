"""TCP between the nodes, with faults: a program of its own, so that the clients do not slow it.

    proxy.py        reads one JSON object a line from stdin, answers each with one line

The first line is {"routes": [[listen host, port, target host, port, name], ...], "sources":
{address: name}}. Then {"do": ..., "to": name or null, "from": name or null}: the connections with
those ends, null for any (and "from" is known only where each node has an address of its own).
  delay  "ms": what passes arrives that much later, in order
  stall  nothing passes, and nothing is closed
  cut    the next "bytes" pass, then the connection is reset: in the middle of a frame
  reset  all are reset now
  pass   ends delay, stall and cut
Bytes under way are bounded: a side that is not read from is not read for.
"""

import asyncio
import contextlib
import json
import socket
import struct
import subprocess
import sys

CHUNK = 64 << 10
UNDER_WAY_MAX = 64  # chunks in one direction
POLL_S = 0.01
UNKNOWN = "?"  # the source, where addresses do not tell it


class Fault:
    """What happens to the connections of one pair of ends now."""

    def __init__(self):
        self.delay_s = 0.0
        self.stalled = False
        self.cut_after = None

    def clear(self):
        self.__init__()


class Link:
    """One connection that a node made, and its continuation."""

    def __init__(self, proxy, source, target, near, far):
        self.source, self.target = source, target
        self.fault = proxy.faults[source, target]
        self.near, self.far = near, far

    async def run(self):
        tasks = [asyncio.ensure_future(self.carry(self.near[0], self.far[1])),
                 asyncio.ensure_future(self.carry(self.far[0], self.near[1]))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for writer in (self.near[1], self.far[1]):
                writer.close()

    async def carry(self, reader, writer):
        under_way = asyncio.Queue(UNDER_WAY_MAX)
        deliver = asyncio.ensure_future(self.deliver(under_way, writer))
        loop = asyncio.get_running_loop()
        try:
            while data := await reader.read(CHUNK):
                await under_way.put((loop.time(), data))
            await under_way.put((loop.time(), b""))
            await deliver
        except OSError:
            pass
        finally:
            deliver.cancel()

    async def deliver(self, under_way, writer):
        loop = asyncio.get_running_loop()
        while True:
            came, data = await under_way.get()
            while True:  # the fault may change meanwhile
                wait_s = came + self.fault.delay_s - loop.time()
                if self.fault.stalled:
                    wait_s = POLL_S
                if wait_s <= 0:
                    break
                await asyncio.sleep(min(wait_s, POLL_S))
            if self.fault.cut_after is not None:
                self.fault.cut_after -= len(data)
                if self.fault.cut_after < 0:
                    writer.write(data[:max(0, len(data) + self.fault.cut_after)])
                    self.fault.cut_after = None
                    with contextlib.suppress(OSError):
                        await writer.drain()
                    self.reset()
                    return
            if not data:
                return
            writer.write(data)
            try:
                await writer.drain()
            except OSError:
                return

    def reset(self):
        for writer in (self.near[1], self.far[1]):
            raw = writer.get_extra_info("socket")
            if raw is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Proxy:
    def __init__(self, sources, targets):
        self.sources = sources
        self.faults = {(source, target): Fault() for source in [*sources.values(), UNKNOWN]
                       for target in targets}
        self.links = set()

    def chosen(self, command, ends):
        source, target = ends
        return command.get("from") in (None, source) and command.get("to") in (None, target)

    async def accept(self, target, address, reader, writer):
        source = self.sources.get(writer.get_extra_info("peername")[0], UNKNOWN)
        try:
            far = await asyncio.open_connection(*address)
        except OSError:
            writer.transport.abort()  # as the node itself would refuse
            return
        link = Link(self, source, target, (reader, writer), far)
        self.links.add(link)
        try:
            await link.run()
        finally:
            self.links.discard(link)

    def obey(self, command):
        """How many open connections it concerns."""
        links = [link for link in self.links if self.chosen(command, (link.source, link.target))]
        if command["do"] == "reset":
            for link in links:
                link.reset()
            return len(links)
        for fault in [f for ends, f in self.faults.items() if self.chosen(command, ends)]:
            if command["do"] == "pass":
                fault.clear()
            elif command["do"] == "delay":
                fault.delay_s = command["ms"] / 1000
            elif command["do"] == "stall":
                fault.stalled = True
            elif command["do"] == "cut":
                fault.cut_after = command["bytes"]
            else:
                raise ValueError(f"no such command: {command}")
        return len(links)


async def serve():
    loop = asyncio.get_running_loop()
    stdin = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    setup = json.loads(await stdin.readline())
    proxy = Proxy(setup["sources"], [route[-1] for route in setup["routes"]])
    for host, port, target_host, target_port, name in setup["routes"]:
        async def accept(reader, writer, name=name, address=(target_host, target_port)):
            await proxy.accept(name, address, reader, writer)
        await asyncio.start_server(accept, host, port)
    print("ready", flush=True)
    while line := await stdin.readline():
        print(proxy.obey(json.loads(line)), flush=True)


class Proxies:
    """The program from the side of the test."""

    def __init__(self, network, log_path):
        with open(log_path, "ab") as log:
            self.process = subprocess.Popen([sys.executable, "-B", __file__], text=True, stderr=log,
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        routes = [[*network.announced[name], *network.raft[name], name] for name in network.names]
        answer = self.say({"routes": routes, "sources": network.sources})
        assert answer == "ready", f"the proxy does not start: {answer!r}"

    def say(self, command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def do(self, what, source=None, target=None, **more):
        answer = self.say({"do": what, "from": source, "to": target, **more})
        assert answer.isdigit(), f"the proxy ended: {self.process.poll()}"
        return int(answer)

    def stop(self):
        self.process.kill()
        self.process.wait()


if __name__ == "__main__":
    asyncio.run(serve())
