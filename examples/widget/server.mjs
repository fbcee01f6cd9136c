// A company's side of the widget, with nothing but Node: one page, and a start token for whoever is signed in.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

const { RETENTION_API: api, RETENTION_KEY: key, CUSTOMER: customer, REGION: region, PORT = "7480" } = process.env;
const widget = await (await fetch(`${api}/widget/v1/manifest.json`)).json();
const policy = [
  "default-src 'none'", `script-src 'self' ${api}`, `connect-src 'self' ${api}`, "style-src 'self'", "img-src 'self' https:",
  "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'", "trusted-types retention",
].join("; ");
const files = { "/": ["index.html", "text/html"], "/page.js": ["page.js", "text/javascript"], "/page.css": ["page.css", "text/css"] };

createServer(async (request, response) => {
  const { pathname } = new URL(request.url, "http://here");
  if (request.method === "POST" && pathname === "/retention/token") {
    // A real server reads its own session here: who is signed in is who the token is for, never what the browser says.
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    const issued = await fetch(`${api}/v1/flow/tokens`, { method: "POST", headers, body: JSON.stringify({ customer, region }) });
    response.writeHead(issued.status, { "content-type": "application/json", "cache-control": "no-store" });
    return response.end(JSON.stringify({ token: (await issued.json()).token }));
  }
  const [name, kind] = files[pathname] ?? [];
  if (!name) return response.writeHead(404).end();
  const text = await readFile(new URL(name, import.meta.url), "utf8");
  response.writeHead(200, { "content-type": `${kind}; charset=utf-8`, "content-security-policy": policy });
  response.end(text.replace("{{script}}", api + widget.path).replace("{{integrity}}", widget.integrity));
}).listen(Number(PORT), "127.0.0.1", function () {
  console.log(`http://127.0.0.1:${this.address().port}/`);
});
