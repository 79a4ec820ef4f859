"""The page of the web example in a real browser: all three ways hear the news, and what each costs.

Chromium is driven by its DevTools protocol, through a pair of pipes. With INTEROP_SCREENSHOT=FILE a
picture of the page is left there."""

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import time

from harness import Failed, Program, expect, expect_that, folder, main, skipped
from web import Web

# How long a browser may take to start, on a machine that does other things too.
START = 30

NAMES = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"

# What the page shows: the news of each way, newest first, and its figures by their names.
SHOWN = """
Object.fromEntries([...document.querySelectorAll("section")].map(section => [section.id, {
  news: [...section.querySelectorAll("li")].map(line => line.textContent),
  costs: Object.fromEntries([...section.querySelectorAll("dt")].map(term =>
    [term.textContent, Number(term.nextElementSibling.textContent.replace(/[^0-9]/g, "") || NaN)])),
}]))
"""

# Whether the server has been asked in all three ways.
ALL_ASK = """(async () => {
  const costs = await (await fetch("/costs")).json();
  return ["poll", "wait", "events"].every(way => costs[way].requests > 0);
})().catch(() => false)"""


class Browser(Program):
    """A browser without a window, and one page in it."""

    def __init__(self, program, profile):
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        self.reading, self.writing = ours_in, ours_out
        self.unread, self.number, self.events = b"", 0, []
        self.target = self.page = None
        # It takes commands at 3 and answers at 4.
        command = ["bash", "-c", 'exec "$@" 3<&"$IN" 4>&"$OUT"', "bash", program,
                   "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                   "--no-first-run", "--hide-scrollbars",
                   "--disable-background-networking", "--disable-component-update",
                   f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
        os.environ.update(IN=str(theirs_in), OUT=str(theirs_out))
        # It is many processes, which are a group.
        super().__init__(command, pass_fds=[theirs_in, theirs_out], start_new_session=True)
        os.close(theirs_in)
        os.close(theirs_out)

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        super().__exit__()
        os.close(self.reading)
        os.close(self.writing)

    def do(self, method, seconds=START, **parameters):
        """Has something done, and returns what came of it."""
        self.number += 1
        command = {"id": self.number, "method": method, "params": parameters}
        if self.page:
            command["sessionId"] = self.page
        os.write(self.writing, json.dumps(command).encode() + b"\0")
        deadline = time.monotonic() + seconds
        while True:
            answer = self.receive(deadline)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise Failed(f"FAIL {method}\ngot:    {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def receive(self, deadline):
        while b"\0" not in self.unread:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.reading], [], [], left)[0]:
                raise Failed(f"FAIL the browser does not answer\ngot:    {self.err.text()[-500:]}")
            some = os.read(self.reading, 1 << 20)
            if not some:
                raise Failed(f"FAIL the browser ends\ngot:    {self.err.text()[-500:]}")
            self.unread += some
        message, _, self.unread = self.unread.partition(b"\0")
        return json.loads(message)

    def open(self, url):
        self.target = self.do("Target.createTarget", url="about:blank")["targetId"]
        attached = self.do("Target.attachToTarget", targetId=self.target, flatten=True)
        self.page = attached["sessionId"]
        for domain in "Page", "Runtime", "Log", "Network":
            self.do(f"{domain}.enable")
        self.do("Emulation.setDeviceMetricsOverride", width=1200, height=760,
                deviceScaleFactor=1, mobile=False)
        self.do("Page.navigate", url=url)

    def close(self):
        """Closes the page: one that is only left might be kept, in case its user comes back."""
        self.page = None
        self.do("Target.closeTarget", targetId=self.target)

    def evaluate(self, script):
        result = self.do("Runtime.evaluate", expression=script, returnByValue=True,
                         awaitPromise=True, userGesture=True)
        if "exceptionDetails" in result:
            raise Failed(f"FAIL {script}\ngot:    {result['exceptionDetails']}")
        return result["result"].get("value")

    def until(self, what, script, seconds=15):
        """Waits until the script says something that is true, and returns it."""
        deadline = time.monotonic() + seconds
        while not (value := self.evaluate(script)):
            if time.monotonic() > deadline:
                raise Failed(f"FAIL waited in vain for {what}\ngot:    {self.evaluate(SHOWN)}")
            time.sleep(0.05)
        return value

    def complaints(self):
        """What the page and the browser had to say in its console, and requests that failed."""
        found = []
        for event in self.events:
            method, about = event.get("method"), event.get("params", {})
            if method in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
                found.append(about)
            elif method == "Log.entryAdded":
                found.append(about["entry"].get("text"))
            elif method == "Network.responseReceived" and about["response"]["status"] >= 400:
                found.append(about["response"]["url"])
        return found


