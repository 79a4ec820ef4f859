"""The WebSocket server made by hand against hand-made bytes and Chromium, and the client of the
terminal against the echo example, a server made by hand, and the package `websockets`.

With INTEROP_SCREENSHOT=FOLDER a picture of the page is left there."""

import asyncio
import base64
import contextlib
import hashlib
import importlib.util
import os
import signal
import socket
import struct
import threading

from chromium import Browser, chromium
from harness import (
    Failed, Program, expect, expect_that, folder, main, ours, receive, receive_all, run, skipped,
)

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

# As an introduction shows it, from a browser whose page was opened in an editor.
KEY = "+uL/aiakjNABjEoMzAqm6Q=="
REQUEST = f"""\
GET / HTTP/1.1
Host: 127.0.0.1:5000
Connection: Upgrade
Pragma: no-cache
Cache-Control: no-cache
User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
Chrome/79.0.3945.130 Safari/537.36
Upgrade: websocket
Origin: http://localhost:63342
Sec-WebSocket-Version: 13
Accept-Encoding: gzip, deflate, br
Accept-Language: en-US,en;q=0.9
Sec-WebSocket-Key: {KEY}
Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits

""".replace("\n", "\r\n").encode()


def accept(key):
    digest = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return base64.b64encode(digest).decode()


ANSWER = ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
          f"Sec-WebSocket-Accept: {accept(KEY)}\r\n\r\n").encode()


def frame(opcode, payload=b"", fin=True, mask=b"\x37\xfa\x21\x3d"):
    """A frame as clients send it; with `mask=None` as servers do."""
    length, bit = len(payload), 0x80 if mask else 0
    head = bytes([fin << 7 | opcode])
    if length < 126:
        head += bytes([bit | length])
    elif length < 1 << 16:
        head += struct.pack("!BH", bit | 126, length)
    else:
        head += struct.pack("!BQ", bit | 127, length)
    if mask:
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return head + (mask or b"") + payload


def read_frame(sock):
    """The next frame of a server, or of a client: opcode and payload."""
    first, second = receive(sock, 2)
    length = second & 127
    if length > 125:
        length = int.from_bytes(receive(sock, 2 if length == 126 else 8))
    mask = receive(sock, 4) if second & 128 else bytes(4)
    payload = receive(sock, length)
    return first & 15, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def read_head(sock):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += receive(sock, 1)
    return head


def code(number):
    return struct.pack("!H", number)


def scratch():
    return Program(ours("ws_from_scratch", "--listen", "127.0.0.1:0"))


@contextlib.contextmanager
def shaken(port, head=REQUEST):
    """A connection on which frames may be sent."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(head)
        if (answer := read_head(sock)) != ANSWER:
            raise Failed(f"FAIL handshake\nwanted: {ANSWER}\ngot:    {answer}")
        yield sock


def answered(port, request):
    """What comes until the end."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(request)
        return receive_all(sock)


