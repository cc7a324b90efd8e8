// An MCP server or client of the official TypeScript SDK; peers.py has the same in Python.
//
//   node peer.mjs MODULES v1|v2 server              serves /mcp, prints {"port"} and then a line for each session that ended
//   node peer.mjs MODULES v1|v2|v2-modern client URL TOKEN     walks through the server, prints what it found
//
// v1 is @modelcontextprotocol/sdk; v2 its successors client, server and node, which also speak revision 2026-07-28.

import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [modules, generation, part, url, token] = process.argv.slice(2);
const require = createRequire(`${modules}/package.json`);
const load = name => import(pathToFileURL(require.resolve(name)).href);
const v1 = generation === 'v1';
const { z } = await load('zod');
const say = value => process.stdout.write(JSON.stringify(value) + '\n');

async function server() {
    const sdk = v1
        ? { ...(await load('@modelcontextprotocol/sdk/server/mcp.js')), ...(await load('@modelcontextprotocol/sdk/server/streamableHttp.js')) }
        : { ...(await load('@modelcontextprotocol/server')), ...(await load('@modelcontextprotocol/node')) };
    const Transport = v1 ? sdk.StreamableHTTPServerTransport : sdk.NodeStreamableHTTPServerTransport;
    const shape = fields => (v1 ? fields : z.object(fields));
    const text = words => ({ content: [{ type: 'text', text: words }] });
    let modern;

    function mcpServer() {
        const made = new sdk.McpServer({ name: 'castles', version: '1.0.0' }, { capabilities: { logging: {} } });
        made.registerTool('echo', { description: 'Says it again.', inputSchema: shape({ text: z.string() }) }, ({ text: said }) => text(said));
        made.registerTool('demolish', { description: 'Takes a castle down.', inputSchema: shape({ castle: z.string() }) }, ({ castle }) => text(`${castle} is gone`));
        made.registerTool('walk', { description: 'Walks around the wall.', inputSchema: shape({ rounds: z.number() }) }, async ({ rounds }, context) => {
            const notify = v1 ? context.sendNotification : context.mcpReq.notify;
            const mark = (v1 ? context._meta : context.mcpReq._meta)?.progressToken;
            for (let round = 1; round <= rounds; round++) {
                if (mark !== undefined) await notify({ method: 'notifications/progress', params: { progressToken: mark, progress: round, total: rounds } });
                await notify({ method: 'notifications/message', params: { level: 'info', data: `round ${round}` } });
            }
            return text('walked');
        });
        made.registerTool('announce', { description: 'Tells everybody that the tools have changed.' }, async () => {
            modern?.notify.toolsChanged();
            made.sendToolListChanged();
            return text('announced');
        });
        made.registerPrompt('describe', { argsSchema: shape({ castle: z.string() }) }, ({ castle }) => ({
            messages: [{ role: 'user', content: { type: 'text', text: `Describe ${castle}.` } }]
        }));
        made.registerResource('north', 'castle://north', {}, uri => ({ contents: [{ uri: uri.href, text: 'The north tower.' }] }));
        made.registerResource('tower', new sdk.ResourceTemplate('castle://towers/{side}', { list: undefined }), {}, (uri, { side }) => ({
            contents: [{ uri: uri.href, text: `The tower of the ${side}.` }]
        }));
        return made;
    }

    const sessions = new Map();
    async function legacy(request, response, body) {
        const id = request.headers['mcp-session-id'];
        let transport = sessions.get(id);
        if (!transport && id) return void response.writeHead(404).end();
        if (!transport) {
            transport = new Transport({ sessionIdGenerator: randomUUID, onsessioninitialized: made => void sessions.set(made, transport) });
            transport.onclose = () => sessions.delete(transport.sessionId) && say({ ended: true });
            await mcpServer().connect(transport);
        }
        await transport.handleRequest(request, response, body);
    }

    let handle = legacy;
    if (!v1) {
        modern = sdk.createMcpHandler(mcpServer, { legacy: 'reject' });
        const newer = sdk.toNodeHandler(modern);
        handle = async (request, response) => {
            const parts = await request.toArray();
            const body = parts.length ? JSON.parse(Buffer.concat(parts)) : undefined;
            const old = await sdk.isLegacyRequest(await sdk.toWebRequest(request, body));
            await (old ? legacy : newer)(request, response, body);
        };
    }
    const listening = http.createServer((request, response) => {
        handle(request, response).catch(error => {
            console.error(error);
            if (!response.headersSent) response.writeHead(500);
            response.end();
        });
    });
    listening.listen(0, '127.0.0.1', () => say({ port: listening.address().port }));
}

