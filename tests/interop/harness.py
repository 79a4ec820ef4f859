"""What the parts of tests/interop/run share: processes that end with the test, and checks.

A part is a Python program whose functions `check_...` are run in their order. The first one that
fails ends it, with what was wanted and what came.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

EXAMPLES = os.path.join(os.environ.get("CARGO_TARGET_DIR", "target"), "release", "examples")
PLAIN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "plain")

# How long anything may take that should take no time. What hangs ends by this.
PATIENCE = 10


class Failed(Exception):
    pass


def expect(name, wanted, got):
    """One line for one check."""
    if wanted != got:
        raise Failed(f"FAIL {name}\nwanted: {wanted!r}\ngot:    {got!r}")
    print("ok  ", name, flush=True)


def expect_that(good, name, got):
    """A check whose name says what is wanted."""
    if not good:
        raise Failed(f"FAIL {name}\ngot:    {got!r}")
    print("ok  ", name, flush=True)


def skipped(name, why):
    print(f"skipped: {name}: {why}", flush=True)


def has(program, name):
    """Whether a program is there that a check needs, which is skipped otherwise."""
    if shutil.which(program):
        return True
    skipped(name, f"{program} is not installed")
    return False


def main(names):
    socket.setdefaulttimeout(PATIENCE)
    # So that the processes of a part that is ended are ended with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    for name, check in list(names.items()):
        if not name.startswith("check_"):
            continue
        try:
            check()
        except Failed as failed:
            print(failed, flush=True)
            sys.exit(1)
        except Exception as error:
            print(f"FAIL {name}: line {line_of(error)}: {error!r}", flush=True)
            sys.exit(1)


def line_of(error):
    """Where in a part an error came up."""
    trace, line = error.__traceback__, None
    while trace:
        if trace.tb_frame.f_globals.get("__name__") == "__main__":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def ours(name, *arguments):
    """The command line of an example."""
    return [os.path.join(EXAMPLES, name), *map(str, arguments)]


def plain(name, *arguments):
    """The command line of one of the plain programs."""
    return [sys.executable, "-u", os.path.join(PLAIN, name + ".py"), *map(str, arguments)]


class Output(threading.Thread):
    """What a process has written so far."""

    def __init__(self, descriptor):
        super().__init__(daemon=True)
        self.descriptor, self.bytes, self.ended = descriptor, b"", False
        self.changed = threading.Condition()
        self.start()

    def run(self):
        while True:
            try:
                some = os.read(self.descriptor, 65_536)
            except OSError:
                # So Linux tells that nobody has the other end of a pseudo-terminal any more.
                some = b""
            with self.changed:
                self.bytes += some
                self.ended = not some
                self.changed.notify_all()
            if not some:
                return

    def text(self):
        return self.bytes.decode(errors="replace")

    def until(self, pattern):
        """Waits until `pattern` is found, and returns the match."""
        deadline = time.monotonic() + PATIENCE
        with self.changed:
            while not (found := re.search(pattern, self.text(), re.MULTILINE)):
                left = deadline - time.monotonic()
                if self.ended or left <= 0:
                    raise Failed(f"FAIL output\nwanted: {pattern!r}\ngot:    {self.text()!r}")
                self.changed.wait(left)
        return found


class Program:
    """A process. It ends with the block, whatever happens."""

    def __init__(self, command, log=None, **options):
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE} | options
        environment = os.environ | ({"RUST_LOG": log} if log else {})
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, env=environment, **options
        )
        self.err = Output(self.process.stderr.fileno())
        self.out = Output(self.process.stdout.fileno()) if self.process.stdout else self.err

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for output in self.out, self.err:
            output.join(PATIENCE)
        for stream in self.process.stdin, self.process.stdout, self.process.stderr:
            if stream:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    @property
    def pid(self):
        return self.process.pid

    def listening(self, protocol="tcp"):
        """Waits until it says where it listens: the examples on their output, the programs whose
        output is compared beside it."""
        pattern = rf"^listening {protocol} (.*)\n"
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and not (self.out.ended and self.err.ended):
            for output in self.out, self.err:
                if found := re.search(pattern, output.text(), re.MULTILINE):
                    return found[1]
            time.sleep(0.005)
        raise Failed(f"FAIL {self.process.args} does not listen\ngot:    {self.err.text()!r}")

    def port(self, protocol="tcp"):
        return int(self.listening(protocol).rpartition(":")[2])

    def type(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def end(self):
        """Waits for its end, after that of its input: exit code, output and complaints."""
        if self.process.stdin:
            self.process.stdin.close()
        code = self.process.wait(PATIENCE)
        for output in self.out, self.err:
            output.join(PATIENCE)
        return code, self.out.text(), self.err.text()

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)
        return self.end()

    def memory(self, what):
        """Its memory in KiB: VmRSS is what it has, VmHWM the most that it has had."""
        with open(f"/proc/{self.pid}/status") as status:
            return int(re.search(rf"^{what}:\s+(\d+) kB$", status.read(), re.MULTILINE)[1])


def run(command, text="", **options):
    """Runs a program to its end with this input: exit code, output and complaints."""
    process = subprocess.run(
        command, input=text.encode(), capture_output=True, timeout=PATIENCE, **options
    )
    return process.returncode, process.stdout.decode(), process.stderr.decode()


@contextlib.contextmanager
def folder():
    """A folder for sockets, whose paths have to be short."""
    path = tempfile.mkdtemp(prefix="interop", dir="/tmp")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def full(family, address):
    """A listener nobody accepts from and whose backlog is full, and who fills it."""
    server = socket.socket(family)
    server.bind(address)
    server.listen(0)
    waiting = []
    for _ in range(4):
        sock = socket.socket(family)
        sock.setblocking(False)
        sock.connect_ex(server.getsockname())
        waiting.append(sock)
    return server, waiting


def receive(sock, length):
    """Exactly so many bytes."""
    received = b""
    while len(received) < length:
        some = sock.recv(length - len(received))
        if not some:
            raise EOFError(f"after {received!r}, {length} bytes expected")
        received += some
    return received


def receive_all(sock):
    """What comes until the end."""
    received = bytearray()
    while some := sock.recv(1 << 20):
        received += some
    return bytes(received)