def check_heads():
    with scratch() as server:
        port = server.port()
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(REQUEST)
            expect("scratch: the request of an introduction is answered", ANSWER, read_head(sock))
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(len(REQUEST)):
                sock.sendall(REQUEST[at:at + 1])
            expect("scratch: so it is byte by byte", ANSWER, read_head(sock))
        other = REQUEST.replace(b"Connection: Upgrade", b"cONNECTION: keep-alive, upgrade")
        with shaken(port, other.replace(b"websocket", b"WebSocket")):
            pass
        page = answered(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        expect("scratch: the page", b"HTTP/1.1 200 OK", page.partition(b"\r\n")[0])
        expect_that(b"new WebSocket(" in page, "scratch: it connects", page)
        own, key = b"Pragma: no-cache", KEY.encode()
        for name, request, status in [
            ("rubbish", b"rubbish\r\n\r\n", b"400"),
            ("another protocol", REQUEST.replace(b"HTTP/1.1", b"SMTP"), b"400"),
            ("bytes", b"\xff\xfe\0\r\n\r\n", b"400"),
            ("a line that is no header", REQUEST.replace(own, b"rubbish"), b"400"),
            ("a line that goes on", REQUEST.replace(own, b" a: b"), b"400"),
            ("a line feed in a header", REQUEST.replace(own, b"A: b\nC: d"), b"400"),
            ("no Host", REQUEST.replace(b"Host", b"Ghost"), b"400"),
            ("a key of 15 bytes", REQUEST.replace(key, base64.b64encode(bytes(15))), b"400"),
            ("two keys", REQUEST.replace(own, b"Sec-WebSocket-Key: " + key), b"400"),
            ("another path", b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", b"404"),
            ("another method", REQUEST.replace(b"GET", b"POST"), b"405"),
            ("another version", REQUEST.replace(b"Version: 13", b"Version: 8"), b"426"),
            ("a head without end", REQUEST[:-2] + b"A: b\r\n" * 2000, b"431"),
        ]:
            answer = answered(port, request)
            expect(f"scratch: {name}: {status.decode()}", b"HTTP/1.1 " + status, answer[:12])
        expect("scratch: SIGTERM ends it", 0, server.terminate()[0])


def check_frames():
    with scratch() as server:
        port = server.port()
        with shaken(port) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in frame(TEXT, b"byte by byte"):
                sock.sendall(bytes([byte]))
            expect("scratch: a frame byte by byte", (TEXT, b"byte by byte"), read_frame(sock))
            server.out.until(r"^Receive msg==> byte by byte$")
            sock.sendall(frame(TEXT, b"one") + frame(TEXT, b"") + frame(TEXT, b"three"))
            expect("scratch: three frames at once", [b"one", b"", b"three"],
                   [read_frame(sock)[1] for _ in range(3)])
            # A ping may come between the fragments, and a character lie across them.
            sock.sendall(frame(TEXT, b"gr\xc3", fin=False) + frame(PING, b"still there?")
                         + frame(CONTINUATION, b"\xb6\xc3\x9f", fin=False)
                         + frame(CONTINUATION, b"e"))
            expect("scratch: a ping within a message", (PONG, b"still there?"), read_frame(sock))
            expect("scratch: fragments are one message", (TEXT, "größe".encode()),
                   read_frame(sock))
            sock.sendall(frame(PONG, b"unasked"))
            for length in 125, 126, 127, 65_535, 65_536:
                text = b"x" * length
                sock.sendall(frame(TEXT, text))
                expect_that(read_frame(sock) == (TEXT, text), f"scratch: {length} bytes", "other")
            sock.sendall(frame(TEXT, b"bell \x07 and escape \x1b[31m\nand a line"))
            read_frame(sock)
            server.out.until(r"^Receive msg==> bell \\u\{7\} and escape \\u\{1b\}\[31m\\nand a")
            sock.sendall(frame(CLOSE, code(1000) + b"done") + frame(TEXT, b"too late"))
            expect("scratch: a close is answered", (CLOSE, code(1000)), read_frame(sock))
            expect("scratch: and is the end", b"", receive_all(sock))
            server.err.until(r'closes: 1000 "done"')
        with shaken(port, REQUEST + frame(TEXT, b"at once")) as sock:
            expect("scratch: a frame behind the head", (TEXT, b"at once"), read_frame(sock))
            sock.sendall(frame(CLOSE))
            expect("scratch: a close without a code", (CLOSE, b""), read_frame(sock))
        heard = server.out.text()
        expect_that("too late" not in heard, "scratch: what follows a close is not read", heard)
        begun = frame(TEXT, b"a", fin=False)
        for name, data, number in [
            ("no mask", frame(TEXT, b"a", mask=None), 1002),
            ("a reserved bit", bytes([0xc1]) + frame(TEXT, b"a")[1:], 1002),
            ("a reserved opcode", frame(3, b"a"), 1002),
            ("a reserved control", frame(11, b"a"), 1002),
            ("nothing to continue", frame(CONTINUATION, b"a"), 1002),
            ("a message within another", begun + frame(TEXT, b"a"), 1002),
            ("a ping in fragments", frame(PING, b"a", fin=False), 1002),
            ("a ping of 126 bytes", frame(PING, bytes(126)), 1002),
            ("a close of one byte", frame(CLOSE, b"a"), 1002),
            ("a close with 1006", frame(CLOSE, code(1006)), 1002),
            ("binary", frame(BINARY, b"a"), 1003),
            ("no UTF-8", frame(TEXT, b"\xff"), 1007),
            ("half a character", frame(TEXT, b"\xc3"), 1007),
            ("no UTF-8 in a close", frame(CLOSE, code(1000) + b"\xff"), 1007),
            ("one byte too many", frame(TEXT, bytes(65_537))[:14], 1009),
            ("too many in fragments", begun + frame(CONTINUATION, bytes(65_536))[:14], 1009),
            ("exabytes", b"\x81\xff" + b"\xff" * 8, 1009),
        ]:
            with shaken(port) as sock:
                sock.sendall(data)
                expect(f"scratch: {name}: {number}", (CLOSE, code(number)), read_frame(sock))
                expect("scratch: and the end", b"", receive_all(sock))
        with shaken(port) as sock:
            server.process.send_signal(signal.SIGTERM)
            expect("scratch: who is there when it ends is told", (CLOSE, code(1001)),
                   read_frame(sock))
            expect("scratch: and let go", b"", receive_all(sock))
        expect("scratch: SIGTERM ends it", 0, server.end()[0])


def check_page():
    if (program := chromium()) is None:
        return skipped("scratch in a browser", "chromium is not installed")
    with scratch() as server, folder() as profile, Browser(program, profile) as browser:
        try:
            browser.do("Browser.getVersion")
        except Failed as failed:
            text = f"it does not start: {failed}".replace("\n", " ")
            return skipped("scratch in a browser", text)
        at = server.listening()
        state = 'document.getElementById("state").textContent'
        shown = '[...document.querySelectorAll("li")].map(line => line.textContent)'
        press = 'document.getElementById("{}").click()'.format

        def open_page():
            browser.open(f"http://{at}/")
            browser.until("the page", 'document.getElementById("connect") !== null')
            browser.evaluate(press("connect"))
            browser.until("the connection", state + ' == "open"')

        open_page()
        disabled = '["connect", "send"].map(id => document.getElementById(id).disabled)'
        expect("page: no second connection", [True, False], browser.evaluate(disabled))
        expect("page: where to", at, browser.evaluate(
            '["ip", "port"].map(id => document.getElementById(id).value).join(":")'))
        browser.evaluate(press("send"))
        server.out.until("^Receive msg==> I'm WebSocket Client Test Msg!$")
        # As a user does it.
        browser.evaluate('document.getElementById("text").select()')
        browser.do("Input.insertText", text="größe & <b>markup</b>")
        for kind in "keyDown", "keyUp":
            browser.do("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter",
                       windowsVirtualKeyCode=13)
        server.out.until("^Receive msg==> größe & <b>markup</b>$")
        browser.until("both answers", shown + ".length == 2")
        expect("page: what is sent comes back, as text",
               ["größe & <b>markup</b>", "I'm WebSocket Client Test Msg!"],
               browser.evaluate(shown))
        if place := os.environ.get("INTEROP_SCREENSHOT"):
            browser.picture(os.path.join(place, "ws_from_scratch.png"))
        # Chromium keeps a page that is left, and whoever comes back sees that it has closed.
        browser.do("Page.navigate", url="about:blank")
        server.err.until('closes: 1000 "the page is left"$')
        browser.close()
        open_page()
        browser.close()
        server.err.until('closes: 1001 ""$')
        open_page()
        server.process.send_signal(signal.SIGTERM)
        browser.until("its end", state + ' == "closed"')
        expect("page: it says that the server has closed", ["socket closed! (1001)"],
               browser.evaluate(shown))
        expect("page: and lets its user connect again", [False, True], browser.evaluate(disabled))
        expect("page: nothing to complain of", [], browser.complaints())
        expect("page: the server ends in order", 0, server.end()[0])


def client(url, *options):
    return Program(ours("websocket_client", url, *options))


def with_input(text, url, *options):
    """What a client says of this input, and how it ends."""
    return run(ours("websocket_client", "--linger", "0.5", url, *options), text)


@contextlib.contextmanager
def listener(port=0):
    with socket.create_server(("127.0.0.1", port)) as sock:
        yield sock, f"ws://127.0.0.1:{sock.getsockname()[1]}/"


def shake(server, fields=""):
    """Accepts a client and answers its handshake: the connection, and the lines of its request."""
    sock, _ = server.accept()
    lines = read_head(sock).decode().split("\r\n")
    key = next(line for line in lines if line.startswith("Sec-WebSocket-Key: ")).split(" ")[1]
    sock.sendall(ANSWER.replace(accept(KEY).encode(), accept(key).encode())[:-2]
                 + fields.encode() + b"\r\n")
    return sock, lines


def check_client_and_echo():
    with Program(ours("echo", "--ws", "127.0.0.1:0", "--deflate")) as server:
        url = f"ws://{server.listening('ws')}/"
        told = f"connected to {url}\n{url}: closed with 1000\n"
        expect("client: lines come back", (0, "a\nb\n", told),
               run(ours("websocket_client", url), "a\nb\n"))
        expect("client: no input, and no wait for it", (0, "", told),
               run(ours("websocket_client", url, "--linger", "0")))
        expect("client: binary", (0, "3 bytes: 61 62 63\n0 bytes:\n", told),
               with_input("abc\n\n", url, "--binary"))
        expect("client: binary, as it is", (0, "abcd", told),
               with_input("abc\nd", url, "--binary", "--raw"))
        expect("client: what a terminal would obey is escaped",
               (0, "\\u{1b}[31mred\\u{9b}\\tit's größe\n", told),
               with_input("\x1b[31mred\x9b\tit's größe\n", url))
        expect("client: or not", (0, "\x1b[31mred\n", told),
               with_input("\x1b[31mred\n", url, "--raw"))
        many = "".join(f"line {at}\n" for at in range(100_000))
        for options in [], ["--deflate"]:
            code, out, _ = with_input(many, url, *options)
            expect_that((code, out) == (0, many), f"client: 100,000 lines {options}", out[-100:])
        long = "x" * 1_000_000 + "\n"
        code, out, _ = with_input(long, url, "--deflate")
        expect_that((code, out) == (0, long), "client: a line of a million", len(out))


def check_client_request():
    with listener() as (server, url):
        options = ["--header", "X-Own: a: b", "--header", "Authorization: Bearer c",
                   "--cookie", "a=b", "--cookie", "c=d", "--origin", "http://a.example",
                   "--protocol", "v2", "--protocol", "v1"]
        with client(url + "x?y", *options) as program:
            sock, lines = shake(server, "Sec-WebSocket-Protocol: v1\r\n")
            wanted = ["GET /x?y HTTP/1.1", f"Host: {url[5:-1]}", "X-Own: a: b",
                      "Authorization: Bearer c", "Cookie: a=b; c=d", "Origin: http://a.example",
                      "Sec-WebSocket-Protocol: v2, v1"]
            expect("client: its request", [], [line for line in wanted if line not in lines])
            program.err.until(f"^connected to {url}x.y with v1$")
            program.type("hello\n")
            expect("client: a frame is masked", bytes([0x81, 0x85]), receive(sock, 2))
            mask, payload = receive(sock, 4), receive(sock, 5)
            expect("client: and can be read", b"hello",
                   bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)))
            # The end of input is not the end of answers: while there are some, it does not close.
            program.process.stdin.close()
            sock.sendall(frame(TEXT, b"late", mask=None))
            program.out.until("^late$")
            expect("client: then it closes", (CLOSE, code(1000)), read_frame(sock))
            sock.sendall(frame(CLOSE, code(1000), mask=None))
            sock.close()
            expect("client: and is done", 0, program.process.wait(10))


