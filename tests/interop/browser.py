"""The page of the web example in a real browser: all three ways hear the news, and what each costs.

With INTEROP_SCREENSHOT=FOLDER a picture of the page is left there."""

import os
import time

from chromium import Browser, chromium
from harness import Failed, expect, expect_that, folder, main, skipped
from web import Web

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


class Page(Browser):
    def shown(self):
        return self.evaluate(SHOWN)


def everywhere(text):
    """True when each way has heard this."""
    return f"""[...document.querySelectorAll("ol")].length == 3 &&
      [...document.querySelectorAll("ol")].every(list => list.textContent.includes({text!r}))"""


def check_page():
    program = chromium()
    if program is None:
        return skipped("browser", "chromium is not installed")
    with Web("--access-log") as web, folder() as profile, Page(program, profile) as browser:
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
            browser.picture(os.path.join(place, "web.png"))
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