def everywhere(text):
    """True when each way has heard this."""
    return f"""[...document.querySelectorAll("ol")].length == 3 &&
      [...document.querySelectorAll("ol")].every(list => list.textContent.includes({text!r}))"""


def check_page():
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        return skipped("browser", "chromium is not installed")
    with Web("--access-log") as web, folder() as profile, Browser(program, profile) as browser:
        try:
            browser.do("Browser.getVersion")
        except Failed as failed:
            return skipped("browser", f"it does not start: {failed}".replace("\n", " "))
        began = time.monotonic()
        browser.open(web.url("/"))
        # The three of them ask, each in its own way.
        browser.until("all three to have asked", ALL_ASK)
        expect("browser: the title", "Three ways of getting news", browser.evaluate(
            "document.title"))
        # As a user does it.
        browser.evaluate("""(() => {
          document.querySelector("input").value = "hello from the page";
          document.querySelector("button").click();
        })()""")
        browser.until("what was typed", everywhere("hello from the page"))
        expect("browser: what is typed is heard by all three ways", "", browser.evaluate(
            'document.querySelector("input").value'))
        first = browser.evaluate(SHOWN)
        web.say("größe & <b>markup</b>")
        browser.until("what was said", everywhere("größe & <b>markup</b>"))
        expect("browser: what others say is, too, as text", 0,
               browser.evaluate('document.querySelectorAll("li *").length'))
        browser.until("a tick", everywhere("tick"))
        time.sleep(max(0, began + 12 - time.monotonic()))
        last = browser.evaluate(SHOWN)
        if place := os.environ.get("INTEROP_SCREENSHOT"):
            with open(place, "wb") as file:
                file.write(base64.b64decode(browser.do("Page.captureScreenshot")["data"]))
        for way in "poll", "wait", "events":
            costs = last[way]["costs"]
            expect_that(all(value > 0 for value in costs.values()),
                        f"browser: {way} costs something", costs)
            numbers = [int(line.partition(".")[0]) for line in last[way]["news"]]
            expect(f"browser: {way} has all the news, newest first",
                   list(range(numbers[0], numbers[0] - len(numbers), -1)), numbers)
            expect_that(costs["Bytes received"] > (first[way]["costs"]["Bytes received"] or 0),
                        f"browser: {way} received more as time went by", (first, last))
        requests = {way: shown["costs"]["Requests"] for way, shown in last.items()}
        heard = max(len(shown["news"]) for shown in last.values())
        expect_that(requests["poll"] >= 9, "browser: polling asks every second", requests)
        expect_that(requests["wait"] <= heard + 2, "browser: long polling once for each news",
                    (requests, heard))
        expect("browser: a stream asks once", 1, requests["events"])
        each = {way: shown["costs"]["Bytes for each news"] for way, shown in last.items()}
        expect_that(each["poll"] > each["wait"] > each["events"],
                    "browser: polling costs most for each news, a stream least", each)
        print(f"     bytes for each news: {each}; requests: {requests}", flush=True)
        expect("browser: nothing to complain of", [], browser.complaints())
        # A server that has begun anew begins to count anew, and the page with it.
        web.terminate()
        with Web("--access-log", port=web.at) as web:
            browser.until("all three to ask again", ALL_ASK)
            time.sleep(2)
            web.say("good morning")
            browser.until("the news of the new server", everywhere("good morning"))
            expect("browser: all three hear a server that was started again", 1,
                   web.get_json("/costs")["events"]["requests"])
            browser.close()
            web.out.until(r'"GET /events HTTP/1.1" 499 ')
            web.out.until(r'"GET /wait\?since=\d+ HTTP/1.1" 499 ')
            expect("browser: who closes the page is gone here too", None, web.process.poll())


main(globals())
