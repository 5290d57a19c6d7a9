'use strict';
// What Twilio's own library makes of signed requests. Standard input:
// {token, requests: [{url, params: {name: [value, ...]}, signature}]}.
// Standard output: for each, the signature that the library computes, and
// whether it takes the one given.
const { getExpectedTwilioSignature, validateRequest } = require('twilio/lib/webhooks/webhooks');

let input = '';
process.stdin.setEncoding('utf8');
process.stdin.on('data', (chunk) => { input += chunk; });
process.stdin.on('end', () => {
  const { token, requests } = JSON.parse(input);
  const verdicts = requests.map(({ url, params, signature }) => {
    // As a body parser leaves them: a list only where a name came twice.
    const plain = Object.fromEntries(Object.entries(params).map(([k, v]) => [k, v.length === 1 ? v[0] : v]));
    return {
      signature: getExpectedTwilioSignature(token, url, plain),
      valid: validateRequest(token, signature, url, plain),
    };
  });
  process.stdout.write(JSON.stringify(verdicts));
});
