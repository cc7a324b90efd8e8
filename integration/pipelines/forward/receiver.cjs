// The official receiver of Fluentd's forward protocol; writes each entry as a line into a file.
// usage: node receiver.cjs PORT FILE        (NODE_PATH names the folder of the package)
const fs = require("node:fs");
const { FluentServer } = require("@fluent-org/logger");

const [port, file] = process.argv.slice(2);
const server = new FluentServer({ listenOptions: { host: "127.0.0.1", port: Number(port) } });
server.on("entry", (tag, time, record) => fs.appendFileSync(file, JSON.stringify({ tag, record }) + "\n"));
server.listen().then(() => fs.appendFileSync(file, ""));
