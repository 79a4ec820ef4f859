"""The chat example: its page in Chromium, in two tabs, beside a client that sends lines and shouts by
UDP.

With INTEROP_SCREENSHOT=FOLDER pictures of a conversation are left there."""

import contextlib
import os
import socket

from chromium import Browser, chromium
from harness import PATIENCE, Failed, Program, expect, expect_that, folder, main, ours, skipped

# What is said, in order, with who said it and whence.
SAID = """[...document.querySelectorAll("#log .text, #log .did")].map(line =>
  line.className === "did" ? line.innerText : line.textContent)"""

# Every line has been dealt with, and the server agrees.
IS_LIVE = """document.querySelector("#chat").classList.contains("live")"""

# What the browser itself says of a server that is away, whatever the page does.
EXPECTED = "net::ERR_CONNECTION_REFUSED", "net::ERR_CONNECTION_RESET"


class Chat(Program):
    """The chat example, on the same ports as another one, or on any."""

    def __init__(self, ports=(0, 0, 0)):
        flags = zip(("--listen", "--lines", "--udp"), ports)
        options = [word for flag, port in flags for word in (flag, f"127.0.0.1:{port}")]
        super().__init__(ours("chat", *options))
        self.ports = [self.port(protocol) for protocol in ("http", "lines", "udp")]

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.ports[0]}{path}"

    def shout(self, text):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(text.encode(), ("127.0.0.1", self.ports[2]))


class Nc(contextlib.closing):
    """What somebody does who has only `nc`."""

    def __init__(self, chat, nick):
        self.sock = socket.create_connection(("127.0.0.1", chat.ports[1]))
        super().__init__(self.sock)
        self.file = self.sock.makefile("rb")
        self.say(nick)
        self.until(f"-- You are {nick}, ")

    def __enter__(self):
        return self

    def say(self, text):
        self.sock.sendall(f"{text}\r\n".encode())

    def until(self, text):
        """The next line that begins so."""
        while line := self.file.readline().decode():
            if line.startswith(text):
                return line.rstrip("\n")
        raise Failed(f"FAIL the server ends without {text!r}")


class Tab:
    """A page that shares nothing with others: the browser of somebody else."""

    def __init__(self, browser, url):
        self.browser, self.page = browser, None
        context = self.do("Target.createBrowserContext")["browserContextId"]
        browser.open(url, browserContextId=context)
        self.page = browser.page
        # Of several tabs one is in front; they are all to behave as if they were.
        self.do("Emulation.setFocusEmulationEnabled", enabled=True)
        self.until("the page", 'document.readyState === "complete"')

    def __getattr__(self, name):
        self.browser.page = self.page
        return getattr(self.browser, name)

    def type(self, text):
        self.do("Input.insertText", text=text)

    def press(self, key, modifiers=0):
        code = {"Enter": 13, "Tab": 9, "Escape": 27, "ArrowUp": 38, "ArrowDown": 40}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        key = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        self.do("Input.dispatchKeyEvent", type="keyDown", **key, **text)
        self.do("Input.dispatchKeyEvent", type="keyUp", **key)

    def enter(self, text):
        self.type(text)
        self.press("Enter")

    def join(self, nick):
        self.enter(nick)
        self.until(f"{nick} to be in", IS_LIVE)

    def hears(self, text):
        self.until(text, f"{SAID}.some(said => said.includes({text!r}))")

    def shows(self, text):
        self.until(text, f'document.querySelector("#chat").innerText.includes({text!r})')

    def said(self):
        return self.evaluate(SAID)

    def is_focused(self, name):
        return self.evaluate(f'document.activeElement === document.querySelector("{name}")')


@contextlib.contextmanager
def browsing():
    """A browser, or None where there is none."""
    with contextlib.ExitStack() as stack:
        browser = None
        if program := chromium():
            browser = stack.enter_context(Browser(program, stack.enter_context(folder())))
            try:
                browser.do("Browser.getVersion")
            except Failed as failed:
                browser = skipped("chat", f"it does not start: {failed}".replace("\n", " "))
        else:
            skipped("chat", "chromium is not installed")
        yield browser


