"""TLS against programs that others have written: `openssl s_client` and `s_server`, curl, `ssl` and
`websockets` of Python on either side, nginx, and Chromium. With certificates that openssl makes:
good ones, and one for each way of being wrong.

What `websockets` does here it does by asyncio: a thread that reads beside one that writes is
nothing that OpenSSL allows, and hangs now and then."""

import asyncio
import contextlib
import os
import random
import re
import resource
import select
import signal
import socket
import ssl
import struct
import threading

from chromium import Browser, chromium
from harness import (
    PATIENCE, Failed, Program, expect, expect_that, folder, has, has_ipv6, main, ours, receive,
    receive_all, run, skipped,
)
from web import BIG, website

try:
    from websockets.asyncio.client import connect as connect_websocket
    from websockets.asyncio.server import serve as serve_websocket
except ImportError:
    connect_websocket = None

CONFIG = """
[ca]
default_ca = one
[one]
database = {path}/index
new_certs_dir = {path}
serial = {path}/serial
default_md = sha256
policy = policy
unique_subject = no
[policy]
commonName = supplied
"""

P256 = "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"
LOCAL = "DNS:localhost,IP:127.0.0.1,IP:::1"


class Authority:
    """Signs certificates. Files are called as what they are for: NAME.pem and NAME.key."""

    def __init__(self, path, name="ca"):
        self.path, self.name = path, name
        self.file = f"{path}/{name}.pem"
        self.key = f"{path}/{name}.key"
        openssl("req", "-x509", "-newkey", *P256, "-nodes", "-subj", f"/CN={name}",
                "-days", "30", "-out", self.file, "-keyout", self.key)
        with open(f"{path}/{name}.cnf", "w") as file:
            file.write(CONFIG.format(path=path))
        open(f"{path}/index", "a").close()

    def sign(self, name, names=LOCAL, begins="20200101000000Z", ends="20990101000000Z",
             algorithm=P256, more=""):
        """The options that name the certificate and its key."""
        cert, key, request, extensions = (f"{self.path}/{name}.{end}"
                                          for end in ("pem", "key", "csr", "ext"))
        with open(extensions, "w") as file:
            file.write(f"subjectAltName={names}\n{more}")
        openssl("req", "-newkey", *algorithm, "-nodes", "-subj", f"/CN={name}",
                "-out", request, "-keyout", key)
        openssl("ca", "-config", f"{self.path}/{self.name}.cnf", "-batch", "-notext",
                "-create_serial", "-cert", self.file, "-keyfile", self.key, "-startdate", begins,
                "-enddate", ends, "-extfile", extensions, "-in", request, "-out", cert)
        return "--cert", cert, "--key", key


def openssl(*arguments):
    code, _, complaint = run(["openssl", *arguments])
    if code != 0:
        raise Failed(f"FAIL openssl {' '.join(arguments)}\ngot:    {complaint}")


class Echo(Program):
    """The echo example by TLS: bytes at one port, WebSocket at the other."""

    def __init__(self, *options, environment=()):
        command = ours("echo", "--tls", "127.0.0.1:0", "--wss", "127.0.0.1:0", *options)
        super().__init__(["env", *environment, *command], log="debug")
        self.at, self.ws = self.port("tls"), self.port("wss")


class Client(Program):
    """`openssl s_client`, and what it says."""

    def __init__(self, at, *options):
        super().__init__(["openssl", "s_client", "-connect", f"127.0.0.1:{at}", *options])

    def echoes(self, text):
        self.type(f"{text}\n")
        self.out.until(f"^{text}$")


@contextlib.contextmanager
def authority():
    with folder() as path:
        yield Authority(path)


def context(authorities, **settings):
    """A client of Python's."""
    made = ssl.create_default_context(cafile=authorities)
    for name, value in settings.items():
        setattr(made, name, value)
    return made


def secure(at, trusting, name="localhost", **options):
    sock = socket.create_connection(("127.0.0.1", at))
    return trusting.wrap_socket(sock, server_hostname=name, **options)


def echoed(sock, data):
    sock.sendall(data)
    return receive(sock, len(data)) == data


def refusal(client):
    """How a client complains that is sent to a server it does not trust: one line, after which it
    ends with 1."""
    code, output, complaint = client
    if (code, output) != (1, "") or complaint.count("\n") != 1:
        raise Failed(f"FAIL a complaint in one line\ngot:    {client!r}")
    return complaint


def ours_to(at, *options, host="localhost", text="hello\n"):
    """Our client at a port: exit code, output and complaints."""
    return run(ours("client", "tls", f"{host}:{at}", *options), text)


# ------------------------------------------------------------------------------- openssl's client


