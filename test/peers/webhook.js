// Signs and verifies with npm's standardwebhooks, for the tests of
// internal/carrier/webhook. Reads {sign: [{secret, id, timestamp, payload}],
// verify: [{secret, headers, payload}]} (timestamps in seconds) and writes
// {signatures: [string], verified: [bool]}.
"use strict";

const fs = require("fs");
const { Webhook } = require("standardwebhooks");

const input = JSON.parse(fs.readFileSync(0, "utf8"));

const signatures = (input.sign || []).map(({ secret, id, timestamp, payload }) =>
  new Webhook(secret).sign(id, new Date(timestamp * 1000), payload),
);

const verified = (input.verify || []).map(({ secret, headers, payload }) => {
  try {
    new Webhook(secret).verify(payload, headers);
    return true;
  } catch {
    return false;
  }
});

process.stdout.write(JSON.stringify({ signatures, verified }));
