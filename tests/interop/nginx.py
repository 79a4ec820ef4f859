"""A real nginx with docs/nginx.conf in front of the web example. Of the file, only ports and places
are changed."""

import contextlib
import http.client
import os
import re
import socket
import struct
import threading
import time

from harness import (
    Failed, Program, expect, expect_that, folder, has, main, ours, receive, receive_all,
)
from web import BIG, TEXT, Stream, ask, connect, head, say, status, website

SHIPPED = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "nginx.conf")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def adapted(path, port, server):
    """The shipped file with this folder, this port, and the server at that one."""
    with open(SHIPPED) as file:
        text = file.read()
    temporary = "".join(
        f"{name}_temp_path {path}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    for old, new in {
        "pid /run/nginx.pid;": f"pid {path}/pid;",
        "error_log /var/log/nginx/error.log warn;": f"error_log {path}/error.log warn;",
        "access_log /var/log/nginx/access.log;": f"access_log {path}/access.log;\n{temporary}",
        "server 127.0.0.1:8080;": f"server 127.0.0.1:{server};",
        "listen 80;": f"listen 127.0.0.1:{port};",
    }.items():
        if text.count(old) != 1:
            raise Failed(f"FAIL docs/nginx.conf has {old!r} not once\ngot:    {text.count(old)}")
        text = text.replace(old, new)
    with open(f"{path}/nginx.conf", "w") as file:
        file.write(text)


@contextlib.contextmanager
def proxied(*options):
    """The web example, the port of nginx in front of it, and the folder of that."""
    with website(*options) as (web, _), folder() as path:
        port = free_port()
        adapted(path, port, web.at)
        # One process, which ends with the test.
        command = ["nginx", "-p", path, "-c", f"{path}/nginx.conf", "-e", f"{path}/error.log",
                   "-g", "daemon off; master_process off;"]
        with Program(command) as nginx:
            def is_there():
                if nginx.process.poll() is not None:
                    raise Failed(f"FAIL nginx ends\ngot:    {nginx.err.text()!r}")
                with contextlib.suppress(ConnectionRefusedError), connect(port):
                    return True
            web.until("nginx", is_there)
            yield web, port, path


def whole(port, target):
    """All that is answered. A client that has finished sending counts as gone here."""
    with connect(port, head(target, "Connection: close\r\n")) as sock:
        return receive_all(sock)


def complaints(path):
    with open(f"{path}/error.log") as log:
        return [line for line in log if not re.search(r"\[(notice|info)\]", line)]


def check_pages():
    with proxied("--access-log") as (web, port, path):
        code, fields, page = ask(port, "/")
        expect("nginx: the page", (200, True, True),
               (code, "text/html" in fields["Content-Type"], b"Three ways" in page))
        expect("nginx: a route", (200, b"hello, you\n"), ask(port, "/hello/you")[::2])
        expect("nginx: a form", 204, say(port, "by nginx"))
        expect("nginx: is news", True, b"by nginx" in ask(port, "/poll?since=0")[2])
        expect("nginx: compressed on its way", ("gzip", True),
               (lambda fields, data: (fields["Content-Encoding"], len(data) < len(TEXT) / 20))
               (*ask(port, "/files/text.txt", headers={"Accept-Encoding": "gzip"})[1:]))
        tag = ask(port, "/files/big.bin")[1]["ETag"]
        expect("nginx: a known file", 304,
               ask(port, "/files/big.bin", headers={"If-None-Match": tag})[0])
        expect("nginx: a part of a file", (206, BIG[10:20]),
               ask(port, "/files/big.bin", headers={"Range": "bytes=10-19"})[::2])
        expect("nginx: nothing", 404, ask(port, "/nowhere")[0])
        # `..` is resolved by nginx, or refused by it.
        escapes = ["/files/../../etc/passwd", "/files/%2e%2e/%2e%2e/etc/passwd",
                   "/files/..%2f..%2fetc/passwd", "/files//etc/passwd"]
        codes = [status(whole(port, path)) for path in escapes]
        expect_that(all(code in (400, 404) for code in codes), "nginx: no way out", codes)
        expect("nginx: nothing to complain of", [], complaints(path))


def check_keep_alive():
    with proxied() as (web, port, path):
        client = http.client.HTTPConnection("127.0.0.1", port)
        with contextlib.closing(client):
            codes = set()
            for _ in range(200):
                client.request("GET", "/hello/you")
                answer = client.getresponse()
                answer.read()
                codes.add(answer.status)
            accepts = web.ask("/metrics")[2].decode()
            accepts = int(re.search(r"^switchboard_accepts_total (\d+)$", accepts, re.M)[1])
            expect_that(codes == {200} and accepts < 10,
                        "nginx: two hundred requests by a few connections", (codes, accepts))
        expect("nginx: nothing to complain of, kept alive", [], complaints(path))


