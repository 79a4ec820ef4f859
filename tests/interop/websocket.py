"""The echo example's WebSocket, and the example of a client, against programs that others have
written: `websockets` of Python and `ws` of Node on either side, Chromium's own, and nginx in
between with docs/nginx.conf."""

import base64
import contextlib
import hashlib
import http.server
import itertools
import json
import os
import re
import shutil
import socket
import struct
import threading
import time
import zlib

from chromium import Browser, chromium
from harness import (
    PATIENCE, Failed, Program, expect, expect_that, folder, has, main, ours, receive, run,
    skipped,
)
from nginx import adapted, complaints, free_port
from web import connect as dial

try:
    from websockets.exceptions import ConnectionClosed
    from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
    from websockets.sync.client import connect
    from websockets.sync.server import serve
except ImportError:
    connect = None

HERE = os.path.dirname(os.path.abspath(__file__))
NODE_MODULES = os.path.join(HERE, "..", "..", "target", "interop-node", "node_modules")

# What introductions show of what a browser asks.
REQUEST = """GET {path} HTTP/1.1\r
Host: localhost:{port}\r
Connection: Upgrade\r
Pragma: no-cache\r
Cache-Control: no-cache\r
Upgrade: websocket\r
Origin: http://localhost:63342\r
Sec-WebSocket-Version: 13\r
Accept-Encoding: gzip, deflate, br\r
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
Sec-WebSocket-Extensions: {extensions}\r
\r
"""
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
DEFLATE = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

# A close without a code, as a server sends it.
END = b"\x88\x00"

# The lengths at which the head of a frame changes, and what each way of framing carries.
LENGTHS = 0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20


class Echo(Program):
    """The echo example, serving WebSocket."""

    def __init__(self, *options):
        super().__init__(ours("echo", "--ws", "127.0.0.1:0", "--deflate", *options), log="debug")
        self.at = self.port("ws")
        self.url = f"ws://127.0.0.1:{self.at}/"

    def saw_the_end(self, code, reason):
        """Waits until it says that a connection has ended like this, with closes of both sides."""
        words = f'Closed {{ code: {code}, reason: "{reason}", clean: true,'
        return self.err.until(re.escape(words))


def opened(url, **options):
    """A client of `websockets`, that pings of its own accord only if told to."""
    options = {"max_size": None, "ping_interval": None} | options
    return connect(url, proxy=None, open_timeout=PATIENCE, close_timeout=PATIENCE, **options)


def extensions(client):
    return client.response.headers.get("Sec-WebSocket-Extensions")


def answer_to(client, message):
    client.send(message)
    return client.recv(timeout=PATIENCE)


def closed_by(client):
    """How the other side has closed, once it has."""
    try:
        client.recv(timeout=PATIENCE)
    except ConnectionClosed as closed:
        return closed.rcvd and (closed.rcvd.code, closed.rcvd.reason)
    raise Failed("FAIL a message instead of a close")


def has_websockets(name):
    if connect:
        return True
    skipped(name, "the package websockets of Python is not installed")
    return False


def random(length):
    """Bytes that nobody can compress."""
    state, out = 1, bytearray()
    while len(out) < length:
        state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        out += state.to_bytes(8, "little")[4:]
    return bytes(out[:length])


