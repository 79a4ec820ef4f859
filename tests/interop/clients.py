"""The web example against curl, against http.client and requests, against wrk, and against bytes
that no client sends; long polling, a stream of events, the access log, and how it ends."""

import contextlib
import http.client
import os
import re
import signal
import socket
import struct
import threading
import time

from harness import (
    EXAMPLES, expect, expect_that, folder, has, main, ours, receive, receive_all, run, skipped,
)
from web import (
    BIG, SMALL, TEXT, Stream, Web, call, connect, head, raw, say, status, website, write,
)


def curl(*arguments):
    """What curl says on its output, if it succeeds; what it complains of, otherwise."""
    code, output, complaint = call(["curl", "-sS", "--max-time", "10", *arguments])
    return output if code == 0 else f"curl: {code}: {complaint}"


def written(text, *arguments):
    """What curl knows of a transfer, by the name of a variable, without what came."""
    return curl("-o", "/dev/null", "-w", text, *arguments)


def check_curl_connections():
    if not has("curl", "curl"):
        return
    with website() as (web, _):
        page = web.url("/hello/you")
        twice = ["-o", "/dev/null", "-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n",
                 page, page]
        expect("curl: one connection for two requests", b"200 1\n200 0\n", curl(*twice))
        expect("curl: HTTP/1.0 is answered and closed", b"200 1\n200 1\n",
               curl("--http1.0", *twice))
        expect("curl: HTTP/1.0 that asks for it is kept", b"200 1\n200 0\n",
               curl("--http1.0", "-H", "Connection: keep-alive", *twice))
        expect("curl: an upgrade to HTTP/2 is not taken up", b"200 1.1",
               written("%{http_code} %{http_version}", "--http2", page))
        expect("curl: nor is one that comes with a form", b"204 1.1",
               written("%{http_code} %{http_version}", "--http2", "-d", "text=h2c",
                       web.url("/say")))
        began = time.monotonic()
        said = curl("--http2-prior-knowledge", page)
        took = time.monotonic() - began
        expect_that(str(said).startswith("curl: ") and took < 3,
                    "curl: HTTP/2 without asking is refused at once", (said, took))


def check_curl_files():
    if not has("curl", "curl: files"):
        return
    with website() as (web, _), folder() as here:
        file, text = web.url("/files/big.bin"), web.url("/files/text.txt")
        expect_that(curl(file) == BIG, "curl: a file of 8 MiB", len(curl(file)))
        lines = curl("-I", file).decode().split("\r\n")
        expect("curl: HEAD", ("HTTP/1.1 200 OK", True),
               (lines[0], f"Content-Length: {len(BIG)}" in lines))
        for asked, part in {
            "0-0": BIG[:1], "10-19": BIG[10:20], "-5": BIG[-5:], "8388600-": BIG[8388600:],
            "131000-400000": BIG[131000:400001],
        }.items():
            expect_that(curl("-r", asked, file) == part, f"curl: the range {asked}", asked)
        expect("curl: a range that is not there", b"416",
               written("%{http_code}", "-r", "99999999-", file))
        begun = os.path.join(here, "begun")
        with open(begun, "wb") as output:
            output.write(BIG[:1_000_000])
        curl("-C", "-", "-o", begun, file)
        with open(begun, "rb") as output:
            expect_that(output.read() == BIG, "curl: a transfer taken up where it ended", begun)
        tag = os.path.join(here, "tag")
        for name, url in ("a file", file), ("text", text), ("text, compressed", text):
            coded = ["--compressed"] if "compressed" in name else []
            first = written("%{http_code}", "--etag-save", tag, *coded, url)
            again = written("%{http_code} %{size_download}", "--etag-compare", tag, *coded, url)
            expect(f"curl: If-None-Match, {name}", (b"200", b"304 0"), (first, again))
        expect("curl: If-Modified-Since", (b"304", b"200"),
               (written("%{http_code}", "-z", "1 Jan 2037", file),
                written("%{http_code}", "-z", "1 Jan 2000", file)))
        for coding in "gzip", "deflate":
            accept = ["--compressed", "-H", f"Accept-Encoding: {coding}", text]
            expect_that(curl(*accept) == TEXT.encode(), f"curl: {coding}", curl(*accept)[:99])
            size = int(written("%{size_download}", *accept))
            expect_that(size < len(TEXT) / 20, f"curl: {coding} saves most of it", size)
        expect_that(curl("--compressed", text) == TEXT.encode(), "curl: any coding it knows", "")