def check_chat():
    with browsing() as browser, Chat() as chat:
        if browser is None:
            return
        otter, mika = Tab(browser, chat.url()), Tab(browser, chat.url())
        doors(otter, mika)
        with Nc(chat, "heron") as heron:
            three_ways(chat, otter, mika, heron)
            by_keyboard(mika)
            text_stays_text(otter, mika, heron)
            scrolling(mika, heron)
            coming_and_going(chat, browser, otter, mika)
        expect("chat: nothing to complain of", [], browser.complaints())
        restart(chat, otter, mika)
        complaints = [what for what in browser.complaints()
                      if not any(text in str(what) for text in EXPECTED)]
        expect("chat: but of the server that was away", [], complaints)


def doors(otter, mika):
    expect_that(otter.is_focused("#nick"), "chat: the name can be typed at once", None)
    otter.join("otter")
    mika.enter("OTTER")
    mika.until("a refusal", 'document.querySelector("#why").textContent.includes("already")')
    expect("chat: a name that somebody has is refused", "OTTER",
           mika.evaluate('document.querySelector("#nick").value'))
    mika.evaluate('document.querySelector("#nick").value = ""')
    mika.join("mika")
    otter.shows("mika is here, by web")
    expect_that(mika.is_focused("#text"), "chat: who comes in can talk at once", None)


def three_ways(chat, otter, mika, heron):
    otter.enter("hello mika")
    mika.hears("hello mika")
    mika.enter("hello otter")
    otter.hears("hello otter")
    expect("chat: a line of nc is told of both", "otter: hello mika", heron.until("otter"))
    expect("chat: in their order", "mika: hello otter", heron.until("mika"))
    heron.say("hello from a terminal")
    for tab in otter, mika:
        tab.hears("hello from a terminal")
    chat.shout("lark: hello by datagram\n")
    chat.shout("nobody in particular\n")
    for tab in otter, mika:
        tab.hears("nobody in particular")
    heads = [head.split("\n")[:2] for head in mika.evaluate(
        '[...document.querySelectorAll(".head")].map(head => [...head.children].slice(0, 2)'
        '.map(part => part.innerText).join("\\n"))')]
    expect("chat: who said it, and whence",
           [["otter", "web"], ["you", "web"], ["heron", "nc"], ["lark", "udp"],
            ["udp:127.0.0.1", "udp"]], heads)
    expect("chat: shouts reach nc", "udp:127.0.0.1: nobody in particular", heron.until("udp:"))
    expect("chat: nothing twice", otter.said(), mika.said())
    otter.type("h")
    mika.shows("otter is typing")
    otter.enter("alf a sentence")
    mika.hears("half a sentence")
    mika.until("the end of the typing", 'document.querySelector("#typing").textContent === ""')
    otter.type("and then nothing")
    mika.shows("otter is typing")
    mika.until("that it expires", 'document.querySelector("#typing").textContent === ""')
    otter.evaluate("put('')")