async function client() {
    const sdk = v1
        ? { ...(await load('@modelcontextprotocol/sdk/client/index.js')), ...(await load('@modelcontextprotocol/sdk/client/streamableHttp.js')), ...(await load('@modelcontextprotocol/sdk/types.js')) }
        : await load('@modelcontextprotocol/client');
    const modern = generation === 'v2-modern';
    const options = modern ? { versionNegotiation: { mode: { pin: '2026-07-28' } } } : {};
    const made = new sdk.Client({ name: 'walker', version: '1.0.0' }, options);
    const logged = [];
    let tell;
    const changed = new Promise(resolve => (tell = resolve));
    const on = (schema, method, use) => made.setNotificationHandler(v1 ? schema : method, use);
    on(sdk.LoggingMessageNotificationSchema, 'notifications/message', ({ params }) => void logged.push(params.data));
    on(sdk.ToolListChangedNotificationSchema, 'notifications/tools/list_changed', () => tell(true));
    const transport = new sdk.StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { authorization: `Bearer ${token}` } } });
    await made.connect(transport);
    const found = { session: transport.sessionId !== undefined };
    found.tools = (await made.listTools()).tools.map(tool => tool.name).sort();
    found.prompts = (await made.listPrompts()).prompts.map(prompt => prompt.name).sort();
    found.resources = (await made.listResources()).resources.map(resource => resource.uri).sort();
    found.templates = (await made.listResourceTemplates()).resourceTemplates.map(template => template.uriTemplate).sort();
    const call = (name, values, more) => (v1 ? made.callTool({ name, arguments: values }, undefined, more) : made.callTool({ name, arguments: values }, more));
    found.said = (await call('echo', { text: 'hello' })).content[0].text;
    found.prompt = (await made.getPrompt({ name: 'describe', arguments: { castle: 'North' } })).messages[0].content.text;
    found.page = (await made.readResource({ uri: 'castle://north' })).contents[0].text;
    found.tower = (await made.readResource({ uri: 'castle://towers/east' })).contents[0].text;
    if (!modern) {
        // The Python SDK's own server has no levels.
        await made.setLoggingLevel('info').catch(error => {
            if (error.code !== -32601) throw error;
        });
    }
    const progress = [];
    found.walked = (await call('walk', { rounds: 3 }, { onprogress: ({ progress: done }) => progress.push(done) })).content[0].text;
    found.progress = progress;
    if (!modern) found.logged = logged;
    try {
        await call('demolish', { castle: 'north' });
    } catch (error) {
        // A status of 4xx is an error of the transport here; the answer stands in its text.
        found.refused = error.data?.reason ?? /"reason":"([^"]+)"/.exec(error.data?.text ?? error.message)?.[1];
    }
    const heard = modern ? await made.listen({ toolsListChanged: true }) : undefined;
    found.announced = (await call('announce', {})).content[0].text;
    found.changed = await Promise.race([changed, new Promise(done => setTimeout(() => done(false), 20000).unref())]);
    await heard?.close();
    if (!modern) {
        await transport.terminateSession();
        found.ended = transport.sessionId === undefined;
    }
    await made.close();
    say(found);
    process.exit(0);
}

await (part === 'server' ? server() : client());
