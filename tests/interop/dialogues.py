"""Clients and servers that talk in turns: what both sides print, line for line."""

import os
import pty
import re
import socket
import subprocess

from harness import (
    Output, Program, expect, expect_that, main, ours, plain, receive_all, run,
)

# What a client of the OK server prints, who was asked three times and typed nothing the third time.
TURN = "Please input data:Send Successfully\nOK\n"
TYPED = "hello\nhow are you\n\n"


def ok_servers(timeout=10):
    return {
        "their server": plain("ok_server", 0, timeout),
        "our server": ours("ok_server", "127.0.0.1:0", "--once", "--timeout", timeout),
    }


def asking(name, port):
    """The command line of our client or theirs."""
    if name == "our client":
        return ours("client", "--prompt", "tcp", f"127.0.0.1:{port}")
    return plain("ok_client", port)


def check_ok_servers_and_clients():
    served = "Socket Created\nGet value hello\nGet value how are you\nExit Server\n"
    for server, command in ok_servers().items():
        for client in "their client", "our client":
            with Program(command) as program:
                expect(f"ok: what {client} prints, {server}",
                       (0, TURN + TURN + "Please input data:", ""),
                       run(asking(client, program.port()), TYPED))
                expect(f"ok: what {server} prints, {client}", (0, served), program.end()[:2])


def check_ok_server_times_out():
    for server, command in ok_servers(timeout=1).items():
        with Program(command) as program:
            with socket.create_connection(("127.0.0.1", program.port())) as silent:
                expect(f"ok: a silent client is sent away, {server}", b"", receive_all(silent))
            expect(f"ok: what {server} prints then", (0, "Socket Created\nTime out\n"),
                   program.end()[:2])


def check_ok_server_cannot_bind():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for server, command in {
            "their server": plain("ok_server", port, 10),
            "our server": ours("ok_server", f"127.0.0.1:{port}"),
        }.items():
            code, output, complaint = run(command)
            expect(f"ok: what {server} prints if the port is taken",
                   (1, "Socket Created\nBind Failed...\n", 1),
                   (code, output, complaint.count("\n")))


def check_ok_server_serves_many():
    """The one of the introductions would leave the second client waiting."""
    with Program(ours("ok_server", "127.0.0.1:0")) as server:
        at = ("127.0.0.1", server.port())
        with socket.create_connection(at) as first, socket.create_connection(at) as second:
            for sock in first, second, first:
                sock.sendall(b"hello")
                expect("ok: two clients in turns", b"OK", sock.recv(1024))


def check_client_at_a_terminal():
    """A terminal is asked without being told to, and what a stranger sends cannot command it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        master, slave = pty.openpty()
        try:
            command = ours("client", "tcp", f"127.0.0.1:{server.getsockname()[1]}")
            with Program(command, stdin=slave, stdout=slave) as client:
                os.close(slave)
                screen = Output(master)
                with server.accept()[0] as sock:
                    screen.until("Please input data:")
                    os.write(master, b"hello\n")
                    expect("terminal: what is typed is sent", b"hello", sock.recv(1024))
                    sock.sendall(b"\x1b[2JOK")
                    screen.until("OK\r?\nPlease input data:")
                    os.write(master, b"\n")
                    expect("terminal: an empty line ends it", b"", sock.recv(1024))
                code, _, complaint = client.end()
                screen.join(10)
                expect("terminal: it ends well", (0, ""), (code, complaint))
                expect_that("\x1b" not in screen.text(), "terminal: nothing commands it",
                            screen.text())
        finally:
            os.close(master)


def check_server_that_resets():
    """Standard input goes on; the client says what has happened and ends all the same."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with Program(ours("client", "--prompt", "tcp", f"127.0.0.1:{port}")) as client:
            sock = server.accept()[0]
            client.type("hello\n")
            sock.recv(1024)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()
            code = client.process.wait(10)
            client.err.join(10)
            complaint = client.err.text()
            expect("reset: one line that says whom, and exit code 1", (1, 1, True, True),
                   (code, complaint.count("\n"), "reset" in complaint, f":{port}" in complaint))