def check_client_ends():
    with listener() as (server, url):
        for name, end, wanted, words in [
            ("1000", frame(CLOSE, code(1000), mask=None), 0, "closed with 1000\n"),
            ("1001", frame(CLOSE, code(1001) + b"bye", mask=None), 0, "closed with 1001: bye\n"),
            ("no code", frame(CLOSE, mask=None), 0, "closed without a code\n"),
            ("1011", frame(CLOSE, code(1011) + b"oh \x1b[1m", mask=None), 1,
             "closed with 1011: oh \\u{1b}[1m\n"),
            ("4000", frame(CLOSE, code(4000), mask=None), 1, "closed with 4000\n"),
            ("no close", b"", 1, "ended without a close: closed by the peer\n"),
            ("a mask", frame(TEXT, b"a"), 1, "the server broke the protocol: "),
            ("no UTF-8", frame(TEXT, b"\xff", mask=None), 1, "the server broke the protocol: "),
        ]:
            with client(url) as program:
                sock, _ = shake(server)
                sock.sendall(end)
                if opcode := end[:1] == b"\x88":
                    expect(f"client: {name} is answered", CLOSE, read_frame(sock)[0])
                sock.close()
                exit_code = program.process.wait(10)
                expect(f"client: {name}: exit code", wanted, exit_code)
                program.err.until(words.replace("\\", "\\\\").replace("[", r"\["))
        with client(url, "--timeout", "1", "--linger", "0") as program:
            sock, _ = shake(server)
            program.process.stdin.close()
            expect("client: it closes", CLOSE, read_frame(sock)[0])
            expect("client: no answer to its close", 1, program.process.wait(10))
            program.err.until("our close was not answered")
            sock.close()
        with client(url, "--timeout", "1") as program:
            sock, _ = server.accept()
            expect("client: no answer to its request", 1, program.process.wait(10))
            program.err.until("^error: .* does not answer in time")
            sock.close()
        with client(url) as program:
            sock, _ = server.accept()
            read_head(sock)
            sock.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            expect("client: refused", 1, program.process.wait(10))
            program.err.until("^error: .* answered 403 Forbidden")
            sock.close()
        with client(url, "--ping", "0.5") as program:
            sock, _ = shake(server)
            for _ in range(2):
                expect("client: a ping", (PING, b""), read_frame(sock))
                sock.sendall(frame(PONG, mask=None))
            expect("client: an unanswered ping ends it", 1, program.process.wait(10))
            sock.close()
        with client(url) as program:
            sock, _ = shake(server)
            program.err.until("^connected")
            program.process.send_signal(signal.SIGINT)
            expect("client: SIGINT closes", (CLOSE, code(1000)), read_frame(sock))
            sock.sendall(frame(CLOSE, code(1000), mask=None))
            sock.close()
            expect("client: and is no failure", 0, program.process.wait(10))
        with client(url) as program:
            sock, _ = shake(server)
            program.process.stdin.write(b"good\nbad \xff\nnot sent\n")
            program.process.stdin.flush()
            expect("client: lines that are text are sent", (TEXT, b"good"), read_frame(sock))
            expect("client: and no others", (CLOSE, code(1000)), read_frame(sock))
            sock.sendall(frame(CLOSE, code(1000), mask=None))
            sock.close()
            expect("client: which is a failure", 1, program.process.wait(10))
            program.err.until("^error: standard input: a line is not UTF-8; --binary")
        free = server.getsockname()
    expect("client: nobody there",
           (1, "", f"error: cannot connect to tcp 127.0.0.1:{free[1]}: Connection refused (os "
            "error 111); start the server, or wait for it with --reconnect\n"),
           with_input("", url))
    for arguments, words in [
        (["http://a/"], "is no URL of WebSocket: write ws://HOST:PORT/PATH, or wss://"),
        (["ws://a/#b"], "has a fragment"),
        ([], "<URL>"),
        (["ws://a/", "--header", "x"], "expected `Name: value`"),
        (["ws://a/", "--header", "a b: c"], "expected a name"),
        (["ws://a/", "--header", "host: c"], "host is a part of the handshake"),
        (["ws://a/", "--header", "SEC-WEBSOCKET-KEY: c"], "is a part of the handshake"),
        (["ws://a/", "--cookie", "a\nb"], "control characters"),
        (["ws://a/", "--protocol", "a, b"], "expected a name"),
        (["ws://a/", "--timeout", "x"], "expected a number of seconds"),
    ]:
        exit_code, out, err = run(ours("websocket_client", *arguments))
        expect_that((exit_code, out) == (2, "") and words in err, f"client: usage {arguments}",
                    (exit_code, out, err))


