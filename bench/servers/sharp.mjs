// sharp by hand: an HTTP server of a few lines, as one would write it in front of sharp. Started by contestants.py.
// GET /FIT/WIDTH/HEIGHT/FORMAT/QUALITY/EFFORT/SOURCE with "-" for what is left to sharp's defaults.
import http from "node:http";
import { createRequire } from "node:module";

// The packages are not beside this file: the first argument is the directory that has node_modules.
const sharp = createRequire(process.argv[2] + "/")("sharp");
// Each picture is a new one, so sharp's documentation recommends to keep none.
sharp.cache(false);
const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });

function fetched(url) {
  return new Promise((resolve, reject) => {
    http.get(url, { agent }, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("end", () =>
        response.statusCode === 200 ? resolve(Buffer.concat(parts)) : reject(new Error(`source: ${response.statusCode}`)));
      response.on("error", reject);
    }).on("error", reject);
  });
}

function settings(format, quality, effort) {
  const chosen = {};
  if (quality !== "-") chosen.quality = Number(quality);
  if (effort !== "-") chosen[format === "png" ? "compressionLevel" : "effort"] = Number(effort);
  return chosen;
}

const server = http.createServer(async (request, response) => {
  try {
    const [, fit, width, height, format, quality, effort, ...rest] = request.url.split("/");
    const source = await fetched(decodeURIComponent(rest.join("/")));
    const picture = await sharp(source, { animated: format === "gif" })
      .rotate()
      .resize(Number(width), Number(height), { fit })
      .toFormat(format, settings(format, quality, effort))
      .toBuffer();
    response.writeHead(200, { "Content-Type": `image/${format}`, "Content-Length": picture.length });
    response.end(picture);
  } catch (error) {
    const text = String(error);
    response.writeHead(500, { "Content-Length": Buffer.byteLength(text) });
    response.end(text);
  }
});
server.keepAliveTimeout = 600_000;
server.listen(0, "127.0.0.1", () => console.log(`listening on ${server.address().port}`));
