// A real OpenID provider for the tests: discovery, JWKS, client credentials, introspection, revocation.
// Arguments: the port, a file with the private key set to sign with and to publish, and further clients as JSON:
// their names, and the claims of their tokens.
import { readFileSync } from 'node:fs';
import { Provider } from 'oidc-provider';

const [port, keyFile, more] = process.argv.slice(2);
const claims = { service: { roles: ['analyst'], tenant: 'acme' }, ...JSON.parse(more ?? '{}') };
const keys = JSON.parse(readFileSync(keyFile, 'utf8'));
const scope = 'llm';
const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: keys,
  clients: Object.keys(claims).map((client_id) => ({
    client_id,
    client_secret: 'a secret of this test alone, 0123456789',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    scope,
  })),
  scopes: ['openid', scope],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: async () => true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: async () => undefined,
      // The resource urn:llm:opaque has tokens that are no JWT.
      getResourceServerInfo: async (_, resource) => ({
        scope,
        audience: resource,
        accessTokenTTL: 600,
        accessTokenFormat: resource.endsWith(':opaque') ? 'opaque' : 'jwt',
        jwt: { sign: { alg: keys.keys[0].alg } },
      }),
    },
  },
  extraTokenClaims: async (_, token) => claims[token.clientId],
});
provider.listen(Number(port), '127.0.0.1', () => console.log('listening'));
