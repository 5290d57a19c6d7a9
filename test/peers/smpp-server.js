'use strict';
// A scripted SMSC on npm smpp, an implementation of SMPP 3.4 that is not ours.
//
//   node smpp-server.js '{"receipts":"tlv","throttleEvery":50}'
//
// Options, all optional, as one JSON object:
//
//   port            to listen on; 0, the default, picks one
//   host            default 127.0.0.1
//   key, cert       files in PEM; with both it speaks TLS
//   systemId, password   others are refused (ESME_RINVSYSID, ESME_RINVPASWD)
//   version         false leaves sc_interface_version out of bind_resp
//   respDelayMs     answers a submit_sm after that long
//   statuses        {"16502180001": 11}: command_status by destination
//   throttleEvery   refuses every nth submit_sm with throttleStatus (default 0x58)
//   dropAfter       cuts the connection that brings the nth message taken, and
//                   every nth after it, without an answer to it
//   deaf            true takes messages and answers none
//   idFormat        message ids in submit_sm_resp: "decimal" (default), "hex"
//   receiptIdFormat the same in receipts; default idFormat
//   receipts        "tlv", "text", or "none" (default)
//   receiptDelayMs  between the answer and the receipt
//   receiptState    message_state of receipts, default 2 (DELIVERED)
//   receiptError    err: or network_error_code (GSM) of receipts, a number
//   log             file; "destination<TAB>text<NEWLINE>" is written for each
//                   message taken, before it is answered, so that it outlives
//                   a SIGKILL
//   emit            true prints {"to","text","coding"} for each message taken,
//                   as it is decoded by its data_coding
//
// The first line on standard output is {"port":12345}. Lines on standard input:
//
//   report          prints {"received","taken","destinations","duplicates",
//                   "messages","doubled","throttled","refused","dropped",
//                   "receiptsSent","receiptsAcked","receiptsRefused","binds",
//                   "sessions","maxOutstanding"}. received counts submit_sm,
//                   taken those that were not refused; destinations are distinct
//                   ones of taken messages and duplicates how many messages went
//                   to one that had one before; messages and doubled the same by
//                   destination and text. maxOutstanding is the most submit_sm
//                   of one connection that had no answer at once.
//   {"set":{...}}   changes options from now on; prints {"set":true}
//   {"mo":{"from","to","text"}}  sends a message from a phone to each connection
//                   that receives; prints {"mo":n}
//   {"drop":true}   cuts all connections; prints {"drop":n}

const fs = require('fs');
const readline = require('readline');
const smpp = require('smpp');

const options = Object.assign(
  {
    port: 0,
    host: '127.0.0.1',
    version: true,
    respDelayMs: 0,
    throttleStatus: smpp.ESME_RTHROTTLED,
    idFormat: 'decimal',
    receipts: 'none',
    receiptDelayMs: 0,
    receiptState: 2,
    receiptError: 0,
  },
  JSON.parse(process.argv[2] || '{}'),
);

const states = ['', 'ENROUTE', 'DELIVRD', 'EXPIRED', 'DELETED', 'UNDELIV', 'ACCEPTD', 'UNKNOWN', 'REJECTD'];
const count = {
  received: 0, taken: 0, duplicates: 0, doubled: 0, throttled: 0, refused: 0, dropped: 0,
  receiptsSent: 0, receiptsAcked: 0, receiptsRefused: 0, binds: 0, maxOutstanding: 0,
};
const destinations = new Set();
const messages = new Set();
const sessions = new Set();
const logFile = options.log ? fs.openSync(options.log, 'a') : -1;
let lastId = 1000000;

const say = (value) => process.stdout.write(JSON.stringify(value) + '\n');

const format = (id, as) => (as === 'hex' ? id.toString(16).toUpperCase().padStart(8, '0') : id.toString(10).padStart(10, '0'));

function textOf(pdu) {
  const body = pdu.short_message && pdu.short_message.message && pdu.short_message.message.length
    ? pdu.short_message : pdu.message_payload;
  return body ? String(body.message) : '';
}

// take notes a message that was not refused.
function take(to, text, coding) {
  count.taken++;
  if (destinations.has(to)) count.duplicates++;
  destinations.add(to);
  const line = `${to}\t${text}`;
  if (messages.has(line)) count.doubled++;
  messages.add(line);
  if (logFile >= 0) fs.writeSync(logFile, line + '\n');
  if (options.emit) say({ to, text, coding });
}