def check_servers_that_leave_at_once():
    """What they say and their end are there with the connection, before its first event."""
    ends = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = ours("client", "tcp", f"127.0.0.1:{server.getsockname()[1]}")
        for _ in range(40):
            # Its standard input stays open: only the server's end can end it.
            with Program(command) as client:
                with server.accept()[0] as sock:
                    sock.sendall(b"good day\n")
                try:
                    code = client.process.wait(2)
                except subprocess.TimeoutExpired:
                    code = "never ends"
                client.out.join(0.1)
                ends.append((code, client.out.text()))
                if code:
                    break
    expect("leaving: 40 servers that say good day and leave at once", {(0, "good day\n")},
           set(ends))


QUESTION, ANSWER = "Grüße! Sind Sie da? 你好", "Ja, natürlich. 再见"


def check_operators_and_clients():
    """Text that is no ASCII, typed at both ends."""
    for name in "their client", "our client":
        with Program(ours("operator", "127.0.0.1:0")) as operator:
            client = ask(name, operator.port())
            with Program(client) as client:
                client.type(QUESTION + "\n")
                operator.out.until(f": {re.escape(QUESTION)}\n")
                operator.type(ANSWER + "\n")
                client.out.until(ANSWER)
                expect(f"operator: ours, {name}", 0, client.end()[0])
            code, output, complaint = operator.end()
            expect(f"operator: what ours prints, {name}", (0, True, True, ""),
                   (code, "server started" in output, "connected by 127.0.0.1:" in output,
                    complaint))
    for name in "their client", "our client":
        with Program(plain("answer_server")) as operator:
            with Program(ask(name, operator.port())) as client:
                client.type(QUESTION + "\n")
                operator.out.until(f"^{re.escape(QUESTION)}\n")
                operator.type(ANSWER + "\n")
                client.out.until(ANSWER)
                expect(f"operator: theirs, {name}", 0, client.end()[0])
            expect(f"operator: what theirs prints, {name}",
                   (0, f"server started\nclient 127.0.0.1\n{QUESTION}\n"), operator.end()[:2])


def ask(name, port):
    if name == "our client":
        return ours("client", "--prompt", "tcp", f"127.0.0.1:{port}")
    return plain("ask_client", port)


def check_operator_with_split_and_broken_text():
    with Program(ours("operator", "127.0.0.1:0"), log="trace") as operator:
        with socket.create_connection(("127.0.0.1", operator.port())) as sock:
            sock.sendall("a你".encode()[:2])
            operator.err.until(r"\] read \w+: 2 bytes")
            sock.sendall("你b".encode()[1:])
            shown = operator.out.until(r"\w+: a\n(?s:.*)\w+: (.*)\n")
            expect("operator: a character in two pieces is shown whole", "你b", shown[1])
            sock.sendall(b"\xff")
            sock.settimeout(10)
            try:
                rest = receive_all(sock)
            except ConnectionResetError:
                rest = b""
            expect("operator: what is no UTF-8 ends the connection", b"", rest)
        operator.out.until("has left")


def check_operator_answers_in_turn():
    with Program(ours("operator", "127.0.0.1:0")) as operator:
        at = ("127.0.0.1", operator.port())
        with socket.create_connection(at) as first, socket.create_connection(at) as second:
            first.sendall(b"first")
            operator.out.until(": first\n")
            second.sendall(b"second")
            # Who has finished asking is answered all the same.
            second.shutdown(socket.SHUT_WR)
            operator.out.until(": second\n")
            operator.type("to the first\nto the second\n")
            expect("operator: who asked first is answered first",
                   [b"to the first", b"to the second"], [receive_all(first), receive_all(second)])
        operator.type("nobody there\n")
        operator.out.until("nobody is waiting for an answer\n")
        expect("operator: Ctrl-D ends it", 0, operator.end()[0])


main(globals())
