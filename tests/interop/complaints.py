"""What goes wrong, as users see it: one line on standard error that says what, where and, if there
is something to be done, what to do; exit code 1 for the world and 2 for how it was started."""

import socket
import subprocess
import sys
import time

from harness import Program, expect, expect_that, folder, full, main, ours, run, skipped


def complains(name, command, *words, code=1, text="hello\n"):
    """One line with these words, and this exit code."""
    got, _, complaint = run(command, text)
    wanted = got == code and complaint.startswith("error: ") and complaint.count("\n") == 1
    missing = [word for word in words if word not in complaint]
    expect_that(wanted and not missing, name, (got, complaint, missing))


# RFC 6761 keeps `invalid` for this: it resolves nowhere.
NOWHERE = "no.such.host.invalid"


def resolver_answers():
    command = [sys.executable, "-c", f"import socket; socket.getaddrinfo({NOWHERE!r}, 1)"]
    try:
        return b"gaierror" in subprocess.run(command, capture_output=True, timeout=3).stderr
    except subprocess.TimeoutExpired:
        return False


def check_names():
    name = f"{NOWHERE}:7000"
    if resolver_answers():
        for way in "tcp", "udp":
            complains(f"a name that does not resolve, {way}", ours("client", way, name),
                      "cannot resolve", name)
        complains("a name that does not resolve, to listen on", ours("ok_server", name),
                  "cannot resolve", name)
    else:
        skipped("a name that does not resolve", "the resolver here does not answer")


def check_addresses():
    for address in "127.0.0.1", "127.0.0.1:99999", ":", "[::1:7000", "":
        complains(f"the address `{address}`", ours("client", "tcp", address),
                  "cannot resolve", f"`{address}`", "expected HOST:PORT, such as")


def check_refusals():
    # Bound and not listening: nobody else can be given the port, and it refuses.
    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        at = f"127.0.0.1:{refusing.getsockname()[1]}"
        complains("a refused dial", ours("client", "tcp", at),
                  "cannot connect", f"tcp {at}", "refused", "start the server", "--retry")
        complains("a refused dial by name",
                  ours("client", "tcp", at.replace("127.0.0.1", "localhost")),
                  "cannot connect", "refused", "--retry")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        at = f"127.0.0.1:{nobody.getsockname()[1]}"
    complains("a refused datagram", ours("client", "udp", at), f"udp {at}", "refused")
    with folder() as path:
        complains("no such path", ours("client", "unix", f"{path}/echo"),
                  "cannot connect", f"unix {path}/echo", "No such file", "start the server")
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(f"{path}/left")
        complains("a path without a server", ours("client", "unix", f"{path}/left"),
                  "cannot connect", f"unix {path}/left", "refused", "start the server")


def check_retry_waits_for_the_server():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        with Program(ours("client", "--retry", "tcp", f"127.0.0.1:{port}")) as client:
            client.type("hello\n")
            client.err.until(rf"cannot connect to tcp 127.0.0.1:{port}: .*; trying again\n")
            server.listen()
            with server.accept()[0] as sock:
                expect("retry: a server that comes later", b"hello\n", sock.recv(1024))
                sock.sendall(b"good morning\n")
                client.out.until("^good morning\n")
                client.process.stdin.close()
                expect("retry: the end of input is the end", b"", sock.recv(1024))
            client.process.wait(10)
            expect("retry: exit code", 0, client.process.returncode)


def check_no_answer():
    with folder() as path:
        for name, family, address in (
            ("tcp", socket.AF_INET, ("127.0.0.1", 0)),
            ("unix", socket.AF_UNIX, f"{path}/full"),
        ):
            server, waiting = full(family, address)
            at = address
            if name == "tcp":
                at = f"127.0.0.1:{server.getsockname()[1]}"
            began = time.monotonic()
            complains(f"an unanswered dial, {name}", ours("client", "--timeout", 1, name, at),
                      "no answer", f"{name} {at}", "1s", "--timeout")
            took = time.monotonic() - began
            expect_that(0.9 < took < 5, f"an unanswered dial, {name}: it takes the second", took)
            for sock in server, *waiting:
                sock.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        at = f"127.0.0.1:{silent.getsockname()[1]}"
        complains("an unanswered datagram", ours("client", "--timeout", 1, "udp", at),
                  "no answer", f"udp {at}", "1 s")


def check_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        at = f"127.0.0.1:{taken.getsockname()[1]}"
        for name, command in {
            "echo": ours("echo", "--tcp", at),
            "forwarder": ours("forwarder", "--listen", at, "127.0.0.1:1"),
            "kv": ours("kv", at),
            "operator": ours("operator", at),
            "ok_server": ours("ok_server", at),
        }.items():
            complains(f"a port in use, {name}", command, "cannot listen", at, "in use")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        at = f"127.0.0.1:{taken.getsockname()[1]}"
        complains("a port in use, udp", ours("echo", "--udp", at), "udp", at, "in use")


def check_paths():
    with folder() as path:
        with Program(ours("echo", "--unix", f"{path}/echo")) as echo:
            echo.listening("unix")
            complains("a path in use", ours("echo", "--unix", f"{path}/echo"),
                      "cannot listen", f"unix {path}/echo", "another process listens there")
            expect("a path in use: its server goes on", (0, "hello\n", ""),
                   run(ours("client", "unix", f"{path}/echo"), "hello\n"))
            echo.process.kill()
            echo.process.wait()
        with Program(ours("echo", "--unix", f"{path}/echo")) as echo:
            echo.listening("unix")
            expect("a path whose server was killed is taken over", (0, "hello\n", ""),
                   run(ours("client", "unix", f"{path}/echo"), "hello\n"))
        with open(f"{path}/file", "w") as file:
            file.write("precious")
        complains("a file in the way", ours("echo", "--unix", f"{path}/file"),
                  "cannot listen", f"unix {path}/file", "remove it or choose another path")
        with open(f"{path}/file") as file:
            expect("a file in the way is left alone", "precious", file.read())
        complains("a folder that is not there", ours("echo", "--unix", f"{path}/none/echo"),
                  "cannot listen", f"unix {path}/none/echo", "No such file")
        long = f"{path}/{'x' * 120}"
        complains("a path too long", ours("echo", "--unix", long), "at most 107 bytes")


def check_usage():
    for command in (
        ours("client"),
        ours("client", "smoke", "signals"),
        ours("client", "tcp"),
        ours("client", "--timeout", "soon", "tcp", "127.0.0.1:1"),
        ours("forwarder"),
        ours("forwarder", "--proxy-out", "v3", "127.0.0.1:1"),
        ours("ok_server", "--timeout", "soon"),
        ours("operator", "--loud"),
        ours("echo", "--unix"),
    ):
        code, output, complaint = run(command)
        expect("usage: " + " ".join(command).rpartition("/")[2], (2, "", True),
               (code, output, "Usage:" in complaint or "--help" in complaint))


main(globals())
