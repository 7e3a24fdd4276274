// An OpenID provider: panva's certified oidc-provider, with its own log-in and consent pages, for anybody's name.
// node openid_provider.mjs MODULES PORT: prints `ready` when it listens.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, port] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${modules}/x.js`));
const { default: Provider } = await import(pathToFileURL(require.resolve("oidc-provider")).href);

const client = (client_id, more) => ({
  client_id,
  application_type: "native",
  redirect_uris: ["http://127.0.0.1/callback"],
  ...more,
});
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    client("parley", { client_secret: "provider-secret-of-parley" }),
    client("parley-cli", { token_endpoint_auth_method: "none" }),
  ],
  claims: { openid: ["sub", "groups", "name", "email", "preferred_username"] },
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  // Who logs in as `lan+staff+chiefs` belongs to the groups staff and chiefs.
  async findAccount(_ctx, login) {
    const [name, ...groups] = login.split("+");
    const claims = { sub: `id-of-${name}`, preferred_username: name, name, email: `${name}@example.com`, groups };
    return { accountId: login, claims: async () => claims };
  },
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
