// The page of the chat: what is said comes by one WebSocket, and is shown as text, never as markup.
// What both sides send is listed in web.rs.
"use strict";

const by = id => document.getElementById(id);
const [door, chat, log, text, told] = ["door", "chat", "log", "text", "told"].map(by);

const COMMANDS = [
  ["/join", "ROOM", "go to a room, which begins with that"],
  ["/me", "ACTION", "say what you do"],
  ["/nick", "NAME", "be called something else"],
  ["/who", "", "who is here"],
  ["/rooms", "", "which rooms there are"],
  ["/help", "", "all of this"],
  ["/quit", "", "leave"],
];
const MOST_SHOWN = 500;             // Lines on the page. Older ones go.
const GROUP = 5 * 60_000;           // Lines of one person within this time belong together.
const TYPING = 2_500;               // How often others are told that we type.
const TYPED = 4_000;                // How long they are shown to.

let socket = null;                  // Our connection, if there is one.
let retry = null, failures = 0;     // When it is tried again, and how often that was in vain.
let nick = null, room = null;       // Who and where we are.
let since = 0;                      // The number of the last line that we have.
const key = [...crypto.getRandomValues(new Uint8Array(16))].map(byte => byte.toString(16)).join("");
const people = new Map();           // Who is here, and by what way.
const pending = [];                 // What was sent and has not been dealt with.
const recent = [];                  // What was sent, for the arrow up.
let recalled = 0;                   // How far the arrow has gone back.
const typing = new Map();           // Who types, and the timer after which he does not.
let lastTyping = 0;
let unread = 0, below = 0;          // Lines while nobody looked, and below what is looked at.
let follows = true;                 // The end of the log is what is looked at.

// Small things ---------------------------------------------------------------------------------

function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** A colour for a name: its hue, of which the style makes one that can be read. */
function hue(name) {
  let hash = 2166136261; // FNV-1a
  for (const letter of name.toLowerCase()) hash = Math.imul(hash ^ letter.codePointAt(), 16777619);
  return (hash >>> 8) % 360;
}

function face(name) {
  const made = element("span", "face", [...name.replace(/^udp:/, "")][0]);
  made.setAttribute("aria-hidden", "true");
  made.style.setProperty("--hue", hue(name));
  return made;
}

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const calendar = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });

function time(number) {
  const made = element("time", "", clock.format(number));
  made.dateTime = new Date(number).toISOString();
  return made;
}

