"""The forwarder, with clients and servers in Python on both sides of it."""

import contextlib
import os
import socket
import struct
import sys
import threading
import time

from harness import (
    PATIENCE, Failed, Program, expect, expect_that, full, has_ipv6, main, ours, receive,
    receive_all, run, skipped,
)

MIB = 1 << 20

# A length that nothing else here has: bytes that are lost, doubled or swapped show.
PATTERN = os.urandom(1_000_003)


@contextlib.contextmanager
def forwarded(*options, host="127.0.0.1"):
    """A forwarder, a listener behind it, and a function that connects through it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        at = f"[{host}]" if ":" in host else host
        to = f"{at}:{server.getsockname()[1]}"
        command = ours("forwarder", "--listen", f"{at}:0", *options, to)
        with Program(command) as forwarder:
            port = forwarder.port()
            yield forwarder, server, lambda: socket.create_connection((host, port))


@contextlib.contextmanager
def connected(*options, **kinds):
    """The two ends of a connection through a forwarder."""
    with forwarded(*options, **kinds) as (forwarder, server, connect):
        with connect() as near, server.accept()[0] as far:
            far.settimeout(near.gettimeout())
            yield forwarder, near, far


def reset(sock):
    """Closes with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def ends_by_reset(sock):
    """True if a connection ends by a reset, false if by a FIN."""
    try:
        receive_all(sock)
        return False
    except ConnectionResetError:
        return True