def check_curl_uploads():
    if not has("curl", "curl: uploads"):
        return
    with website() as (web, _), folder() as here:
        say = web.url("/say")
        for name, size in ("small", 900_000), ("large", 2_000_000):
            write(here, name, b"text=" + b"x" * size)
        small, large = (f"@{here}/{name}" for name in ("small", "large"))
        code, output, trace = call(["curl", "-sSv", "-H", "Expect: 100-continue", "-d", small,
                                    "-w", "%{http_code} %{size_upload}", say])
        expect("curl: 900 kB, sent when it is told to",
               (0, b"204 900005", 1), (code, output, trace.count("< HTTP/1.1 100 Continue")))
        expect("curl: 2 MB, which it is told not to send", b"413 0",
               written("%{http_code} %{size_upload}", "-H", "Expect: 100-continue", "-d", large,
                       say))
        chunked = ["-H", "Transfer-Encoding: chunked"]
        expect("curl: a body in chunks", b"204",
               written("%{http_code}", *chunked, "-d", "text=in+chunks", say))
        expect_that("in chunks" in web.ask("/poll?since=0")[2].decode(),
                    "curl: what it said in chunks is news", web.ask("/poll?since=0"))
        expect("curl: 900 kB in chunks", b"204",
               written("%{http_code}", *chunked, "-d", small, say))
        answer = written("%{http_code}", *chunked, "-H", "Expect:", "-d", large, say)
        expect("curl: 2 MB in chunks are refused, and it hears why", b"413", answer)
        expect("curl: other methods", (b"405", b"204", b"404"),
               (written("%{http_code}", "-X", "DELETE", say),
                written("%{http_code}", "-X", "OPTIONS", say),
                written("%{http_code}", web.url("/nowhere"))))


def check_http_client():
    with website() as (web, _):
        client = http.client.HTTPConnection("127.0.0.1", web.at)

        def ask(*request, **options):
            client.request(*request, **options)
            answer = client.getresponse()
            return answer.status, answer.read()

        with contextlib.closing(client):
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            pieces = iter([b"text=", b"piece", b"+by+piece"])
            answers = [
                ask("GET", "/hello/you"),
                ask("HEAD", "/hello/you"),
                ask("GET", "/hello/gr%C3%B6%C3%9Fe"),
                ask("POST", "/say", "text=hello", form),
                ask("POST", "/say", "nothing", form)[0],
                ask("POST", "/say", pieces, form, encode_chunked=True),
                ask("PUT", "/say")[0],
                ask("OPTIONS", "/say")[0],
                ask("GET", "/files/ok.txt"),
                ask("GET", "/files/none")[0],
            ]
            port = client.sock.getsockname()[1]
            expect("http.client: all kinds of requests", [
                (200, b"hello, you\n"), (200, b""), (200, "hello, größe\n".encode()), (204, b""),
                400, (204, b""), 405, 204, (200, SMALL.encode()), 404,
            ], answers)
            for _ in range(200):
                ask("GET", "/poll")
            expect("http.client: by one connection", port, client.sock.getsockname()[1])
        news = web.get_json("/poll?since=0")
        expect_that([item["text"] for item in news][-2:] == ["hello", "piece by piece"],
                    "http.client: what was said is news", news)


def check_requests():
    try:
        import requests
    except ImportError:
        return skipped("requests", "the package is not installed")
    with website() as (web, _), requests.Session() as session:
        answer = session.get(web.url("/hello/größe"))
        expect("requests: text", (200, "hello, größe\n", "utf-8"),
               (answer.status_code, answer.text, answer.encoding))
        answer = session.get(web.url("/files/text.txt"))
        expect("requests: compressed on its way", ("gzip", True),
               (answer.headers["Content-Encoding"], answer.text == TEXT))
        with session.get(web.url("/files/big.bin"), stream=True) as answer:
            count = sum(map(len, answer.iter_content(65_536)))
        expect("requests: a file piece by piece", len(BIG), count)
        answer = session.post(web.url("/say"), data={"text": "größe & co"})
        news = session.get(web.url("/poll"), params={"since": 0}).json()
        expect("requests: a form, and JSON", (204, "größe & co"),
               (answer.status_code, news[-1]["text"]))
        codes = [session.get(web.url("/hello/you")).status_code for _ in range(100)]
        expect("requests: a hundred in a row", [200] * 100, codes)
        expect("requests: by one connection", 1, web.open())