/** Text with its links, as nodes. */
function linked(content) {
  const nodes = [];
  let from = 0;
  for (const found of content.matchAll(/\bhttps?:\/\/[^\s<>"]+[^\s<>".,;:!?')\]]/g)) {
    if (!URL.canParse(found[0])) continue;
    const link = element("a", "", found[0]);
    link.href = found[0];
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    nodes.push(content.slice(from, found.index), link);
    from = found.index + found[0].length;
  }
  return [...nodes, content.slice(from)];
}

/** What a browser keeps for us, if it does: a page may be told not to. */
function kept(storage, name, value) {
  try {
    if (value !== undefined) window[storage].setItem(name, value);
    return window[storage].getItem(name) ?? "";
  } catch {
    return "";
  }
}

function tell(what, bad = false) {
  told.textContent = what;
  told.classList.toggle("bad", bad);
}

// The log --------------------------------------------------------------------------------------

const isAtEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 60;

function seen() {
  follows = isAtEnd();
  if (!follows) return;
  below = 0;
  by("news").hidden = true;
}

function toEnd() {
  log.scrollTop = log.scrollHeight;
  seen();
}

/** Adds something to the log, and goes along with it if its end is what is looked at. */
function show(add, { counts = false, own = false } = {}) {
  const goAlong = own || follows;
  add();
  while (log.children.length > MOST_SHOWN) log.firstChild.remove();
  if (goAlong) toEnd();
  else if (counts) {
    below += 1;
    by("news").textContent = below === 1 ? "1 new message ↓" : `${below} new messages ↓`;
    by("news").hidden = false;
  }
  if (counts && document.hidden) unread += 1;
  title();
}

function showLine(line) {
  since = Math.max(since, line.number);
  stopTyping(line.nick);
  const own = line.nick === nick && line.via === "web";
  show(() => {
    showDay(line.number);
    const via = element("span", "via", line.via);
    if (line.action) {
      const who = element("b", "nick", line.nick);
      const did = element("p", "did", who, " ", ...linked(line.text), via);
      did.style.setProperty("--hue", hue(line.nick));
      did.title = clock.format(line.number);
      log.append(did);
      return;
    }
    const words = element("p", "text", ...linked(line.text));
    words.title = clock.format(line.number);
    const last = log.lastElementChild;
    if (last?.about === line.nick + line.via && line.number - last.began < GROUP) {
      last.append(words);
      return;
    }
    const who = element("b", "nick", own ? "you" : line.nick);
    const head = element("div", "head", who, via, time(line.number));
    const group = element("article", own ? "group own" : "group", ...own ? [] : [face(line.nick)], head, words);
    group.about = line.nick + line.via;
    group.began = line.number;
    group.style.setProperty("--hue", hue(line.nick));
    log.append(group);
  }, { counts: !own, own });
}

function showDay(number) {
  const day = new Date(number).toDateString();
  if (log.day === day) return;
  const today = day === new Date().toDateString();
  log.append(element("p", "day", today ? "Today" : calendar.format(number)));
  log.day = day;
}

/** What happens beside what is said. Several of it in a row are one paragraph. */
function note(what) {
  show(() => {
    showDay(Date.now());
    const last = log.lastElementChild;
    if (last.className === "quiet") last.append(` · ${what}`);
    else log.append(element("p", "quiet", what));
  });
}

// Who is here ----------------------------------------------------------------------------------

function showPeople() {
  const names = [...people.keys()].sort((a, b) => a.localeCompare(b));
  by("count").textContent = names.length;
  by("people").replaceChildren(...names.map(name =>
    element("li", "", face(name), name === nick ? `${name} (you)` : name, element("small", "", people.get(name)))));
  // The list of rooms comes once a second; who is in this one is known at once.
  const here = by("rooms").querySelector("[aria-current] span");
  if (here) here.textContent = names.length;
}

function showRooms(rooms) {
  const focused = document.activeElement?.dataset?.room;
  by("rooms").replaceChildren(...rooms.map(({ name, people }) => {
    const button = element("button", "", name, element("span", "", people));
    button.type = "button";
    button.dataset.room = name;
    if (name === room) button.setAttribute("aria-current", "true");
    button.onclick = () => {
      close();
      if (name !== room) say(`/join ${name}`);
    };
    return element("li", "", button);
  }));
  if (focused) by("rooms").querySelector(`[data-room="${CSS.escape(focused)}"]`)?.focus();
}

function showTyping() {
  const names = [...typing.keys()];
  const dots = element("span", "dots", element("i"), element("i"), element("i"));
  const who = names.length > 2 ? "several people are typing" : `${names.join(" and ")} ${names.length > 1 ? "are" : "is"} typing`;
  by("typing").replaceChildren(...names.length ? [dots, who] : []);
}

function stopTyping(name) {
  clearTimeout(typing.get(name));
  if (typing.delete(name)) showTyping();
}

function title() {
  document.title = `${unread ? `(${unread}) ` : ""}${room ? `#${room}` : "Chat"}`;
}

// What the server says -------------------------------------------------------------------------

const on = {
  here(here) {
    failures = 0;
    const returns = here.room === room && door.hidden;
    if (!returns) {
      log.replaceChildren();
      log.day = null;
    }
    ({ room, nick } = here);
    const unheard = pending.splice(returns ? 0 : pending.length);
    called(nick);
    history.replaceState(null, "", room === "lobby" ? location.pathname : `#${room}`);
    by("name").textContent = room;
    text.placeholder = `Message #${room}`;
    by("nc").textContent = `nc ${location.hostname} ${here.ports.nc}`;
    by("udp").textContent = `nc -u ${location.hostname} ${here.ports.udp}`;
    people.clear();
    for (const person of here.people) people.set(person.nick, person.via);
    for (const name of typing.keys()) stopTyping(name);
    door.hidden = true;
    chat.hidden = false;
    log.setAttribute("aria-busy", "true");
    for (const line of here.lines) showLine(line);
    if (!returns) {
      unread = 0;
      toEnd();
    }
    log.removeAttribute("aria-busy");
    showPeople();
    state("connected", true);
    tell("");
    // What has reached the room before the connection broke is among its lines.
    const heard = here.lines.filter(line => line.nick === nick).map(line => line.text);
    putBack(unheard.filter(sent => !heard.includes(sent)));
    if (!returns && !matchMedia("(pointer: coarse)").matches) text.focus();
    title();
  },
  line: showLine,
  joined(person) {
    people.set(person.nick, person.via);
    showPeople();
    note(`${person.nick} is here, by ${person.via}`);
  },
  left(name) {
    people.delete(name);
    stopTyping(name);
    showPeople();
    note(`${name} has left`);
  },
  renamed({ from, to }) {
    people.set(to, people.get(from));
    if (from !== to) people.delete(from);
    stopTyping(from);
    if (from === nick) called(to);
    showPeople();
    note(`${from} is called ${to} now`);
  },
  rooms: showRooms,
  typing(name) {
    clearTimeout(typing.get(name));
    typing.set(name, setTimeout(() => stopTyping(name), TYPED));
    showTyping();
  },
  notice: what => show(() => log.append(element("p", "quiet notice", what))),
  refused(why) {
    if (!isLive()) return leave(why);
    putBack(pending.splice(0, 1));
    tell(why, true);
  },
  done() {
    pending.shift();
    if (!pending.length && !told.classList.contains("bad")) tell("");
  },
};

function called(name) {
  nick = name;
  kept("localStorage", "nick", name);
  kept("sessionStorage", "nick", name);
}

// The connection -------------------------------------------------------------------------------

function state(what, live = false) {
  chat.classList.toggle("live", live);
  by("state").replaceChildren(what);
}

/** The room that the address of the page names. */
function wanted() {
  try {
    return decodeURIComponent(location.hash).match(/^#([\p{L}\p{N}._-]+)$/u)?.[1] ?? "lobby";
  } catch {
    return "lobby";
  }
}

function connect() {
  clearTimeout(retry);
  retry = null;
  const before = socket;
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const own = socket = new WebSocket(`${scheme}//${location.host}/ws`);
  before?.close();
  own.onopen = () => own.send(JSON.stringify({ join: { nick, room: room ?? wanted(), since, key } }));
  own.onmessage = ({ data }) => {
    if (socket !== own) return;
    const [[name, value]] = Object.entries(JSON.parse(data));
    on[name]?.(value);
  };
  own.onclose = ({ code }) => {
    if (socket !== own) return;
    socket = null;
    tell("");
    if (code === 1000) return leave("");
    again();
  };
}

/** Tries again: soon at first, then less and less often, and not at the same time as all others. */
function again() {
  const wait = Math.min(15_000, 500 * 2 ** failures++) * (0.5 + Math.random() / 2);
  retry = setTimeout(connect, wait);
  if (chat.hidden) return why("The server does not answer. Trying again …");
  state("reconnecting …");
  const now = element("button", "", "try now");
  now.type = "button";
  now.onclick = connect;
  by("state").append(now);
  for (const name of typing.keys()) stopTyping(name);
}

const isLive = () => socket?.readyState === WebSocket.OPEN && chat.classList.contains("live");
const send = what => socket.send(JSON.stringify(what));

function say(what) {
  if (!isLive()) return tell("not connected", true);
  pending.push(what);
  send({ say: what });
  setTimeout(() => pending.includes(what) && isLive() && tell("sending …"), 1_000);
}

/** Back to the door. */
function leave(because) {
  const left = socket;
  clearTimeout(retry);
  state("");
  if (room) by("nick").value = nick;
  [socket, retry, nick, room, since] = [null, null, null, null, 0];
  left?.close(1000);
  putBack(pending.splice(0));
  kept("sessionStorage", "nick", "");
  chat.hidden = true;
  door.hidden = false;
  why(because);
  by("nick").focus();
  title();
}

function why(what) {
  by("why").textContent = what;
  by("nick").toggleAttribute("aria-invalid", what !== "");
}

// What is typed --------------------------------------------------------------------------------

function put(what) {
  text.value = what;
  changed();
}

/** What could not be said stands where it was typed. */
function putBack(unsaid) {
  if (unsaid.length) put([...unsaid, text.value].filter(Boolean).join(" "));
}

function changed() {
  if (/[\n\r]/.test(text.value)) text.value = text.value.replace(/[\n\r]+/g, " ");
  if (!CSS.supports("field-sizing", "content")) {
    text.style.height = "auto";
    text.style.height = `${text.scrollHeight}px`;
  }
  hint();
}

function hint() {
  const hints = by("hints"), typed = text.value;
  const found = /^\/\w*$/.test(typed) ? COMMANDS.filter(([command]) => command.startsWith(typed)) : [];
  hints.hidden = !found.length;
  hints.replaceChildren(...found.map(([command, what, help]) => {
    const item = element("li", "", element("code", "", `${command} ${what}`), element("span", "", help));
    item.id = `hint${command.replace("/", "-")}`;
    item.role = "option";
    item.command = command;
    item.onpointerdown = event => {
      event.preventDefault();
      complete(item);
    };
    return item;
  }));
  choose(hints.firstChild);
}

function choose(item) {
  for (const other of by("hints").children) other.ariaSelected = String(other === item);
  if (item) text.setAttribute("aria-activedescendant", item.id);
  else text.removeAttribute("aria-activedescendant");
}

const chosen = () => by("hints").hidden ? null : by("hints").querySelector("[aria-selected=true]");

function complete(item) {
  put(`${item.command} `);
  text.focus();
}

function recall(by) {
  recalled = Math.min(Math.max(recalled + by, 0), recent.length);
  put(recalled ? recent[recent.length - recalled] : "");
}

text.oninput = () => {
  recalled = 0;
  tell("");
  changed();
  const now = Date.now();
  if (text.value && !text.value.startsWith("/") && now - lastTyping > TYPING && isLive()) {
    lastTyping = now;
    send({ typing: true });
  }
};

text.onkeydown = event => {
  const item = chosen();
  const at = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (event.isComposing) return;
  if (event.key === "Enter") {
    event.preventDefault();
    if (item && item.command !== text.value) complete(item);
    else by("say").requestSubmit();
  } else if (event.key === "Tab" && item && !event.shiftKey) {
    event.preventDefault();
    complete(item);
  } else if (event.key === "Escape") {
    by("hints").hidden = true;
    choose(null);
  } else if (at && item) {
    event.preventDefault();
    const items = [...by("hints").children];
    choose(items.at((items.indexOf(item) + at) % items.length));
  } else if (at && (text.value === "" || recalled)) {
    event.preventDefault();
    recall(-at);
  }
};

by("say").onsubmit = event => {
  event.preventDefault();
  const typed = text.value.trim();
  if (!typed) return;
  if (!isLive()) return tell("not connected: your text stays here", true);
  if (recent.at(-1) !== typed) recent.push(typed);
  recent.splice(0, recent.length - 50);
  recalled = lastTyping = 0;
  tell("");
  say(typed);
  put("");
  toEnd();
  text.focus();
};

by("enter").onsubmit = event => {
  event.preventDefault();
  nick = by("nick").value.trim();
  if (!nick) return why("A name is needed.");
  why("");
  failures = 0;
  connect();
};

by("other").onsubmit = event => {
  event.preventDefault();
  const other = event.target.room.value.trim();
  if (other) say(`/join ${other}`);
  event.target.reset();
  close();
};

// The frame ------------------------------------------------------------------------------------

function open() {
  by("side").classList.add("open");
  by("menu").ariaExpanded = "true";
  by("room").inert = true;
  (by("side").querySelector("[aria-current]") ?? by("side").querySelector("button"))?.focus();
}

function close() {
  if (!by("side").classList.contains("open")) return;
  by("side").classList.remove("open");
  by("menu").ariaExpanded = "false";
  by("room").inert = false;
  by("menu").focus();
}

by("menu").onclick = open;
by("shade").onclick = close;
by("news").onclick = () => {
  toEnd();
  text.focus();
};
log.onscroll = seen;
new ResizeObserver(() => follows && toEnd()).observe(log);
matchMedia("(max-width: 46rem)").onchange = close;
document.onkeydown = event => {
  if (event.key === "Escape") close();
};
document.onvisibilitychange = () => {
  if (document.hidden) return;
  unread = 0;
  title();
  if (retry) connect();
};
window.ononline = () => {
  if (retry) connect();
};
window.onhashchange = () => {
  if (isLive() && wanted() !== room) say(`/join ${wanted()}`);
};

by("nick").value = kept("localStorage", "nick");
nick = kept("sessionStorage", "nick");
if (nick) connect();
else by("nick").focus();