def send_pattern(sock, length):
    for _ in range(length // len(PATTERN)):
        sock.sendall(PATTERN)
    sock.sendall(PATTERN[:length % len(PATTERN)])
    sock.shutdown(socket.SHUT_WR)


def read_slowly(sock):
    """How much comes, and whether it is the pattern."""
    buffer, doubled = bytearray(300_007), memoryview(PATTERN + PATTERN)
    view, received, right, reads = memoryview(buffer), 0, True, 0
    while read := sock.recv_into(buffer):
        at = received % len(PATTERN)
        right = right and view[:read] == doubled[at:at + read]
        received, reads = received + read, reads + 1
        if reads % 100 == 0:
            time.sleep(0.001)
    return received, right


def carry(sender, receiver, length):
    """Sends so much to a reader that is slower; whether it had to wait, and what came."""
    thread = threading.Thread(target=send_pattern, args=(sender, length), daemon=True)
    thread.start()
    # It stops when everything between the two is full.
    thread.join(0.3)
    stuck = thread.is_alive()
    came = read_slowly(receiver)
    thread.join(10)
    return stuck, *came


def check_a_gibibyte():
    with connected() as (forwarder, near, far):
        before = forwarder.memory("VmRSS")
        expect("forwarder: 1 GiB to a server that reads slowly, byte for byte",
               (True, 1024 * MIB, True), carry(near, far, 1024 * MIB))
        expect("forwarder: 64 MiB back to a client that does, after that",
               (True, 64 * MIB, True), carry(far, near, 64 * MIB))
        growth = forwarder.memory("VmHWM") - before
        expect_that(growth < 4096, "forwarder: its memory has grown by less than 4 MiB at any time",
                    f"{growth} KiB")


def check_both_ways_at_once():
    with connected() as (forwarder, near, far):
        back = []
        thread = threading.Thread(
            target=lambda: back.append(carry(far, near, 32 * MIB)), daemon=True)
        thread.start()
        there = carry(near, far, 32 * MIB)
        thread.join(10)
        expect("forwarder: 32 MiB each way at once", [(True, 32 * MIB, True)] * 2, [there, *back])


def check_half_closes():
    for name, first in ("client", 0), ("server", 1):
        with connected() as (forwarder, *ends):
            finished, other = ends[first], ends[1 - first]
            # So that it is known to be connected all the way.
            ends[0].sendall(b"x")
            receive(ends[1], 1)
            finished.sendall(b"my last words")
            finished.shutdown(socket.SHUT_WR)
            expect(f"forwarder: the {name} finishes first", b"my last words", receive_all(other))
            other.sendall(b"go on")
            expect("forwarder: and goes on receiving", b"go on", receive(finished, 5))
            other.shutdown(socket.SHUT_WR)
            expect("forwarder: until the other has finished", b"", receive_all(finished))
    # The server has not been reached when the client has finished.
    with forwarded() as (forwarder, server, connect):
        with connect() as near:
            near.sendall(b"hello")
            near.shutdown(socket.SHUT_WR)
            with server.accept()[0] as far:
                expect("forwarder: a client in a hurry", b"hello", receive_all(far))
                far.sendall(b"good day")
            expect("forwarder: is answered all the same", b"good day", receive_all(near))


def check_servers_that_leave_at_once():
    """What they say and their end are there with the connection, before its first event."""
    answers = set()
    with forwarded() as (forwarder, server, connect):
        for _ in range(200):
            with connect() as near:
                with server.accept()[0] as far:
                    far.sendall(b"good day")
                near.settimeout(2)
                try:
                    answers.add(receive_all(near))
                except TimeoutError:
                    answers.add("never ends")
                    break
    expect("forwarder: 200 servers that say good day and leave at once", {b"good day"}, answers)


def check_resets():
    for name, first in ("client", 0), ("server", 1):
        with connected() as (forwarder, *ends):
            ends[0].sendall(b"x")
            receive(ends[1], 1)
            reset(ends[first])
            expect(f"forwarder: a reset by the {name} is carried on", True,
                   ends_by_reset(ends[1 - first]))


def send_until_stuck(sock):
    """Sends until nobody takes any more."""
    sock.settimeout(0.2)
    with contextlib.suppress(TimeoutError):
        while True:
            sock.sendall(PATTERN)


def check_resets_of_what_is_stuck():
    """A side that is not read from, since the other reads nothing, is looked after all the same."""
    for name, first in ("client", 0), ("server", 1):
        with connected() as (forwarder, *ends):
            send_until_stuck(ends[0])
            reset(ends[first])
            other = ends[1 - first]
            other.settimeout(PATIENCE)
            expect(f"forwarder: all is stuck, and a reset by the {name} is carried on", True,
                   ends_by_reset(other))


def check_a_server_that_does_not_answer():
    server, waiting = full(socket.AF_INET, ("127.0.0.1", 0))
    to = f"127.0.0.1:{server.getsockname()[1]}"
    command = ours("forwarder", "--listen", "127.0.0.1:0", "--timeout", 1, to)
    with server, Program(command) as forwarder:
        with socket.create_connection(("127.0.0.1", forwarder.port())) as near:
            expect("forwarder: no answer, the client is reset", True, ends_by_reset(near))
        forwarder.err.until(rf"no answer from tcp {to} within 1s\n")
    for sock in waiting:
        sock.close()


def check_a_server_that_refuses():
    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        to = f"127.0.0.1:{refusing.getsockname()[1]}"
        with Program(ours("forwarder", "--listen", "127.0.0.1:0", to)) as forwarder:
            try:
                with socket.create_connection(("127.0.0.1", forwarder.port())) as near:
                    was_reset = ends_by_reset(near)
            except ConnectionResetError:
                # That soon: it had not even been looked whether it is connected.
                was_reset = True
            expect("forwarder: no server, the client is reset", True, was_reset)
            forwarder.err.until(rf"cannot connect to tcp {to}: Connection refused.*\n")
            code, _, complaints = forwarder.terminate()
            expect("forwarder: it says so in one line and goes on", (0, 1),
                   (code, complaints.count("\n")))


V2 = b"\r\n\r\n\0\r\nQUIT\n"


def v1(source, destination):
    family = "TCP6" if ":" in source[0] else "TCP4"
    hosts = f"{source[0]} {destination[0]}"
    return f"PROXY {family} {hosts} {source[1]} {destination[1]}\r\n".encode()


def v2(source, destination, tlvs=b""):
    family = socket.AF_INET6 if ":" in source[0] else socket.AF_INET
    body = socket.inet_pton(family, source[0]) + socket.inet_pton(family, destination[0])
    body += struct.pack("!HH", source[1], destination[1]) + tlvs
    kind = 0x21 if family == socket.AF_INET6 else 0x11
    return V2 + struct.pack("!BBH", 0x21, kind, len(body)) + body


HEADERS = {"v1": v1, "v2": v2}


def check_proxy_out():
    hosts = ["127.0.0.1"]
    if has_ipv6():
        hosts.append("::1")
    else:
        skipped("proxy out: IPv6", "::1 cannot be bound here")
    for host in hosts:
        for version, header in HEADERS.items():
            with connected("--proxy-out", version, host=host) as (_, near, far):
                wanted = header(near.getsockname(), near.getpeername())
                near.sendall(b"hello")
                near.shutdown(socket.SHUT_WR)
                expect(f"proxy out: {version} from {host}", wanted + b"hello", receive_all(far))
                far.sendall(b"plain")
                far.shutdown(socket.SHUT_WR)
                expect(f"proxy out: {version}, the way back has none", b"plain", receive_all(near))
    # Who says nothing is told of, too: the server may be the one to begin.
    with connected("--proxy-out", "v1") as (_, near, far):
        wanted = v1(near.getsockname(), near.getpeername())
        expect("proxy out: before the client says anything", wanted, receive(far, len(wanted)))


CLIENTS = {
    "IPv4": (("203.0.113.7", 56_324), ("198.51.100.1", 443)),
    "IPv6": (("2001:db8::7", 1), ("2001:db8::1", 65_535)),
}


def through(near, server, data):
    """Sends `data`, finishes, and returns all that the server is given."""
    near.sendall(data)
    near.shutdown(socket.SHUT_WR)
    with server.accept()[0] as far:
        return receive_all(far)


def check_proxy_in():
    for version_in, header_in in HEADERS.items():
        for version_out, header_out in HEADERS.items():
            for family, ends in CLIENTS.items():
                options = "--proxy-in", "--proxy-out", version_out
                with forwarded(*options) as (_, server, connect), connect() as near:
                    expect(f"proxy: {family}, {version_in} in, {version_out} out",
                           header_out(*ends) + b"hello",
                           through(near, server, header_in(*ends) + b"hello"))
    ends = CLIENTS["IPv4"]
    with forwarded("--proxy-in") as (_, server, connect), connect() as near:
        expect("proxy in: the header is taken off", b"hello",
               through(near, server, v1(*ends) + b"hello"))
    with forwarded("--proxy-in", "--proxy-out", "v1") as (_, server, connect):
        with connect() as near:
            # TLVs: a name (PP2_TYPE_AUTHORITY), and four zero bytes that mean nothing (NOOP).
            tlvs = b"\x02\0\x05a.com\x04\0\x04\0\0\0\0"
            expect("proxy in: v2 with TLVs", v1(*ends) + b"hello",
                   through(near, server, v2(*ends, tlvs) + b"hello"))
        with connect() as near:
            expect("proxy in: v1 UNKNOWN", b"PROXY UNKNOWN\r\nhello",
                   through(near, server, b"PROXY UNKNOWN\r\nhello"))
        with connect() as near:
            expect("proxy in: v2 LOCAL", b"PROXY UNKNOWN\r\nhello",
                   through(near, server, V2 + b"\x20\0\0\0hello"))
        with connect() as near:
            # More than is read at once, and begun by what came with the header.
            data = PATTERN * 3
            thread = threading.Thread(
                target=send_all, args=(near, v2(*ends) + data), daemon=True)
            thread.start()
            with server.accept()[0] as far:
                came = receive_all(far)
            thread.join(10)
            expect("proxy in: what follows the header at once, and 3 MB of it", True,
                   came == v1(*ends) + data)


def send_all(sock, data):
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def wait_until_read(sock):
    """Waits until the other end, on this host and IPv4, has read what was sent."""
    def end(address):
        return "%08X:%04X" % (
            int.from_bytes(socket.inet_aton(address[0]), sys.byteorder), address[1])
    other, own = end(sock.getpeername()), end(sock.getsockname())
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with open("/proc/net/tcp") as table:
            for line in table:
                _, local, remote, _, queues, *_ = line.split()
                if (local, remote) == (other, own) and queues.endswith(":00000000"):
                    return
    raise Failed("FAIL what was sent is not read")


def check_proxy_in_byte_by_byte():
    ends = CLIENTS["IPv4"]
    for version, header in HEADERS.items():
        with forwarded("--proxy-in", "--proxy-out", "v1") as (_, server, connect):
            with connect() as near:
                near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                *first, last = [bytes([byte]) for byte in header(*ends)]
                for byte in first:
                    near.sendall(byte)
                    wait_until_read(near)
                expect(f"proxy in: {version}, byte by byte", v1(*ends) + b"hello",
                       through(near, server, last + b"hello"))


def check_proxy_in_refuses():
    with forwarded("--proxy-in") as (forwarder, server, connect):
        for name, data in {
            "no header": b"GET / HTTP/1.1\r\n\r\n",
            "a bad address": b"PROXY TCP4 1.2.3.400 1.2.3.4 1 2\r\n",
            "a header without an end": b"PROXY TCP4 " + b"1" * 200,
            "version 3": V2 + b"\x31\x11\0\x0c" + bytes(12),
        }.items():
            with connect() as near:
                near.sendall(data)
                with contextlib.suppress(ConnectionResetError):
                    expect(f"proxy in: {name} ends the connection", b"", receive_all(near))
        with connect() as near:
            near.shutdown(socket.SHUT_WR)
            expect("proxy in: who finishes without a header is let go", b"", receive_all(near))
        server.setblocking(False)
        try:
            server.accept()
            reached = True
        except BlockingIOError:
            reached = False
        expect("proxy in: none of them has reached the server", False, reached)


def check_chain():
    """A client, two forwarders that speak the protocol to each other, and an echo server: ours."""
    with Program(ours("echo", "--tcp", "127.0.0.1:0")) as echo, \
            Program(ours("forwarder", "--listen", "127.0.0.1:0", "--proxy-in",
                         f"127.0.0.1:{echo.port()}")) as inner, \
            Program(ours("forwarder", "--listen", "127.0.0.1:0", "--proxy-out", "v2",
                         f"127.0.0.1:{inner.port()}")) as outer:
        expect("proxy: through two forwarders to the echo", (0, "hello\n", ""),
               run(ours("client", "tcp", f"127.0.0.1:{outer.port()}"), "hello\n"))


main(globals())
