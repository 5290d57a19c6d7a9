// Counts SMS segments with npm's sms-segments-calculator: a JSON array of texts
// in, an array of what it says of each out.
'use strict';

const {SegmentedMessage} = require('sms-segments-calculator');

const texts = JSON.parse(require('fs').readFileSync(0, 'utf8'));
process.stdout.write(JSON.stringify(texts.map((text) => {
  const m = new SegmentedMessage(text);
  return {
    encoding: m.encodingName,
    units: m.messageSize / (m.encodingName === 'GSM-7' ? 7 : 16),
    parts: m.segmentsCount,
    // Characters as people see them, of which it splits none.
    graphemes: m.graphemes.length,
    scalars: m.numberOfUnicodeScalars,
  };
})));
