// An OpenID provider, npm's oidc-provider, for the tests of internal/console/login.
// Arguments: client id, client secret, redirect URI. It writes its issuer as a line and
// then serves on loopback. Everybody who comes is logged in as "alice" at once. The id
// token has her groups, and userinfo alone her address, as that library does by default.
"use strict";

const http = require("http");

async function main() {
  const { default: Provider } = await import("oidc-provider");
  const [clientId, clientSecret, redirectUri] = process.argv.slice(2);
  const server = http.createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const claims = { sub: "alice", email: "alice@example.com", email_verified: true, groups: ["everybody", "sms-operators"] };

  const provider = new Provider(issuer, {
    clients: [{ client_id: clientId, client_secret: clientSecret, redirect_uris: [redirectUri], response_types: ["code"], grant_types: ["authorization_code"] }],
    claims: { openid: ["sub", "groups"], email: ["email", "email_verified"], profile: ["name"] },
    pkce: { required: () => true },
    features: { devInteractions: { enabled: false } },
    cookies: { keys: ["only-for-tests"] },
    findAccount: (_ctx, id) => ({ accountId: id, claims: () => claims }),
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  });
  const answer = provider.callback();
  server.on("request", async (req, res) => {
    if (!req.url.startsWith("/interaction/")) return answer(req, res);
    const details = await provider.interactionDetails(req, res);
    const grant = new provider.Grant({ accountId: "alice", clientId });
    grant.addOIDCScope("openid profile email");
    const grantId = await grant.save();
    const result = details.prompt.name === "login" ? { login: { accountId: "alice" } } : { consent: { grantId } };
    return provider.interactionFinished(req, res, result);
  });
  process.stdout.write(issuer + "\n");
}

main().catch((err) => {
  process.stderr.write(err.stack + "\n");
  process.exit(1);
});