def check_wrk():
    if not has("wrk", "wrk"):
        return
    with website() as (web, _):
        for path in "/hello/you", "/files/ok.txt", "/files/text.txt":
            code, output, complaint = run(["wrk", "-t1", "-c50", "-d2s", web.url(path)])
            rate = re.search(r"Requests/sec: +([\d.]+)", output)
            bad = "Socket errors" in output or "Non-2xx" in output or not rate
            expect_that(code == 0 and not bad, f"wrk: {path}", (code, output, complaint))
            print(f"     {float(rate[1]):,.0f} requests a second by 50 connections", flush=True)
        web.until("all of them to have gone", lambda: web.open() == 0)


def answered(sock, seconds):
    """Whether anything has come within this time."""
    sock.settimeout(seconds)
    try:
        return sock.recv(1, socket.MSG_PEEK) != b""
    except TimeoutError:
        return False


def check_long_polling():
    # The first tick of a server is five seconds away.
    with Web() as web:
        waiting = [connect(web.at, head("/wait?since=0")) for _ in range(100)]
        web.until("all to be parked", lambda: web.get_json("/costs")["wait"]["requests"] == 100)
        quiet = not any(answered(sock, 0.001) for sock in waiting) and not answered(waiting[0], 0.5)
        began = time.monotonic()
        said = web.say("at last")
        answers = []
        for sock in waiting:
            sock.settimeout(10)
            answers.append(sock.recv(65_536))
        took = time.monotonic() - began
        expect("long polling: a hundred wait, and hear what is said", (True, 204, True),
               (quiet, said, all(b"at last" in answer for answer in answers)))
        expect_that(took < 1, "long polling: at once", took)
        waiting[0].sendall(head("/wait?since=0"))
        expect("long polling: who asks late hears it, by the same connection", True,
               b"at last" in waiting[0].recv(65_536))
        for sock in waiting:
            sock.close()
        web.until("all of them to have gone", lambda: web.open() == 0)


def check_events():
    with Web() as web, Stream(web.at) as stream, Stream(web.at) as other:
        expect("events: the head", (200, "text/event-stream", "no-cache", None),
               (stream.status, stream.fields["Content-Type"], stream.fields["Cache-Control"],
                stream.fields["Content-Length"]))
        web.say("two\nlines, and größe")
        took = stream.until("two\nlines, and größe")
        expect_that(took < 1, "events: what is said comes at once", took)
        expect_that(other.until("two\nlines, and größe") < 1, "events: to all who listen", None)
        # As many as nobody reads meanwhile.
        for number in range(200):
            web.say(f"news {number}")
        heard = []
        while len(heard) < 200:
            heard += [item["text"] for item in stream.next() if item["text"].startswith("news")]
        expect("events: all of them, in order", [f"news {number}" for number in range(200)], heard)
        took = stream.until(f"tick {web.newest() + 1}")
        expect_that(took < 6, "events: and the server's own", took)


def check_aborts():
    with website("--access-log") as (web, _):
        def leave(sock, how):
            if how == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if how == "half-closed":
                return sock.shutdown(socket.SHUT_WR)
            return sock.close()

        for how in "closed", "reset", "half-closed":
            sock = connect(web.at, head(f"/wait?since=99&{how}"))
            web.until("it to be parked", lambda: web.open() == 1)
            expect(f"abort: nothing is logged while it waits, {how}", False,
                   f"/wait?since=99&{how}" in web.out.text())
            leave(sock, how)
            took = web.until("it to be gone", lambda: web.open() == 0)
            web.out.until(rf'"GET /wait\?since=99&{how} HTTP/1.1" 499 -$')
            expect_that(took < 1, f"abort: a parked request whose client has {how} is given up",
                        took)
            sock.close()
        stream = connect(web.at, head("/events"))
        web.until("the stream", lambda: web.open() == 1)
        stream.close()
        expect_that(web.until("it to be gone", lambda: web.open() == 0) < 1,
                    "abort: a stream that nobody reads is given up", None)
        download = connect(web.at, head("/files/big.bin"))
        receive(download, 500_000)
        leave(download, "reset")
        web.out.until(r'"GET /files/big.bin HTTP/1.1" 499 \d{6,}$')
        expect_that(web.until("it to be gone", lambda: web.open() == 0) < 1,
                    "abort: a download that was broken off is given up", None)
        files = os.listdir(f"/proc/{web.pid}/fd")
        opened = [os.readlink(f"/proc/{web.pid}/fd/{fd}") for fd in files
                  if os.path.exists(f"/proc/{web.pid}/fd/{fd}")]
        expect("abort: and its file is closed", [], [at for at in opened if "big.bin" in at])