def check_client_again():
    with listener() as (server, url):
        port = server.getsockname()[1]
        with client(url, "--reconnect") as program:
            shake(server)[0].close()
            program.err.until("ended without a close: .*; connecting again in 500ms$")
            program.type("waits\n")
            sock, _ = shake(server)
            expect("client: a line waits for the next connection", (TEXT, b"waits"),
                   read_frame(sock))
            server.close()
            sock.sendall(frame(CLOSE, code(1001), mask=None))
            read_frame(sock)
            sock.close()
            # A connection has been made since, and then one fails: the pauses begin anew, and grow.
            program.err.until("closed with 1001; connecting again in 500ms$")
            program.err.until("Connection refused .*; connecting again in 1s$")
            with listener(port) as (server, _):
                sock, _ = shake(server)
                program.process.stdin.close()
                expect("client: the end of input ends it", (CLOSE, code(1000)), read_frame(sock))
                sock.sendall(frame(CLOSE, code(1000), mask=None))
                sock.close()
                expect("client: for good", 0, program.process.wait(10))


def check_client_and_websockets():
    if importlib.util.find_spec("websockets") is None:
        return skipped("client and websockets", "the package is not installed")
    from websockets.asyncio.server import serve

    async def echo(connection):
        async for message in connection:
            await connection.send(message)
            if message == "leave":
                return await connection.close(1008, "as you wish")

    ready, address = threading.Event(), []

    async def listen():
        async with serve(echo, "127.0.0.1", 0, subprotocols=["v1"]) as server:
            address.append(server.sockets[0].getsockname()[1])
            ready.set()
            await server.serve_forever()

    threading.Thread(target=asyncio.run, args=[listen()], daemon=True).start()
    ready.wait()
    url = f"ws://127.0.0.1:{address[0]}/"
    lines = "".join(f"line {at}{'!' * (at % 3000)}\n" for at in range(2000))
    for options in [], ["--deflate"], ["--binary", "--deflate", "--raw"]:
        exit_code, out, err = with_input(lines, url, *options, "--protocol", "v1")
        wanted = lines.replace("\n", "") if "--raw" in options else lines
        expect_that((exit_code, out) == (0, wanted), f"client: websockets {options}", out[-100:])
        expect("client: and its sub-protocol", f"connected to {url} with v1", err.split("\n")[0])
    exit_code, out, err = with_input("a\nleave\n", url, "--protocol", "v1")
    expect("client: websockets closes", (1, "a\nleave\n", "closed with 1008: as you wish"),
           (exit_code, out, err.strip().rpartition("/: ")[2]))

main(globals())