def check_versions():
    with authority() as ca, Echo(*ca.sign("server")) as echo:
        trust = "-CAfile", ca.file, "-verify_return_error"
        for version, name in ("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2"):
            with Client(echo.at, version, *trust, "-servername", "localhost",
                        "-verify_hostname", "localhost", "-brief") as client:
                said = client.err.until(r"^Protocol version: (\S+)\n(?:.*\n)*?Verification: (\S+)")
                expect(f"s_client: {name}, and our certificate is good", (name, "OK"),
                       said.groups())
                client.echoes("hello")
                expect("s_client: and ends in order", 0, client.end()[0])
                echo.err.until(f"by Tls{name[-3]}{name[-1]}, .* to Some\\(\"localhost\"\\)")
        old = "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"
        with Client(echo.at, *old, *trust, "-brief") as client:
            code, _, complaint = client.end()
            expect_that(code != 0 and "SSL alert number" in complaint,
                        "s_client: nothing below 1.2, and it is told by an alert", complaint)
        for suite in ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                      "TLS_CHACHA20_POLY1305_SHA256"):
            with Client(echo.at, "-tls1_3", *trust, "-brief", "-ciphersuites", suite) as client:
                expect(f"s_client: {suite}", suite, client.err.until(r"^Ciphersuite: (\S+)")[1])
                client.echoes("hello")
        # A hello that is answered by asking for another one, with a share of another group.
        with Client(echo.at, "-tls1_3", *trust, "-brief", "-groups", "P-521:P-384") as client:
            client.err.until("^Verification: OK")
            client.echoes("hello")
            expect("s_client: a hello for a group that we do not guess", 0, client.end()[0])
        with Client(echo.at, "-tls1_3", *trust) as client:
            client.echoes("before")
            for order in "K", "k":
                said = client.err.text().count("KEYUPDATE")
                client.type(f"{order}\n")
                client.err.until(f"(?s)(KEYUPDATE.*){{{said + 1}}}")
                client.echoes(f"after {order}")
            expect("s_client: new keys, asked for by both and by one", 0, client.end()[0])
        for kind in (("rsa:2048",), ("ed25519",)):
            with Echo(*ca.sign("other", algorithm=kind)) as other:
                with Client(other.at, *trust, "-brief") as client:
                    client.err.until("^Verification: OK")
                    client.echoes("hello")
                    expect(f"s_client: a key of {kind[0]}", 0, client.end()[0])


def check_trust():
    """What s_client does not trust it refuses, and that is in our log."""
    with authority() as ca, folder() as path, Echo(*ca.sign("server")) as echo:
        other = Authority(path, "stranger")
        for name, options in {
            "another authority": ("-CAfile", other.file),
            "another name": ("-CAfile", ca.file, "-verify_hostname", "elsewhere.example"),
        }.items():
            with Client(echo.at, *options, "-verify_return_error") as client:
                code, _, complaint = client.end()
                expect_that(code != 0 and "verify failed" in complaint,
                            f"s_client: {name} is refused", complaint)
        found = echo.err.until(r"no TLS with tcp 127\.0\.0\.1:\d+: received fatal alert: (\w+)")
        expect_that(found, "s_client: and the log says what it had against us", found)


def check_alpn():
    with authority() as ca, Echo(*ca.sign("server")) as echo:
        for offered, wanted in (
            ("http/1.1", "ALPN protocol: http/1.1"), ("h2,http/1.1", "ALPN protocol: http/1.1"),
            ("http/1.0", "ALPN protocol: http/1.0"),
        ):
            with Client(echo.ws, "-CAfile", ca.file, "-alpn", offered) as client:
                found = client.out.until(r"^(ALPN protocol: .*|No ALPN negotiated)$")[1]
                expect(f"s_client: of {offered}", wanted, found)
        with Client(echo.ws, "-CAfile", ca.file, "-alpn", "h2") as client:
            code, _, complaint = client.end()
            expect_that(code != 0 and "no application protocol" in complaint,
                        "s_client: of h2 alone, none, by the alert that is meant for it", complaint)
        with Client(echo.at, "-CAfile", ca.file, "-alpn", "h2") as client:
            client.out.until("^No ALPN negotiated$")
            client.echoes("hello")
            expect("s_client: where we have no preference anything is taken", 0, client.end()[0])


def check_resumption():
    with authority() as ca, Echo(*ca.sign("server")) as echo:
        for version in "-tls1_3", "-tls1_2":
            session = f"{ca.path}/session{version}"
            said = []
            for way in "-sess_out", "-sess_in":
                with Client(echo.at, version, "-CAfile", ca.file, way, session) as client:
                    client.echoes("hello")
                    said.append(client.out.until("^(New|Reused), TLS")[1])
                    client.end()
            expect(f"s_client: a session is resumed, {version}", ["New", "Reused"], said)
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{echo.at}", "-tls1_2",
                   "-CAfile", ca.file, "-reconnect"]
        expect("s_client: five times in a row", 5, run(command)[1].count("Reused, TLSv1.2"))


