// JSON.parse and ajv with the official JSON Schemas: node ajv.js EVENTS SCHEMAS AJV
// EVENTS has one event a line; prints microseconds per event of the best round, and how many passed.
const fs = require('fs');
const path = require('path');
const [events, schemas, ajvPath] = process.argv.slice(2);
const Ajv = require(path.join(ajvPath, 'node_modules', 'ajv'));
const ajv = new Ajv({ schemaId: 'id', meta: false, logger: false, unknownFormats: 'ignore', validateSchema: false });
for (const file of fs.readdirSync(schemas).filter((f) => f.endsWith('.json'))) {
  const schema = JSON.parse(fs.readFileSync(path.join(schemas, file), 'utf8'));
  // Two files with one id: the first counts.
  try { ajv.addSchema(schema); } catch (error) { /* it is there already */ }
}
const lines = fs.readFileSync(events, 'utf8').trim().split('\n');
const checks = {};
let best = Infinity;
let passed = 0;
for (let round = 0; round < 12; round++) {
  passed = 0;
  const start = process.hrtime.bigint();
  for (const line of lines) {
    const event = JSON.parse(line);
    const check = checks[event.type] || (checks[event.type] = ajv.getSchema(event.type));
    if (check(event)) passed++;
  }
  const nanos = Number(process.hrtime.bigint() - start);
  if (round > 1) best = Math.min(best, nanos);
}
console.log(JSON.stringify({ micros: best / lines.length / 1000, passed, count: lines.length }));