def check_access_log():
    with website("--access-log") as (web, _):
        for request in (
            head("/hello/you"), head("/nowhere"), head('/hello/"quoted"\\'),
            b"HEAD /hello/you HTTP/1.0\r\n\r\n", b"nonsense\r\n\r\n",
            head("/files/ok.txt", 'If-None-Match: *\r\n'),
        ):
            raw(web.at, request)
        web.say("x")
        web.out.until("POST")
        lines = web.out.text().splitlines()[1:]
        date = r"127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "
        expect_that(all(re.match(date, line) for line in lines), "access log: its form", lines)
        expect("access log: a line for each answer", [
            '"GET /hello/you HTTP/1.1" 200 11',
            '"GET /nowhere HTTP/1.1" 404 14',
            '"GET /hello/\\"quoted\\"\\\\ HTTP/1.1" 200 17',
            '"HEAD /hello/you HTTP/1.0" 200 -',
            '"-" 400',
            '"GET /files/ok.txt HTTP/1.1" 304 -',
            '"POST /say HTTP/1.1" 204 -',
        ], [re.sub(r'("-" 400) \d+', r"\1", re.sub(date, "", line)) for line in lines])


def check_end():
    with Web() as web:
        parked = [connect(web.at, head("/wait?since=99")) for _ in range(50)]
        idle = connect(web.at)
        web.until("all to be parked", lambda: web.get_json("/costs")["wait"]["requests"] == 50)
        began = time.monotonic()
        web.process.send_signal(signal.SIGTERM)
        answers = [receive_all(sock) for sock in parked]
        ending = idle.recv(1)
        for sock in *parked, idle:
            sock.close()
        code, _, complaint = web.end()
        took = time.monotonic() - began
        good = [answer for answer in answers
                if status(answer) == 503 and b"Retry-After" in answer
                and b"Connection: close" in answer]
        expect("the end: 50 parked requests are answered", 50, len(good))
        expect("the end: exit code, and nothing to complain of", (0, ""), (code, complaint))
        expect_that(took < 1, "the end: with nothing to wait for it is at once", took)
        expect("the end: an idle connection is closed", b"", ending)
    for name in signal.SIGINT, signal.SIGTERM:
        with Web() as web, Stream(web.at):
            web.process.send_signal(name)
            began = time.monotonic()
            code = web.end()[0]
            took = time.monotonic() - began
            expect_that(code == 0 and took < 4, f"the end: {name.name} with a stream of events",
                        (code, took))
    with website() as (web, _):
        download = connect(web.at, head("/files/big.bin"))
        download.recv(10, socket.MSG_PEEK)
        web.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        answer = receive_all(download)
        download.close()
        expect_that(answer.endswith(BIG), "the end: a file on its way arrives", len(answer))
        expect("the end: and then it ends", 0, web.end()[0])


def complains(name, command, *words, **options):
    """One line with these words, and exit code 1."""
    code, output, complaint = run(command, **options)
    good = code == 1 and complaint.startswith("error: ") and complaint.count("\n") == 1
    missing = [word for word in words if word not in complaint]
    expect_that(good and not missing and "listening" not in output, name,
                (code, output, complaint, missing))


def check_complaints():
    def web(*options):
        return ours("web", "--listen", "127.0.0.1:0", *options)

    with folder() as path:
        write(path, "file", b"x")
        complains("a root that is not there", web("--root", f"{path}/none"),
                  "cannot serve", f"{path}/none", "No such file")
        complains("a root that is a file", web("--root", f"{path}/file"),
                  "cannot serve", f"{path}/file", "Not a directory")
        os.mkdir(f"{path}/closed", 0o000)
        unprivileged = {"user": 65534, "group": 65534, "extra_groups": []}
        name = "a root that may not be read"
        if os.geteuid() != 0:
            unprivileged = {}
        os.chmod(path, 0o755)
        try:
            run([os.path.join(EXAMPLES, "web"), "--help"], **unprivileged)
        except OSError as error:
            skipped(name, f"{error}")
        else:
            complains(name, web("--root", f"{path}/closed"), "cannot serve", f"{path}/closed",
                      "Permission denied", **unprivileged)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        at = f"127.0.0.1:{taken.getsockname()[1]}"
        complains("a port in use, web", ours("web", "--listen", at), "cannot listen", at, "in use")
    complains("an address that is none, web", ours("web", "--listen", "nowhere"), "`nowhere`")
    code, _, complaint = run(ours("web", "--root"))
    expect("usage: web --root", (2, True), (code, "--help" in complaint))


SECRET = b"nobody is to read this"