def check_client_certificates():
    with authority() as ca, folder() as path:
        server, mine = ca.sign("server"), ca.sign("client", names="DNS:client")
        stranger = Authority(path, "stranger").sign("client", names="DNS:client")

        def shown(echo, options):
            """Whether it may come in, by either version."""
            codes = []
            for version in "-tls1_3", "-tls1_2":
                files = [option.removeprefix("-") for option in options]
                with Client(echo.at, version, "-CAfile", ca.file, "-brief", *files) as client:
                    with contextlib.suppress(Failed, BrokenPipeError):
                        client.echoes("hello")
                    with contextlib.suppress(BrokenPipeError):
                        client.end()
                    codes.append("hello" in client.out.text())
            return codes

        with Echo(*server, "--client-ca", ca.file, "--require-client-cert") as echo:
            expect("s_client: our certificate is wanted, and good", [True] * 2, shown(echo, mine))
            echo.err.until("[1-9] certificates")
            expect("s_client: of another authority it is not", [False] * 2, shown(echo, stranger))
            expect("s_client: and without one nobody comes in", [False] * 2, shown(echo, ()))
            for reason in "UnknownIssuer", "peer sent no certificates":
                echo.err.until(f"no TLS with tcp .*{reason}")
            code, output, _ = ours_to(echo.at, "--ca", ca.file, *mine)
            expect("our client has one", (0, "hello\n"), (code, output))
            complaint = refusal(ours_to(echo.at, "--ca", ca.file))
            expect_that("TLS" in complaint, "our client has none, and TLS fails", complaint)
        with Echo(*server, "--client-ca", ca.file) as echo:
            expect("s_client: it may be left out where it is not required", [True] * 2,
                   shown(echo, ()))
            expect("s_client: but a wrong one may not be shown", [False] * 2, shown(echo, stranger))


def check_key_log():
    """Both sides of a connection write the same, which Wireshark can use."""
    with authority() as ca:
        logs = f"{ca.path}/ours", f"{ca.path}/theirs"

        def lines(path):
            with open(path) as file:
                return {line.strip() for line in file if not line.startswith("#")}

        with Echo(*ca.sign("server"), environment=[f"SSLKEYLOGFILE={logs[0]}"]) as echo:
            for version, labels in ("-tls1_3", 5), ("-tls1_2", 1):
                with Client(echo.at, version, "-CAfile", ca.file, "-keylogfile", logs[1]) as client:
                    client.echoes("hello")
                    client.end()
                # openssl's server has one that exports keys to others, too.
                theirs = {line for line in lines(logs[1]) if line.split()[0] in LABELS}
                missing = theirs - lines(logs[0])
                expect_that(theirs and not missing, f"key log: as openssl's, {version}", missing)
            log = f"{ca.path}/client"
            command = ["env", f"SSLKEYLOGFILE={log}",
                       *ours("client", "tls", f"localhost:{echo.at}", "--ca", ca.file)]
            expect("key log: our client's", (0, True),
                   (run(command, "hello\n")[0], lines(log) <= lines(logs[0]) and bool(lines(log))))


LABELS = {"CLIENT_RANDOM", "CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET",
          "CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"}


# ------------------------------------------------------------------------------------ https


