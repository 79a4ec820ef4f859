"""A browser without a window: Chromium, driven by its DevTools protocol through a pair of pipes."""

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import time

from harness import Failed, Program

# How long a browser may take to start, on a machine that does other things too.
START = 30

NAMES = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"


def chromium():
    """The path of the browser, or None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser(Program):
    """A browser, and one page in it."""

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

    def open(self, url, **options):
        self.target = self.do("Target.createTarget", url="about:blank", **options)["targetId"]
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

    def shown(self):
        """What is told of a page on which something does not come up."""
        return self.evaluate("document.body.innerText")

    def until(self, what, script, seconds=15):
        """Waits until the script says something that is true, and returns it."""
        deadline = time.monotonic() + seconds
        while not (value := self.evaluate(script)):
            if time.monotonic() > deadline:
                raise Failed(f"FAIL waited in vain for {what}\ngot:    {self.shown()}")
            time.sleep(0.05)
        return value

    def picture(self, path):
        """Leaves a picture of the page."""
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.do("Page.captureScreenshot")["data"]))

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
