// Adds what Chargebee's own client (npm chargebee 3.31.0) sends for more wishes to requests.json: `node record.cjs`, in a
// folder where that package can be found. Ids, keys and notes are stand-ins.
const fs = require('fs');
const http = require('http');
const path = require('path');
const { default: Chargebee } = require('chargebee');

const file = path.join(__dirname, 'requests.json');
const key = { 'chargebee-idempotency-key': 'KEY' };
const runs = [
  ['cancel_now', (c) => c.subscription.cancelForItems('SUBSCRIPTION', { cancel_option: 'immediately' }, key)],
  ['plans_cancel_now', (c) => c.subscription.cancel('SUBSCRIPTION', { end_of_term: false }, key)],
  ['refund', (c) => c.invoice.refund('INVOICE', { refund_amount: 525, comment: 'Retention offer', customer_notes: 'Retention offer NOTE', credit_note: { reason_code: 'waiver' } }, key)],
];
const seen = [];
const server = http.createServer((request, response) => {
  let body = '';
  request.on('data', (part) => { body += part; });
  request.on('end', () => {
    seen.push({
      method: request.method,
      path: new URL(request.url, 'http://localhost').pathname,
      authorization: request.headers.authorization,
      content_type: request.headers['content-type'],
      idempotency_key: request.headers['chargebee-idempotency-key'],
      form: [...new URLSearchParams(body)],
    });
    response.setHeader('content-type', 'application/json');
    response.end('{}');
  });
});
server.listen(0, '127.0.0.1', async () => {
  const client = new Chargebee({ site: '127', apiKey: 'test_fakekey' });
  Object.assign(client._env, { protocol: 'http', hostSuffix: '.0.0.1', port: server.address().port });
  const recorded = JSON.parse(fs.readFileSync(file));
  for (const [operation, run] of runs) {
    await run(client);
    recorded.requests = recorded.requests.filter((r) => r.operation !== operation);
    recorded.requests.push({ operation, ...seen.pop() });
  }
  fs.writeFileSync(file, JSON.stringify(recorded, null, 1) + '\n');
  server.close();
});