def check_curl():
    if not has("curl", "curl: https"):
        return
    with authority() as ca:
        redirect = "--redirect", "127.0.0.1:0"
        command = ours("web", "--listen", "127.0.0.1:0", *ca.sign("server"), *redirect)
        with folder() as root, Program([*command, "--root", root]) as web:
            with open(f"{root}/big.bin", "wb") as file:
                file.write(BIG)
            at, plain = web.port("https"), web.port("http")
            url, good = f"https://localhost:{at}", ("--cacert", ca.file)

            def curl(*options):
                return run(["curl", "-s", "-S", "--noproxy", "*", *options])

            expect("curl: https", (0, "hello, you\n"), curl(*good, f"{url}/hello/you")[:2])
            expect("curl: whom it does not know it refuses", 60, curl(f"{url}/hello/you")[0])
            expect("curl: unless told not to look", (0, "hello, you\n"),
                   curl("-k", f"{url}/hello/you")[:2])
            expect("curl: by its address", (0, "hello, you\n"),
                   curl(*good, f"https://127.0.0.1:{at}/hello/you")[:2])
            expect("curl: by another name it refuses", 60,
                   curl(*good, "--connect-to", f"a.example:443:127.0.0.1:{at}",
                        "https://a.example/")[0])
            for option in "--http1.0", "--http2":
                expect(f"curl: {option}", (0, "hello, you\n"),
                       curl(*good, option, f"{url}/hello/you")[:2])
            for version in ("--tlsv1.3",), ("--tlsv1.2", "--tls-max", "1.2"):
                expect(f"curl: {' '.join(version)}", (0, "hello, you\n"),
                       curl(*good, *version, f"{url}/hello/you")[:2])
            twice = curl(*good, "-w", "%{num_connects} ", f"{url}/hello/a", f"{url}/hello/b")
            expect("curl: two requests, one connection", "hello, a\n1 hello, b\n0 ", twice[1])
            file = f"{ca.path}/big"
            expect("curl: a file of 8 MiB", 0, curl(*good, "-o", file, f"{url}/files/big.bin")[0])
            with open(file, "rb") as got:
                expect_that(got.read() == BIG, "curl: byte for byte", file)
            expect("curl: what is posted", (0, "204"),
                   curl(*good, "-d", "text=by https", "-w", "%{http_code}", f"{url}/say")[:2])
            from_plain = f"http://localhost:{plain}"
            expect("redirect: to the same place by https",
                   (0, f"308 {url}/hello/you?a=b&c"),
                   curl("-w", "%{http_code} %{redirect_url}", "-o", "/dev/null",
                        f"{from_plain}/hello/you?a=b&c")[:2])
            expect("redirect: which is followed", (0, "hello, you\n"),
                   curl(*good, "-L", f"{from_plain}/hello/you")[:2])
            expect("redirect: what was posted is posted again", (0, "204"),
                   curl(*good, "-L", "-d", "text=on", "-o", "/dev/null", "-w", "%{http_code}",
                        f"{from_plain}/say")[:2])
            expect("redirect: nothing else is there", (0, "308"),
                   curl("-o", "/dev/null", "-w", "%{http_code}", f"{from_plain}/metrics")[:2])
            code, _, complaint = curl(f"https://localhost:{plain}/")
            expect_that(code == 35, "curl: TLS where there is none ends at once", complaint)
            code, output, _ = curl(f"http://localhost:{at}/")
            expect("curl: none where there is TLS, and it is told", (0, True),
                   (code, "400" in output and "https" in output))
            expect("web: it ends in good order", 0, web.terminate()[0])


# ------------------------------------------------------------------------------- Python's `ssl`


class Records:
    """A client of Python's whose records are in our hands."""

    def __init__(self, at, trusting):
        self.sock = socket.create_connection(("127.0.0.1", at))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = trusting.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def do(self, what, *arguments, piece=1 << 20):
        """Goes on with something until it is done, by pieces of so many bytes."""
        while True:
            try:
                return what(*arguments)
            except ssl.SSLWantReadError:
                self.send(piece)
                if not (some := self.sock.recv(65_536)):
                    self.incoming.write_eof()
                self.incoming.write(some)
            finally:
                self.send(piece)

    def send(self, piece=1 << 20):
        data = self.outgoing.read()
        for at in range(0, len(data), piece):
            self.sock.sendall(data[at:at + piece])

    def finish(self):
        """Says that nothing follows, and waits for no answer."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.send()

    def rest(self):
        """What comes until the other side says that nothing follows."""
        data = b""
        while True:
            try:
                some = self.do(self.tls.read, 65_536)
            except ssl.SSLZeroReturnError:
                return data
            if not some:
                return data
            data += some


def check_python_client():
    with authority() as ca, Echo(*ca.sign("server")) as echo:
        for version in ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2:
            trusting = context(ca.file, minimum_version=version, maximum_version=version)
            with Records(echo.at, trusting) as client:
                client.do(client.tls.do_handshake, piece=1)
                client.do(client.tls.write, b"byte by byte", piece=1)
                expect(f"ssl: handshake and records byte by byte, {version.name}", b"byte by byte",
                       client.do(client.tls.read, 100))
            with Records(echo.at, trusting) as client:
                client.do(client.tls.do_handshake)
                for part in b"last", b" ", b"words":
                    client.do(client.tls.write, part)
                client.finish()
                expect("ssl: who has finished hears the rest, and an end", b"last words",
                       client.rest())
                expect("ssl: and then the socket's end", b"", client.sock.recv(1))
            with secure(echo.at, trusting) as sock:
                expect_that(echoed(sock, b"hello"), "ssl: hello", sock)
                # Not by TLS: the socket alone.
                sock.shutdown(socket.SHUT_WR)
                found = echo.err.until("ended: cut off")
                expect_that(found, "ssl: an end without its announcement is none", found)
            with secure(echo.at, trusting) as sock:
                piece = BIG[:1 << 18]
                good = all(echoed(sock, piece) for _ in range(16))
                expect_that(good, "ssl: four megabytes there and back", sock)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with secure(echo.at, context(ca.file)) as sock:
            expect_that(echoed(sock, b"still here"), "ssl: and the server goes on", sock)


def check_garbage():
    """What makes no sense is told so, and ends; the server goes on."""
    with authority() as ca, Echo(*ca.sign("server")) as echo:
        trusting = context(ca.file)
        for name, words in {
            "HTTP without TLS": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "zeros": bytes(100), "a record of SSL 2": b"\x80\x2e\x01\x00\x02" + bytes(50),
            "a record that is too long": b"\x16\x03\x01\xff\xff" + bytes(100),
            "half a hello": b"\x16\x03\x01\x02\x00\x01\x00",
        }.items():
            with socket.create_connection(("127.0.0.1", echo.at)) as sock:
                sock.sendall(words)
                sock.shutdown(socket.SHUT_WR)
                answer = receive_all(sock)
            alert = b"\x15\x03"
            wanted = {"HTTP without TLS": b"HTTP/1.1 400 ", "half a hello": b""}.get(name, alert)
            expect_that(answer.startswith(wanted), f"garbage: {name} has its answer", answer)
        with Records(echo.at, trusting) as client:
            client.do(client.tls.do_handshake)
            client.do(client.tls.write, b"hello")
            client.do(client.tls.read, 100)
            client.sock.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
            client.incoming.write(receive_all(client.sock))
            with contextlib.suppress(ssl.SSLError):
                while True:
                    client.tls.read(100)
            echo.err.until("TLS: cannot decrypt peer's message")
            echo.err.until("ended: TLS has failed")
        with secure(echo.at, trusting) as sock:
            expect_that(echoed(sock, b"hello"), "garbage: the server goes on", sock)


@contextlib.contextmanager
def python_server(options, serve, **settings):
    """A server of Python's: `serve` is called with each connection, on a thread."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(options[1], options[3])
    for name, value in settings.items():
        setattr(made, name, value)
    with socket.create_server(("127.0.0.1", 0)) as server:
        def accept():
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = server.accept()
                    with contextlib.suppress(OSError), sock:
                        serve(made.wrap_socket(sock, server_side=True))

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]