# What follows `GET ` on the wire. Names are below the folder, beside which `secret.txt` lies.
ESCAPES = [
    b"/files/../secret.txt", b"/files/..", b"/files/../", b"/files/sub/../../secret.txt",
    b"/files/./../secret.txt", b"/files/%2e%2e/secret.txt", b"/files/%2E%2E/secret.txt",
    b"/files/.%2e/secret.txt", b"/files/%2e%2e%2fsecret.txt", b"/files/..%2fsecret.txt",
    b"/files%2f..%2fsecret.txt", b"/files/sub%2f..%2f..%2fsecret.txt",
    b"/files/%252e%252e/secret.txt", b"/files/%252e%252e%252fsecret.txt",
    b"/files/..\\secret.txt", b"/files/..%5csecret.txt", b"/files/\\..\\secret.txt",
    b"/files/ok.txt%00", b"/files/..%00/secret.txt", b"/files/ok.txt\0",
    b"/files/%c0%ae%c0%ae/secret.txt", b"/files/..%c0%afsecret.txt",
    b"/files/\xc0\xae\xc0\xae/secret.txt", b"/files/%ff",
    b"/files//etc/passwd", b"/files/%2fetc%2fpasswd", b"//etc/passwd", b"//localhost/files/ok.txt",
    b"/files///ok.txt", b"/../secret.txt", b"/files../secret.txt", b"../secret.txt",
    b"/files/C:/secret.txt", b"/files/c%3a%5csecret.txt", b"/files/C:secret.txt",
    b"/files/..;/secret.txt", b"/files/....//secret.txt", b"/files/...",
    b"http://localhost/files/../secret.txt", b"http://localhost//etc/passwd",
    b"file:///etc/passwd", b"/files/.env", b"/files/%2eenv", b"/files/.git/config",
    b"/files/sub/.htaccess", b"/files/out", b"/files/out/passwd", b"/files/etc/passwd",
    b"/files/up/secret.txt", b"/files/up/", b"/files/root/etc/passwd", b"/files/round",
    b"/files/ok.txt/", b"/files/ok.txt/..", b"/files/pipe", b"/files/zero", b"/files/socket",
    b"/files/" + b"../" * 2_000 + b"etc/passwd", b"/files/" + b"x" * 5_000,
]


def check_escapes():
    with website() as (web, root):
        for name in "../secret.txt", ".env", ".git/config", "sub/.htaccess", "...":
            write(root, name, SECRET)
        write(root, "sub/ok.txt", SMALL.encode())
        write(root, ".well-known/ok.txt", SMALL.encode())
        for name, to in {
            "in": "ok.txt", "there": "sub", "out": "../secret.txt", "etc": "/etc", "up": "..",
            "root": "/proc/self/root", "round": "round", "zero": "/dev/zero",
        }.items():
            os.symlink(to, os.path.join(root, name))
        os.mkfifo(os.path.join(root, "pipe"))
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(os.path.join(root, "socket"))
        shown, slowest = [], 0
        for target in ESCAPES:
            began = time.monotonic()
            answer = raw(web.at, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
            slowest = max(slowest, time.monotonic() - began)
            good = status(answer) in (400, 404, 414) and answer.count(b"HTTP/1.1") == 1
            if not good or SECRET in answer or b"root:" in answer or b"\r\nLocation:" in answer:
                shown.append((target, answer[:200]))
        expect(f"escapes: none of {len(ESCAPES)} leads out of the folder", [], shown)
        expect_that(slowest < 1, "escapes: none of them takes its time", slowest)
        expect("escapes: links within the folder, and what is not hidden", [SMALL.encode()] * 4,
               [web.ask(f"/files/{name}")[2]
                for name in ("ok.txt", "in", "there/ok.txt", ".well-known/ok.txt")])
        # Of a path that nobody writes to, and a path that is there.
        asked = threading.Thread(target=lambda: raw(web.at, head("/files/pipe")), daemon=True)
        asked.start()
        expect("escapes: a pipe keeps nobody else waiting", SMALL.encode(),
               web.ask("/files/ok.txt")[2])
        asked.join()


def check_folders():
    """A folder without its slash is somewhere else: links in its page are relative to it."""
    if not has("curl", "curl: folders"):
        return
    with website() as (web, root):
        write(root, "sub/index.html", b"<h1>below</h1>\n")
        for path, page in ("/files", b"<h1>files</h1>\n"), ("/files/sub", b"<h1>below</h1>\n"):
            url = web.url(path)
            expect(f"curl: the folder {path}", (page, f"{url}/?a=b".encode()),
                   (curl("-L", url), written("%{url_effective}", "-L", url + "?a=b")))


main(globals())
