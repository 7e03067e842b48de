// An OpenID Connect provider that knows one person: `node issuer.js PORT`. Says where it is once it is up. The
// package is in the folder that MAMBA_TEST_OIDC names.
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const program = join(process.env.MAMBA_TEST_OIDC, "node_modules/oauth2-mock-server/dist/index.mjs");
const { OAuth2Server } = await import(pathToFileURL(program));
const server = new OAuth2Server();
await server.issuer.keys.generate("RS256");
server.service.on("beforeTokenSigning", (token) => {
  Object.assign(token.payload, { email: "friend@elsewhere.example", email_verified: true });
});
await server.start(Number(process.argv[2]), "localhost");
console.log(server.issuer.url);