def check_python_server():
    with authority() as ca:
        server, trust = ca.sign("server"), ("--ca", ca.file)
        for version in ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2:
            only = {"minimum_version": version, "maximum_version": version}

            def answer(sock):
                """Once all is said, and only then."""
                with sock:
                    sock.sendall(b"got " + receive_all(sock))
                    with contextlib.suppress(OSError):
                        sock.unwrap().close()

            with python_server(server, answer, **only) as at:
                expect(f"ssl: our client finishes, and hears the answer, {version.name}",
                       (0, "got hello\n", ""), ours_to(at, *trust))

            def cut(sock):
                # All is read: otherwise the end would be a reset.
                receive_all(sock)
                sock.sendall(b"half of")
                sock.shutdown(socket.SHUT_RDWR)

            with python_server(server, cut, **only) as at:
                code, output, complaint = ours_to(at, *trust)
                expect("ssl: our client is cut off, and says so", (1, "half of", True),
                       (code, output, "cut off" in complaint))
        seen = []

        def brief(sock):
            seen.append(sock.session_reused)
            with sock:
                sock.sendall(b"tick\n")
                with contextlib.suppress(OSError):
                    sock.unwrap()

        with python_server(server, brief) as at:
            with Program(ours("client", "tls", f"localhost:{at}", *trust, "--retry")) as client:
                client.out.until("tick\ntick\n")
        expect("ssl: our client resumes its session", [False, True], seen[:2])


# ------------------------------------------------------------------------------- WebSocket


async def websocket_echo(url, trusting, message):
    async with connect_websocket(url, ssl=trusting, proxy=None, open_timeout=PATIENCE) as client:
        await client.send(message)
        return await asyncio.wait_for(client.recv(), PATIENCE)


@contextlib.contextmanager
def websocket_server(secured, seen):
    """One that answers one message and closes, and adds to `seen` whether sessions were resumed."""
    async def answer(client):
        seen.append(client.transport.get_extra_info("ssl_object").session_reused)
        await client.send(await client.recv())
        await client.close(1012, "again")

    async def serve():
        async with serve_websocket(answer, sock=sock, ssl=secured):
            await asyncio.Future()

    with socket.create_server(("127.0.0.1", 0)) as sock:
        threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
        yield sock.getsockname()[1]


