// Keeps the list fresh without touching what is being typed. Without script the
// page reloads itself.
const list = document.getElementById("messages");

async function refresh() {
  if (document.hidden || getSelection().toString()) return;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (answer.redirected) return location.reload(); // the login has ended
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("messages");
  if (fresh && fresh.innerHTML !== list.innerHTML) list.replaceChildren(...fresh.childNodes);
}

setInterval(() => refresh().catch(() => {}), 2000); // a failed try is followed by the next