def check_handshake():
    """What introductions show, byte for byte, without any library."""
    with Echo() as echo:
        offer = "permessage-deflate; client_max_window_bits"
        for wanted, asked in (DEFLATE, offer), (None, "x-webkit-deflate-frame"):
            with asking(echo.at, asked) as (sock, fields):
                expect(f"raw: {asked!r} is answered",
                       ("websocket", "Upgrade", ACCEPT, wanted),
                       tuple(map(fields.get, ("Upgrade", "Connection", "Sec-WebSocket-Accept",
                                              "Sec-WebSocket-Extensions"))))
                sock.sendall(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58")
                first, payload = frame(sock)
                expect("raw: and echoes", b"Hello",
                       inflated(15, payload) if first & 0x40 else payload)


def check_windows():
    """That what is compressed for a small window needs no larger one, as zlib finds."""
    # Each piece comes twice: the larger the window, the longer those that are seen again.
    large = b"".join(random(100 << doubled) * 2 for doubled in range(8))
    with Echo() as echo:
        for bits in range(9, 16):
            offer = f"permessage-deflate; server_max_window_bits={bits}"
            with asking(echo.at, offer) as (sock, fields):
                expect(f"raw: a window of {bits} bits is agreed to",
                       f"{DEFLATE}; server_max_window_bits={bits}",
                       fields["Sec-WebSocket-Extensions"])
                sock.sendall(b"\x82\xfe" + struct.pack(">H", len(large)) + bytes(4) + large)
                first, payload = frame(sock)
                expect_that(first == 0xc2 and inflated(bits, payload) == large,
                            f"raw: and kept to, in {len(payload)} bytes", first)
        with contextlib.suppress(zlib.error):
            inflated(14, payload)
            raise Failed("FAIL a window that is too small is not noticed")


def check_client_windows():
    """The same of what a client of ours sends. It asks for a number of cases, and then echoes."""
    if not is_built("autobahn_client", "windows of our client"):
        return
    line = b"".join(random(100 << doubled) * 2 for doubled in range(8)).hex().encode()
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"ws://127.0.0.1:{server.getsockname()[1]}"
        with Program(ours("autobahn_client", url)) as client:
            with dialled(server) as sock:
                sock.sendall(b"\x81\x018" + END)
                frame(sock)
            for bits in range(8, 16):
                extensions = f"permessage-deflate; server_no_context_takeover; " \
                             f"client_max_window_bits={bits}"
                with dialled(server, extensions) as sock:
                    sock.sendall(b"\x81\x7f" + struct.pack(">Q", len(line)) + line)
                    first, payload = frame(sock)
                    # A window of 256 bytes is not worth it.
                    whole = inflated(bits, payload) == line if bits > 8 else payload == line
                    expect_that(whole and first == (0xc1 if bits > 8 else 0x81),
                                f"raw: our client keeps to {bits} bits, with {len(payload)} bytes",
                                first)
                    sock.sendall(END)
                    frame(sock)
            with dialled(server) as sock:
                sock.sendall(END)
                frame(sock)
            expect("raw: and ends", (0, "8 cases\n"), client.end()[:2])


@contextlib.contextmanager
def dialled(server, extensions=None):
    """A connection of our client, whose handshake was answered."""
    sock, _ = server.accept()
    with sock:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += receive(sock, 1)
        key = re.search(rb"^Sec-WebSocket-Key: (.*)\r$", request, re.MULTILINE)[1]
        accept = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        fields = [
            "HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {base64.b64encode(accept).decode()}",
            *([f"Sec-WebSocket-Extensions: {extensions}"] if extensions else []),
        ]
        sock.sendall("".join(line + "\r\n" for line in [*fields, ""]).encode())
        yield sock


@contextlib.contextmanager
def asking(port, extensions, path="/"):
    """A connection on which the request of introductions was answered, and the answer's fields."""
    request = REQUEST.format(path=path, port=port, extensions=extensions)
    with dial(port, request.encode()) as sock:
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += receive(sock, 1)
        first, *lines = answer.decode().split("\r\n")[:-2]
        if first != "HTTP/1.1 101 Switching Protocols":
            raise Failed(f"FAIL the handshake\ngot:    {answer.decode()!r}")
        yield sock, dict(line.split(": ", 1) for line in lines)


def frame(sock):
    """First byte and payload of a frame."""
    first, second = receive(sock, 2)
    length = second & 0x7f
    if length >= 126:
        length = int.from_bytes(receive(sock, 2 if length == 126 else 8), "big")
    if not second & 0x80:
        return first, receive(sock, length)
    key, payload = receive(sock, 4), receive(sock, length)
    return first, bytes(byte ^ each for byte, each in zip(payload, itertools.cycle(key)))


def inflated(bits, payload):
    """By a little at a time, so that nothing is at hand but the window."""
    inflater, out = zlib.decompressobj(-bits), b""
    payload += b"\0\0\xff\xff"
    while payload or some:
        some = inflater.decompress(payload, 16)
        payload = inflater.unconsumed_tail
        out += some
    return out


def check_python_client():
    if not has_websockets("websockets of Python, client"):
        return
    with Echo() as echo:
        for compression, wanted in (None, None), ("deflate", DEFLATE):
            name = f"websockets: compression {compression}:"
            with opened(echo.url, compression=compression) as client:
                expect(f"{name} agreed", wanted, extensions(client))
                for kind, make in (
                    ("text", lambda length: "x" * length), ("bytes", random),
                    ("long characters", lambda length: "\u20ac" * (length // 3)),
                ):
                    lengths = [length for length in LENGTHS
                               if answer_to(client, make(length)) == make(length)]
                    expect(f"{name} {kind} of all sizes comes back", list(LENGTHS), lengths)
                expect(f"{name} text in pieces", "in four pieces \U0001d11e",
                       answer_to(client, iter(["in ", "four", " pieces ", "\U0001d11e"])))
                pieces = [random(1), b"", random(70_000)]
                expect_that(answer_to(client, pieces) == b"".join(pieces),
                            f"{name} bytes in pieces", len(pieces))
                for payload in b"", b"are you there?", random(125):
                    expect(f"{name} a ping with {len(payload)} bytes is answered", True,
                           client.ping(payload).wait(PATIENCE))
                sent = [f"message {number} " * 20 for number in range(200)]
                for message in sent:
                    client.send(message)
                expect_that([client.recv(timeout=PATIENCE) for _ in sent] == sent,
                            f"{name} two hundred at once come back in order", len(sent))


def check_python_windows():
    if not has_websockets("websockets of Python, windows"):
        return
    with Echo() as echo:
        sent = ["Hello", "Hello", "Hello" * 10_000, random(5_000) * 3, "", "Hello"]
        for forgets, bits in itertools.product(
            itertools.product((False, True), (False, True)), ((None, None), (9, True), (12, 10)),
        ):
            factory = ClientPerMessageDeflateFactory(*forgets, *bits)
            with opened(echo.url, compression=None, extensions=[factory]) as client:
                name = f"websockets: no takeover {forgets}, windows {bits}:"
                wanted = f"{DEFLATE}; server_max_window_bits={bits[0]}" if bits[0] else DEFLATE
                expect(f"{name} agreed", wanted, extensions(client))
                expect_that([answer_to(client, message) for message in sent] == sent,
                            f"{name} all come back", len(sent))


def check_python_closes():
    if not has_websockets("websockets of Python, closes"):
        return
    with Echo("--max-message", "1000") as echo:
        for code, reason in (
            (1000, ""), (1001, "away"), (1011, "oops"), (3000, "b\u00fce"), (4999, "x" * 123),
        ):
            with opened(echo.url) as client:
                client.close(code, reason)
                echo.saw_the_end(code, reason)
                expect(f"websockets: {code} {reason[:10]!r} is heard and answered", code,
                       client.protocol.close_rcvd.code)
        for compression in None, "deflate":
            with opened(echo.url, compression=compression) as client:
                expect("websockets: the largest message", "a" * 1_000,
                       answer_to(client, "a" * 1_000))
                client.send("a" * 1_001)
                expect(f"websockets: one beyond it, compression {compression}", 1009,
                       closed_by(client)[0])
        for origin, protocols in ("http://elsewhere.example", None), (None, ["chat", "soap"]):
            with opened(echo.url + "any/path?a=b", origin=origin, subprotocols=protocols) as client:
                expect(f"websockets: from {origin} with {protocols}: none of them", None,
                       client.subprotocol)
                expect("websockets: and served", "Hello", answer_to(client, "Hello"))


def check_python_broadcast():
    if not has_websockets("websockets of Python, broadcast"):
        return
    with Echo("--broadcast") as echo, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(opened(echo.url)) for _ in range(5)]
        for number, client in enumerate(clients):
            client.send(f"from {number}" if number else b"from 0")
            heard = [other.recv(timeout=PATIENCE) for other in clients]
            expect(f"websockets: what {number} says is heard by all five",
                   [f"from {number}" if number else b"from 0"] * 5, heard)
        echo.process.terminate()
        expect("websockets: a server that ends says so to all", [1001] * 5,
               [closed_by(client)[0] for client in clients])
        expect("websockets: and ends", 0, echo.end()[0])


def check_python_server():
    name = "websockets of Python, server"
    if not has_websockets(name) or not is_built("websocket_client", name):
        return
    ends = []

    def handler(connection):
        with contextlib.suppress(ConnectionClosed):
            for message in connection:
                if message == "close":
                    connection.close(4002, "as you wish")
                connection.send(message)
        ends.append(connection.protocol.close_rcvd.code)

    def choose(_, offered):
        return offered[-1] if offered else None

    with serve(handler, "127.0.0.1", 0, max_size=None, select_subprotocol=choose) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
        converse("websockets", url)
        server.shutdown()
    expect("websockets: three closes have come, and the answer to one", [1000] * 3 + [4002], ends)


def is_built(example, name):
    if shutil.which(ours(example)[0]):
        return True
    skipped(name, f"the example {example} is not built")
    return False


def converse(name, url):
    """The example of a client talks to somebody else's echo server."""
    lines = "Hello\n" + "k\u00f6sm\u03b5 " * 2_000 + "\n" + "x" * 70_000 + "\nbye\n"
    for options in (), ("--deflate",), ("--deflate", "--binary", "--raw"):
        wanted = lines.replace("\n", "") if "--raw" in options else lines
        code, out, err = run(ours("websocket_client", url, "--linger", "0.3", *options), lines)
        expect_that((code, out) == (0, wanted), f"{name}: our client, with {options}",
                    (code, out[:100], err))
    options = "--protocol", "soap", "--protocol", "chat"
    code, out, err = run(ours("websocket_client", url, *options), "close\n")
    expect_that(code == 1 and "closed with 4002: as you wish" in err,
                f"{name}: our client hears how a server closes", (code, err))
    expect_that("connected to " + url + " with " in err,
                f"{name}: and which sub-protocol it has chosen", err)


def node(*arguments):
    """The command line of the other side in Node."""
    return ["env", f"NODE_PATH={NODE_MODULES}", "node", f"{HERE}/websocket.js", *arguments]


def has_ws(name):
    if not has("node", name):
        return False
    if run(node())[0] == 0:
        return True
    skipped(name, "the package ws of Node is not installed")
    return False


def check_node_client():
    if not has_ws("ws of Node, client"):
        return
    kinds = [False, True]
    for server, client in itertools.product((False, True), (False, True)):
        for bits in {}, {"serverMaxWindowBits": 10}, {"clientMaxWindowBits": 9}:
            contexts = {"serverNoContextTakeover": server, "clientNoContextTakeover": client}
            kinds.append({"threshold": 0} | {k: v for k, v in contexts.items() if v} | bits)
    with Echo() as echo:
        code, out, err = run(node("client", echo.url, json.dumps(kinds)))
        expect_that(code == 0, "ws: every message comes back, however they are compressed",
                    (code, err))
        for kind, line in zip(kinds, out.splitlines(), strict=True):
            agreed, _, closed = json.loads(line)
            wanted = bool(kind) and "permessage-deflate"
            expect(f"ws: {json.dumps(kind)}", (wanted or "", 4001), (agreed, closed))
        echo.saw_the_end(4001, "b\u00fce")


def check_node_server():
    name = "ws of Node, server"
    if not has_ws(name) or not is_built("websocket_client", name):
        return
    bits = {"threshold": 0, "serverMaxWindowBits": 9, "clientMaxWindowBits": 8}
    for deflate in False, True, bits:
        with Program(node("server", json.dumps(deflate))) as server:
            converse(f"ws: {json.dumps(deflate)}", f"ws://{server.listening('ws')}/")
            server.out.until(r"(?:(?:.*\n)*?closed .*\n){4}")
            found = re.findall(r"^closed (\d+)", server.out.text(), re.MULTILINE)
            expect("ws: three closes have come, and the answer to one",
                   ["1000"] * 3 + ["4002"], found)
            offered = re.findall(r"^extensions (.*)$", server.out.text(), re.MULTILINE)
            agreed = "permessage-deflate" if deflate else ""
            expect("ws: compression where both want it", ["", agreed, agreed, ""], offered)


@contextlib.contextmanager
def behind_nginx(port, **changes):
    """The port of an nginx in front of this one, and its folder."""
    with folder() as path:
        at = free_port()
        adapted(path, at, port)
        with open(f"{path}/nginx.conf") as file:
            text = file.read()
        for name, value in changes.items():
            text = re.sub(rf"\b{name} \w+;", f"{name} {value};", text)
        with open(f"{path}/nginx.conf", "w") as file:
            file.write(text)
        with Program(["nginx", "-p", path, "-c", f"{path}/nginx.conf", "-e", f"{path}/error.log",
                      "-g", "daemon off; master_process off;"]) as nginx:
            deadline = time.monotonic() + PATIENCE
            while True:
                with contextlib.suppress(ConnectionRefusedError):
                    dial(at).close()
                    break
                if nginx.process.poll() is not None or time.monotonic() > deadline:
                    raise Failed(f"FAIL nginx does not listen\ngot:    {nginx.err.text()!r}")
                time.sleep(0.01)
            yield at, path


def check_nginx():
    name = "nginx before WebSocket"
    if not has("nginx", name) or not has_websockets(name):
        return
    with Echo() as echo, behind_nginx(echo.at, proxy_read_timeout="1s") as (port, path):
        url = f"ws://127.0.0.1:{port}/any/path"
        with asking(port, "permessage-deflate") as (_, fields):
            expect("nginx: compression is agreed through it", DEFLATE,
                   fields["Sec-WebSocket-Extensions"])
        with opened(url) as client:
            sent = ["x" * length for length in LENGTHS] + [random(length) for length in LENGTHS]
            expect_that([answer_to(client, message) for message in sent] == sent,
                        "nginx: all sizes come back", len(sent))
            client.close(4001, "b\u00fce")
            echo.saw_the_end(4001, "b\u00fce")
            expect("nginx: a close is passed on, and its answer", 4001,
                   client.protocol.close_rcvd.code)
        with opened(url) as silent, opened(url, ping_interval=0.2) as pinging:
            expect("nginx: who is silent is cut off", None, closed_by(silent))
            expect("nginx: who pings is not", "Hello", answer_to(pinging, "Hello"))
            echo.process.terminate()
            expect("nginx: hears that the server ends", 1001, closed_by(pinging)[0])
        late = [line for line in complaints(path) if "upstream timed out" not in line]
        expect("nginx: nothing else to complain of", [], late)


# What a page does: it talks, as a script says, and collects what comes of it.
PAGE = """(async () => {
  const talk = (url, script) => new Promise(done => {
    const socket = new WebSocket(url), heard = [];
    socket.binaryType = "arraybuffer";
    socket.onopen = () => script(socket, heard);
    socket.onmessage = ({data}) => {
      const start = typeof data == "string" ? data : [...new Uint8Array(data).slice(0, 4)];
      heard.push([start, data.length ?? data.byteLength]);
      script(socket, heard);
    };
    socket.onclose = ({code, reason, wasClean}) =>
      done({heard, code, reason, wasClean, extensions: socket.extensions});
  });
  %s
})()"""

SAY_ALL = """
  const all = ["k\\u00f6sm\\u03b5", "", "x".repeat(1 << 20), new Uint8Array([1, 2, 3, 255]),
    new Blob([new Uint8Array([9, 8, 7, 6, 5])]), new ArrayBuffer(1 << 20)];
  return await talk("%s", (socket, heard) => {
    if (heard.length == 0) all.forEach(each => socket.send(each));
    if (heard.length == all.length) socket.close(4001, "b\\u00fce");
  });"""

STAY = """
  window.ended = talk("%s", () => window.isOpen = true);"""


@contextlib.contextmanager
def blank_page():
    """The address of a page of another origin. It comes from this machine, as only such a one may
    connect to it."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def check_chromium():
    program = chromium()
    if program is None:
        return skipped("WebSocket of Chromium", "chromium is not installed")
    with contextlib.ExitStack() as stack:
        echo, profile = stack.enter_context(Echo()), stack.enter_context(folder())
        browser = stack.enter_context(Browser(program, profile))
        try:
            browser.do("Browser.getVersion")
        except Failed as failed:
            why = f"it does not start: {failed}".replace("\n", " ")
            return skipped("WebSocket of Chromium", why)
        browser.open(stack.enter_context(blank_page()))
        found = browser.evaluate(PAGE % SAY_ALL % echo.url)
        wanted = [["k\u00f6sm\u03b5", 5], ["", 0], ["x" * (1 << 20), 1 << 20],
                  [[1, 2, 3, 255], 4], [[9, 8, 7, 6], 5], [[0] * 4, 1 << 20]]
        expect_that(found["heard"] == wanted, "chromium: text, bytes and blobs come back",
                    str(found)[:500])
        expect("chromium: messages are compressed", DEFLATE, found["extensions"])
        expect("chromium: a close is answered", (4001, "", True),
               (found["code"], found["reason"], found["wasClean"]))
        echo.saw_the_end(4001, "b\u00fce")
        browser.evaluate(PAGE % STAY % echo.url)
        browser.until("a connection", "window.isOpen")
        echo.process.terminate()
        expect("chromium: hears that a server ends", [1001, True],
               browser.evaluate("window.ended.then(({code, wasClean}) => [code, wasClean])"))


main(globals())