def check_websockets():
    if connect_websocket is None:
        return skipped("wss: websockets", "the package websockets of Python is not installed")
    with authority() as ca, Echo(*ca.sign("server"), "--deflate") as echo:
        url = f"wss://localhost:{echo.ws}/"
        for message in "hello", b"\0\1\2", "x" * 1_000_000:
            expect_that(asyncio.run(websocket_echo(url, context(ca.file), message)) == message,
                        f"wss: websockets, {len(message)} of {type(message).__name__}", url)
        try:
            asyncio.run(websocket_echo(url, ssl.create_default_context(), "hello"))
            raise Failed("FAIL wss: websockets trusts us without reason")
        except ssl.SSLCertVerificationError as error:
            expect_that(True, "wss: websockets refuses whom it does not know", error)
        code, output, complaint = run(ours("websocket_client", url, "--ca", ca.file), "one\ntwo\n")
        expect("wss: our client", (0, "one\ntwo\n"), (code, output))
        expect_that(re.search(r"^connected to wss://\S+ by TLS 1\.3, TLS13_\w+$", complaint, re.M),
                    "wss: and it says what was agreed on", complaint)
        code, output, _ = run(ours("websocket_client", url, "--insecure"), "one\n")
        expect("wss: our client, told not to look", (0, "one\n"), (code, output))
        complaint = refusal(run(ours("websocket_client", url), "one\n"))
        expect_that("UnknownIssuer" in complaint, "wss: our client refuses whom it does not know",
                    complaint)
        plain = refusal(run(ours("websocket_client", url.replace("wss", "ws")), "one\n"))
        expect_that("400" in plain, "wss: our client without TLS is told", plain)

        made, seen = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), []
        made.load_cert_chain(*ca.sign("other")[1::2])
        with websocket_server(made, seen) as at:
            command = ours("websocket_client", f"wss://localhost:{at}/", "--ca", ca.file,
                           "--reconnect")
            with Program(command) as client:
                for text in "one", "two":
                    client.type(f"{text}\n")
                    client.out.until(f"^{text}$")
                    # From here on lines wait for the next one.
                    client.err.until(f"(?s)(connecting again.*){{{len(seen)}}}")
        expect("wss: our client's later connections resume the session", [False, True], seen[:2])


