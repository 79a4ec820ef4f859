"""The echo example and the client example, against echo servers and clients in Python."""

import re
import signal
import socket
import threading
import time

from harness import (
    Program, expect, expect_that, folder, has_ipv6, main, ours, plain, receive, receive_all, run,
    skipped,
)

RECEIVED = "Received b'hello world'\n"


def check_tcp_clients_and_servers():
    with Program(ours("echo", "--tcp", "127.0.0.1:0")) as echo:
        expect("tcp: their client, our server", (0, RECEIVED, ""),
               run(plain("tcp_client", echo.port())))
        expect("tcp: our client, our server", (0, "hello world\n", ""),
               run(ours("client", "tcp", f"127.0.0.1:{echo.port()}"), "hello world"))
        expect("tcp: our client by name", (0, "hello world\n", ""),
               run(ours("client", "tcp", f"localhost:{echo.port()}"), "hello world"))
    with Program(plain("tcp_server")) as server:
        expect("tcp: our client, their server", (0, "hello world\n", ""),
               run(ours("client", "tcp", f"127.0.0.1:{server.port()}"), "hello world"))
        code, output, _ = server.end()
        expect("tcp: their server has seen the end", (0, "Connected by 127.0.0.1\n"),
               (code, output))


def check_udp_clients_and_servers():
    with Program(ours("echo", "--udp", "127.0.0.1:0")) as echo:
        expect("udp: their client, our server",
               (0, "Received b'hello world' True\nReceived b'hello again'\n", ""),
               run(plain("udp_client", echo.port("udp"))))
        expect("udp: our client, our server", (0, "one\ntwo\n", ""),
               run(ours("client", "udp", f"127.0.0.1:{echo.port('udp')}"), "one\ntwo\n"))
    with Program(plain("udp_server")) as server:
        expect("udp: our client, their server", (0, "one\ntwo\n", ""),
               run(ours("client", "udp", f"127.0.0.1:{server.port('udp')}"), "one\ntwo\n"))


def check_unix_clients_and_servers():
    with folder() as at:
        with Program(ours("echo", "--unix", f"{at}/echo", "--unix", f"@{at}/name")) as echo:
            echo.out.until("^listening unix @")
            expect("unix: their client, our server", (0, RECEIVED, ""),
                   run(plain("unix_client", f"{at}/echo")))
            for path in f"{at}/echo", f"@{at}/name":
                kind = "a name" if path.startswith("@") else "a path"
                expect(f"unix: our client, our server, {kind}", (0, "hello world\n", ""),
                       run(ours("client", "unix", path), "hello world"))
        with Program(plain("unix_server", f"{at}/theirs")) as server:
            server.listening("unix")
            expect("unix: our client, their server", (0, "hello world\n", ""),
                   run(ours("client", "unix", f"{at}/theirs"), "hello world"))


def check_select_loops():
    with Program(ours("echo", "--tcp", "127.0.0.1:0")) as echo:
        expect("select: their 200 clients in a loop, our server", (0, "200 of 200\n", ""),
               run(plain("select_client", echo.port(), 200)))
    with Program(plain("select_server")) as server:
        at = f"127.0.0.1:{server.port()}"
        clients = [Program(ours("client", "tcp", at)) for _ in range(8)]
        try:
            # All of them are served while none has finished.
            for number, client in enumerate(clients):
                client.type(f"I am {number}\n")
            for number, client in enumerate(clients):
                client.out.until(f"^I am {number}\n")
            ends = [client.end() for client in clients]
        finally:
            for client in clients:
                client.__exit__()
        expect("select: our 8 clients at once, their server",
               [(0, f"I am {number}\n", "") for number in range(8)], ends)


