"""Slow clients by the thousand, beside a good one."""

import http.client
import re
import statistics
import threading
import time

from harness import Program, expect_that, main
from web import website

CLIENTS = 1_000

# As `http::Options` has them: how long a head may take; a body, whose few bytes earn nothing worth
# mentioning; and over what time the taking of an answer is measured. What is taken before the
# kernel's buffers are full counts as taken, so an answer is judged by its second window.
HEAD, BODY, WINDOW = 10, 10, 10


class Watch(threading.Thread):
    """Looks at the server's connections ten times a second, in the kernel's table."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.ended = f":{port:04X}", threading.Event()
        # By the client's port: when a connection was seen first and last.
        self.seen, self.count, self.most = {}, 0, 0
        self.start()

    def run(self):
        while not self.ended.wait(0.1):
            now, count = time.monotonic(), 0
            with open("/proc/net/tcp") as table:
                for line in table:
                    _, local, remote, state, *_ = line.split()
                    # Established: what the server has reset or is closing is in other states.
                    if state == "01" and local.endswith(self.port):
                        self.seen.setdefault(remote, [now, now])[1] = now
                        count += 1
            self.count, self.most = count, max(self.most, count)

    def lifetimes(self):
        """Seconds that each of the connections stood, the shortest first."""
        return sorted(last - first for first, last in self.seen.values())


class Good(threading.Thread):
    """A client that asks for a page and a file once a second."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.ended, self.took, self.wrong = port, threading.Event(), [], []
        self.start()

    def run(self):
        while not self.ended.wait(1):
            for path in "/hello/you", "/files/ok.txt":
                began = time.monotonic()
                try:
                    client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                    client.request("GET", path)
                    answer = client.getresponse()
                    answer.read()
                    if answer.status != 200:
                        self.wrong.append(answer.status)
                    client.close()
                except OSError as error:
                    self.wrong.append(repr(error))
                self.took.append(time.monotonic() - began)


def attack(name, deadline, path, *options, status=None):
    with website("--access-log") as (web, _):
        # Behind the buffers of the kernel there is to be something left.
        command = ["slowhttptest", "-c", CLIENTS, "-r", CLIENTS, "-l", deadline + 8, "-p", 3,
                   "-u", web.url(path), *options]
        watch, good = Watch(web.at), Good(web.at)
        began = time.monotonic()
        with Program(list(map(str, command))) as slow:
            # Those that read slowly do not notice that nobody writes any more.
            while time.monotonic() - began < deadline + 5 and slow.process.poll() is None:
                if watch.most >= CLIENTS and watch.count < 10:
                    break
                time.sleep(0.1)
            said = re.sub(r"\x1b\[[\d;]*\w", "", slow.out.text() + slow.err.text())[-400:]
        took = time.monotonic() - began
        for thread in watch, good:
            thread.ended.set()
            thread.join()
        memory = web.memory("VmHWM")
        # The good client's, and those by which the slow ones see whether the server is there,
        # stand for no time.
        all_of_them = watch.lifetimes()
        slow_ones = all_of_them[-CLIENTS:]
        expect_that(watch.most >= CLIENTS, f"{name}: {CLIENTS} at a time", (watch.most, said))
        expect_that(slow_ones[-1] <= deadline + 1, f"{name}: each is let go of in time",
                    (deadline, slow_ones[::CLIENTS // 10], slow_ones[-1]))
        expect_that(not good.wrong and max(good.took) < 1,
                    f"{name}: a good client is served all the while", (good.wrong, good.took))
        if status:
            web.until("the log", lambda: len(answers(web, status)) >= CLIENTS)
            expect_that(len(answers(web, status)) == CLIENTS, f"{name}: each is told {status}",
                        len(answers(web, status)))
        print(f"     let go of after {slow_ones[0]:.1f} to {slow_ones[-1]:.1f} s,"
              f" {statistics.median(slow_ones):.1f} s in the middle;"
              f" the good client waited {1_000 * max(good.took):.0f} ms at the most,"
              f" of {len(good.took)} answers; {memory / 1_024:.0f} MiB; {took:.0f} s", flush=True)


def answers(web, status):
    return re.findall(rf'" {status} [\d-]+$', web.out.text(), re.MULTILINE)


def check_slow_heads():
    attack("slow heads", HEAD, "/", "-H", "-i", 2, "-x", 24, status=408)


def check_slow_bodies():
    attack("slow bodies", BODY, "/say", "-B", "-i", 2, "-x", 24, "-s", 100_000, status=408)


def check_slow_readers():
    # Windows of less than these make the kernel cut what is sent into pieces of some hundred bytes:
    # a thousandfold, that measures the kernel.
    attack("slow readers", 2 * WINDOW, "/files/big.bin",
           "-X", "-w", 8_192, "-y", 16_384, "-n", 1, "-z", 32)


main(globals())
