// ipx as its README mounts it in a node server, with sources by HTTP. Started by contestants.py.
import http from "node:http";
import { createRequire } from "node:module";

const { createIPX, createIPXNodeServer, ipxHttpStorage } = createRequire(process.argv[2] + "/")("ipx");
const ipx = createIPX({ storage: ipxHttpStorage({ allowAllDomains: true }), httpStorage: ipxHttpStorage({ allowAllDomains: true }) });
const server = http.createServer(createIPXNodeServer(ipx));
server.keepAliveTimeout = 600_000;
server.listen(0, "127.0.0.1", () => console.log(`listening on ${server.address().port}`));