def check_families():
    """AF_INET and AF_INET6, SOCK_STREAM and SOCK_DGRAM."""
    hosts = ["127.0.0.1"]
    if has_ipv6():
        hosts.append("[::1]")
    else:
        skipped("families: IPv6", "::1 cannot be bound here")
    for host in hosts:
        with Program(ours("echo", "--tcp", f"{host}:0", "--udp", f"{host}:0")) as echo:
            for protocol, kind in ("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM):
                family = socket.AF_INET6 if ":" in host else socket.AF_INET
                with socket.socket(family, kind) as sock:
                    sock.connect((host.strip("[]"), echo.port(protocol)))
                    sock.send(b"hello world")
                    expect(f"families: {protocol} at {host}", b"hello world", sock.recv(1024))


def check_sizes_of_datagrams():
    """Each is one message, the empty one and the largest one too; into a buffer used again."""
    with Program(ours("echo", "--udp", "127.0.0.1:0")) as echo:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            server, buffer, answers = ("127.0.0.1", echo.port("udp")), bytearray(65_536), []
            sizes = [0, 1, 1472, 1473, 65_507]
            for size in sizes:
                sent = bytes(at % 251 for at in range(size))
                sock.sendto(sent, server)
                read, peer = sock.recvfrom_into(buffer)
                answers.append(read if buffer[:read] == sent and peer == server else None)
    expect("udp: 0 to 65,507 bytes with recvfrom_into", sizes, answers)


def check_sendall_loses_nothing():
    """64 MiB to a client that sends all it can before it reads anything, and then slowly."""
    block = bytes(at % 251 for at in range(1 << 20))
    with Program(ours("echo", "--tcp", "127.0.0.1:0")) as echo:
        with socket.create_connection(("127.0.0.1", echo.port())) as sock:
            def send():
                for _ in range(64):
                    sock.sendall(block)
                sock.shutdown(socket.SHUT_WR)
            sender = threading.Thread(target=send, daemon=True)
            sender.start()
            # It stops when everything between is full.
            sender.join(0.3)
            stuck, right, count = sender.is_alive(), True, 0
            buffer = bytearray(1 << 20)
            doubled = memoryview(block + block)
            while read := sock.recv_into(buffer):
                at = count % len(block)
                right = right and doubled[at:at + read] == memoryview(buffer)[:read]
                count += read
            sender.join()
        expect("sendall: 64 MiB, byte for byte, to a client that did not read at first",
               (True, True, 64 << 20), (stuck, right, count))


def steps(trace, *words, of=r"\S+"):
    """These steps of the trace, in their order, without what they were done to."""
    return re.findall(rf"switchboard::\S+\] ({'|'.join(words)}) {of}", trace)


def check_trace_of_the_steps():
    """The steps of the introductions, by their names and in their order, on both sides."""
    with Program(ours("echo", "--tcp", "127.0.0.1:0"), log="trace") as echo:
        with Program(ours("client", "tcp", f"127.0.0.1:{echo.port()}"), log="trace") as client:
            # The passive open is over before the first byte is sent.
            accepted = echo.err.until(r"\] accept (\w+) from ")
            client.type("hello\n")
            client.out.until("^hello\n")
            code, _, theirs = client.end()
        echo.err.until(r"\] close ")
        served = echo.err.text()
        whole = ["socket", "bind", "listen", "accept", "read", "write", "close"]
        expect("trace: the server's steps, by name and in order", whole, steps(served, *whole))
        expect("trace: the poller has been asked, and told of the connection", (True, ["register"]),
               ("] poll: 1 events\n" in served, steps(served, "register", of=accepted[1])))
        # What is typed comes from a connection, too: only the server's is looked at.
        server = re.search(r"\] connect (\w+) to ", theirs)[1]
        whole = ["connect", "write", "read", "close"]
        expect("trace: the client's steps, by name and in order", (0, whole),
               (code, steps(theirs, *whole, of=rf"{server}\b")))


def reads(program):
    """How many datagrams the trace tells of."""
    return len(re.findall(r"\] read \w+: \d+ bytes from ", program.err.text()))


def check_two_echo_servers_do_not_answer_one_another():
    """One datagram, forged to come from another echo server on the same port number, must not
    go back and forth for ever."""
    with Program(ours("echo", "--udp", "127.0.0.1:0"), log="trace") as one:
        port = one.port("udp")
        expect("two echoes: the one works", b"are you there?", asked("127.0.0.1", port))
        # While the one is stopped, a datagram is sent to it from what is to be the other's address.
        one.process.send_signal(signal.SIGSTOP)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forger:
            forger.bind(("127.0.0.2", port))
            forger.sendto(b"an echo for you", ("127.0.0.1", port))
        with Program(ours("echo", "--udp", f"127.0.0.2:{port}"), log="trace") as other:
            other.port("udp")
            one.process.send_signal(signal.SIGCONT)
            one.err.until(r": 15 bytes from 127\.0\.0\.2:")
            # Had it been answered, that would be there before these.
            expect("two echoes: both go on",
                   [b"are you there?"] * 2, [asked("127.0.0.1", port), asked("127.0.0.2", port)])
            # The one has ours and the forged one, the other only ours.
            one.err.until(r"(?s)bytes from .*bytes from .*bytes from ")
            other.err.until(r"bytes from ")
            expect("two echoes: a forged datagram is answered by none", (3, 1),
                   (reads(one), reads(other)))


def check_two_echo_servers_grow_silent():
    """The same with two ports: neither can know that the other is one, but they come to an end."""
    with Program(ours("echo", "--udp", "127.0.0.1:0"), log="trace") as one:
        port = one.port("udp")
        one.process.send_signal(signal.SIGSTOP)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forger:
            forger.bind(("127.0.0.2", 0))
            other_port = forger.getsockname()[1]
            forger.sendto(b"an echo for you", ("127.0.0.1", port))
        with Program(ours("echo", "--udp", f"127.0.0.2:{other_port}"), log="trace") as other:
            other.port("udp")
            one.process.send_signal(signal.SIGCONT)
            one.err.until(r": 15 bytes from 127\.0\.0\.2:")
            seen = [-1, 0]
            for _ in range(150):
                if seen[-1] > 1 and seen[-2] == seen[-1]:
                    break
                time.sleep(0.2)
                seen.append(reads(one) + reads(other))
            expect_that(seen[-1] == seen[-2] <= 20_100, "two echoes: they grow silent", seen[-3:])
            expect("two echoes: both go on with others", [b"are you there?"] * 2,
                   [asked("127.0.0.1", port), asked("127.0.0.2", other_port)])


def asked(host, port):
    """What is answered to a datagram."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"are you there?", (host, port))
        return sock.recv(1024)


def check_inherited_sockets():
    """Sockets that were open, and had clients, before the server was started."""
    with folder() as at, \
            socket.create_server(("127.0.0.1", 0)) as tcp, \
            socket.socket(socket.AF_UNIX) as unix, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        unix.bind(f"{at}/echo")
        unix.listen()
        udp.bind(("127.0.0.1", 0))
        early = socket.create_connection(tcp.getsockname())
        early.sendall(b"first")
        passed = [str(sock.fileno()) for sock in (tcp, unix, udp)]
        command = plain("activate", ",".join(passed), *ours("echo", "--inherited"))
        with early, Program(command, pass_fds=list(map(int, passed))) as echo:
            expect("inherited: it says the same addresses",
                   [f"127.0.0.1:{tcp.getsockname()[1]}", f"{at}/echo",
                    f"127.0.0.1:{udp.getsockname()[1]}"],
                   [echo.listening(protocol) for protocol in ("tcp", "unix", "udp")])
            expect("inherited: who came before it started is served", b"first", receive(early, 5))
            expect("inherited: tcp", (0, RECEIVED, ""), run(plain("tcp_client", echo.port())))
            expect("inherited: unix", (0, RECEIVED, ""), run(plain("unix_client", f"{at}/echo")))
            expect("inherited: udp", b"are you there?", asked("127.0.0.1", echo.port("udp")))
            early.shutdown(socket.SHUT_WR)
            expect("inherited: it ends with 0", (b"", 0),
                   (receive_all(early), echo.terminate()[0]))
        with open("/dev/null") as null:
            command = plain("activate", null.fileno(), *ours("echo", "--inherited"))
            code, output, complaint = run(command, pass_fds=[null.fileno()])
            expect("inherited: what is no socket is refused", (1, "", 1, True),
                   (code, output, complaint.count("\n"), "descriptor 3" in complaint))


main(globals())
