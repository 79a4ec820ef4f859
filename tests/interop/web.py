"""What the parts about HTTP share: the web example with a folder, and answers as they come."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import time
import urllib.parse

from harness import PATIENCE, Failed, Program, folder, ours, receive_all

# What lies in the folder.
SMALL = "ok\n"
TEXT = "all work and no play makes a dull line of text\n" * 1_000
BIG = bytes(at % 251 for at in range(1 << 20)) * 8


class Web(Program):
    """The web example. Its ticks come every five seconds from its start."""

    def __init__(self, *options, port=0):
        super().__init__(ours("web", "--listen", f"127.0.0.1:{port}", *options))
        self.at = self.port("http")

    def url(self, path):
        return f"http://127.0.0.1:{self.at}{path}"

    def ask(self, path, method="GET", body=None, headers=()):
        """Status, fields and body, on a connection of its own."""
        return ask(self.at, path, method, body, headers)

    def get_json(self, path):
        return json.loads(self.ask(path)[2])

    def newest(self):
        return self.get_json("/costs")["newest"]

    def say(self, text):
        return say(self.at, text)

    def open(self):
        """Connections that are open, without the one that asks."""
        text = self.ask("/metrics")[2].decode()
        line = 'switchboard_connections{protocol="tcp",state="open"} '
        return int(text.partition(line)[2].partition("\n")[0]) - 1

    def until(self, what, done):
        """Waits until `done` says so, and returns how long that took."""
        began = time.monotonic()
        while not (value := done()):
            if time.monotonic() - began > PATIENCE:
                raise Failed(f"FAIL waited in vain for {what}\ngot:    {value!r}")
            time.sleep(0.01)
        return time.monotonic() - began


def ask(port, path, method="GET", body=None, headers=()):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as client:
        client.request(method, path, body, dict(headers))
        answer = client.getresponse()
        return answer.status, answer.headers, answer.read()


def say(port, text):
    body = urllib.parse.urlencode({"text": text})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return ask(port, "/say", "POST", body, headers)[0]


@contextlib.contextmanager
def website(*options):
    """The web example, and the folder that it has at /files."""
    with folder() as path:
        root = os.path.join(path, "public")
        os.mkdir(root)
        for name, content in {
            "ok.txt": SMALL.encode(), "text.txt": TEXT.encode(), "big.bin": BIG,
            "index.html": b"<h1>files</h1>\n",
        }.items():
            write(root, name, content)
        with Web("--root", root, *options) as web:
            yield web, root


def write(root, name, content):
    path = os.path.join(root, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)


def connect(port, request=b""):
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(request)
    return sock


def head(target, fields=""):
    return f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode()


def raw(port, request):
    """All that is answered to these bytes, to which nothing follows."""
    with connect(port, request) as sock:
        sock.shutdown(socket.SHUT_WR)
        return receive_all(sock)


def status(answer):
    return int(answer.split(b" ", 2)[1])


class Stream:
    """A stream of Server-Sent Events."""

    def __init__(self, port, path="/events"):
        self.sock = connect(port, head(path, "Accept: text/event-stream\r\n"))
        self.file = self.sock.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.fields = http.client.parse_headers(self.file)
        self.chunked = self.fields["Transfer-Encoding"] == "chunked"
        self.read = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.sock.close()

    def next(self):
        """The data of the next event; None at the end."""
        while b"\n\n" not in self.read:
            if self.chunked:
                size = int(self.file.readline() or b"0", 16)
                some = self.file.read(size + 2)[:size]
            else:
                some = self.file.read1()
            if not some:
                return None
            self.read += some
        event, _, self.read = self.read.partition(b"\n\n")
        lines = [line.removeprefix(b"data: ") for line in event.split(b"\n")]
        return json.loads(b"\n".join(lines))

    def until(self, text):
        """Seconds until an event with this text comes."""
        began = time.monotonic()
        while (news := self.next()) is not None:
            if any(item["text"] == text for item in news):
                return time.monotonic() - began
        raise Failed(f"FAIL the stream ends without {text!r}")


def call(command, **options):
    """Runs a program to its end: exit code, output as bytes, and complaints."""
    process = subprocess.run(command, capture_output=True, timeout=3 * PATIENCE, **options)
    return process.returncode, process.stdout, process.stderr.decode(errors="replace")