def by_keyboard(mika):
    mika.type("/")
    mika.until("hints", 'document.querySelectorAll("#hints:not([hidden]) li").length === 7')
    mika.type("m")
    mika.press("Tab")
    expect("chat: a command is completed", "/me ", mika.evaluate("text.value"))
    mika.enter("waves")
    mika.hears("mika waves")
    expect("chat: what somebody does is in italics", "italic",
           mika.evaluate('getComputedStyle(document.querySelector("#log .did")).fontStyle'))
    mika.press("ArrowUp")
    expect("chat: the last one comes back", "/me waves", mika.evaluate("text.value"))
    mika.press("ArrowDown")
    expect("chat: and goes again", "", mika.evaluate("text.value"))
    mika.type("/")
    mika.press("ArrowDown")
    expect("chat: arrows choose a command", "/me",
           mika.evaluate('document.querySelector("[aria-selected=true]").command'))
    mika.press("Escape")
    expect_that(mika.evaluate('document.querySelector("#hints").hidden'),
                "chat: Escape puts the hints away", None)
    mika.evaluate("put('')")
    mika.enter("/nonsense")
    mika.press("Escape")
    mika.until("a refusal", 'told.textContent.includes("/help")')
    expect("chat: an unknown command stays in the field", "/nonsense", mika.evaluate("text.value"))
    mika.evaluate("put('')")
    mika.enter("/who ")
    mika.shows("heron (nc), mika (web), otter (web)")
    mika.press("Tab")
    expect_that(mika.evaluate('document.activeElement.getAttribute("aria-label") === "Send"'),
                "chat: Tab goes on to the button", mika.evaluate("document.activeElement.outerHTML"))
    order = []
    for _ in range(5):
        mika.press("Tab", modifiers=8)
        order.append(mika.evaluate("document.activeElement.id || document.activeElement.name"
                                   " || document.activeElement.dataset.room"))
    expect("chat: and back to all there is", ["text", "log", "room", "lobby"], order[:4])
    mika.evaluate("text.focus()")


def text_stays_text(otter, mika, heron):
    markup = '<img src=x onerror="alert(1)"> <b>not bold</b> &amp;'
    heron.say(markup)
    for tab in otter, mika:
        tab.hears(markup)
        expect("chat: markup stays text", 0,
               tab.evaluate('document.querySelectorAll("#log img, #log .text b").length'))
    heron.say("see https://example.org/a?b=c. or javascript:alert(1) or ftp://example.org")
    mika.hears("ftp://example.org")
    expect("chat: links are what begins with http",
           [["https://example.org/a?b=c", "_blank", "noopener noreferrer"]],
           mika.evaluate('[...document.querySelectorAll("#log a")].map(a => [a.href, a.target, a.rel])'))
    heron.say("\x1b[31mred\x07 \u202eback")
    mika.hears("[31mred back")
    expect("chat: characters that do something are left out", "[31mred back", mika.said()[-1])


def scrolling(mika, heron):
    mika.do("Emulation.setDeviceMetricsOverride", width=375, height=500, deviceScaleFactor=1,
            mobile=True)
    mika.until("the end", "follows && log.scrollTop > 0")
    mika.evaluate("log.scrollTop = 0")
    mika.until("that it is seen", "!follows")
    heron.say("down below")
    mika.shows("1 new message")
    expect("chat: who reads above is left there", 0, mika.evaluate("log.scrollTop"))
    mika.evaluate('document.querySelector("#news").click()')
    mika.until("the end again", 'follows && document.querySelector("#news").hidden')
    mika.evaluate('document.querySelector("#menu").click()')
    mika.until("the drawer", 'getComputedStyle(document.querySelector("#side")).visibility === "visible"')
    expect_that(mika.evaluate('document.activeElement.closest("#side") !== null'),
                "chat: the drawer is gone into", None)
    mika.press("Escape")
    mika.until("it to close", 'getComputedStyle(document.querySelector("#side")).visibility === "hidden"')
    expect_that(mika.is_focused("#menu"), "chat: and come back from", None)
    expect("chat: nothing is wider than a telephone", 375,
           mika.evaluate("document.documentElement.scrollWidth"))
    mika.do("Emulation.setDeviceMetricsOverride", width=1200, height=760, deviceScaleFactor=1,
            mobile=False)
    mika.evaluate("text.focus()")


def coming_and_going(chat, browser, otter, mika):
    before = mika.said()
    mika.close()
    otter.shows("mika has left")
    otter.enter("said meanwhile")
    otter.hears("said meanwhile")
    mika.__init__(browser, chat.url())
    mika.join("mika")
    expect("chat: who comes back sees what was said", [*before, "said meanwhile"], mika.said())
    mika.enter("/join tea")
    mika.until("another room", 'room === "tea"')
    otter.shows("tea")
    mika.enter("quiet here")
    mika.hears("quiet here")
    mika.evaluate('document.querySelector("[data-room=lobby]").click()')
    mika.until("the lobby", 'room === "lobby"')
    expect("chat: a room keeps to itself", [*before, "said meanwhile"], mika.said())
    mika.evaluate("text.focus()")
    otter.enter("/nick Otter")
    mika.shows("otter is called Otter now")


