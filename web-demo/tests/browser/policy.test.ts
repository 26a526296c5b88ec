/// What the relay's content security policy lets a page do, as a browser takes it.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launch, open } from './support/browser';
import { type Relay, startRelay } from './support/relay';

let browser: Awaited<ReturnType<typeof launch>>;
let node: Relay;

beforeAll(async () => {
  [browser, node] = await Promise.all([launch(), startRelay()]);
}, 90_000);
afterAll(async () => {
  await browser?.close();
  await node?.stop();
});

test.each(['localhost', '127.0.0.1', '[::1]'])('WebTransport with a hash opens to this node as %s', async (host) => {
  const { page, complaints } = await open(browser, node.page);
  const protocol = await page.evaluate(async (url) => {
    const hex = await (await fetch('/certificate.sha256')).text();
    const value = Uint8Array.from(hex.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));
    const options = { serverCertificateHashes: [{ algorithm: 'sha-256', value }], protocols: ['moqt-18'] };
    const session = new WebTransport(url, options);
    await session.ready;
    session.close();
    return (session as { protocol?: string }).protocol;
  }, `https://${host}:${node.port}/`);
  expect(protocol).toBe('moqt-18');
  expect(complaints).toEqual([]);
  await page.close();
});

test('no script in the text of a page runs, and nothing is loaded from elsewhere', async () => {
  const { page, complaints } = await open(browser, node.page);
  await page.evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'document.title = "it ran"';
    const elsewhere = document.createElement('script');
    elsewhere.src = 'http://127.0.0.2:9/x.js';
    document.body.append(script, elsewhere);
    return new Promise((done) => elsewhere.addEventListener('error', done));
  });
  expect(await page.title()).not.toBe('it ran');
  expect(complaints.filter((text) => text.includes('Content Security Policy')).length).toBe(2);
  await page.close();
});
