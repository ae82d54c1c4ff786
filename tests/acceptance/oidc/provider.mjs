// A real OpenID Connect provider (the certified `oidc-provider`) that signs in whom the test names, without a page.
//
//   node provider.mjs CALLBACK_URL            prints its issuer on the first line and runs until it is killed
//   POST /control {"account": {...}}          who signs in next: the claims, `sub` among them
//   POST /control {"tamper": {...} | null}    claims to falsify in the next ID tokens, signed with the provider's own key;
//                                             {"stranger": true} signs them with another key instead
import { createServer } from "node:http";
import { SignJWT, decodeJwt, decodeProtectedHeader, exportJWK, generateKeyPair } from "jose";
import Provider from "oidc-provider";

const callback = process.argv[2];
const control = { account: { sub: "nobody" }, tamper: null };
const accounts = new Map();

const keys = await generateKeyPair("RS256", { extractable: true });
const stranger = await generateKeyPair("RS256", { extractable: true });
const jwk = { ...(await exportJWK(keys.privateKey)), kid: "test-key", use: "sig", alg: "RS256" };

const server = createServer();
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  jwks: { keys: [jwk] },
  clients: [
    {
      client_id: "mailtide",
      client_secret: "a-client-secret-for-tests",
      redirect_uris: [callback],
      response_types: ["code"],
      grant_types: ["authorization_code"],
    },
  ],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "picture"] },
  conformIdTokenClaims: false, // claims in the ID token, as Google does
  pkce: { required: () => true },
  cookies: { keys: ["a-cookie-key-for-tests"] },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => accounts.get(id) ?? { sub: id } }),
  loadExistingGrant: async (ctx) => {
    const grant = new ctx.oidc.provider.Grant({
      clientId: ctx.oidc.client.clientId,
      accountId: ctx.oidc.session.accountId,
    });
    grant.addOIDCScope("openid email profile");
    await grant.save();
    return grant;
  },
});

provider.use(async (ctx, next) => {
  await next();
  if (ctx.path === "/token" && control.tamper && ctx.body?.id_token) {
    ctx.body.id_token = await falsify(ctx.body.id_token, control.tamper);
  }
});

async function falsify(token, { stranger: byStranger, ...changes }) {
  const claims = { ...decodeJwt(token), ...changes };
  for (const [name, value] of Object.entries(changes)) if (value === null) delete claims[name];
  const key = byStranger ? stranger.privateKey : keys.privateKey;
  return new SignJWT(claims).setProtectedHeader(decodeProtectedHeader(token)).sign(key);
}

async function answerControl(request, response) {
  let body = "";
  for await (const piece of request) body += piece;
  Object.assign(control, JSON.parse(body));
  accounts.set(control.account.sub, control.account);
  response.writeHead(204).end();
}

async function answerInteraction(request, response) {
  const { prompt } = await provider.interactionDetails(request, response);
  const result = prompt.name === "login" ? { login: { accountId: control.account.sub } } : { consent: {} };
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
}

const answer = provider.callback();
server.on("request", (request, response) => {
  if (request.url === "/control") return answerControl(request, response);
  if (request.url.startsWith("/interaction/")) return answerInteraction(request, response);
  return answer(request, response);
});
console.log(issuer);