def restart(chat, otter, mika):
    before = mika.said()
    mika.type("not lost")
    code, _, _ = chat.terminate()
    expect("chat: it ends in good order", 0, code)
    for tab in otter, mika:
        tab.until("that this is noticed", f"!{IS_LIVE}")
    mika.press("Enter")
    mika.until("advice", 'told.textContent.includes("stays here")')
    with Chat(chat.ports) as again, Nc(again, "heron") as heron:
        heron.say("while you were away")
        for tab in otter, mika:
            tab.until("that they reconnect", IS_LIVE, seconds=3 * PATIENCE)
            tab.hears("while you were away")
        mika.press("Enter")
        for tab in otter, mika:
            tab.hears("not lost")
            expect("chat: after a restart nothing is lost, and nothing there twice",
                   [*before, "while you were away", "not lost"], tab.said())
        expect("chat: names are kept", ["Otter", "heron", "mika"], mika.evaluate(
            "[...people.keys()].sort()"))
        broken(otter, mika)


def broken(otter, mika):
    """A connection breaks without the server's noticing, as when a telephone changes networks."""
    before = mika.said()
    mika.evaluate("""(() => {
      const old = socket;
      old.onclose({ code: 1006 });
      window.old = old;
    })()""")
    mika.until("that it reconnects", IS_LIVE)
    otter.enter("still there?")
    for tab in otter, mika:
        tab.hears("still there?")
    expect("chat: a page takes its name back", [*before, "still there?"], mika.said())
    expect("chat: and is there once", 3, mika.evaluate("people.size"))


def check_pictures():
    place = os.environ.get("INTEROP_SCREENSHOT")
    if place is None:
        return
    # The ports that the README has.
    with browsing() as browser, Chat((5000, 5001, 5002)) as chat:
        if browser is None:
            return
        otter, mika, lark = (Tab(browser, chat.url()) for _ in range(3))
        otter.join("otter")
        mika.join("mika")
        with Nc(chat, "heron") as heron, Nc(chat, "wren") as wren:
            wren.say("/join tea")
            lark.join("lark")
            talk(chat, otter, mika, lark, heron)
            for name, scheme, phone in (
                ("light", "light", False), ("dark", "dark", False), ("phone", "light", True),
            ):
                width, height = (375, 667) if phone else (1200, 880)
                mika.do("Emulation.setDeviceMetricsOverride", width=width, height=height,
                        deviceScaleFactor=2, mobile=phone)
                mika.do("Emulation.setEmulatedMedia",
                        features=[{"name": "prefers-color-scheme", "value": scheme}])
                for tab in otter, lark:
                    tab.evaluate("send({ typing: true })")
                mika.shows("otter and lark are typing")
                mika.picture(os.path.join(place, f"chat-{name}.png"))


def talk(chat, otter, mika, lark, heron):
    def hears(say, text):
        say(text)
        mika.hears(text.rpartition(": ")[2].removeprefix("/me "))

    hears(otter.enter, "good morning! the kettle is on")
    hears(mika.enter, "morning. did the overnight run finish?")
    hears(heron.say, "it did, at ten past four")
    hears(heron.say, "no complaints in the log, I am reading it over ssh")
    hears(chat.shout, "buildbot: run 1187 passed in 41 minutes")
    hears(otter.enter, "nine minutes less than last week, so the smaller read buffer was worth it")
    hears(otter.enter, "my notes, only a draft: https://example.org/notes/1187")
    hears(lark.enter, "/me pours four cups of tea")
    hears(mika.enter, "then let us ship it after lunch")
    hears(mika.enter, "I will write the changelog")


main(globals())