def check_forwarded():
    """What reaches the server, as a server of three lines sees it."""
    with folder() as path, socket.create_server(("127.0.0.1", 0)) as server:
        port, seen = free_port(), []
        adapted(path, port, server.getsockname()[1])

        def serve():
            for _ in range(2):
                sock, _ = server.accept()
                with sock:
                    seen.append(sock.recv(65_536).decode())
                    sock.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        command = ["nginx", "-p", path, "-c", f"{path}/nginx.conf", "-e", f"{path}/error.log",
                   "-g", "daemon off; master_process off;"]
        with Program(command):
            deadline = time.monotonic() + 5
            while True:
                with contextlib.suppress(ConnectionRefusedError):
                    connect(port).close()
                    break
                if time.monotonic() > deadline:
                    raise Failed("FAIL nginx does not listen")
                time.sleep(0.01)
            for request in (
                b"GET /a?b HTTP/1.1\r\nHost: site.example:81\r\n"
                b"X-Forwarded-For: 9.9.9.9\r\nConnection: close\r\n\r\n",
                b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
                b"Connection: keep-alive, Upgrade\r\n\r\n",
            ):
                with connect(port, request) as sock:
                    sock.recv(65_536)
        plain, upgrade = ([line.lower() for line in text.split("\r\n")] for text in seen)
        wanted = ["get /a?b http/1.1", "host: site.example:81",
                  "x-forwarded-for: 9.9.9.9, 127.0.0.1", "x-forwarded-proto: http",
                  "x-forwarded-host: site.example:81"]
        expect("nginx: who asks, and for what, is forwarded", wanted,
               [line for line in plain if line in wanted])
        expect("nginx: a request does not end the connection behind it", [],
               [line for line in plain if line.startswith(("connection:", "upgrade:"))])
        expect("nginx: an upgrade is asked for", ["connection: upgrade", "upgrade: websocket"],
               sorted(line for line in upgrade if line.startswith(("connection:", "upgrade:"))))


def check_waiting():
    with proxied("--access-log") as (web, port, path):
        waiting = [connect(port, head("/wait?since=0")) for _ in range(20)]
        web.until("all to be parked", lambda: web.get_json("/costs")["wait"]["requests"] == 20)
        began = time.monotonic()
        say(port, "at last")
        answers = [sock.recv(65_536) for sock in waiting]
        took = time.monotonic() - began
        expect_that(all(b"at last" in answer for answer in answers) and took < 1,
                    "nginx: who waits hears at once", (took, answers[0]))
        for sock in waiting:
            sock.close()
        with Stream(port) as stream, Stream(port) as other:
            expect("nginx: a stream of events", (200, "text/event-stream"),
                   (stream.status, stream.fields["Content-Type"]))
            took = []
            for number in range(20):
                say(port, f"event {number}")
                took.append(stream.until(f"event {number}"))
            other.until("event 19")
            expect_that(max(took) < 1, "nginx: each event comes unbuffered", max(took))
            print(f"     {1_000 * max(took):.1f} ms at the most", flush=True)
            tick = web.newest() + 1
            expect_that(stream.until(f"tick {tick}") < 6, "nginx: and ticks do", tick)
        expect("nginx: nothing to complain of, waiting", [], complaints(path))


def check_files():
    with proxied() as (web, port, path):
        code, _, data = ask(port, "/files/big.bin")
        expect_that(code == 200 and data == BIG, "nginx: a file of 8 MiB", (code, len(data)))
        slow = connect(port, head("/files/big.bin"))
        receive(slow, 100_000)
        time.sleep(0.3)
        expect("nginx: a file that nobody takes lies on no disk", [],
               [name for _, _, names in os.walk(f"{path}/proxy") for name in names])
        slow.sendall(b"")
        rest = bytearray()
        while len(rest) < len(BIG) - 100_000:
            rest += slow.recv(1 << 20)
        slow.close()
        expect_that(BIG.endswith(bytes(rest[-1_000_000:])), "nginx: and arrives", len(rest))


def check_aborts():
    with proxied("--access-log") as (web, port, _):
        for how in "closed", "reset":
            sock = connect(port, head(f"/wait?since=99&{how}"))
            web.until("it to be parked", lambda: web.open() == 1)
            if how == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
            web.out.until(rf'"GET /wait\?since=99&{how} HTTP/1.1" 499 -$')
            took = web.until("it to be gone", lambda: web.open() == 0)
            expect_that(took < 1, f"nginx: a client that has {how} is noticed behind it", took)
        with Stream(port):
            web.until("the stream", lambda: web.open() == 1)
        took = web.until("it to be gone", lambda: web.open() == 0)
        expect_that(took < 1, "nginx: and one that has left a stream", took)


def check_behind_our_proxy():
    """The other way round: our reverse proxy asks a real nginx."""
    with proxied() as (web, port, path):
        command = ours("web", "--listen", "127.0.0.1:0", "--proxy", f"/files=127.0.0.1:{port}",
                       "--trust-proxy", "127.0.0.1", "--access-log")
        with Program(command) as front:
            at = front.port("http")
            expect("proxy: a file behind nginx", (200, BIG), ask(at, "/files/big.bin")[::2])
            expect("proxy: a part of it", (206, BIG[10:20]),
                   ask(at, "/files/big.bin", headers={"Range": "bytes=10-19"})[::2])
            expect("proxy: compressed on its way", "gzip",
                   ask(at, "/files/text.txt", headers={"Accept-Encoding": "gzip"})[1]
                   ["Content-Encoding"])
            expect("proxy: nothing there", 404, ask(at, "/files/nowhere")[0])
            expect("proxy: our own routes beside it", (200, b"hello, you\n"),
                   ask(at, "/hello/you")[::2])
            ask(at, "/hello/you", headers={"X-Forwarded-For": "203.0.113.7"})
            found = front.out.until(r"^203\.0\.113\.7 - - .* 200 ")
            expect_that(found, "proxy: whom a proxy speaks for is in the log", found)


def check_end():
    with proxied() as (web, port, path):
        waiting = connect(port, head("/wait?since=99"))
        web.until("it to be parked", lambda: web.get_json("/costs")["wait"]["requests"] == 1)
        with Stream(port) as stream:
            code = web.terminate()[0]
            answer = waiting.recv(65_536)
            waiting.close()
            expect("nginx: the server ends, and who waits is told", (0, 503),
                   (code, status(answer)))
            while stream.next() is not None:
                pass
        expect("nginx: and then there is none", 502, ask(port, "/")[0])


if __name__ == "__main__" and has("nginx", "nginx"):
    main(globals())