def check_nginx():
    """An nginx that has the certificate, before our server; and our server, that has one too."""
    if not has("nginx", "wss: nginx"):
        return
    with authority() as ca, Echo(*ca.sign("server")) as echo:
        options = ca.sign("front")
        with socket.create_server(("127.0.0.1", 0)) as sock:
            at = sock.getsockname()[1]
        temporary = "".join(f"{name}_temp_path {ca.path}/{name};\n" for name in
                            ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(f"{ca.path}/nginx.conf", "w") as file:
            file.write(f"""pid {ca.path}/pid;
events {{}}
http {{
    access_log off;
    {temporary}
    server {{
        listen 127.0.0.1:{at} ssl;
        ssl_certificate {options[1]};
        ssl_certificate_key {options[3]};
        ssl_protocols TLSv1.2 TLSv1.3;
        location / {{
            proxy_pass https://127.0.0.1:{echo.ws};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate {ca.file};
            proxy_ssl_name localhost;
            proxy_ssl_server_name on;
        }}
    }}
}}
""")
        command = ["nginx", "-p", ca.path, "-c", f"{ca.path}/nginx.conf", "-e",
                   f"{ca.path}/error.log", "-g", "daemon off; master_process off;"]
        with Program(command) as nginx:
            ask = ours("websocket_client", f"wss://localhost:{at}/", "--ca", ca.file)
            while (answer := run(ask, "one\ntwo\n"))[0] and "refused" in answer[2]:
                if nginx.process.poll() is not None:
                    raise Failed(f"FAIL nginx ends\ngot:    {nginx.err.text()!r}")
            expect("nginx: our client by TLS to it, and it by TLS to our server", (0, "one\ntwo\n"),
                   answer[:2])
            with open(f"{ca.path}/error.log") as log:
                expect("nginx: nothing to complain of", [],
                       [line for line in log if not re.search(r"\[(notice|info)\]", line)])


def check_openssl_server():
    with authority() as ca:
        server, mine = ca.sign("server"), ca.sign("client", names="DNS:client")
        files = [option.removeprefix("-") for option in server]
        for version in "-tls1_3", "-tls1_2":
            for wanted, more, options in (
                ("none", (), ()),
                ("a certificate", ("-Verify", "1", "-CAfile", ca.file), mine),
            ):
                command = ["openssl", "s_server", "-accept", "127.0.0.1:0", *files, version, "-rev",
                           "-verify_return_error", *more]
                with Program(command) as server:
                    at = server.out.until(r"^ACCEPT .*:(\d+)$")[1]
                    # It answers lines, and knows of no half that is closed.
                    with Program(ours("client", "tls", f"localhost:{at}", "--ca", ca.file,
                                      *options)) as client:
                        client.type("hello\n")
                        found = client.out.until("^olleh$")
                        expect_that(found, f"s_server {version}, which asks for {wanted}", found)


# ------------------------------------------------------------------------------- what is wrong


def check_wrong_certificates():
    with authority() as ca:
        past = {"begins": "20200101000000Z", "ends": "20210101000000Z"}
        future = {"begins": "20980101000000Z"}
        wrong = {
            "that has expired": (ca.sign("expired", **past), "[Ee]xpired"),
            "that is not valid yet": (ca.sign("early", **future), "[Nn]ot ?[Vv]alid ?[Yy]et"),
            "for another name": (ca.sign("other", names="DNS:other.example"),
                                 'not valid for name "localhost".*other\\.example'),
            "for no server": (ca.sign("mail", more="extendedKeyUsage=emailProtection\n"),
                              "[Pp]urpose|[Ee]xtended|EKU"),
        }
        for name, (options, words) in wrong.items():
            with Echo(*options) as echo:
                for command in (ours("client", "tls", f"localhost:{echo.at}"),
                                ours("websocket_client", f"wss://localhost:{echo.ws}/")):
                    what = f"{os.path.basename(command[0])}: a certificate {name}"
                    complaint = refusal(run([*command, "--ca", ca.file], "hello\n"))
                    expect_that(re.search(words, complaint), f"{what} is refused", complaint)
                    expect(f"{what} is taken if it is not to be looked at", (0, "hello\n"),
                           run([*command, "--insecure"], "hello\n")[:2])
    if has_ipv6():
        with Program(ours("echo", "--tls", "[::1]:0", "--self-signed")) as echo:
            at, cert = echo.port("tls"), echo.out.until("^certificate (.*)$")[1]
            expect("client: by an address of IPv6", (0, "hello\n"),
                   ours_to(at, "--ca", cert, host="[::1]")[:2])
            # Its folder goes with it only if it may end by itself.
            echo.terminate()
    with Program(ours("echo", "--tls", "127.0.0.1:0", "--self-signed")) as echo:
        at, cert = echo.port("tls"), echo.out.until("^certificate (.*)$")[1]
        complaint = refusal(ours_to(at))
        expect_that("UnknownIssuer" in complaint, "client: one that vouches for itself", complaint)
        for host in "localhost", "127.0.0.1":
            expect(f"client: unless we are told to trust it, {host}", (0, "hello\n"),
                   ours_to(at, "--ca", cert, host=host)[:2])
        complaint = refusal(ours_to(at, "--ca", cert, "--name", "elsewhere.example"))
        expect_that("elsewhere.example" in complaint, "client: but not as somebody else", complaint)
        expect("echo: it ends in good order", 0, echo.terminate()[0])
        expect_that(not os.path.exists(cert), "echo: and its certificate is gone", cert)


def check_no_tls_there():
    with Program(ours("echo", "--tcp", "127.0.0.1:0", "--ws", "127.0.0.1:0")) as echo:
        for command in (ours("client", "tls", f"localhost:{echo.port()}"),
                        ours("websocket_client", f"wss://localhost:{echo.port('ws')}/")):
            complaint = refusal(run([*command, "--insecure"], "hello\n"))
            expect_that("no TLS with tcp 127.0.0.1:" in complaint,
                        f"{os.path.basename(command[0])}: a server without TLS", complaint)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        command = ours("client", "--timeout", "1", "tls", f"localhost:{silent.getsockname()[1]}")
        complaint = refusal(run([*command, "--insecure"], "hello\n"))
        expect_that("1s" in complaint, "client: one that says nothing", complaint)


# ------------------------------------------------------------------------------- while it runs


def check_reload():
    with authority() as ca:
        server, trusting = ca.sign("server"), context(ca.file)

        def replace(name):
            """As those who renew certificates do it: another file under the same name."""
            ca.sign(name)
            for end in "pem", "key":
                os.replace(f"{ca.path}/{name}.{end}", f"{ca.path}/server.{end}")

        def subject(sock):
            return sock.getpeercert()["subject"][0][0][1]

        with Echo(*server) as echo, secure(echo.at, trusting) as old:
            replace("second")
            with secure(echo.at, trusting) as sock:
                expect("reload: nobody is asked before the signal", "server", subject(sock))
            echo.process.send_signal(signal.SIGHUP)
            # There are two listeners.
            echo.err.until("(?s)the certificate was read again.*the certificate was read again")
            expect_that(echoed(old, b"still here"), "reload: who is here stays", old)
            for at in echo.at, echo.ws:
                with secure(at, trusting) as sock:
                    expect("reload: who comes sees the new one", "second", subject(sock))
            for name, break_it in {
                "is no PEM": lambda: open(f"{ca.path}/server.pem", "w").close(),
                "does not go with": lambda: ca.sign("server") and os.replace(
                    f"{ca.path}/ca.key", f"{ca.path}/server.key"),
            }.items():
                before = echo.err.text().count("stays as it was")
                break_it()
                echo.process.send_signal(signal.SIGHUP)
                echo.err.until(f"(?s)(stays as it was.*){{{before + 2}}}")
                with secure(echo.at, trusting) as sock:
                    expect("reload: what is no good changes nothing", "second", subject(sock))
            said = re.findall("stays as it was: (.*)", echo.err.text())
            expect_that(all("server." in line for line in said), "reload: and says what is wrong",
                        said)
            expect_that(echoed(old, b"and here"), "reload: who was here is here", old)


# Handshakes that are begun and never ended.
STALLED = 5_000


def check_byte_by_byte():
    """64 MiB there and back, in pieces of any size, and read one byte at a time."""
    whole = 64 << 20
    with authority() as ca, Echo(*ca.sign("server")) as echo:
        with secure(echo.at, context(ca.file)) as sock:
            sock.settimeout(PATIENCE)
            read, done, chance = sock.recv, 0, random.Random(64)
            while done < whole:
                data = chance.randbytes(min(chance.randint(1, 100_000), whole - done))
                sock.sendall(data)
                back = b"".join([read(1) for _ in range(len(data))])
                if back != data:
                    raise Failed(f"FAIL 64 MiB by TLS: not the same behind byte {done}")
                done += len(data)
            expect("64 MiB by TLS come back byte by byte as they were", whole, done)


def check_stalled():
    """Patience with a handshake is ten seconds."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < 2 * STALLED:
        return skipped(f"{STALLED} stalled handshakes", f"only {most} descriptors may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with authority() as ca, Echo(*ca.sign("server")) as echo, contextlib.ExitStack() as stack:
        def descriptors():
            return len(os.listdir(f"/proc/{echo.pid}/fd"))

        served = stack.enter_context(secure(echo.at, context(ca.file)))
        before, memory = descriptors(), echo.memory("VmRSS")
        # Some say nothing, others the beginning of a hello.
        waiting = select.poll()
        sockets = {}
        for number in range(STALLED):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", echo.at)))
            if number % 2:
                sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
            waiting.register(sock, select.POLLIN)
            sockets[sock.fileno()] = sock
            if number % 500 == 0 and not echoed(served, b"amid them"):
                raise Failed("FAIL stalled handshakes: who is served is not")
        expect_that(echoed(served, b"after them"), "stalled handshakes: who is served is served",
                    served)
        each = (echo.memory("VmRSS") - memory) * 1024 // STALLED
        expect_that(each < 16_384, f"stalled handshakes: {each} bytes each", each)
        ended = 0
        while ended < STALLED:
            some = waiting.poll(2 * PATIENCE * 1_000)
            if not some:
                raise Failed(f"FAIL stalled handshakes: {ended} of {STALLED} have ended")
            for descriptor, _ in some:
                # Some end by a reset: what they have sent was not looked at.
                with contextlib.suppress(ConnectionResetError):
                    expect_nothing(sockets[descriptor].recv(100))
                waiting.unregister(descriptor)
                ended += 1
            if not echoed(served, b"meanwhile"):
                raise Failed("FAIL stalled handshakes: who is served is not")
        expect(f"stalled handshakes: all {STALLED} are ended", STALLED, ended)
        expect("stalled handshakes: and forgotten", before, descriptors())
        expect_that(echoed(served, b"at last"), "stalled handshakes: who is served outlives them",
                    served)


def expect_nothing(data):
    if data:
        raise Failed(f"FAIL an end\ngot:    {data!r}")


def check_chat():
    """A browser, told by its DevTools to overlook that nobody vouches for the certificate."""
    if not (program := chromium()):
        return skipped("chat by https", "chromium is not installed")
    command = ours("chat", "--self-signed", *(word for flag in ("--listen", "--lines", "--udp")
                                              for word in (flag, "127.0.0.1:0")))
    with folder() as profile, Program(command) as chat, Browser(program, profile) as browser:
        try:
            browser.do("Browser.getVersion")
        except Failed as failed:
            return skipped("chat by https", f"it does not start: {failed}".replace("\n", " "))
        browser.open("about:blank")
        browser.do("Security.setIgnoreCertificateErrors", ignore=True)
        browser.do("Page.navigate", url=f"https://localhost:{chat.port('https')}/")
        browser.until("the page", 'document.readyState === "complete" && !!window.nick')
        for text in "otter", "hello by wss":
            browser.do("Input.insertText", text=text)
            browser.do("Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter",
                       windowsVirtualKeyCode=13, text="\r")
            browser.until(text, f"document.body.innerText.includes({text!r})"
                                ' && document.querySelector("#chat").classList.contains("live")')
        expect("chat: the page talks by wss", ["https:", "wss:"],
               browser.evaluate("[location.protocol, new URL(socket.url).protocol]"))
        with socket.create_connection(("127.0.0.1", chat.port("lines"))) as sock:
            sock.sendall(b"heron\r\nhello by nc\r\n")
            browser.until("the other way in", 'document.body.innerText.includes("hello by nc")')
        expect("chat: nothing to complain of by https", [], browser.complaints())
        expect("chat: it ends in good order", 0, chat.terminate()[0])


if __name__ == "__main__" and has("openssl", "TLS"):
    main(globals())
