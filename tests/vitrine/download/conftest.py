"""A real HTTP server on the loopback that misbehaves in all the usual ways."""

import asyncio
import email.utils
import io
import struct
import threading
import time
import zlib
from collections import Counter
from contextlib import contextmanager

import pytest
from aiohttp import web
from PIL import Image


def jpeg(text):
    """A small JPEG, another one for every text."""
    buffer = io.BytesIO()
    seed = zlib.crc32(text.encode())
    Image.new("RGB", (9, 7), (seed & 255, seed >> 8 & 255, seed >> 16 & 255)).save(buffer, "JPEG", comment=text)
    return buffer.getvalue()


class Server:
    """Counts what it is asked for: `hits` by path, `most_at_once` over all."""

    def __init__(self):
        self.hits = Counter()
        self.most_at_once = 0
        self._at_once = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self):
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def stop(self):
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    async def _start(self):
        @web.middleware
        async def count(request, handler):
            with self._counting(request.path):
                return await handler(request)

        app = web.Application(middlewares=[count])
        app.add_routes(
            [
                web.get("/image/{name}", self.image),
                web.get("/slow/{name}", self.slow),
                web.get("/status/{code}", self.status),
                web.get("/once/{code}/{after}", self.once),
                web.get("/busy-until-date", self.busy_until_date),
                web.get("/reset", self.reset),
                web.get("/stall", self.stall),
                web.get("/silent", self.silent),
                web.get("/short", self.short),
                web.get("/page.jpg", self.page),
                web.get("/empty.jpg", self.empty),
                web.get("/big/{size}", self.big),
                web.get("/bomb.png", self.bomb),
                web.get("/moved", self.moved),
                web.get("/loop", self.loop),
                web.get("/to-file", self.to_file),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return self._runner.addresses[0][1]

    @contextmanager
    def _counting(self, path):
        self.hits[path] += 1
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            self._at_once -= 1

    async def image(self, request):
        headers = {"ETag": '"v1"', "Last-Modified": "Tue, 01 Jul 2025 10:00:00 GMT"}
        return web.Response(body=jpeg(request.match_info["name"]), content_type="image/jpeg", headers=headers)

    async def slow(self, request):
        await asyncio.sleep(0.05)
        return await self.image(request)

    async def status(self, request):
        return web.Response(status=int(request.match_info["code"]), text="no")

    async def once(self, request):
        """Fails the first time, with a Retry-After unless that is "-"."""
        if self.hits[request.path] > 1:
            return web.Response(body=jpeg(request.path))
        after = request.match_info["after"]
        headers = {} if after == "-" else {"Retry-After": after}
        return web.Response(status=int(request.match_info["code"]), headers=headers)

    async def busy_until_date(self, request):
        if self.hits[request.path] > 1:
            return web.Response(body=jpeg(request.path))
        date = email.utils.formatdate(time.time() + 3600, usegmt=True)
        return web.Response(status=503, headers={"Retry-After": date})

    async def reset(self, request):
        request.transport.abort()
        return web.Response()

    async def stall(self, request):
        response = web.StreamResponse(headers={"Content-Length": "100000"})
        await response.prepare(request)
        await response.write(jpeg("stall"))
        await asyncio.sleep(30)
        return response

    async def silent(self, _request):
        await asyncio.sleep(30)
        return web.Response()

    async def short(self, request):
        response = web.StreamResponse(headers={"Content-Length": "100000"})
        await response.prepare(request)
        await response.write(jpeg("short"))
        request.transport.close()
        return response

    async def page(self, _request):
        return web.Response(body=b"<!DOCTYPE html><html>sold out</html>", content_type="image/jpeg")

    async def empty(self, _request):
        return web.Response(body=b"", content_type="image/jpeg")

    async def big(self, request):
        """A valid JPEG followed by zeros, sent in chunks without a Content-Length."""
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        data = jpeg("big").ljust(int(request.match_info["size"]), b"\x00")
        for start in range(0, len(data), 5000):
            await response.write(data[start : start + 5000])
        return response

    async def bomb(self, _request):
        header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
        crc = struct.pack(">I", zlib.crc32(header))
        return web.Response(body=b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + crc + b"\x00\x00\x00\x04IDAT")

    async def moved(self, _request):
        raise web.HTTPMovedPermanently("/image/moved")

    async def loop(self, _request):
        raise web.HTTPFound("/loop")

    async def to_file(self, _request):
        raise web.HTTPFound("file:///etc/passwd")


@pytest.fixture
def server():
    server = Server().start()
    yield server
    server.stop()


@pytest.fixture
def make_jpeg():
    return jpeg