// receipt sends the receipt of a message, and again if it is not taken for now.
function receipt(session, pdu, id) {
  if (session.gone) return;
  const shown = format(id, options.receiptIdFormat || options.idFormat);
  const out = {
    source_addr_ton: 1, source_addr_npi: 1, source_addr: pdu.destination_addr,
    destination_addr: pdu.source_addr, esm_class: 4, data_coding: 0,
  };
  if (options.receipts === 'tlv') {
    out.receipted_message_id = shown;
    out.message_state = options.receiptState;
    if (options.receiptError) out.network_error_code = Buffer.from([3, options.receiptError >> 8, options.receiptError & 255]);
  } else {
    const err = String(options.receiptError).padStart(3, '0');
    out.short_message = `id:${shown} sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 ` +
      `stat:${states[options.receiptState]} err:${err} text:-`;
  }
  count.receiptsSent++;
  session.deliver_sm(out, (resp) => {
    if (resp.command_status === 0) {
      count.receiptsAcked++;
    } else {
      count.receiptsRefused++;
      if (resp.command_status === smpp.ESME_RX_T_APPN) setTimeout(receipt, 200, session, pdu, id);
    }
  });
}

function answer(session, pdu, id) {
  if (session.gone) return;
  session.outstanding--;
  session.send(pdu.response({ message_id: format(id, options.idFormat) }));
  if (options.receipts === 'none' || !(pdu.registered_delivery & 1)) return;
  const to = session.receives ? session : [...sessions].find((s) => s.receives);
  if (!to) return;
  if (options.receiptDelayMs > 0) setTimeout(receipt, options.receiptDelayMs, to, pdu, id);
  else receipt(to, pdu, id);
}

function submit(session, pdu) {
  count.received++;
  session.outstanding++;
  count.maxOutstanding = Math.max(count.maxOutstanding, session.outstanding);
  const refuse = (status) => {
    session.outstanding--;
    session.send(pdu.response({ command_status: status }));
  };
  const status = options.statuses && options.statuses[pdu.destination_addr];
  if (status) {
    count.refused++;
    return refuse(status);
  }
  if (options.throttleEvery && count.received % options.throttleEvery === 0) {
    count.throttled++;
    return refuse(options.throttleStatus);
  }
  take(pdu.destination_addr, textOf(pdu), pdu.data_coding);
  if (options.dropAfter && count.taken % options.dropAfter === 0) {
    count.dropped++;
    session.gone = true;
    return session.destroy();
  }
  if (options.deaf) return undefined;
  const id = ++lastId;
  if (options.respDelayMs > 0) setTimeout(answer, options.respDelayMs, session, pdu, id);
  else answer(session, pdu, id);
  return undefined;
}

function bind(session, pdu) {
  let status = 0;
  if (options.systemId !== undefined && pdu.system_id !== options.systemId) status = smpp.ESME_RINVSYSID;
  else if (options.password !== undefined && pdu.password !== options.password) status = smpp.ESME_RINVPASWD;
  if (status) {
    count.refused++;
    session.send(pdu.response({ command_status: status }));
    return session.close();
  }
  count.binds++;
  session.receives = pdu.command !== 'bind_transmitter';
  const out = { system_id: 'npm-smpp' };
  if (options.version) out.sc_interface_version = 0x34;
  session.send(pdu.response(out));
  return undefined;
}

const tls = options.key && options.cert
  ? { key: fs.readFileSync(options.key), cert: fs.readFileSync(options.cert) } : {};

const server = smpp.createServer(tls, (session) => {
  session.outstanding = 0;
  sessions.add(session);
  const end = () => {
    session.gone = true;
    sessions.delete(session);
  };
  session.on('close', end);
  session.on('error', () => {
    end();
    session.destroy();
  });
  session.on('bind_transceiver', (pdu) => bind(session, pdu));
  session.on('bind_transmitter', (pdu) => bind(session, pdu));
  session.on('bind_receiver', (pdu) => bind(session, pdu));
  session.on('submit_sm', (pdu) => { if (!session.gone) submit(session, pdu); });
  session.on('enquire_link', (pdu) => session.send(pdu.response()));
  session.on('unbind', (pdu) => {
    session.send(pdu.response());
    session.close();
  });
});
server.on('error', (err) => {
  console.error(err);
  process.exit(1);
});
server.listen(options.port, options.host, () => say({ port: server.address().port }));

function command(line) {
  if (line === 'report') {
    return say(Object.assign({}, count, { destinations: destinations.size, messages: messages.size, sessions: sessions.size }));
  }
  const wish = JSON.parse(line);
  if (wish.set) {
    Object.assign(options, wish.set);
    return say({ set: true });
  }
  let n = 0;
  for (const session of sessions) {
    if (wish.mo && session.receives) {
      n++;
      session.deliver_sm({
        source_addr_ton: 1, source_addr_npi: 1, source_addr: wish.mo.from,
        destination_addr: wish.mo.to, short_message: wish.mo.text,
      });
    }
    if (wish.drop) {
      n++;
      session.destroy();
    }
  }
  return say(wish.mo ? { mo: n } : { drop: n });
}

readline.createInterface({ input: process.stdin }).on('line', command).on('close', () => process.exit(0));
