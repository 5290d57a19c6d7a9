// Keeps the parts of a page fresh that are marked with data-live: the stream says that
// something has changed, and the page itself is asked what it looks like now. Without
// script the page stays as it is.
const pause = 2000; // ms between two looks at most
let due = new Set(), timer = 0;

// In use: the reader is in the middle of something there.
const busy = (part) => part.contains(document.activeElement) || part.querySelector("details[open]");

async function refresh() {
  timer = 0;
  if (document.hidden) return; // all comes again with the next stream
  if (getSelection().toString()) return schedule();
  const parts = [...document.querySelectorAll("[data-live]")].filter((part) => part.dataset.live.split(" ").some((name) => due.has(name)));
  due = new Set();
  const later = parts.filter(busy), now = parts.filter((part) => !busy(part));
  for (const part of later) for (const name of part.dataset.live.split(" ")) due.add(name);
  if (now.length) {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.redirected || !answer.ok) return; // the login has ended
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of now) {
      const fresh = page.getElementById(part.id);
      if (fresh && !busy(part) && fresh.innerHTML !== part.innerHTML) part.replaceChildren(...fresh.childNodes);
    }
  }
  if (due.size) schedule();
}

function schedule() {
  if (!timer) timer = setTimeout(() => refresh().catch(() => {}), pause); // the next change tries again
}

let stream = null;

// A stream that ends is opened again by the browser, with the login of then, and for good
// without one. Pages that nobody sees have none: a browser has few connections to a server.
function follow() {
  if (document.hidden) {
    stream?.close();
    stream = null;
  } else if (!stream) {
    stream = new EventSource("/admin/v1/live");
    for (const name of ["queue", "routes", "holds", "messages", "events"]) {
      stream.addEventListener(name, () => { due.add(name); schedule(); });
    }
  }
}

document.addEventListener("visibilitychange", follow);
follow();
