#!/usr/bin/env python3
"""The clients of tests/soak/run: each function is a part of it, called by its name.

    soak.py PART ADDRESS PID      a part that measures; prints `ok ...` or `FAIL ...` for each check
    soak.py hold ADDRESS WHAT     holds connections; at their end clients `leave` or `stay`

Needs the standard library only.
"""

import multiprocessing
import os
import resource
import selectors
import socket
import sys
import time

failed = False


def check(good, text):
    """One line for one check."""
    global failed
    failed |= not good
    print("ok" if good else "FAIL", text, flush=True)


def connect(address):
    client = socket.create_connection(address, timeout=10)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def receive(client, length):
    received = b""
    while len(received) < length:
        some = client.recv(length - len(received))
        if not some:
            raise EOFError(f"after {len(received)} of {length} bytes")
        received += some
    return received


def echo(client, message):
    """The seconds that a message takes there and back."""
    start = time.perf_counter()
    client.sendall(message)
    answer = receive(client, len(message))
    took = time.perf_counter() - start
    if answer != message:
        raise ValueError(f"{answer!r} came back for {message!r}")
    return took


def p99(times):
    return sorted(times)[len(times) * 99 // 100]


def ms(seconds):
    return f"{seconds * 1000:.2f} ms"


def cpu_seconds(process):
    """User and system time of a process; fields 14 and 15, behind a name that may hold spaces."""
    with open(f"/proc/{process}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_kib(process):
    with open(f"/proc/{process}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def quiet_times(clients, until):
    """Echo times on connections that speak in turn, a thousand times a second at most."""
    times = []
    while not until():
        times.append(echo(clients[len(times) % len(clients)], b"0123456789abcdef"))
        time.sleep(0.001)
    return times


def after(seconds):
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def compare(what, busy, idle):
    """Ten times the idle figure, or what nobody notices, whichever is more."""
    bound = max(10 * p99(idle), 0.05)
    check(p99(busy) <= bound,
          f"{what} {ms(p99(busy))}, {len(busy)} echoes; idle {ms(p99(idle))} (bound {ms(bound)})")


def descriptors(address, server):
    """More clients than descriptors: the rest wait at no cost, until some are free."""
    clients = {connect(address): b"%03d" % number for number in range(200)}
    waiting = selectors.DefaultSelector()
    for client, message in clients.items():
        client.sendall(message)
        waiting.register(client, selectors.EVENT_READ)

    def answered(patience):
        for key, _ in waiting.select(patience):
            if receive(key.fileobj, 3) != clients[key.fileobj]:
                raise ValueError("another client's bytes")
            waiting.unregister(key.fileobj)
            yield key.fileobj

    served = []
    while some := list(answered(0.5)):
        served += some
    left = len(waiting.get_map())
    check(0 < len(served) < 64 and left,
          f"descriptors: {len(served)} clients served with 64, {left} wait")

    before, start = cpu_seconds(server), time.monotonic()
    time.sleep(3)
    share = (cpu_seconds(server) - before) / (time.monotonic() - start)
    check(share < 0.01,
          f"descriptors: {share:.2%} of a processor while clients wait (bound 1 %)")
    took = echo(served[0], b"still here")
    check(took < 1,
          f"descriptors: an established connection is answered after {ms(took)} (bound 1 s)")

    start = time.monotonic()
    for client in served:
        client.close()
    # Each of them makes room for the next.
    while waiting.get_map() and time.monotonic() < start + 5:
        for client in answered(1):
            client.close()
    took, missed = time.monotonic() - start, len(waiting.get_map())
    check(not missed and took <= 1,
          f"descriptors: {left - missed} of {left} who waited served {ms(took)} after some "
          "are free (bound 1 s)")


def slow_reader(address, server):
    """A client that does not read costs a bounded amount of memory, and nobody else's time."""
    slow, quiet = connect(address), connect(address)
    slow.setblocking(False)
    # A length that nothing else here has: bytes that are lost or doubled show.
    pattern = bytes(number * 7 % 251 for number in range(65_521))
    sent, stuck = 0, 0
    # The buffers of both kernels hold some ten megabytes between them.
    while stuck < 30 and sent < 64e6:
        try:
            sent += slow.send(pattern[sent % len(pattern):])
            stuck = 0
        except BlockingIOError:
            stuck += 1
            time.sleep(0.01)

    def push():
        nonlocal sent
        try:
            sent += slow.send(pattern[sent % len(pattern):])
        except BlockingIOError:
            pass
        sizes.append(resident_kib(server))
        return done()

    sizes, done = [resident_kib(server)], after(2)
    times = quiet_times([quiet], push)
    growth = max(sizes) - sizes[0]
    check(sent < 64e6, f"slow reader: held back after {sent / 1e6:.1f} MB (bound 64 MB)")
    check(growth <= 512,
          f"slow reader: RSS {sizes[0]} KiB, +{growth} KiB in 2 s (bound 512 KiB)")
    check(p99(times) <= 0.05,
          f"slow reader: p99 of another connection {ms(p99(times))}, {len(times)} echoes "
          "(bound 50 ms)")

    slow.settimeout(5)
    slow.shutdown(socket.SHUT_WR)
    received, wrong = 0, False
    while some := slow.recv(65_536):
        at = received % len(pattern)
        wrong |= some != (pattern + pattern + pattern)[at:at + len(some)]
        received += len(some)
    check(received == sent and not wrong,
          f"slow reader: {received} of {sent} bytes echoed in the end, "
          f"{'some wrong' if wrong else 'all right'}")


def flood(address, total):
    """Sends as fast as it can, and reads what comes back."""
    client = connect(address)
    client.setblocking(False)
    selector = selectors.DefaultSelector()
    selector.register(client, selectors.EVENT_READ | selectors.EVENT_WRITE)
    chunk = bytes(256 * 1024)
    while True:
        for _, events in selector.select():
            if events & selectors.EVENT_READ:
                total.value += len(client.recv(len(chunk)))
            if events & selectors.EVENT_WRITE:
                try:
                    client.send(chunk)
                except BlockingIOError:
                    pass


def firehose(address, _):
    """One connection at full rate, beside a hundred that say a word now and then."""
    quiet = [connect(address) for _ in range(100)]
    idle = quiet_times(quiet, after(2))
    total = multiprocessing.Value("Q", lock=False)
    hose = multiprocessing.Process(target=flood, args=(address, total), daemon=True)
    hose.start()
    while total.value == 0:
        time.sleep(0.01)
    before, start = total.value, time.monotonic()
    busy = quiet_times(quiet, after(3))
    rate = (total.value - before) / (time.monotonic() - start)
    hose.kill()
    hose.join()
    check(rate > 1e7,
          f"firehose: {rate / 1e6:.0f} MB/s echoed on one connection (bound 10 MB/s)")
    compare("firehose: p99 of 100 quiet connections", busy, idle)


def rush(address, number, result):
    """Connects as fast as it can, and has a byte echoed on each connection."""
    selector = selectors.DefaultSelector()
    start = time.monotonic()

    def turn(patience):
        answered = 0
        for key, events in selector.select(patience):
            client = key.fileobj
            if events & selectors.EVENT_WRITE:
                client.send(b"x")
                selector.modify(client, selectors.EVENT_READ)
            elif client.recv(2) == b"x":
                selector.unregister(client)
                clients.append(client)
                answered += 1
        return answered

    clients, opened = [], 0
    for opened in range(1, number + 1):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(address)
        selector.register(client, selectors.EVENT_WRITE)
        if opened % 100 == 0:
            turn(0)
    while len(clients) < number and time.monotonic() < start + 12:
        turn(1)
    result.send((len(clients), time.monotonic() - start))


def storm(address, _):
    """Thousands of connections at once, and one that was there before."""
    number = min(5_000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100)
    before = connect(address)
    idle = quiet_times([before], after(1))
    ours, theirs = multiprocessing.Pipe()
    crowd = multiprocessing.Process(target=rush, args=(address, number, theirs), daemon=True)
    crowd.start()
    busy = quiet_times([before], ours.poll)
    served, took = ours.recv()
    crowd.join()
    check(served == number,
          f"accept storm: {served} of {number} connections served after {took:.2f} s (bound 12 s)")
    compare("accept storm: p99 of a connection from before", busy, idle)


def hold(address, what):
    """Holds connections until the server ends them. Who stays does not finish its own side."""
    clients = [connect(address) for _ in range(500)]
    for client in clients:
        echo(client, b"hello")
    print("holding", len(clients), flush=True)
    for client in clients:
        client.settimeout(None)
        try:
            client.recv(1)
        except ConnectionResetError:
            pass
        if what == "leave":
            client.close()
    if what == "stay":
        time.sleep(30)


def main():
    part, address, argument = sys.argv[1:]
    host, _, port = address.rpartition(":")
    try:
        globals()[part]((host, int(port)), argument)
    except (EOFError, OSError, ValueError) as error:
        check(False, f"{part}: {error!r}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
