"""A server that hangs, trickles, floods or talks nonsense, in a process of its own.

    python -m tests.hostile_server BEHAVIOUR DESCRIPTOR [PEM]

It takes connections at the listening socket DESCRIPTOR, by TLS where a certificate is named, and prints a line for
each, be its handshake good or not.
"""

import asyncio
import contextlib
import socket
import ssl
import sys


async def hang(reader, writer):
    await asyncio.Event().wait()


async def hang_within_tls(reader, writer):
    await reader.read(1000)
    writer.write(b"\x16\x03\x03")
    await asyncio.Event().wait()


async def hang_in_headers(reader, writer):
    await reader.readline()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    await asyncio.Event().wait()


async def byte_by_byte(reader, writer):
    await reader.readline()
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 8000\r\n\r\n" + b" " * 8000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.01)


async def flood(reader, writer):
    await reader.readline()
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"4\r\n    \r\n" * 64)
        await writer.drain()
        await asyncio.sleep(0)  # the other connection has its turn


async def body_of_10_mb(reader, writer):
    await reader.readline()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n")
    for _ in range(160):
        if writer.transport.is_closing():
            return
        writer.write(b" " * 65536)
        await writer.drain()


async def bad_json(reader, writer):
    await reader.readline()
    # What takes the longest to read, and ends one character too early.
    body = b'{"a": "' + b"\\n" * 2000 + b'"'
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    writer.close()


async def hang_up(reader, writer):
    await reader.readline()
    writer.transport.abort()


BEHAVIOURS = {
    behave.__name__: behave
    for behave in (hang, hang_within_tls, hang_in_headers, byte_by_byte, flood, body_of_10_mb, bad_json, hang_up)
}


async def main(behaviour, descriptor, certificate=None):
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)

    async def serve(reader, writer):
        with contextlib.suppress(OSError, asyncio.CancelledError):
            try:
                if context:
                    await writer.start_tls(context)
            finally:
                print("called", flush=True)
            await BEHAVIOURS[behaviour](reader, writer)

    server = await asyncio.start_server(serve, sock=socket.socket(fileno=int(descriptor)))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
