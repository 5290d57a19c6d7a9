const $ = (id) => document.getElementById(id);
const words = {
  MISSING_PHONE: "Enter your mobile number.",
  INVALID_PHONE: "That is not a phone number. Enter its ten digits, area code first.",
  INVALID_PHONE_COUNTRY_CODE: "That is not a number of the United States.",
  INVALID_PHONE_TYPE: "That is not a mobile number. Landlines and internet phones cannot get the code.",
  PHONE_OPTED_OUT: "This number wants no messages from us. Text START to us to get them again.",
  BLOCKED_PHONE: "We cannot send to this number now. Use another one, or try later.",
  INVALID_OTP: "That is not the code. Look at the newest message, and try again.",
  USED_UP: "This code does not work any more. Send a new one.",
  EXCEEDS_LIMIT_SMS: "Too many codes were asked for.",
  EXCEEDS_LIMIT_OTP: "There were too many wrong codes for this number.",
  EXCEEDS_LIMIT_CLIENT: "Too many people are signing in.",
  UNAVAILABLE: "The service is not available.",
  NETWORK: "The server cannot be reached. Check your connection, and try again.",
};
let phoneNumber, phoneId, busy, sms;
const complain = (input, text) => { $(`${input}-error`).textContent = text; $(input).ariaInvalid = text !== ""; };

// show makes one step visible and moves the focus to where it begins.
function show(step, focus, status = "") {
  for (const id of ["phone-step", "code-step", "done"]) $(id).hidden = id !== step;
  for (const id of ["phone", "code"]) complain(id, "");
  $("status").textContent = status;
  sms?.abort();
  $(focus).focus();
}

function inWords(seconds) {
  const [size, unit] = Math.abs(seconds) < 90 ? [1, "second"] : Math.abs(seconds) < 5400 ? [60, "minute"] : [3600, "hour"];
  return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(Math.round(seconds / size), unit);
}

// hold keeps a button from working for some seconds, and counts them down. It can have the focus all the same.
function hold(button, seconds) {
  const until = Date.now() + seconds * 1000;
  const tick = () => {
    const left = Math.max(0, Math.ceil((until - Date.now()) / 1000));
    button.lastElementChild.textContent = left ? ` in ${new Date(left * 1000).toISOString().slice(left < 3600 ? 14 : 11, 19)}` : "";
    button.ariaDisabled = left > 0;
    if (!left) clearInterval(button.ticking);
    if (!left && seconds && button.offsetParent) $("status").textContent = "You can try again now.";
  };
  clearInterval(button.ticking);
  button.ticking = setInterval(tick, 250);
  tick();
}

// call asks our server, which asks the API. It returns what succeeds, and explains what fails.
async function call(name, body, button, input) {
  if (busy || button.ariaDisabled === "true") return;
  busy = true;
  $("status").textContent = "";
  complain(input, ""); // so that the same error is told again
  try {
    const r = await fetch(`demo/${name}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    const answer = await r.json(), wait = Number(r.headers.get("Retry-After"));
    record(name, body, `HTTP ${r.status}${wait ? `, Retry-After: ${wait}` : ""}\n${JSON.stringify(answer, null, 2)}`);
    if (r.ok) return answer;
    if (wait) hold(button, wait);
    const code = answer.data?.retryable === false ? "USED_UP" : answer.code;
    complain(input, `${words[code] ?? `That did not work (${code}).`}${wait ? ` Try again ${inWords(wait)}.` : ""}`);
    $(code === "USED_UP" ? "resend" : input).focus();
  } catch {
    complain(input, words.NETWORK);
  } finally {
    busy = false;
  }
}

function record(name, body, answer) {
  const quoted = (s) => `'${s.replaceAll("'", "'\\''")}'`, item = document.createElement("li");
  const curl = `curl -sS -X POST "$CODEWORD_URL/v1/auth/otp/sms:${name}" \\
  -H "ratio-client-id: $CODEWORD_CLIENT_ID" \\
  -H "ratio-client-secret: $CODEWORD_CLIENT_SECRET" \\
  -H ${quoted(`ratio-device-fingerprint: {"ip": "${$("calls").dataset.address}"}`)} \\
  -H "Content-Type: application/json" -d ${quoted(JSON.stringify(body))}`;
  for (const text of [curl, answer]) item.appendChild(document.createElement("pre")).textContent = text;
  $("calls").prepend(item);
}

async function send(button, input) {
  const answer = await call("send", { phoneNumber }, button, input);
  if (!answer) return;
  phoneId = answer.phoneId;
  $("to").textContent = phoneNumber;
  $("inbox").search = new URLSearchParams({ to: phoneNumber });
  $("code").value = "";
  show("code-step", "code", "The code is on its way.");
  if (!("OTPCredential" in window)) return;
  // WebOTP: browsers on phones hand over the code of a message whose last line names this site.
  sms = new AbortController();
  const got = await navigator.credentials.get({ otp: { transport: ["sms"] }, signal: sms.signal }).catch(() => null);
  if (got) $("code").value = got.code, $("code-step").requestSubmit();
}

// decoded is a part of a JWT (RFC 7519), with its times in words.
function decoded(part) {
  const bytes = Uint8Array.from(atob(part.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  return JSON.stringify(JSON.parse(new TextDecoder().decode(bytes)), null, 2).replace(/"(auth_time|exp|iat|nbf)": (\d+),?/g,
    (line, _, at) => `${line}  ← ${new Date(at * 1000).toLocaleTimeString("en")}, ${inWords(at - Date.now() / 1000)}`);
}

$("phone-step").addEventListener("submit", (event) => {
  event.preventDefault();
  phoneNumber = $("phone").value.replace(/[\s().-]/g, "").replace(/^1?(\d{10})$/, "+1$1"); // the API takes E.164 alone
  send($("send"), "phone");
});
$("code-step").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await call("authenticate", { phoneId, otp: $("code").value }, $("verify"), "code");
  if (!answer) return;
  [$("header").textContent, $("claims").textContent] = answer.sessionJwt.split(".", 2).map(decoded);
  show("done", "welcome");
});
$("code").addEventListener("input", ({ target }) => { // a whole message may be pasted
  target.value = (target.value.match(/\d[\d\s-]*/)?.[0] ?? "").replace(/\D/g, "");
});
$("phone").addEventListener("input", () => hold($("send"), 0)); // another number may have limits of its own
$("resend").addEventListener("click", () => send($("resend"), "code"));
for (const id of ["back", "again"]) $(id).addEventListener("click", () => show("phone-step", "phone"));
show("phone-step", "phone");
